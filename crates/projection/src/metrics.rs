//! What the projection tells operators. Nothing here names a lead.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

const LAG: &str = "tasuki_projection_lag_records";
const RECORDS: &str = "tasuki_projection_records_total";
const BATCHES: &str = "tasuki_projection_batches_total";
const ROWS: &str = "tasuki_projection_rows_total";
const WRITE: &str = "tasuki_projection_write_seconds";
const REPEATED: &str = "tasuki_projection_repeated_total";
const GAPS: &str = "tasuki_projection_missing_versions_total";
const UNREADABLE: &str = "tasuki_projection_unreadable_total";
const SUPERSEDED: &str = "tasuki_projection_superseded_total";
const RETRIES: &str = "tasuki_projection_retries_total";

/// Says of every metric what it is. To be called once a recorder is installed.
pub fn describe() {
    describe_gauge!(
        LAG,
        "How many records lie between what has been written to Postgres and the end of the log. Rises while Postgres \
         is away or too slow; has to come down again."
    );
    describe_counter!(RECORDS, "Records read, by topic, whether or not they changed a row.");
    describe_counter!(BATCHES, "Transactions committed. Records divided by this is the size of a batch.");
    describe_counter!(ROWS, "Rows written, by table. Batch folding makes this less than the records.");
    describe_histogram!(WRITE, Unit::Seconds, "How long one batch took from the first record to the commit.");
    describe_counter!(
        REPEATED,
        "Records whose version had been seen before, by topic: normal after a take-over or a re-reading, else not."
    );
    describe_counter!(GAPS, "Versions of a lead that never came, by topic. Anything but 0 is a loss upstream: alarm.");
    describe_counter!(
        UNREADABLE,
        "Records that could not be read, by topic; each is in the table dead_letters. Anything but 0 is a defect."
    );
    describe_counter!(
        SUPERSEDED,
        "Batches given up because another projection had written them, which is how two at once stay harmless."
    );
    describe_counter!(RETRIES, "Failures followed by another attempt, by dependency (postgres or log).");
}

#[allow(clippy::cast_precision_loss, reason = "gauges are floats; a lag beyond 2^53 does not occur")]
pub(crate) fn lag(records: u64) {
    metrics::gauge!(LAG).set(records as f64);
}

pub(crate) fn records(topic: &'static str, count: u64) {
    metrics::counter!(RECORDS, "topic" => topic).increment(count);
}

pub(crate) fn batch(took: Duration) {
    metrics::counter!(BATCHES).increment(1);
    metrics::histogram!(WRITE).record(took.as_secs_f64());
}

pub(crate) fn rows(table: &'static str, count: u64) {
    metrics::counter!(ROWS, "table" => table).increment(count);
}

pub(crate) fn repeated(topic: &'static str, count: u64) {
    metrics::counter!(REPEATED, "topic" => topic).increment(count);
}

pub(crate) fn gap(topic: &'static str, versions: u64) {
    metrics::counter!(GAPS, "topic" => topic).increment(versions);
}

pub(crate) fn unreadable(topic: &'static str) {
    metrics::counter!(UNREADABLE, "topic" => topic).increment(1);
}

pub(crate) fn superseded() {
    metrics::counter!(SUPERSEDED).increment(1);
}

pub(crate) fn retry(dependency: &'static str) {
    metrics::counter!(RETRIES, "dependency" => dependency).increment(1);
}
