use std::process::ExitCode;

use crate::settings::DemoSettings;

/// Written next.
pub(crate) async fn demo(_: DemoSettings) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
