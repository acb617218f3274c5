//! Looks after calls into librdkafka that block (R5).
//!
//! Some of them ignore their time limit when a coordinator is away. While no broker answers, waiting is right. When one
//! answers again and the call still does not come back, it never will: then the process ends, and the log puts everything
//! right at the next start.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tasuki_service::{Component, Exit};

use crate::client::{self, Quiet};
use crate::open::KafkaLog;

/// After this the worker counts as waiting.
const SLOW: Duration = Duration::from_secs(5);
/// A broker that answers for so long while the call is stuck: longer than any transaction and session lasts.
const STUCK: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(1);

/// One per worker.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    call: Option<(&'static str, Instant)>,
    over: bool,
}

impl Watchdog {
    pub(crate) fn start(log: &KafkaLog, name: String, component: Component) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (log, theirs) = (log.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name(format!("watch {name}"))
            .spawn(move || watch(&theirs, &log, &name, &component))?;
        Ok(Self { shared, thread: Some(thread) })
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
}

fn watch(shared: &Shared, log: &KafkaLog, name: &str, component: &Component) {
    let mut answered = Duration::ZERO;
    loop {
        let call = {
            let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (state, _) = shared.changed.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return;
            }
            state.call
        };
        let Some((what, since)) = call.filter(|(_, since)| since.elapsed() > SLOW) else {
            answered = Duration::ZERO;
            continue;
        };
        component.waiting(format!("{what} has been under way for {} s", since.elapsed().as_secs()));
        if broker_answers(log, name) {
            answered += PAUSE;
        }
        if answered > STUCK {
            tracing::error!(worker = name, what, "a call does not come back though brokers answer; the process ends");
            std::process::exit(i32::from(Exit::TemporaryFailure.code()));
        }
    }
}

fn broker_answers(log: &KafkaLog, name: &str) -> bool {
    let config = client::base(log.settings(), &format!("{name}-watchdog"));
    let consumer = BaseConsumer::from_config_and_context(&config, Quiet);
    consumer.is_ok_and(|consumer| consumer.fetch_metadata(None, PAUSE).is_ok())
}
