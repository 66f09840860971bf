use std::io::Write as _;
use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};

use super::server::Server;
use crate::settings::ServeSettings;

/// Serves until it is told to stop.
pub(crate) async fn serve(settings: ServeSettings) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let server = Server::start(&settings).await?;
    let url = public_url(&settings, server.listen);
    if let Some(token) = server.services.tenancy.prepare_setup().await? {
        // Beside the log and not through it: it is a secret for whoever started the server, not for whoever collects
        // log lines.
        let text = format!(
            "\nNobody owns this installation yet. Make the first owner with this one-time token:\n\n\
             \x20 curl -X POST {url}/v1/setup -H 'content-type: application/json' \\\n\
             \x20   -d '{{\"token\": \"{}\", \"organization\": \"My team\", \"email\": \"me@example.com\"}}'\n\n",
            token.expose()
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    tracing::info!(listen = %server.listen, docs = format!("{url}/docs/"), "plinth is up");
    stop.await;
    tracing::info!("stopping");
    server.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Under which URL callers reach the server.
pub(super) fn public_url(settings: &ServeSettings, listen: SocketAddr) -> String {
    url_of(settings.public_url.as_deref(), listen)
}

/// The URL that the operator gave, without a slash at its end, else the address.
pub(super) fn url_of(public_url: Option<&str>, listen: SocketAddr) -> String {
    match public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{listen}"),
    }
}

/// Completes at SIGTERM or SIGINT. Listening begins at once, so that none is lost while things start.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
