use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use plinth_core::{Clock as _, SystemClock};
use plinth_sample::{Options, Progress, Summary};
use secrecy::SecretString;

use crate::settings::SampleSettings;

/// Loads the sample into a database that the operator names.
pub(crate) async fn load(settings: SampleSettings) -> anyhow::Result<()> {
    let options = Options {
        replace: settings.replace,
        reader: settings.reader,
        ..Options::new(SystemClock.now())
    };
    let summary = load_into(&settings.database_url, &options).await?;
    let mut text = String::new();
    for (table, rows) in &summary.tables {
        let _ = writeln!(text, "{rows:>9}  {table}");
    }
    let _ = writeln!(text, "{:>9}  rows in {:.1} s", summary.rows(), summary.took.as_secs_f64());
    super::print(&text)
}

/// Loads the sample, saying on a terminal how far it is.
pub(super) async fn load_into(url: &SecretString, options: &Options) -> anyhow::Result<Summary> {
    let mut client = plinth_adapter_postgres::open_session(url).await?;
    let terminal = std::io::stderr().is_terminal();
    let loaded = plinth_sample::load(&mut client, options, &mut |it: &Progress| {
        if terminal {
            let line =
                format!("\r  loading {} of {}: {}\x1b[K", it.tables_done + 1, it.tables, it.table);
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    })
    .await;
    if terminal {
        let _ = std::io::stderr().write_all(b"\r\x1b[K");
    }
    Ok(loaded?)
}
