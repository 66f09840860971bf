//! Log lines and metrics: set up once, before anything else.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{LogFormat, LogSettings};

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogTo {
    /// Where servers' logs are looked for. It must be this one wherever statements are parsed: Postgres's own parser
    /// turns standard error away from the process while it parses (`pg_query` documents it), and lines would be lost.
    Stdout,
    /// Out of the way of what a command prints.
    Stderr,
}

/// Whether a line may be written, whatever filter the operator gives: the driver's own lines below `info` quote statements
/// with their parameters, and some of those set passwords or carry sealed ones.
fn is_harmless(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || !line.target().starts_with("tokio_postgres")
}

/// Starts logging. `usual` is the filter unless the operator gives one.
///
/// # Errors
///
/// If the filter cannot be read.
pub(crate) fn start_logging(settings: &LogSettings, to: LogTo, usual: &str) -> anyhow::Result<()> {
    let filter = settings.log.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(filter)
        .map_err(|err| anyhow::anyhow!("`{filter}` is not a log filter: {err}"))?;
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(is_harmless));
    let (writer, terminal) = match to {
        LogTo::Stdout => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        LogTo::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(terminal);
    match settings.log_format {
        LogFormat::Json => {
            registry.with(layer.json().flatten_event(true).with_span_list(false)).try_init()?;
        }
        LogFormat::Text => registry.with(layer.with_target(false)).try_init()?,
    }
    Ok(())
}

/// Upper bounds of the buckets of request durations, in seconds.
const DURATIONS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Starts collecting metrics; the handle renders them for `/metrics`.
///
/// # Errors
///
/// If another recorder is installed.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?
        .install_recorder()?;
    metrics::describe_counter!(
        "plinth_http_requests_total",
        "Requests answered, by method, route and status."
    );
    metrics::describe_histogram!(
        "plinth_http_request_seconds",
        metrics::Unit::Seconds,
        "From a request's head to its answer's head, by method and route."
    );
    metrics::describe_counter!("plinth_questions_total", "Questions and statements, by outcome.");
    metrics::describe_histogram!(
        "plinth_engine_seconds",
        metrics::Unit::Seconds,
        "The language engine's own time for a question."
    );
    metrics::describe_counter!(
        "plinth_saved_queries_checked_total",
        "Saved queries tried after a schema changed, and those found broken, repaired, recovered."
    );
    metrics::describe_gauge!("plinth_branches", "Branches of all organizations, by state.");
    metrics::describe_gauge!(
        "plinth_endpoints",
        "Endpoints of all organizations, by type and state."
    );
    metrics::describe_gauge!(
        "plinth_operations",
        "Operations of projects that changed within the last hour, by action and status."
    );
    Ok(handle)
}
