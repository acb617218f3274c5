//! When a transaction is committed: as soon as nothing more is there to be taken, but not too soon after the one before,
//! and never too late or too big (R6): an open transaction holds up all who read committed, and its overlay is memory.
//!
//! Brokers that are busy take longer over a commit, and fewer commits are what relieves them: the pause after one is no
//! shorter than the commit itself took, up to the time after which one is due in any case.

use std::time::{Duration, Instant};

use tasuki_domain::Timestamp;
use tasuki_wire::{Partition, Topic};

use crate::settings::Settings;

/// A poll never takes less: librdkafka counts in whole milliseconds, and rdkafka spins below.
const SHORTEST_POLL: Duration = Duration::from_millis(1);
/// How long a poll waits while nothing is to be committed; also how late a deadline may fire.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// What the transaction under way holds.
#[derive(Debug)]
pub(crate) struct Load {
    /// The worker's clock, read once: received_at of dead letters, fired_at of deadlines.
    pub(crate) now: Timestamp,
    pub(crate) begun: Instant,
    /// Inputs, refused ones included.
    pub(crate) records: u32,
    /// The latest of them.
    pub(crate) last: Option<(Topic, Partition, i64)>,
    /// Bytes of inputs and outputs.
    pub(crate) bytes: usize,
    /// Deadlines.
    pub(crate) fired: u64,
    /// States brought to the revision that their partition has in common.
    pub(crate) revised: u64,
}

/// Decides when to commit, and how long to wait for records before.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    latest: Duration,
    catch_up: Duration,
    most_records: u32,
    most_bytes: usize,
    last_commit: Option<Instant>,
    /// How long it took.
    took: Duration,
    /// The transaction before ended though there was more to take.
    backlog: bool,
    /// So many inputs are done one by one, to find the one whose outputs the log does not take.
    one_by_one: u32,
}

impl Load {
    pub(crate) fn begin(now: Timestamp, begun: Instant) -> Self {
        Self { now, begun, records: 0, last: None, bytes: 0, fired: 0, revised: 0 }
    }
}

impl Pace {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            interval: settings.commit_interval(),
            latest: settings.commit_latest(),
            catch_up: settings.commit_catch_up(),
            most_records: settings.transaction_records,
            most_bytes: settings.transaction_bytes,
            last_commit: None,
            took: Duration::ZERO,
            backlog: false,
            one_by_one: 0,
        }
    }

    /// How long to wait for the next record.
    pub(crate) fn wait(&self, load: Option<&Load>, now: Instant) -> Duration {
        let Some(load) = load else { return IDLE_POLL };
        let until_late = self.longest().saturating_sub(now - load.begun);
        let until_soon = self.last_commit.map_or(Duration::ZERO, |last| self.pause().saturating_sub(now - last));
        match until_soon.min(until_late) {
            Duration::ZERO => Duration::ZERO,
            wait => wait.max(SHORTEST_POLL),
        }
    }

    /// Whether to commit now. `drained`: the last poll found nothing.
    pub(crate) fn is_due(&self, load: &Load, drained: bool, now: Instant) -> bool {
        let soon_enough = self.last_commit.is_none_or(|last| now - last >= self.pause());
        self.is_full(load) || now - load.begun >= self.longest() || (drained && soon_enough)
    }

    /// Whether the transaction takes no more records.
    pub(crate) fn is_full(&self, load: &Load) -> bool {
        let most_records = if self.one_by_one > 0 { 1 } else { self.most_records };
        load.records >= most_records || load.bytes >= self.most_bytes
    }

    /// A transaction was committed, which took from `begun` to `now`.
    pub(crate) fn committed(&mut self, load: &Load, drained: bool, begun: Instant, now: Instant) {
        self.last_commit = Some(now);
        self.took = now - begun;
        self.backlog = !drained;
        self.one_by_one = self.one_by_one.saturating_sub(load.records);
    }

    /// A transaction failed for what one of its records led to; they come again.
    pub(crate) fn suspect(&mut self, load: &Load) {
        self.one_by_one = self.one_by_one.max(load.records);
    }

    /// How long after a commit none is made for want of records.
    fn pause(&self) -> Duration {
        self.interval.max(self.took.min(self.latest))
    }

    fn longest(&self) -> Duration {
        if self.backlog { self.catch_up } else { self.latest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pace() -> (Pace, Instant, Load) {
        let begun = Instant::now();
        (Pace::new(&Settings::new("", "")), begun, Load::begin(Timestamp::default(), begun))
    }

    #[test]
    fn commits_when_drained_but_not_within_20_ms_of_the_last() {
        let (mut pace, begun, load) = pace();
        assert!(pace.is_due(&load, true, begun));
        assert_eq!(pace.wait(Some(&load), begun), Duration::ZERO);
        pace.committed(&load, true, begun, begun);
        assert!(!pace.is_due(&load, true, begun + ms(19)));
        assert_eq!(pace.wait(Some(&load), begun + ms(15)), ms(5));
        assert!(pace.is_due(&load, true, begun + ms(20)));
        assert_eq!(pace.wait(None, begun), IDLE_POLL);
    }

    #[test]
    fn pauses_as_long_as_a_commit_takes() {
        let (mut pace, begun, _) = pace();
        let done = begun + ms(70);
        pace.committed(&Load::begin(Timestamp::default(), begun), true, begun, done);
        let load = Load::begin(Timestamp::default(), done);
        assert_eq!(pace.wait(Some(&load), done + ms(40)), ms(30));
        assert!(!pace.is_due(&load, true, done + ms(69)));
        assert!(pace.is_due(&load, true, done + ms(70)));
        // However slow: no longer than a transaction may take at all.
        pace.committed(&load, true, done, done + ms(5_000));
        let load = Load::begin(Timestamp::default(), done + ms(5_000));
        assert!(!pace.is_due(&load, true, done + ms(5_099)));
        assert!(pace.is_due(&load, true, done + ms(5_100)));
    }

    #[test]
    fn commits_after_100_ms_and_in_a_backlog_after_1_s() {
        let (mut pace, begun, load) = pace();
        assert!(!pace.is_due(&load, false, begun + ms(99)));
        assert!(pace.is_due(&load, false, begun + ms(100)));
        pace.committed(&load, false, begun, begun);
        assert!(!pace.is_due(&load, false, begun + ms(999)));
        assert!(pace.is_due(&load, false, begun + ms(1_000)));
        pace.committed(&load, true, begun, begun);
        assert!(pace.is_due(&load, false, begun + ms(100)));
    }

    #[test]
    fn commits_when_full() {
        let (pace, begun, load) = pace();
        let most = Settings::new("", "");
        assert!(!pace.is_due(&Load { records: most.transaction_records - 1, ..load }, false, begun));
        let (_, _, load) = self::pace();
        assert!(pace.is_due(&Load { records: most.transaction_records, ..load }, false, begun));
        let (_, _, load) = self::pace();
        assert!(pace.is_due(&Load { bytes: most.transaction_bytes, ..load }, false, begun));
    }

    #[test]
    fn suspects_are_done_one_by_one() {
        let (mut pace, begun, mut load) = pace();
        load.records = 2;
        pace.suspect(&load);
        load.records = 1;
        for _ in 0..2 {
            assert!(pace.is_due(&load, false, begun));
            pace.committed(&load, false, begun, begun);
        }
        assert!(!pace.is_due(&load, false, begun));
    }
}
