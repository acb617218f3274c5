//! Logs to standard error, metrics for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Durations are kept one by one until somebody reads the metrics, or for so long.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper edges, in seconds, of the histograms of all durations: 1 ms to 10 s.
const SECONDS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Starts logging to standard error. `filter` is in the syntax of `RUST_LOG`, for example `info,tasuki_kafka=debug`.
///
/// # Errors
///
/// If the filter cannot be read; the message says where.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    let subscriber = subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second call (tests) leaves the first in force.
    let started = match format {
        LogFormat::Text => subscriber.try_init().is_ok(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init().is_ok(),
    };
    tracing::trace!(started, "logging");
    Ok(())
}

/// Starts collecting metrics; [`PrometheusHandle::render`] gives them as text. Metrics whose name ends in `_seconds`
/// are histograms.
///
/// # Errors
///
/// If a recorder was installed before.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    let kept_up = handle.clone();
    let keep_up = move || {
        loop {
            std::thread::sleep(UPKEEP);
            kept_up.run_upkeep();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".to_owned()).spawn(keep_up) {
        tracing::warn!(%error, "no thread for metrics; durations pile up in memory until they are read");
    }
    Ok(handle)
}
