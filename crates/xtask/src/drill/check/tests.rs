//! Each checker on a true history, and on one that was doctored: it has to find what is wrong, and to name it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prost::Message;
use tasuki_domain::{Millis, Timestamp};
use tasuki_handoff::{Desk, Handoff, HandoffPolicy};
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_playbook::Playbook;
use tasuki_playbook::reps::Reps;
use tasuki_qualification::Qualification;
use tasuki_scoring::Scoring;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{PartitionCount, Topic, v1};

use super::{CHECKERS, rest};
use crate::drill::evidence::{Accounts, Evidence, Liveness};
use crate::drill::history::{Entry, History};
use crate::drill::load::{Shape, load};
use crate::drill::model;
use crate::drill::tables::AccountRow;
use crate::drill::watch::topics;

const NOW_MS: i64 = 1_800_000_000_000;

fn truth() -> Evidence {
    static TRUTH: OnceLock<Evidence> = OnceLock::new();
    TRUTH.get_or_init(in_memory).clone()
}

/// What the services make of a load with duplicates, disorder and poison, in memory.
fn in_memory() -> Evidence {
    let shape = Shape { duplicates: true, disorder: true, poison: true };
    let mut sent = load(5, 1_500, shape, NOW_MS).records;
    // The log in memory has text for keys.
    sent.retain(|sent| std::str::from_utf8(&sent.key).is_ok());
    let playbook = Arc::new(Playbook::built_in());
    let now = Timestamp::from_millis(NOW_MS);
    let mut pipeline = Pipeline::new(PartitionCount::new(1).unwrap(), now)
        .with(Identity::new(model::secret_of_leads(), IdentitySettings::default()))
        .with(Scoring::new(Arc::clone(&playbook)))
        .with(Qualification::new(Arc::clone(&playbook)))
        .with(Handoff::new(HandoffPolicy::from(&*playbook)))
        .with(Desk::new(Reps::example()));
    for sent in &sent {
        let key = String::from_utf8(sent.key.clone()).unwrap();
        pipeline.publish(Emitted { topic: sent.topic, key, payload: sent.payload.clone() });
    }
    pipeline.run();
    pipeline.advance_to(now + Millis::from_seconds(10));
    let mut log = History::default();
    for topic in topics() {
        for (offset, record) in (0..).zip(pipeline.records(topic)) {
            let (key, payload) = (record.key.clone(), record.payload.clone());
            log.push(topic, 0, Entry { offset, key, payload });
        }
    }
    let within = Some(Duration::from_secs(1));
    let mut evidence = Evidence {
        sent,
        watched: Some(log.clone()),
        log,
        hanging: Some(Vec::new()),
        caught_up: Some(Liveness { within, allowed: Duration::from_secs(60) }),
        accounts: Some(Accounts {
            received: 12,
            booked: [("accepted".to_owned(), 10), ("refused".to_owned(), 2)].into(),
            acknowledged: 10,
        }),
        fingerprints: Some(["a".to_owned(), "a".to_owned()]),
        ..Evidence::default()
    };
    evidence.tables = Some(rest::fold(&evidence));
    let ends = evidence
        .log
        .partitions()
        .map(|(topic, partition, entries)| ((topic, partition), entries.last().map_or(0, |entry| entry.offset + 1)));
    evidence.watermarks = ends.collect();
    evidence
}

fn found(evidence: &Evidence, invariant: &str) -> Vec<String> {
    let checker = CHECKERS.iter().find(|checker| checker.invariant == invariant).expect("a checker of that name");
    (checker.check)(evidence).expect("the evidence is complete")
}

/// That the checker finds something in the doctored history, and says this of it.
#[track_caller]
fn bites(invariant: &str, says: &str, doctor: impl FnOnce(&mut Evidence)) {
    let mut evidence = truth();
    doctor(&mut evidence);
    let found = found(&evidence, invariant);
    assert!(found.iter().any(|text| text.contains(says)), "{invariant} does not say {says:?}: {found:#?}");
}

/// Changes one message of a topic.
fn change<M: Message + Default>(evidence: &mut Evidence, topic: Topic, place: usize, how: impl FnOnce(&mut M)) {
    let entry = &mut evidence.log.partition_mut(topic, 0)[place];
    let mut message = M::decode(entry.payload.as_slice()).unwrap();
    how(&mut message);
    entry.payload = message.encode_to_vec();
}

fn place_of(evidence: &Evidence, which: impl Fn(&Decision) -> bool) -> usize {
    let mut places = evidence.log.partition(Topic::Qualification, 0).iter().enumerate().filter(|(_, entry)| {
        let record = v1::QualificationRecord::decode(entry.payload.as_slice()).unwrap();
        record.event.as_ref().is_some_and(&which)
    });
    places.next().expect("there is one").0
}

fn qualified(decision: &Decision) -> bool {
    matches!(decision, Decision::Qualified(_))
}

#[test]
fn nothing_is_wrong_with_the_truth() {
    let evidence = truth();
    for checker in CHECKERS {
        assert_eq!((checker.check)(&evidence), Some(Vec::new()), "{}", checker.invariant);
    }
    for topic in [Topic::Accounts, Topic::Qualification, Topic::Handoff, Topic::LeadsQualified, Topic::DeadLetters] {
        assert!(evidence.log.of(topic).count() > 5, "a truth with nothing on {topic} proves nothing");
    }
}

#[test]
fn of_what_is_not_known_nothing_is_said() {
    let silent: Vec<_> = CHECKERS
        .iter()
        .filter(|checker| (checker.check)(&Evidence::default()).is_none())
        .map(|checker| checker.invariant)
        .collect();
    assert_eq!(silent, ["I2", "I8", "I9", "I10", "I14", "I16"]);
}

#[test]
fn an_acknowledged_event_that_is_lost() {
    bites("I1", "was acknowledged", |evidence| {
        evidence.log.partition_mut(Topic::Behavior, 0).remove(17);
    });
}

#[test]
fn an_event_that_ingest_does_not_account_for() {
    bites("I1", "by HTTP", |evidence| evidence.missing = vec!["one by HTTP".to_owned()]);
    bites("I2", "received 13 events and booked 12", |evidence| evidence.accounts.as_mut().unwrap().received += 1);
    bites("I2", "11 events acknowledged", |evidence| evidence.accounts.as_mut().unwrap().acknowledged += 1);
}

#[test]
fn an_event_that_nobody_sent() {
    bites("I3", "is there 1 times", |evidence| {
        let mut entry = evidence.log.partition(Topic::Behavior, 0)[3].clone();
        entry.key.push(b'x');
        evidence.log.partition_mut(Topic::Behavior, 0).push(entry);
    });
    bites("I3", "was sent", |evidence| {
        let entry = evidence.log.partition(Topic::Behavior, 0)[3].clone();
        evidence.log.partition_mut(Topic::Behavior, 0).push(entry);
    });
}

#[test]
fn a_score_that_is_not_what_the_events_say() {
    bites("I4", "and has to be", |evidence| {
        change(evidence, Topic::Scores, 40, |record: &mut v1::ScoreRecord| {
            let Some(v1::score_record::Event::Scored(scored)) = &mut record.event else { panic!("a score") };
            scored.engagement_mp += 1;
        });
    });
    bites("I4", "another profile", |evidence| {
        change(evidence, Topic::Scores, 40, |record: &mut v1::ScoreRecord| {
            let Some(v1::score_record::Event::Scored(scored)) = &mut record.event else { panic!("a score") };
            scored.profile.get_or_insert_default().email = "somebody@else.example".to_owned();
        });
    });
}

#[test]
fn a_score_that_is_missing() {
    bites("I4", "no score follows from activity version", |evidence| {
        evidence.log.partition_mut(Topic::Scores, 0).pop();
    });
}

#[test]
fn an_event_that_is_attributed_to_nobody_or_to_somebody_else() {
    bites("I4", "is not attributed to it", |evidence| {
        let activity = evidence.log.partition_mut(Topic::Activity, 0);
        activity.retain(|entry| {
            v1::ActivityRecord::decode(entry.payload.as_slice()).is_ok_and(|it| it.meta.unwrap().version < 9)
        });
    });
    bites("I4", "is not its own", |evidence| {
        // The one whose event it was never sent it.
        let activity = v1::ActivityRecord::decode(evidence.log.partition(Topic::Activity, 0)[0].payload.as_slice());
        let Some(v1::activity_record::Event::Attributed(it)) = activity.unwrap().event else { panic!("attributed") };
        let id = it.behavior.unwrap().meta.unwrap().event_id;
        evidence
            .log
            .partition_mut(Topic::Behavior, 0)
            .retain(|entry| v1::BehaviorRecord::decode(entry.payload.as_slice()).is_ok_and(|it| model::id(&it) != id));
    });
}

#[test]
fn a_lead_that_qualifies_never_or_twice_or_for_no_reason() {
    bites("I5", "it never qualified", |evidence| {
        let place = place_of(evidence, qualified);
        evidence.log.partition_mut(Topic::Qualification, 0).remove(place);
    });
    bites("I5", "qualified 2 times", |evidence| {
        let place = place_of(evidence, qualified);
        let again = evidence.log.partition(Topic::Qualification, 0)[place].clone();
        evidence.log.partition_mut(Topic::Qualification, 0).push(again);
    });
    bites("I5", "another score than the first", |evidence| {
        let place = place_of(evidence, qualified);
        change(evidence, Topic::Qualification, place, |record: &mut v1::QualificationRecord| {
            let Some(Decision::Qualified(it)) = &mut record.event else { panic!("qualified") };
            it.seen.get_or_insert_default().signals += 1;
        });
    });
    bites("I5", "no score opened a route", |evidence| {
        evidence.log.partition_mut(Topic::Scores, 0).clear();
    });
}

#[test]
fn a_version_that_is_missing_or_doubled() {
    bites("I6", "on scores, version", |evidence| {
        evidence.log.partition_mut(Topic::Scores, 0).remove(10);
    });
    bites("I6", "on activity, version", |evidence| {
        let again = evidence.log.partition(Topic::Activity, 0)[10].clone();
        evidence.log.partition_mut(Topic::Activity, 0).insert(11, again);
    });
    bites("I6", "on leads.qualified.v1, version", |evidence| {
        let again = evidence.log.partition(Topic::LeadsQualified, 0)[0].clone();
        evidence.log.partition_mut(Topic::LeadsQualified, 0).push(again);
    });
}

#[test]
fn a_phantom_and_a_repetition() {
    bites("I7", "follows from nothing", |evidence| {
        change(evidence, Topic::Activity, 12, |record: &mut v1::ActivityRecord| {
            record.meta.get_or_insert_default().cause_id = vec![7; 16];
        });
    });
    bites("I7", "stands there twice", |evidence| {
        let again = evidence.log.partition(Topic::Handoff, 0)[2].clone();
        evidence.log.partition_mut(Topic::Handoff, 0).push(again);
    });
}

#[test]
fn a_reader_that_saw_something_else() {
    bites("I8", "scores partition 0", |evidence| {
        evidence.log.partition_mut(Topic::Scores, 0).remove(5);
    });
    bites("I8", "activity partition 0", |evidence| {
        evidence.log.partition_mut(Topic::Activity, 0).swap(5, 6);
    });
}

#[test]
fn rows_that_say_something_else() {
    let tables = |doctor: fn(&mut crate::drill::tables::Tables)| {
        move |evidence: &mut Evidence| doctor(evidence.tables.as_mut().unwrap())
    };
    bites("I9", "lead_current", tables(|tables| tables.leads.values_mut().next().unwrap().score.0 += 1));
    bites("I9", "lead_current", tables(|tables| tables.leads.values_mut().next().unwrap().missing = 1));
    bites("I9", "lead_timeline: no row", tables(|tables| drop(tables.timeline.pop_first())));
    bites(
        "I9",
        "lead_decisions: row",
        tables(|tables| {
            let (lead, version) = *tables.decisions.values().next().unwrap();
            tables.decisions.insert(vec![1], (lead, version));
        }),
    );
    bites(
        "I9",
        "handoffs",
        tables(|tables| "rejected by nobody".clone_into(tables.handoffs.values_mut().next().unwrap())),
    );
    bites("I9", "accounts: no row", tables(|tables| drop(tables.accounts.pop_first())));
    for doctor in [
        (|row| row.version -= 1) as fn(&mut AccountRow),
        |row| row.engagement.0 += 1,
        |row| row.engagement.1 += 1,
        |row| row.people += 1,
        |row| row.departments.push("1 nobody".to_owned()),
        |row| row.department_count += 1,
        |row| row.as_of_ms += 1,
        |row| row.playbook_version += 1,
    ] {
        bites("I9", "accounts \"", |evidence| {
            doctor(evidence.tables.as_mut().unwrap().accounts.values_mut().next().unwrap());
        });
    }
    bites("I9", "accounts \"", |evidence| {
        let said = evidence.log.partition_mut(Topic::Accounts, 0);
        let engaged = |entry: &Entry| {
            let event = v1::AccountRecord::decode(entry.payload.as_slice()).unwrap().event;
            matches!(event, Some(v1::account_record::Event::Engaged(_)))
        };
        let last = said.iter().rposition(engaged).unwrap();
        let key = said[last].key.clone();
        // What is left of the account is what was said before.
        let before = said[..last].iter().filter(|entry| engaged(entry) && entry.key == key).count();
        assert!(before > 0, "the last account was spoken of once only");
        said.remove(last);
    });
    bites("I9", "projection_watermark", |evidence| {
        *evidence.watermarks.get_mut(&(Topic::Scores, 0)).unwrap() -= 1;
    });
    bites("I10", "read again", |evidence| "b".clone_into(&mut evidence.fingerprints.as_mut().unwrap()[1]));
}

#[test]
fn a_handoff_that_goes_wrong() {
    bites("I11", "has to be", |evidence| {
        evidence.log.partition_mut(Topic::Handoff, 0).remove(0);
    });
    bites("I11", "published", |evidence| {
        evidence.log.partition_mut(Topic::LeadsQualified, 0).pop();
    });
    bites("I11", "marketing answered", |evidence| {
        let place =
            place_of(evidence, |decision| matches!(decision, Decision::Recycled(_) | Decision::Disqualified(_)));
        evidence.log.partition_mut(Topic::Qualification, 0).remove(place);
    });
}

#[test]
fn poison_that_is_lost_or_doubled_or_mistaken() {
    bites("I13", "not put aside", |evidence| {
        evidence.log.partition_mut(Topic::DeadLetters, 0).remove(1);
    });
    bites("I13", "too often", |evidence| {
        let again = evidence.log.partition(Topic::DeadLetters, 0)[1].clone();
        evidence.log.partition_mut(Topic::DeadLetters, 0).push(again);
    });
    for doctor in [
        (|letter| letter.code = "other".to_owned()) as fn(&mut v1::DeadLetter),
        |letter| letter.original = b"other".to_vec().into(),
        |letter| {
            let Some(v1::dead_letter::FoundAt::Log(place)) = &mut letter.found_at else { panic!("on the log") };
            place.offset += 1;
        },
    ] {
        bites("I13", "not put aside", |evidence| change(evidence, Topic::DeadLetters, 0, doctor));
    }
}

#[test]
fn what_hangs_and_what_stays_behind() {
    bites("I14", "scores partition 2", |evidence| {
        evidence.hanging = Some(vec!["scores partition 2: visible up to 5, written up to 9".to_owned()]);
    });
    bites("I16", "there is lag", |evidence| {
        evidence.caught_up = Some(Liveness { within: None, allowed: Duration::from_secs(60) });
    });
}
