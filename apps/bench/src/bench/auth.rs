//! What it costs to know who is calling.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Stage;
use super::bare::{Answer, Bare};
use super::figure::{Aim, Figure, Unit, median_ratio};
use super::load::{Asker, Load};
use crate::client::Client;
use crate::terminal::say;

/// A route that answers from what authentication found out.
const ROUTE: &str = "/v1/me/access";

/// A client that asks the same again and again.
struct Getter {
    client: Client,
    route: &'static str,
}

impl Asker for Getter {
    async fn ask(&mut self) -> Result<()> {
        let response = self.client.send("GET", self.route, None, |_| ()).await?;
        ensure!(response.status == 200, "{} answered {}", self.route, response.status);
        Ok(())
    }
}

/// Measures requests with a key and with a token beside a bare handler: one of the same framework, in a process of its own,
/// that writes the same answer to everybody. What is between the two is knowing who calls and what goes around every
/// request. Beside them stands what this machine does where the bytes are the same each time and nothing is written.
///
/// # Errors
/// If an answer is none.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Vec<Figure>> {
    let (folder, plinth) = stage.plinth().await?;
    let answer = plinth.client().request("GET", ROUTE, None).await?;
    ensure!(answer.status == 200, "{ROUTE} answered {}", answer.status);
    let bare = Bare::start(folder.path(), &answer.body, Answer::Written).await?;
    let with_key = side_by_side(stage, "an API key", ROUTE, || plinth.client(), &bare).await?;
    let token = plinth.sign_in().await.context("signing in")?;
    let with_token =
        side_by_side(stage, "a token", ROUTE, || plinth.client_with(&token), &bare).await?;
    // The same server, answering whom it does not know: what is left of the difference is not authentication's.
    let open = side_by_side(stage, "nobody", "/healthz", || plinth.client_with(""), &bare).await?;
    drop(bare);
    let fixed = Bare::start(folder.path(), &answer.body, Answer::Fixed).await?;
    let least = side_by_side(stage, "an API key", ROUTE, || plinth.client(), &fixed).await?;
    plinth.stop()?;
    Ok(vec![
        with_key.figure("authenticated by an API key", Some(Aim::AtLeast(0.70))),
        with_token.figure("authenticated by a token", Some(Aim::AtLeast(0.60))),
        open.figure("not authenticated (/healthz)", None),
        least.figure("authenticated by an API key, beside fixed bytes", None),
    ])
}

struct Pair {
    ours: Load,
    bare: Load,
    peer: &'static str,
    route: &'static str,
    clients: u32,
}

async fn side_by_side(
    stage: &Stage<'_>,
    what: &str,
    route: &'static str,
    client: impl Fn() -> Client,
    bare: &Bare,
) -> Result<Pair> {
    let clients = stage.options.clients;
    let mut ours: Vec<_> = (0..clients).map(|_| Getter { client: client(), route }).collect();
    let mut theirs: Vec<_> =
        (0..clients).map(|_| Getter { client: bare.client(), route }).collect();
    // Connections are made and caches filled.
    ours = Load::default().round(ours, stage.round()).await.context("warming up")?;
    theirs = Load::default().round(theirs, stage.round()).await?;
    let (ours_load, bare_load) = (Load::default(), Load::default());
    let mut pair = Pair { ours: ours_load, bare: bare_load, peer: bare.name(), route, clients };
    for round in 1..=stage.options.rounds {
        ours = pair.ours.round(ours, stage.round()).await?;
        theirs = pair.bare.round(theirs, stage.round()).await?;
        say(&format!(
            "· {what}, round {round} of {}: {:.0} and {:.0} a second",
            stage.options.rounds,
            pair.ours.rates.last().copied().unwrap_or_default(),
            pair.bare.rates.last().copied().unwrap_or_default()
        ));
    }
    Ok(pair)
}

impl Pair {
    fn figure(&self, what: &str, aim: Option<Aim>) -> Figure {
        Figure {
            what: format!("{what}, {} clients", self.clients),
            ours: self.ours.text(),
            peer: format!("{} {}", self.peer, self.bare.text()),
            number: median_ratio(&self.ours.rates, &self.bare.rates),
            unit: Unit::Percent,
            aim,
            details: json!({
                "route": self.route,
                "plinth": self.ours.json(),
                "bare": self.bare.json(),
            }),
        }
    }
}
