//! Looks after calls into librdkafka that block (R5).
//!
//! Some of them ignore their time limit when a coordinator is away. While no broker answers, waiting is right. When one
//! answers again and the call still does not come back, it never will: then the process ends, and the log puts everything
//! right at the next start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tasuki_service::{Component, Exit};

use crate::client::{self, Quiet};
use crate::metrics;
use crate::open::KafkaLog;

/// After this the worker counts as waiting.
const SLOW: Duration = Duration::from_secs(5);
/// Longer than a transaction may last, which bounds every one of these calls where it keeps to its limit.
const OVERDUE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// One per worker.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// When the worker last asked for records: milliseconds after `begun`.
    polled: AtomicU64,
    begun: Instant,
}

#[derive(Debug, Default)]
struct State {
    call: Option<(&'static str, Instant)>,
    over: bool,
}

impl Watchdog {
    /// `of`: service and worker, for metrics.
    pub(crate) fn start(
        log: &KafkaLog,
        of: (&'static str, u16),
        name: String,
        component: Component,
    ) -> std::io::Result<Self> {
        let (state, changed, polled, begun) = (Mutex::default(), Condvar::new(), AtomicU64::new(0), Instant::now());
        let shared = Arc::new(Shared { state, changed, polled, begun });
        let (log, theirs) = (log.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name(format!("watch {name}"))
            .spawn(move || watch(&theirs, &log, of, &name, &component))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The worker asks for records.
    pub(crate) fn polled(&self) {
        self.shared.polled.store(millis(self.shared.begun.elapsed()), Ordering::Relaxed);
    }

    /// Makes the call, watched.
    pub(crate) fn during<T>(&self, what: &'static str, call: impl FnOnce() -> T) -> T {
        self.shared.set(|state| state.call = Some((what, Instant::now())));
        let result = call();
        self.shared.set(|state| state.call = None);
        result
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.set(|state| state.over = true);
        self.shared.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a watchdog panicked");
        }
    }
}

impl Shared {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn poll_age(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.polled.load(Ordering::Relaxed)))
    }
}

fn watch(shared: &Shared, log: &KafkaLog, (service, worker): (&'static str, u16), name: &str, component: &Component) {
    let mut patience = Patience::new(Duration::from_millis(log.settings().transaction_timeout_ms) + OVERDUE);
    loop {
        let call = {
            let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (state, _) = shared.changed.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return;
            }
            state.call
        };
        metrics::poll_age(service, worker, shared.poll_age());
        let (what, since) = call.map_or(("", Duration::ZERO), |(what, since)| (what, since.elapsed()));
        match patience.look(since, || broker_answers(log, name)) {
            Verdict::Fine => {}
            Verdict::Slow => component.waiting(format!("{what} has been under way for {} s", since.as_secs())),
            Verdict::Stuck => {
                tracing::error!(
                    worker = name,
                    what,
                    "a call does not come back though brokers answer; the process ends"
                );
                std::process::exit(i32::from(Exit::TemporaryFailure.code()));
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long brokers have been answering while a call was under way.
#[derive(Debug)]
struct Patience {
    answered: Duration,
    at_most: Duration,
}

/// What is to be thought of a call.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Slow,
    Stuck,
}

impl Patience {
    fn new(at_most: Duration) -> Self {
        Self { answered: Duration::ZERO, at_most }
    }

    /// A call, if there is one, has been under way for so long. To be asked once every [`PAUSE`].
    fn look(&mut self, since: Duration, broker_answers: impl FnOnce() -> bool) -> Verdict {
        if since <= SLOW {
            self.answered = Duration::ZERO;
            return Verdict::Fine;
        }
        if broker_answers() {
            self.answered += PAUSE;
        }
        if self.answered > self.at_most { Verdict::Stuck } else { Verdict::Slow }
    }
}

fn broker_answers(log: &KafkaLog, name: &str) -> bool {
    let config = client::base(log.settings(), &format!("{name}-watchdog"));
    let consumer = BaseConsumer::from_config_and_context(&config, Quiet);
    consumer.is_ok_and(|consumer| consumer.fetch_metadata(None, PAUSE).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is thought of a call in each second of these.
    fn verdicts(patience: &mut Patience, seconds: std::ops::Range<u64>, answers: bool) -> Vec<Verdict> {
        seconds.map(|second| patience.look(Duration::from_secs(second), || answers)).collect()
    }

    #[test]
    fn a_call_that_does_not_come_back_though_brokers_answer_is_stuck() {
        let mut patience = Patience::new(Duration::from_secs(40));
        let verdicts = verdicts(&mut patience, 0..200, true);
        let first = |verdict| verdicts.iter().position(|found| *found == verdict);
        assert_eq!((first(Verdict::Fine), first(Verdict::Slow), first(Verdict::Stuck)), (Some(0), Some(6), Some(46)));
    }

    #[test]
    fn while_no_broker_answers_waiting_is_right_and_another_call_begins_anew() {
        let mut patience = Patience::new(Duration::from_secs(120));
        assert!(!verdicts(&mut patience, 0..10_000, false).contains(&Verdict::Stuck));
        assert!(!verdicts(&mut patience, 6..120, true).contains(&Verdict::Stuck));
        assert!(!verdicts(&mut patience, 0..120, true).contains(&Verdict::Stuck));
    }
}
