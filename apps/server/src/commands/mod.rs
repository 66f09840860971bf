//! What the binary can be told to do.

mod audit;
mod bootstrap;
mod census;
mod demo;
mod jobs;
mod keys;
mod node;
mod open_files;
mod organization;
mod people;
mod sample;
mod serve;
mod server;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::FromArgMatches as _;

use crate::settings::{
    AuditCommand, Cli, Command, Family, KeysCommand, OrganizationCommand, SampleCommand,
    UserCommand, unknown_variables,
};
use crate::telemetry::LogTo;
use crate::{http, settings, telemetry};

/// What a server logs unless told otherwise: libraries' own news of every start is nobody's.
const USUAL_LOG: &str = "info,actix_server=warn,refinery_core=warn,tokio_postgres=warn";

/// Reads the command line and runs what it says.
pub fn run() -> ExitCode {
    // Whoever started us may have blocked the signals that tell us to stop; before any thread is there, this holds for
    // all of them, and for Postgres too.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    let cli =
        Cli::from_arg_matches(&settings::command().get_matches()).unwrap_or_else(|err| err.exit());
    let unknown =
        unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
    if !unknown.is_empty() {
        return fail(&anyhow::anyhow!(
            "there is no setting {}; `plinth --help` lists them all",
            unknown.join(", ")
        ));
    }
    let (to, usual) = match &cli.command {
        Command::Serve(_) | Command::Worker(_) | Command::Node(_) => (LogTo::Stdout, USUAL_LOG),
        Command::Demo(_) => (LogTo::Stdout, "warn"),
        Command::Organization(_)
        | Command::Audit(_)
        | Command::Bootstrap(_)
        | Command::User(_)
        | Command::Keys(_)
        | Command::Sample(_)
        | Command::Openapi(_) => (LogTo::Stderr, "warn"),
    };
    if let Err(err) = telemetry::start_logging(&cli.log, to, usual) {
        return fail(&err);
    }
    // One TLS provider for the whole process; a second installation would be a bug.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A server's HTTP threads take the other cores; a worker has none.
    let system = if matches!(cli.command, Command::Worker(_)) {
        actix_web::rt::System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .expect("threads can be started")
        })
    } else {
        actix_web::rt::System::new()
    };
    let outcome = system.block_on(async move {
        match cli.command {
            Command::Serve(settings) => {
                Box::pin(serve::serve(settings)).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Worker(settings) => {
                Box::pin(worker::work(settings)).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Bootstrap(settings) => {
                bootstrap::bootstrap(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::User(UserCommand::ResetPassword(settings)) => {
                people::reset_password(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Keys(KeysCommand::RotateSigning(settings)) => {
                people::rotate_signing(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Organization(OrganizationCommand::List(settings)) => {
                organization::list(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Organization(OrganizationCommand::SetPlan(settings)) => {
                organization::set_plan(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Audit(AuditCommand::Verify(settings)) => audit::verify(settings).await,
            Command::Audit(AuditCommand::Head(settings)) => audit::head(settings).await,
            Command::Demo(settings) => Box::pin(demo::demo(settings)).await,
            Command::Sample(SampleCommand::Load(settings)) => {
                sample::load(settings).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Keys(KeysCommand::Rotate(settings)) => {
                keys::rotate(&settings.storage).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Keys(KeysCommand::Status(settings)) => {
                keys::status(&settings.storage).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Node(settings) => node::node(settings).await.map(|()| ExitCode::SUCCESS),
            Command::Openapi(settings) => {
                let text = match settings.family {
                    Family::Platform => http::document_text(),
                    Family::ControlPlane => http::control_plane_document_text(),
                };
                print(text).map(|()| ExitCode::SUCCESS)
            }
        }
    });
    outcome.unwrap_or_else(|err| fail(&err))
}

/// Standard output belongs to what a command was asked for. A reader that went away is no failure of ours.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}

fn fail(err: &anyhow::Error) -> ExitCode {
    let mut text = String::from("plinth: ");
    let mut causes: Vec<String> = err.chain().map(ToString::to_string).collect();
    // Some errors already say their cause.
    causes.dedup_by(|later, earlier| earlier.contains(later.as_str()));
    text.push_str(&causes.join(": "));
    text.push('\n');
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}
