//! A server that gives the same answer to everybody: what is left of a request without a product behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, ensure};

use crate::client::Client;
use crate::process::free_address;

/// How long the start may take.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What to answer, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BareOptions {
    #[arg(long)]
    listen: SocketAddr,
    /// The answer to everything, as JSON
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Send the file's bytes as they are, instead of writing the answer anew for each request
    #[arg(long)]
    fixed: bool,
}

/// How the answer comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A handler writes it as JSON for each request, as any handler does that has something to say.
    Written,
    /// The same bytes each time, which no handler of a product could do: the least that this machine needs for a request.
    Fixed,
}

/// Answers until it is ended. As many workers as the product has by default, and the same settings of its sockets.
///
/// # Errors
/// If the file cannot be read or the address is taken.
pub(crate) async fn serve(options: BareOptions) -> Result<()> {
    let body =
        fs::read(&options.body).with_context(|| format!("reading {}", options.body.display()))?;
    let value: serde_json::Value =
        serde_json::from_slice(&body).context("the answer is not JSON")?;
    let (body, value) = (web::Bytes::from(body), Arc::new(value));
    let fixed = options.fixed;
    HttpServer::new(move || {
        let (body, value) = (body.clone(), value.clone());
        App::new().default_service(web::to(move || {
            let mut answer = HttpResponse::Ok();
            let answer = if fixed {
                answer.content_type("application/json").body(body.clone())
            } else {
                answer.json(&*value)
            };
            std::future::ready(answer)
        }))
    })
    .tcp_nodelay(true)
    .h1_allow_half_closed(false)
    .disable_signals()
    .bind(options.listen)?
    .run()
    .await?;
    Ok(())
}

/// The server in a process of its own, as the product is. It is ended with this value.
#[derive(Debug)]
pub(super) struct Bare {
    child: Child,
    address: SocketAddr,
    answer: Answer,
}

impl Bare {
    /// Starts it with this answer, which is kept in `folder`.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) async fn start(folder: &Path, body: &[u8], answer: Answer) -> Result<Self> {
        let file = folder.join("bare.json");
        fs::write(&file, body).with_context(|| format!("writing {}", file.display()))?;
        let address = free_address()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--plinth", "none", "bare", "--listen", &address.to_string(), "--body"])
            .arg(&file)
            .args((answer == Answer::Fixed).then_some("--fixed"))
            .stdin(Stdio::null())
            .spawn()
            .context("starting a bare server")?;
        let mut bare = Self { child, address, answer };
        let started = Instant::now();
        while bare.client().request("GET", "/", None).await.is_err() {
            let ended = bare.child.try_wait()?;
            ensure!(ended.is_none(), "the bare server ended while it started");
            ensure!(started.elapsed() < START_LIMIT, "the bare server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bare)
    }

    /// What it is called in a table.
    pub(super) fn name(&self) -> &'static str {
        match self.answer {
            Answer::Written => "bare handler",
            Answer::Fixed => "fixed bytes",
        }
    }

    /// A client with a connection of its own, without a key.
    pub(super) fn client(&self) -> Client {
        Client::new(self.address, "")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It holds nothing; nobody could do anything about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn every_request_gets_the_answer() {
        let folder = crate::process::Folder::create().unwrap();
        let body = folder.path().join("body");
        fs::write(&body, r#"{"data":1}"#).unwrap();
        for fixed in [false, true] {
            let listen = free_address().unwrap();
            let options = BareOptions { listen, body: body.clone(), fixed };
            let serving = actix_web::rt::spawn(serve(options));
            let mut client = Client::new(listen, "");
            let answer = loop {
                if let Ok(answer) = client.request("GET", "/any/path", None).await {
                    break answer;
                }
                assert!(!serving.is_finished(), "it does not start");
                tokio::task::yield_now().await;
            };
            assert_eq!(answer.body, br#"{"data":1}"#);
            serving.abort();
        }
    }
}
