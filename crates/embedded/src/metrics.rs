//! The metrics of the embedded log, as an operator reads them. Label `service` is a name of the topology.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tasuki_stream::Count;

const COMMITS: &str = "tasuki_embedded_commits_total";
const COMMIT: &str = "tasuki_embedded_commit_seconds";
const WRITTEN: &str = "tasuki_embedded_written_records_total";
const FAILURES: &str = "tasuki_embedded_commit_failures_total";
const REFUSED: &str = "tasuki_embedded_refused_records_total";
const RECORDS: &str = "tasuki_embedded_records_total";
const FIRED: &str = "tasuki_embedded_deadlines_fired_total";
const REVISED: &str = "tasuki_embedded_revised_states_total";
const POISON: &str = "tasuki_embedded_dead_letters_total";
const LAG: &str = "tasuki_embedded_lag_records";
const KEYS: &str = "tasuki_embedded_state_keys";
const STATE: &str = "tasuki_embedded_state_bytes";
const REMOVED: &str = "tasuki_embedded_removed_records_total";

/// Says of every metric what it is. To be called once a recorder is installed.
pub fn describe() {
    describe_counter!(COMMITS, "SQL transactions of the writer. Records divided by this is what one of them holds.");
    describe_histogram!(COMMIT, Unit::Seconds, "One SQL transaction of the writer, from its begin to its commit.");
    describe_counter!(WRITTEN, "Records written to the log, by topic.");
    describe_counter!(
        FAILURES,
        "SQL transactions that failed, by outcome as found afterwards: undone (done again), done (the answer was lost). \
         Nothing is lost by either; many of them mean that Postgres is unwell."
    );
    describe_counter!(
        REFUSED,
        "Records not taken from ingest and console, by reason: overloaded, unavailable, late, size."
    );
    describe_counter!(RECORDS, "Records applied, by service, once committed. Stands still while there is lag: stuck.");
    describe_counter!(FIRED, "Deadlines fired, by service.");
    describe_counter!(
        REVISED,
        "States brought to what their partition has in common, by service: after a playbook is published, each lead's once."
    );
    describe_counter!(POISON, "Records sent to dead-letters, by service and code. Anything but zero wants a look.");
    describe_gauge!(LAG, "Records not yet applied, by service, after each transaction.");
    describe_gauge!(KEYS, "States kept in memory, by service.");
    describe_gauge!(STATE, Unit::Bytes, "Their size without overhead, by service.");
    describe_counter!(REMOVED, "Records removed because their topic keeps them only so long, by topic.");
}

pub(crate) fn committed(took: Duration) {
    counter!(COMMITS).increment(1);
    histogram!(COMMIT).record(took.as_secs_f64());
}

pub(crate) fn written(topic: &'static str) {
    counter!(WRITTEN, "topic" => topic).increment(1);
}

/// What became of a transaction whose end was not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Undone,
    Done,
}

pub(crate) fn failed(found: Found) {
    let outcome = match found {
        Found::Undone => "undone",
        Found::Done => "done",
    };
    counter!(FAILURES, "outcome" => outcome).increment(1);
}

pub(crate) fn refused(reason: &'static str, records: usize) {
    counter!(REFUSED, "reason" => reason).increment(whole(records));
}

pub(crate) fn applied(service: &'static str, records: usize, fired: usize, revised: usize) {
    counter!(RECORDS, "service" => service).increment(whole(records));
    counter!(FIRED, "service" => service).increment(whole(fired));
    counter!(REVISED, "service" => service).increment(whole(revised));
}

pub(crate) fn dead_letter(service: &'static str, code: &'static str) {
    counter!(POISON, "service" => service, "code" => code).increment(1);
}

pub(crate) fn kept(service: &'static str, keys: usize, bytes: usize, lag: u64) {
    gauge!(KEYS, "service" => service).set(float(whole(keys)));
    gauge!(STATE, "service" => service).set(float(whole(bytes)));
    gauge!(LAG, "service" => service).set(float(lag));
}

/// A count of a processor's own: `tasuki_<service>_<what>_total`.
pub(crate) fn counted(service: &'static str, count: Count) {
    counter!(format!("tasuki_{service}_{}_total", count.what.replace('-', "_")), "reason" => count.reason).increment(1);
}

pub(crate) fn removed(topic: &'static str, records: u64) {
    counter!(REMOVED, "topic" => topic).increment(records);
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Gauges are floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "a gauge; 2^53 records are far away")]
fn float(number: u64) -> f64 {
    number as f64
}
