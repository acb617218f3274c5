//! Clients that send by HTTP while everything breaks, and remember what was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message as _;
use serde_json::{Value, json};
use tasuki_wire::{Topic, v1};

use crate::drill::history::History;
use crate::drill::load::Sent;

/// Events in a request.
const BATCH: u64 = 10;
/// Devices that they come from; nobody ever learns whose these are.
const VISITORS: u64 = 20;
/// Between two requests, and before one is sent again.
const PAUSE: Duration = Duration::from_millis(40);
/// How long an answer is waited for: the process may be stopped.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// Before every number, so that the message ids are told from others.
const MARK: &str = "acknowledged-";

/// Sends until it is stopped.
#[derive(Debug)]
pub(in crate::drill) struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Target>,
    ledger: Mutex<Ledger>,
    over: AtomicBool,
}

/// Where to send to.
#[derive(Clone, Debug)]
pub(in crate::drill) struct Target {
    pub(in crate::drill) ingest: String,
    pub(in crate::drill) write_key: String,
}

impl Target {
    /// As the ready line tells it.
    pub(in crate::drill) fn of(ready: &Value) -> Result<Self> {
        let told = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("no {name} was told"));
        Ok(Self { ingest: told("ingest")?, write_key: told("write_key")? })
    }
}

/// What was sent, and what was acknowledged.
#[derive(Clone, Debug, Default)]
pub(in crate::drill) struct Ledger {
    sent: u64,
    acknowledged: BTreeSet<u64>,
}

impl Clients {
    pub(in crate::drill) fn start(target: Target) -> Result<Self> {
        let shared = Shared { target: Mutex::new(target), ledger: Mutex::default(), over: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("clients".to_owned()).spawn(move || theirs.send_all());
        Ok(Self { shared, thread: Some(thread.context("a thread for the clients")?) })
    }

    /// From now on they send to another process.
    pub(in crate::drill) fn turn_to(&self, target: Target) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// How many events have been acknowledged.
    pub(in crate::drill) fn acknowledged(&self) -> usize {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len()
    }

    /// Ends them; what was sent last is sent until it is acknowledged.
    pub(in crate::drill) fn stop(&mut self) -> Ledger {
        self.shared.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the clients panicked");
        }
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn send_all(&self) {
        let agent =
            ureq::Agent::new_with_config(ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).build());
        // When nobody answers any more at the end, that is found out by others.
        let mut tries_left = 10_u32;
        for batch in 0_u64.. {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let numbers: Vec<u64> = (batch * BATCH..(batch + 1) * BATCH).collect();
            self.ledger.lock().unwrap_or_else(PoisonError::into_inner).sent += BATCH;
            while !self.send(&agent, &numbers) {
                if self.over.load(Ordering::Acquire) {
                    tries_left -= 1;
                    if tries_left == 0 {
                        return;
                    }
                }
                thread::sleep(PAUSE);
            }
            self.ledger.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.extend(numbers);
            thread::sleep(PAUSE);
        }
    }

    /// Whether it was acknowledged.
    fn send(&self, agent: &ureq::Agent, numbers: &[u64]) -> bool {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let event = |number: &u64| {
            json!({
                "type": "page", "messageId": format!("{MARK}{number}"),
                "anonymousId": format!("nobody-{}", number % VISITORS), "properties": {"path": "/"},
            })
        };
        let events: Vec<_> = numbers.iter().map(event).collect();
        let body = json!({"writeKey": target.write_key, "batch": events});
        agent.post(format!("{}/v1/batch", target.ingest)).send_json(&body).is_ok()
    }
}

impl Ledger {
    pub(in crate::drill) fn acknowledged_count(&self) -> u64 {
        u64::try_from(self.acknowledged.len()).unwrap_or(u64::MAX)
    }

    /// What was acknowledged and is not on the log.
    pub(in crate::drill) fn missing(&self, log: &History) -> Vec<String> {
        let found: BTreeSet<u64> = log.of(Topic::Behavior).filter_map(|(_, entry)| number(&entry.payload)).collect();
        let missing = self.acknowledged.difference(&found);
        missing.map(|number| format!("{MARK}{number} was acknowledged and is not on the log")).collect()
    }

    /// What the clients sent, as it stands on the log.
    pub(in crate::drill) fn sent(&self, log: &History) -> Vec<Sent> {
        let theirs = log
            .of(Topic::Behavior)
            .filter(|(_, entry)| number(&entry.payload).is_some_and(|number| number < self.sent));
        let sent = |key: &[u8], payload: &[u8]| Sent {
            topic: Topic::Behavior,
            key: key.to_vec(),
            payload: payload.to_vec(),
            poison: None,
        };
        theirs.map(|(_, entry)| sent(&entry.key, &entry.payload)).collect()
    }
}

/// The number of an event of these clients.
fn number(payload: &[u8]) -> Option<u64> {
    let record = v1::BehaviorRecord::decode(payload).ok()?;
    record.origin?.message_id.strip_prefix(MARK)?.parse().ok()
}
