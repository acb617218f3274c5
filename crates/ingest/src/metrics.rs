//! The metrics of ingest, as an operator reads them.
//!
//! For every source and protocol, exactly: received = accepted + bad + deduplicated + refused + spooled + dropped. An event of a request
//! whose events could not be counted (refused before the body was read, or no JSON) counts as one. `source` is a name
//! of the sources file, or `unknown`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tasuki_domain::Millis;

/// Events that reached us. Labels: source, protocol.
pub const RECEIVED: &str = "tasuki_ingest_received_events_total";
/// Events that are durable on `behavior`. Labels: source, protocol.
pub const ACCEPTED: &str = "tasuki_ingest_accepted_events_total";
/// Events that are durable on `dead-letters`. A rise after a release of a site means that its tracking broke. Labels:
/// source, protocol, code (as on the dead letter).
pub const BAD: &str = "tasuki_ingest_bad_events_total";
/// Exact copies within one request, dropped. Labels: source, protocol.
pub const DEDUPLICATED: &str = "tasuki_ingest_deduplicated_events_total";
/// Events that were not taken; the client was told so and, as far as it can, sends them again. Labels: source,
/// protocol, reason: unknown-key, origin-not-allowed,
/// rate-limited, too-large, too-many-events, bad-encoding, not-json, body-timeout, body-broken, overloaded,
/// unavailable, deadline, spool-full.
pub const REFUSED: &str = "tasuki_ingest_refused_events_total";
/// Events of clients that never send again, durable on local disk while the log is away. Labels: source, protocol.
pub const SPOOLED: &str = "tasuki_ingest_spooled_events_total";
/// Events that were not kept because their visitor asks not to be tracked and the policy is to drop. Labels: source,
/// protocol.
pub const DROPPED: &str = "tasuki_ingest_dropped_events_total";
/// Among the accepted, those kept without anything that tells who it was, since the visitor asks not to be tracked.
/// Labels: source, protocol.
pub const ANONYMISED: &str = "tasuki_ingest_anonymised_events_total";
/// Spooled events that are durable on the log by now. After a restart it counts those of the process before too, and
/// after a crash some of them twice. Labels: source, protocol.
pub const REPLAYED: &str = "tasuki_ingest_replayed_events_total";
/// Bytes that wait on local disk, at most the spool's size.
pub const SPOOL_BYTES: &str = "tasuki_ingest_spool_bytes";
/// Events that wait on local disk.
pub const SPOOL_EVENTS: &str = "tasuki_ingest_spool_events";
/// How long the oldest of them has been waiting, in seconds; to the precision of a segment.
pub const SPOOL_OLDEST: &str = "tasuki_ingest_spool_oldest_seconds";
/// Bytes at the end of segments that could not be read at start: torn writes that nobody had been told of, or damage,
/// which is kept beside as `*.damaged` and logged.
pub const SPOOL_LOST: &str = "tasuki_ingest_spool_unreadable_bytes_total";
/// Requests by what was answered. Labels: protocol, status.
pub const REQUESTS: &str = "tasuki_ingest_requests_total";
/// From the arrival of the head to the answer, in seconds. Label: protocol.
pub const DURATION: &str = "tasuki_ingest_request_duration_seconds";
/// Requests that the client says it sends again: answers our clients did not believe or did not get. Label: protocol.
pub const RESENT: &str = "tasuki_ingest_resent_requests_total";
/// Requests answered 503 although the log may have taken them: it had not answered by the deadline. The re-send makes
/// duplicates, which identity drops. Label: protocol.
pub const ACK_UNKNOWN: &str = "tasuki_ingest_unknown_acks_total";
/// Bytes of client metrics and the like that were read and thrown away. Label: protocol.
pub const DISCARDED: &str = "tasuki_ingest_discarded_bytes_total";

/// Says of every metric what it is. To be called once a recorder is installed.
pub fn describe() {
    describe_counter!(
        RECEIVED,
        "Events that reached us, by source and protocol: accepted + bad + deduplicated + refused + spooled + dropped."
    );
    describe_counter!(ACCEPTED, "Events that are durable on behavior, by source and protocol.");
    describe_counter!(
        BAD,
        "Events that are durable on dead-letters, by source, protocol and code. A rise after a release of a site means \
         that its tracking broke."
    );
    describe_counter!(DEDUPLICATED, "Exact copies within one request, dropped, by source and protocol.");
    describe_counter!(
        REFUSED,
        "Events that were not taken, by source, protocol and reason; the client was told so and, as far as it can, sends \
         them again."
    );
    describe_counter!(
        DROPPED,
        "Events that were not kept because their visitor asks not to be tracked, by source and protocol."
    );
    describe_counter!(
        ANONYMISED,
        "Among the accepted, events kept without anything that tells who it was, by source and protocol."
    );
    describe_spool();
    describe_counter!(REQUESTS, "Requests, by protocol and status answered.");
    describe_histogram!(DURATION, Unit::Seconds, "From the arrival of the head to the answer, by protocol.");
    describe_counter!(
        RESENT,
        "Requests that the client says it sends again, by protocol: answers it did not believe or did not get."
    );
    describe_counter!(
        ACK_UNKNOWN,
        "Requests answered 503 although the log may have taken them, by protocol: it had not answered by the deadline. \
         The re-send makes duplicates, which identity drops."
    );
    describe_counter!(
        DISCARDED,
        Unit::Bytes,
        "Client metrics and the like that were read and thrown away, by protocol."
    );
}

fn describe_spool() {
    describe_counter!(
        SPOOLED,
        "Events of clients that never send again, durable on local disk while the log is away, by source and protocol."
    );
    describe_counter!(
        REPLAYED,
        "Spooled events that are durable on the log by now, by source and protocol; after a restart those of the \
         process before too, and after a crash some of them twice."
    );
    describe_gauge!(SPOOL_BYTES, Unit::Bytes, "Bytes that wait on local disk, at most the spool's size.");
    describe_gauge!(SPOOL_EVENTS, "Events that wait on local disk.");
    describe_gauge!(SPOOL_OLDEST, Unit::Seconds, "How long the oldest event on local disk has been waiting.");
    describe_counter!(
        SPOOL_LOST,
        Unit::Bytes,
        "Bytes at the end of segments of the spool that could not be read at start: torn writes that nobody had been \
         told of, or damage, which is kept beside as *.damaged."
    );
}

/// What became of the events of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Durable on `behavior`.
    pub accepted: u64,
    /// Durable on `dead-letters`, by code.
    pub bad: Vec<&'static str>,
    /// Exact copies within the request.
    pub deduplicated: u64,
    /// Durable on local disk.
    pub spooled: u64,
    /// Not kept, as the visitor asks.
    pub dropped: u64,
    /// Among the accepted.
    pub anonymised: u64,
    /// Not taken, and why.
    pub refused: Option<(u64, &'static str)>,
}

impl Tally {
    /// One event that was not taken.
    pub fn refusal(reason: &'static str) -> Self {
        Self { refused: Some((1, reason)), ..Self::default() }
    }

    /// All events of the request.
    pub fn received(&self) -> u64 {
        let bad = u64::try_from(self.bad.len()).unwrap_or(u64::MAX);
        self.accepted
            + bad
            + self.deduplicated
            + self.spooled
            + self.dropped
            + self.refused.map_or(0, |(events, _)| events)
    }

    /// Nothing but events that are durable, or copies.
    fn is_usual(&self) -> bool {
        self.bad.is_empty() && self.refused.is_none() && self.spooled + self.dropped + self.anonymised == 0
    }

    /// None of it was taken after all.
    #[must_use]
    pub fn all_refused(&self, reason: &'static str) -> Self {
        Self { refused: Some((self.received(), reason)), ..Self::default() }
    }

    /// It went to local disk instead of the log.
    #[must_use]
    pub fn all_spooled(&self) -> Self {
        let Self { deduplicated, dropped, .. } = *self;
        Self { spooled: self.received() - deduplicated - dropped, deduplicated, dropped, ..Self::default() }
    }

    /// Books it.
    pub fn book(&self, source: &str, protocol: &'static str) {
        let labels = [("source", source.to_owned()), ("protocol", protocol.to_owned())];
        counter!(RECEIVED, &labels).increment(self.received());
        counter!(ACCEPTED, &labels).increment(self.accepted);
        counter!(DEDUPLICATED, &labels).increment(self.deduplicated);
        for (name, events) in [(SPOOLED, self.spooled), (DROPPED, self.dropped), (ANONYMISED, self.anonymised)] {
            if events > 0 {
                counter!(name, &labels).increment(events);
            }
        }
        for code in &self.bad {
            counter!(BAD, "source" => source.to_owned(), "protocol" => protocol, "code" => *code).increment(1);
        }
        if let Some((events, reason)) = self.refused {
            counter!(REFUSED, "source" => source.to_owned(), "protocol" => protocol, "reason" => reason)
                .increment(events);
        }
    }
}

/// The counters that every request moves, kept at hand: to find one by its labels costs as much as to read an event.
#[derive(Default)]
pub(crate) struct Books {
    events: RwLock<HashMap<&'static str, HashMap<String, Events>>>,
    requests: RwLock<HashMap<Answered, (Counter, Histogram)>>,
}

/// Protocol and status of an answer.
type Answered = (&'static str, u16);

/// Of one source and protocol.
#[derive(Clone)]
struct Events {
    received: Counter,
    accepted: Counter,
    deduplicated: Counter,
}

impl Events {
    fn of(source: &str, protocol: &'static str) -> Self {
        let labels = [("source", source.to_owned()), ("protocol", protocol.to_owned())];
        Self {
            received: counter!(RECEIVED, &labels),
            accepted: counter!(ACCEPTED, &labels),
            deduplicated: counter!(DEDUPLICATED, &labels),
        }
    }
}

impl Books {
    /// Books what became of a request, as [`Tally::book`] does.
    pub(crate) fn book(&self, tally: &Tally, source: &str, protocol: &'static str) {
        if tally.is_usual() {
            let events = self.events(source, protocol);
            events.received.increment(tally.received());
            events.accepted.increment(tally.accepted);
            events.deduplicated.increment(tally.deduplicated);
        } else {
            tally.book(source, protocol);
        }
    }

    fn events(&self, source: &str, protocol: &'static str) -> Events {
        let known = self.events.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(events) = known.get(protocol).and_then(|of_protocol| of_protocol.get(source)) {
            return events.clone();
        }
        drop(known);
        let mut known = self.events.write().unwrap_or_else(PoisonError::into_inner);
        let of_protocol = known.entry(protocol).or_default();
        of_protocol.entry(source.to_owned()).or_insert_with(|| Events::of(source, protocol)).clone()
    }

    /// Books a request that was answered.
    pub(crate) fn answered(&self, protocol: &'static str, status: u16, took: Duration) {
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((requests, duration)) = known.get(&(protocol, status)) {
            requests.increment(1);
            duration.record(took.as_secs_f64());
            return;
        }
        drop(known);
        let requests = counter!(REQUESTS, "protocol" => protocol, "status" => status.to_string());
        let duration = histogram!(DURATION, "protocol" => protocol);
        requests.increment(1);
        duration.record(took.as_secs_f64());
        let mut known = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((protocol, status), (requests, duration));
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

pub(crate) fn resent(protocol: &'static str) {
    counter!(RESENT, "protocol" => protocol).increment(1);
}

pub(crate) fn ack_unknown(protocol: &'static str) {
    counter!(ACK_UNKNOWN, "protocol" => protocol).increment(1);
}

pub(crate) fn replayed(source: &str, protocol: &'static str, events: u64) {
    counter!(REPLAYED, "source" => source.to_owned(), "protocol" => protocol).increment(events);
}

pub(crate) fn spool(bytes: u64, events: u64, oldest: Option<Millis>) {
    gauge!(SPOOL_BYTES).set(float(bytes));
    gauge!(SPOOL_EVENTS).set(float(events));
    let seconds = oldest.map_or(0, |age| age.get().max(0) / 1_000);
    gauge!(SPOOL_OLDEST).set(float(u64::try_from(seconds).unwrap_or_default()));
}

pub(crate) fn spool_lost(bytes: usize) {
    counter!(SPOOL_LOST).increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// As gauges want it; exact below 2^53.
#[allow(clippy::cast_precision_loss, reason = "what is counted here stays far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

pub(crate) fn discarded(protocol: &'static str, bytes: usize) {
    counter!(DISCARDED, "protocol" => protocol).increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_is_the_sum_of_what_became_of_it() {
        let tally = Tally {
            accepted: 3,
            bad: vec!["no-type", "no-type"],
            deduplicated: 1,
            spooled: 1,
            dropped: 1,
            anonymised: 1,
            refused: Some((2, "x")),
        };
        assert_eq!(tally.received(), 10);
        assert_eq!(tally.all_refused("unavailable"), Tally { refused: Some((10, "unavailable")), ..Tally::default() });
    }
}
