//! Log lines and metrics: set up once, before anything else.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{LogFormat, LogSettings};

/// Starts logging to standard error: standard output belongs to what commands print.
///
/// # Errors
///
/// If the filter cannot be read.
pub(crate) fn start_logging(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|err| anyhow::anyhow!("`{}` is not a log filter: {err}", settings.log))?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
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
    Ok(handle)
}
