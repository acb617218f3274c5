//! What a task does with its states: how often it reads and writes them, and keys that have a hash in common.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tasuki_domain::Timestamp;
use tasuki_stream::{
    Change, Context, Due, Input, KeyHash, Lookup, Poison, Processor, State, StateError, StateStore, Task, Topology,
};
use tasuki_wire::{Partition, Topic};

thread_local! {
    static DECODED: Cell<usize> = const { Cell::new(0) };
    static ENCODED: Cell<usize> = const { Cell::new(0) };
}

/// How often states were decoded and encoded since the last call.
fn worked() -> [usize; 2] {
    [DECODED.take(), ENCODED.take()]
}

/// A deadline in milliseconds and a revision; 0: none. Under the key `common` it says what all have in common.
#[derive(Debug, Default, PartialEq, Eq)]
struct Alarm {
    due_at: i64,
    revision: u32,
    common: bool,
}

impl State for Alarm {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        DECODED.set(DECODED.get() + 1);
        let text = std::str::from_utf8(bytes).map_err(|error| StateError(error.to_string()))?;
        let fields: Vec<&str> = text.split(' ').collect();
        let [due_at, revision, common] = fields[..] else { return Err(StateError(text.to_owned())) };
        Ok(Self { due_at: due_at.parse().unwrap(), revision: revision.parse().unwrap(), common: common == "true" })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        ENCODED.set(ENCODED.get() + 1);
        into.extend_from_slice(format!("{} {} {}", self.due_at, self.revision, self.common).as_bytes());
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        (self.due_at > 0).then(|| Timestamp::from_millis(self.due_at))
    }

    fn common(&self) -> Option<u32> {
        self.common.then_some(self.revision)
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}

/// Sets the deadline that the input says, looks at what is in common, and emits the keys of deadlines and revisions.
struct Alarms;

impl Processor for Alarms {
    type State = Alarm;

    fn topology(&self) -> Topology {
        Topology {
            service: "alarms",
            inputs: &[Topic::Behavior],
            outputs: &[Topic::Activity],
            state: Topic::IdentityState,
        }
    }

    fn apply(&self, context: &mut Context<'_, Alarm>, input: &Input<'_>) -> Result<(), Poison> {
        let revision = context.peek("common").map(|common| common.revision).unwrap_or_default();
        let state = context.state(input.key_str()?);
        *state =
            Alarm { due_at: std::str::from_utf8(input.payload).unwrap().parse().unwrap(), revision, common: false };
        Ok(())
    }

    fn deadline(&self, context: &mut Context<'_, Alarm>, due: &Due<'_>) {
        context.state(due.key).due_at = 0;
        context.emit_bytes(Topic::Activity, due.key, Vec::new());
    }

    fn revise(&self, context: &mut Context<'_, Alarm>, key: &str) {
        let revision = context.peek("common").unwrap().revision;
        context.state(key).revision = revision;
        context.emit_bytes(Topic::Activity, key, Vec::new());
    }
}

fn set(task: &mut Task<Alarms>, key: &str, due_at: i64) {
    let payload = due_at.to_string();
    let (topic, partition) = (Topic::Behavior, Partition::new(0));
    task.apply(&Input { topic, partition, offset: 0, key: key.as_bytes(), payload: payload.as_bytes() }).unwrap();
}

fn commit(task: &mut Task<Alarms>) -> Vec<Change> {
    let changes = task.changes();
    task.committed(changes.clone());
    changes
}

/// The keys that deadlines or revisions came to, in order.
fn emitted(task: &mut Task<Alarms>) -> Vec<String> {
    task.take_emitted().into_iter().map(|emitted| emitted.key).collect()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Two keys with the same hash, in order.
fn colliding() -> [String; 2] {
    let mut seen = BTreeMap::new();
    let pair = (0_u32..).find_map(|number| {
        let key = format!("lead-{number}");
        seen.insert(KeyHash::of(&key), key.clone()).map(|other| [other, key])
    });
    let mut pair = pair.unwrap();
    pair.sort();
    pair
}

#[test]
fn a_state_that_is_only_looked_at_is_neither_written_nor_compared() {
    let mut task = Task::<Alarms>::new(Arc::new(Alarms));
    task.restore("common", Some(b"0 7 true")).unwrap();
    worked();
    set(&mut task, "a", 5);
    set(&mut task, "b", 6);
    assert_eq!((task.touched(), task.changes().len()), (2, 2));
    assert_eq!(worked(), [1, 2], "common is read once, a and b are written");
}

#[test]
fn each_state_read_back_is_decoded_once_whenever_what_is_in_common_comes() {
    let mut task = Task::<Alarms>::new(Arc::new(Alarms));
    for number in 0..50 {
        task.restore(&format!("lead-{number}"), Some(b"0 6 false")).unwrap();
    }
    assert!(!task.is_behind());
    task.restore("common", Some(b"0 7 true")).unwrap();
    assert!(task.is_behind());
    task.restore("lead-50", Some(b"9 7 false")).unwrap();
    assert_eq!(worked(), [52, 0]);
    assert_eq!(task.next_deadline(), Some(at(9)));
}

#[test]
fn a_key_with_the_hash_of_another_has_its_own_deadline() {
    let [one, other] = colliding();
    let mut task = Task::<Alarms>::new(Arc::new(Alarms));
    set(&mut task, &one, 5);
    set(&mut task, &other, 5);
    set(&mut task, "later", 8);
    commit(&mut task);
    for _ in 0..2 {
        // What is aborted fires again.
        task.abort();
        assert_eq!(task.fire_due(at(7), 1).unwrap(), 1);
        assert_eq!((emitted(&mut task), task.next_deadline()), (vec![one.clone()], Some(at(5))));
    }
    commit(&mut task);
    assert_eq!(task.next_deadline(), Some(at(5)));
    // The one that has fired is set to the same instant again, the other one moves away from it.
    set(&mut task, &one, 5);
    set(&mut task, &other, 6);
    commit(&mut task);
    assert_eq!(task.fire_due(at(5), 9).unwrap(), 1);
    assert_eq!(emitted(&mut task), std::slice::from_ref(&one));
    commit(&mut task);
    assert_eq!(task.fire_due(at(9), 9).unwrap(), 2);
    assert_eq!(emitted(&mut task), [other.as_str(), "later"]);
    commit(&mut task);
    assert_eq!(task.next_deadline(), None);
}

#[test]
fn a_record_that_is_taken_back_leaves_the_deadlines_as_they_were() {
    let mut task = Task::<Alarms>::new(Arc::new(Alarms));
    set(&mut task, "a", 5);
    set(&mut task, "b", 6);
    commit(&mut task);
    assert_eq!(task.fire_due(at(5), 1).unwrap(), 1);
    let spoiled = Input { topic: Topic::Behavior, partition: Partition::new(0), offset: 1, key: b"b", payload: b"?" };
    assert!(!task.apply(&spoiled).unwrap_err().overlay_lost);
    assert_eq!(task.next_deadline(), Some(at(6)));
    assert_eq!(task.fire_due(at(6), 9).unwrap(), 1);
    assert_eq!(emitted(&mut task), ["a", "b"]);
    assert_eq!(task.next_deadline(), None);
}

#[test]
fn every_key_is_revised_once_also_those_with_the_hash_of_another() {
    let mut task = Task::<Alarms>::new(Arc::new(Alarms));
    let keys: BTreeSet<String> = colliding().into_iter().chain(["a".to_owned(), "b".to_owned()]).collect();
    keys.iter().for_each(|key| task.restore(key, Some(b"0 0 false")).unwrap());
    task.restore("b", Some(b"0 7 false")).unwrap();
    task.restore("common", Some(b"0 7 true")).unwrap();
    let mut revised = Vec::new();
    for _ in 0..4 {
        task.revise(1).unwrap();
        revised.append(&mut emitted(&mut task));
        commit(&mut task);
    }
    assert!(!task.is_behind());
    assert_eq!(task.revise(1).unwrap(), 0);
    revised.sort();
    assert_eq!(revised, keys.iter().filter(|key| *key != "b").cloned().collect::<Vec<_>>());
    assert_eq!((task.store().len(), task.store().get(&revised[0])), (5, Some(&b"0 7 false"[..])));
    // A state of an older revision that comes later is noticed too, and one that is forgotten is not waited for.
    task.restore("c", Some(b"0 6 false")).unwrap();
    assert!(task.is_behind());
    task.restore("c", None).unwrap();
    assert!(!task.is_behind());
}
