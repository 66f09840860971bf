//! A server that answers every request with the same bytes: what is left of a request without a product behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    /// The answer to everything
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
}

/// Answers until it is ended. As many workers as the product has by default, and the same settings of its sockets.
///
/// # Errors
/// If the file cannot be read or the address is taken.
pub(crate) async fn serve(options: BareOptions) -> Result<()> {
    let body =
        fs::read(&options.body).with_context(|| format!("reading {}", options.body.display()))?;
    let body = web::Bytes::from(body);
    HttpServer::new(move || {
        let body = body.clone();
        App::new().default_service(web::to(move || {
            let answer = HttpResponse::Ok().content_type("application/json").body(body.clone());
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
}

impl Bare {
    /// Starts it with this answer, which is kept in `folder`.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) async fn start(folder: &Path, body: &[u8]) -> Result<Self> {
        let file = folder.join("bare.json");
        fs::write(&file, body).with_context(|| format!("writing {}", file.display()))?;
        let address = free_address()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--plinth", "none", "bare", "--listen", &address.to_string(), "--body"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .context("starting a bare server")?;
        let mut bare = Self { child, address };
        let started = Instant::now();
        while bare.client().request("GET", "/", None).await.is_err() {
            let ended = bare.child.try_wait()?;
            ensure!(ended.is_none(), "the bare server ended while it started");
            ensure!(started.elapsed() < START_LIMIT, "the bare server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bare)
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
    async fn every_request_gets_the_file() {
        let folder = crate::process::Folder::create().unwrap();
        let file = folder.path().join("body");
        fs::write(&file, r#"{"data":1}"#).unwrap();
        let listen = free_address().unwrap();
        let serving = actix_web::rt::spawn(serve(BareOptions { listen, body: file }));
        let mut client = Client::new(listen, "");
        let answer = loop {
            if let Ok(answer) = client.request("GET", "/any/path", None).await {
                break answer;
            }
            assert!(!serving.is_finished(), "it does not start");
            tokio::task::yield_now().await;
        };
        assert_eq!(answer.data().unwrap(), serde_json::json!(1));
        serving.abort();
    }
}
