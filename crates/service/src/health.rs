//! Whether every part of the process can do its work right now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The state of all parts of a process. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, Condition>>>,
    ending: Arc<AtomicBool>,
}

/// What one part says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Does its work.
    Ready,
    /// Cannot at present, and why.
    Waiting(String),
}

/// The handle by which one part tells of itself.
#[derive(Clone)]
pub struct Component {
    name: String,
    health: Health,
}

impl Health {
    /// Registers a part; it counts as waiting until it says otherwise.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let component = Component { name: name.into(), health: self.clone() };
        component.set(Condition::Waiting("starting".to_owned()));
        component
    }

    /// The process is coming to its end in good order: it is not ready from now on, and that parts stop is no news.
    pub fn ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether every part is ready, and the process is not coming to its end.
    pub fn is_ready(&self) -> bool {
        self.conditions().values().all(|condition| *condition == Condition::Ready)
    }

    /// What every part says of itself; when the process is coming to its end, that as well.
    pub fn conditions(&self) -> BTreeMap<String, Condition> {
        let mut conditions = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.ending.load(Ordering::Relaxed) {
            conditions.insert("process".to_owned(), Condition::Waiting("coming to its end".to_owned()));
        }
        conditions
    }
}

impl Component {
    /// The part does its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// The part cannot work at present. `why` is for operators: what is missing, no payloads.
    pub fn waiting(&self, why: impl Into<String>) {
        self.set(Condition::Waiting(why.into()));
    }

    fn set(&self, condition: Condition) {
        let before = {
            let mut parts = self.health.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.insert(self.name.clone(), condition.clone())
        };
        if before.as_ref() == Some(&condition) || self.health.ending.load(Ordering::Relaxed) {
            return;
        }
        match (before, condition) {
            (None, _) => {}
            (Some(_), Condition::Ready) => tracing::info!(component = %self.name, "ready"),
            (Some(Condition::Ready), Condition::Waiting(why)) => {
                tracing::warn!(component = %self.name, why, "not ready");
            }
            (Some(Condition::Waiting(_)), Condition::Waiting(why)) => {
                tracing::info!(component = %self.name, why, "not ready yet");
            }
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_part_is() {
        let health = Health::default();
        let (log, database) = (health.component("log"), health.component("database"));
        assert!(!health.is_ready());
        log.ready();
        assert!(!health.is_ready());
        database.ready();
        assert!(health.is_ready());
        log.waiting("no broker answers");
        assert!(!health.is_ready());
        assert_eq!(health.conditions()["log"], Condition::Waiting("no broker answers".to_owned()));
        log.ready();
        health.ending();
        assert!(!health.is_ready());
    }
}
