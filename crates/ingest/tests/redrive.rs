//! Dead letters read again once what was wrong with them has been put right.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use prost::Message;
use support::{Collector, Mood, NOON, sources};
use tasuki_ingest::{Limits, Mapping, NotRedriven, Sources, redrive};
use tasuki_wire::Topic;
use tasuki_wire::v1::dead_letter::FoundAt;
use tasuki_wire::v1::{BehaviorRecord, DeadLetter, LogPosition};

fn read(letter: &DeadLetter, sources: &Sources, limits: Limits) -> Result<(Vec<BehaviorRecord>, usize), NotRedriven> {
    let redriven = redrive(letter, sources, &Mapping::default(), &limits)?;
    let decoded = redriven.records.iter().map(|record| BehaviorRecord::decode(record.payload.as_slice()).unwrap());
    Ok((decoded.collect(), redriven.still_bad))
}

/// The letters of a collector that still has the fault, and the event as one without it takes it.
async fn before_and_after(path: &str, body: &str, broken: Collector) -> (Vec<DeadLetter>, Vec<BehaviorRecord>) {
    broken.post(path, body.to_owned()).await;
    let whole = Collector::new();
    whole.post(path, body.to_owned()).await;
    (broken.letters(), whole.behaviors())
}

fn without_mark(mut records: Vec<BehaviorRecord>) -> Vec<BehaviorRecord> {
    for record in &mut records {
        assert_eq!(record.flags.pop().as_deref(), Some("redriven"));
    }
    records
}

#[tokio::test]
async fn what_was_too_large_is_the_event_it_would_have_been_once_the_limit_allows_it() {
    let body = format!(r#"{{"batch":[{{"type":"page","userId":"u","properties":{{"x":"{}"}}}}]}}"#, "y".repeat(600));
    let narrow = Limits { event_bytes: 600, ..Limits::default() };
    let (letters, events) = before_and_after("/v1/batch", &body, Collector::limited(narrow)).await;
    assert_eq!(read(&letters[0], &sources(), Limits::default()), Err(NotRedriven::Cut), "what is cut is gone");
    let mut letter = letters[0].clone();
    letter.original = body.as_bytes()[10..body.len() - 2].to_vec().into();
    letter.message = "has too many bytes".to_owned();
    assert!(matches!(read(&letter, &sources(), narrow), Err(NotRedriven::StillBad { code: "event-too-large", .. })));
    let (found, still_bad) = read(&letter, &sources(), Limits::default()).unwrap();
    assert_eq!((without_mark(found), still_bad), (events, 0), "same id, same times, same content");
}

#[tokio::test]
async fn what_had_no_source_is_its_once_it_has_one() {
    let path = "/a.b/tp2";
    let body = r#"{"data":[{"e":"pv","duid":"d","eid":"1"},{"e":"zz"}]}"#;
    let none = Collector::with(NOON, Sources::default(), Limits::default());
    let (letters, events) = before_and_after(path, body, none).await;
    assert_eq!(letters[0].code, "unknown-source");
    let missing = NotRedriven::NoSource("unknown".to_owned());
    assert_eq!(read(&letters[0], &Sources::default(), Limits::default()), Err(missing));
    let (found, still_bad) = read(&letters[0], &sources(), Limits::default()).unwrap();
    assert_eq!((without_mark(found), still_bad), (events, 1));
}

#[tokio::test]
async fn what_the_log_refused_is_sent_as_it_was() {
    let collector = Collector::new();
    collector.mood(Mood::RefusesPoison);
    collector.post("/v1/track", r#"{"event":"poison","userId":"u"}"#).await;
    let whole = Collector::new();
    whole.post("/v1/track", r#"{"event":"poison","userId":"u"}"#).await;
    let (found, _) = read(&collector.letters()[0], &sources(), Limits::default()).unwrap();
    assert_eq!(without_mark(found), whole.behaviors());
}

#[test]
fn records_from_outside_go_back_to_their_topic_and_those_of_services_do_not() {
    let letter = |topic: Topic, original: &[u8]| DeadLetter {
        original: original.to_vec().into(),
        found_at: Some(FoundAt::Log(LogPosition {
            topic: topic.name().to_owned(),
            key: b"k".to_vec(),
            ..LogPosition::default()
        })),
        ..DeadLetter::default()
    };
    let of = |letter: &DeadLetter| redrive(letter, &sources(), &Mapping::default(), &Limits::default());
    let sent = of(&letter(Topic::SalesFeedback, b"\xff")).unwrap();
    let records: Vec<_> =
        sent.records.iter().map(|record| (record.topic, record.key.as_str(), &record.payload[..])).collect();
    assert_eq!(records, [(Topic::SalesFeedback, "k", &b"\xff"[..])]);
    assert_eq!(of(&letter(Topic::Activity, b"x")), Err(NotRedriven::Internal("activity".to_owned())));
    assert_eq!(of(&DeadLetter::default()), Err(NotRedriven::NoPlace));
}
