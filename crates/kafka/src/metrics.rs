//! The metrics of everything on Kafka, as an operator reads them. Label `service` is a name of the topology; `topic` one of
//! the catalogue; everything else is listed where it is counted.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

use crate::commit::Load;

const RECORDS: &str = "tasuki_kafka_records_total";
const TRANSACTIONS: &str = "tasuki_kafka_transactions_total";
const COMMIT: &str = "tasuki_kafka_commit_seconds";
const TRANSACTION: &str = "tasuki_kafka_transaction_seconds";
const ABORTS: &str = "tasuki_kafka_aborts_total";
const FENCED: &str = "tasuki_kafka_fenced_total";
const OVERLAY: &str = "tasuki_kafka_overlay_keys";
const IN_FLIGHT: &str = "tasuki_kafka_in_flight_records";
const POLL_AGE: &str = "tasuki_kafka_poll_age_seconds";
const REBUILDS: &str = "tasuki_kafka_producer_rebuilds_total";
const POISON: &str = "tasuki_kafka_dead_letters_total";
const FIRED: &str = "tasuki_kafka_deadlines_fired_total";
const REVISED: &str = "tasuki_kafka_revised_states_total";
const LAG: &str = "tasuki_kafka_lag_records";
const RESTORED: &str = "tasuki_kafka_restored_records_total";
const REMAINING: &str = "tasuki_kafka_restore_remaining_records";
const RESTORING: &str = "tasuki_kafka_restore_partitions";
const PARTITIONS: &str = "tasuki_kafka_partitions";
const KEYS: &str = "tasuki_kafka_state_keys";
const STATE: &str = "tasuki_kafka_state_bytes";
const SESSIONS: &str = "tasuki_kafka_sessions_total";
const PUBLISHED: &str = "tasuki_kafka_published_records_total";

/// Says of every metric what it is. To be called once a recorder is installed.
pub fn describe() {
    describe_counter!(RECORDS, "Records applied, by service, once committed. Stands still while there is lag: stuck.");
    describe_counter!(
        TRANSACTIONS,
        "Transactions by service and end: committed, aborted (done again), unknown (read back)."
    );
    describe_histogram!(
        COMMIT,
        Unit::Seconds,
        "From the first wait for deliveries to the end of the commit, by service."
    );
    describe_histogram!(
        TRANSACTION,
        Unit::Seconds,
        "From the first record or deadline of a transaction to the end of its commit, by service: what it adds to latency."
    );
    describe_counter!(
        ABORTS,
        "Transactions that did not end committed, by service and cause: lost (the partitions may be others' already), \
         spoiled (a record that cannot be processed had changed a state), refused (the log does not take an output), \
         fenced (somebody else works under our name, or we were away too long), broker (what brokers or librdkafka \
         report), unknown (may have happened, so state is read back). All are done again; many: look at the log."
    );
    describe_counter!(
        FENCED,
        "Times a worker was shut out, by service and as what: producer (its transaction was refused) or member (its place \
         in the group was taken). With member the service ends: two processes have the same --kafka-slot."
    );
    describe_gauge!(
        OVERLAY,
        "States that the latest transaction touched, by service and worker: what is kept decoded until the commit. \
         Bounded by --kafka-transaction-records and the deadlines fired."
    );
    describe_gauge!(
        IN_FLIGHT,
        "Records given to librdkafka and not acknowledged, by service and worker: as the latest commit began, and while a \
         full queue is waited for. Bounded by --kafka-write-queue-kib. High: the broker is slow."
    );
    describe_gauge!(
        POLL_AGE,
        Unit::Seconds,
        "How long ago the worker last asked for records, by service and worker; every second. Idle: below 1. Above the \
         group's max.poll.interval (60) it loses its partitions: a call hangs, or a record takes that long."
    );
    describe_counter!(
        REBUILDS,
        "Producers replaced, by service and reason: slow (a commit of 50 ms or more may have been repeated unseen), \
         failed. Many slow ones: the broker is overloaded."
    );
    describe_counter!(POISON, "Records sent to dead-letters, by service and code. Anything but zero wants a look.");
    describe_counter!(FIRED, "Deadlines fired, by service.");
    describe_counter!(
        REVISED,
        "States brought to what their partition has in common, by service: after a playbook is published, each lead's once."
    );
    describe_gauge!(
        LAG,
        "Records not yet read, by service and topic; every 5 s. Grows: too few workers, or one is stuck."
    );
    describe_counter!(RESTORED, "Records of state topics read at starts and takeovers, by service.");
    describe_gauge!(
        REMAINING,
        "Records of state topics still to be read back, by service. Falls to 0: then work goes on."
    );
    describe_gauge!(RESTORING, "Partitions whose state is being read back, by service. 0 when done.");
    describe_gauge!(
        PARTITIONS,
        "Partitions a worker has, by service and worker. All workers of a service: all partitions."
    );
    describe_gauge!(KEYS, "States kept in memory, by service and worker.");
    describe_gauge!(STATE, Unit::Bytes, "Their size without overhead, by service and worker.");
    describe_counter!(
        SESSIONS,
        "Times a worker began anew, by service. More than one per start: see the log for the reason."
    );
    describe_counter!(PUBLISHED, "Records written by ingest and console, by result: durable, failed, overloaded.");
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Committed,
    Aborted,
    Unknown,
}

/// Why a transaction did not end committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Lost,
    Spoiled,
    Refused,
    Fenced,
    Broker,
    Unknown,
}

/// As what a worker was shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fenced {
    Producer,
    Member,
}

/// Why a producer was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebuild {
    Slow,
    Failed,
}

/// `lasted`: the whole transaction; `took`: its commit.
pub(crate) fn committed(service: &'static str, load: &Load, lasted: Duration, took: Duration) {
    counter!(RECORDS, "service" => service).increment(u64::from(load.records));
    counter!(FIRED, "service" => service).increment(load.fired);
    counter!(REVISED, "service" => service).increment(load.revised);
    histogram!(TRANSACTION, "service" => service).record(lasted.as_secs_f64());
    histogram!(COMMIT, "service" => service).record(took.as_secs_f64());
    ended(service, End::Committed);
}

/// A transaction did not end committed.
pub(crate) fn aborted(service: &'static str, cause: Cause) {
    let (cause, end) = match cause {
        Cause::Lost => ("lost", End::Aborted),
        Cause::Spoiled => ("spoiled", End::Aborted),
        Cause::Refused => ("refused", End::Aborted),
        Cause::Fenced => ("fenced", End::Aborted),
        Cause::Broker => ("broker", End::Aborted),
        Cause::Unknown => ("unknown", End::Unknown),
    };
    counter!(ABORTS, "service" => service, "cause" => cause).increment(1);
    ended(service, end);
}

pub(crate) fn fenced(service: &'static str, what: Fenced) {
    let what = match what {
        Fenced::Producer => "producer",
        Fenced::Member => "member",
    };
    counter!(FENCED, "service" => service, "as" => what).increment(1);
}

pub(crate) fn overlay(service: &'static str, worker: u16, keys: usize) {
    of_worker(OVERLAY, service, worker, keys);
}

pub(crate) fn in_flight(service: &'static str, worker: u16, records: usize) {
    of_worker(IN_FLIGHT, service, worker, records);
}

pub(crate) fn poll_age(service: &'static str, worker: u16, age: Duration) {
    gauge!(POLL_AGE, "service" => service, "worker" => worker.to_string()).set(age.as_secs_f64());
}

fn ended(service: &'static str, end: End) {
    let end = match end {
        End::Committed => "committed",
        End::Aborted => "aborted",
        End::Unknown => "unknown",
    };
    counter!(TRANSACTIONS, "service" => service, "end" => end).increment(1);
}

pub(crate) fn rebuilt(service: &'static str, reason: Rebuild) {
    let reason = match reason {
        Rebuild::Slow => "slow",
        Rebuild::Failed => "failed",
    };
    counter!(REBUILDS, "service" => service, "reason" => reason).increment(1);
}

pub(crate) fn dead_letter(service: &'static str, code: &'static str) {
    counter!(POISON, "service" => service, "code" => code).increment(1);
}

pub(crate) fn lag(service: &'static str, topic: &'static str, records: u64) {
    gauge!(LAG, "service" => service, "topic" => topic).set(float(records));
}

pub(crate) fn restored(service: &'static str, records: u64) {
    counter!(RESTORED, "service" => service).increment(records);
}

/// What is left to be read back.
pub(crate) fn restoring(service: &'static str, partitions: usize, records: i64) {
    gauge!(RESTORING, "service" => service).set(float(u64::try_from(partitions).unwrap_or(u64::MAX)));
    gauge!(REMAINING, "service" => service).set(float(u64::try_from(records).unwrap_or(0)));
}

/// What a worker keeps at present.
pub(crate) fn kept(service: &'static str, worker: u16, partitions: usize, keys: usize, bytes: usize) {
    for (name, value) in [(PARTITIONS, partitions), (KEYS, keys), (STATE, bytes)] {
        of_worker(name, service, worker, value);
    }
}

fn of_worker(name: &'static str, service: &'static str, worker: u16, value: usize) {
    gauge!(name, "service" => service, "worker" => worker.to_string())
        .set(float(u64::try_from(value).unwrap_or(u64::MAX)));
}

pub(crate) fn session(service: &'static str) {
    counter!(SESSIONS, "service" => service).increment(1);
}

/// A count of a processor's own: `tasuki_<service>_<what>_total`.
pub(crate) fn counted(service: &'static str, count: tasuki_stream::Count) {
    counter!(format!("tasuki_{service}_{}_total", count.what.replace('-', "_")), "reason" => count.reason).increment(1);
}

pub(crate) fn published(result: &'static str, records: usize) {
    counter!(PUBLISHED, "result" => result).increment(u64::try_from(records).unwrap_or(u64::MAX));
}

/// Gauges are floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "a gauge; 2^53 records are far away")]
fn float(number: u64) -> f64 {
    number as f64
}
