//! Starts and stops the Postgres that tests share.

use std::process::ExitCode;

use anyhow::bail;
use plinth_local_postgres::Stopped;
use plinth_testdb::TestServer;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("plinth-testdb: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> anyhow::Result<String> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["start"] => {
            let server = TestServer::get().await?;
            Ok(format!("the test server listens on {} port {}", server.host(), server.port()))
        }
        ["stop"] => Ok(match TestServer::stop().await? {
            Stopped::NotRunning => "the test server was not running".to_owned(),
            Stopped::Fast => "the test server is stopped".to_owned(),
            Stopped::Immediate | Stopped::Killed => {
                "the test server is stopped, not in order".to_owned()
            }
        }),
        ["remove"] => {
            TestServer::remove().await?;
            Ok("the test server and its templates are removed".to_owned())
        }
        _ => bail!("usage: plinth-testdb start|stop|remove"),
    }
}
