//! The promises, one function each.

use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::Millis;
use tasuki_service::Clock;
use tasuki_stream::{Emitted, Input, Poison, dead_letter};
use tasuki_wire::{Topic, v1};

use super::{FORWARDED, Harness, MORE_ORDERS, ORDERS, Order, PARTITIONS, SERVICE, START, STEPS, Step, What};
use crate::eventually::eventually;

/// Every input becomes exactly one step, those of a key in the order of writing, on the partition of the key.
pub fn applies_each_input_once_and_in_order_of_its_key(harness: &mut impl Harness) {
    let orders: Vec<_> = (1..=200).map(|number| (number, format!("key-{}", number % 17))).collect();
    harness.start();
    for batch in orders.chunks(30) {
        harness.publish(batch.iter().map(|(number, key)| Order::add(*number, key)).collect());
    }
    let steps = wait_for_steps(harness, orders.len());
    let expected: Vec<_> = orders.iter().map(|(number, key)| (key.as_str(), *number)).collect();
    assert_eq!(steps, counted(&expected));
    for record in harness.records(STEPS) {
        assert_eq!(record.partition, PARTITIONS.of_key(&record.key));
    }
    harness.stop();
}

/// After a stop and a start, the counts go on where they were.
pub fn state_survives_a_restart(harness: &mut impl Harness) {
    harness.start();
    harness.publish(vec![Order::add(1, "a"), Order::add(2, "b"), Order::add(3, "a")]);
    wait_for_steps(harness, 3);
    for round in 0..3 {
        harness.stop();
        harness.start();
        harness.publish(vec![Order::add(4 + round, "a")]);
        wait_for_steps(harness, 4 + usize::try_from(round).expect("at most 3"));
    }
    let steps = wait_for_steps(harness, 6);
    assert_eq!(steps, counted(&[("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5), ("a", 6)]));
    harness.stop();
}

/// What is written while nothing runs is applied once something does.
pub fn what_was_written_meanwhile_is_done_after_a_start(harness: &mut impl Harness) {
    harness.publish(vec![Order::add(1, "a")]);
    harness.start();
    wait_for_steps(harness, 1);
    harness.stop();
    harness.publish(vec![Order::add(2, "a"), Order::add(3, "b")]);
    harness.start();
    let steps = wait_for_steps(harness, 3);
    assert_eq!(steps, counted(&[("a", 1), ("a", 2), ("b", 3)]));
    harness.stop();
}

/// Crashes in the middle of work, several times over, leave every input applied exactly once, and every poison with
/// exactly one letter.
///
/// A runner may be done with a round before its crash comes: the next round then has twice as much to do.
pub fn a_crash_midway_loses_and_doubles_nothing(harness: &mut impl Harness) {
    const CRASHES: u64 = 3;
    const ROUNDS: u64 = 12;
    const BEGIN_WITH: usize = 20;
    let mut each = 300;
    let mut sent = 0;
    let mut expected = Vec::new();
    let mut poisons = 0;
    let mut landed = 0;
    for _ in 0..ROUNDS {
        if landed == CRASHES {
            break;
        }
        harness.start();
        let mut batch = Vec::new();
        for number in sent + 1..=sent + each {
            let key = format!("key-{}", number % 13);
            if number % 50 == 0 {
                batch.push(Order::record(number, &key, What::Refuse(true)));
                poisons += 1;
                continue;
            }
            let to = format!("to-{key}");
            batch.push(Order::record(number, &key, What::Forward(to.clone())));
            expected.extend([(key, number), (to, number)]);
        }
        sent += each;
        let before = harness.records(STEPS).len();
        let rest = batch.split_off(BEGIN_WITH);
        harness.publish(batch);
        eventually("work to have begun", || {
            if harness.records(STEPS).len() > before { Ok(()) } else { Err("no new step") }
        });
        harness.publish(rest);
        harness.crash();
        if harness.records(STEPS).len() < expected.len() {
            landed += 1;
        } else {
            each *= 2;
        }
    }
    assert_eq!(landed, CRASHES, "invalid: in {ROUNDS} rounds too few crashes came while there was work left");
    harness.start();
    let steps = wait_for_steps(harness, expected.len());
    let expected: Vec<_> = expected.iter().map(|(key, number)| (key.as_str(), *number)).collect();
    assert_eq!(steps, counted(&expected));
    let letters = wait_for_letters(harness, poisons);
    let mut positions: Vec<_> = letters.into_iter().map(|letter| letter.found_at.map(|at| format!("{at:?}"))).collect();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), poisons, "one letter for each poison");
    harness.stop();
}

/// Once a partition has another revision in common, inputs see it at once, and every other state is brought to it exactly
/// once, whatever crashes in between.
pub fn what_a_partition_has_in_common_reaches_every_key_once_also_past_crashes(harness: &mut impl Harness) {
    const KEYS: u64 = 3_000;
    let key = |number: u64| format!("key-{number}");
    let common = |revision| {
        let keys = PARTITIONS.all().map(|partition| PARTITIONS.key_of(partition).expect("one of them"));
        keys.map(|key| Order::record(0, &key, What::Common(revision))).collect::<Vec<_>>()
    };
    let all = usize::try_from(KEYS).expect("a few thousand");
    harness.start();
    harness.publish((1..=KEYS).map(|number| Order::add(number, &key(number))).collect());
    wait_for_steps(harness, all);
    harness.publish(common(7));
    for _ in 0..2 {
        let before = harness.records(STEPS).len();
        eventually("states to be revised", || {
            let now = harness.records(STEPS).len();
            if now > before || now == 2 * all { Ok(()) } else { Err("no new step") }
        });
        harness.crash();
        harness.start();
    }
    wait_for_steps(harness, 2 * all);
    harness.publish(vec![Order::add(1, "a"), Order::add(2, &key(1))]);
    let steps = wait_for_steps(harness, 2 * all + 2);
    let of = |key: &str| -> Vec<_> {
        let steps = steps.get(key).map_or(&[][..], Vec::as_slice);
        steps.iter().map(|step| (step.version, step.number, step.total, step.of)).collect()
    };
    assert_eq!(of("a"), [(1, 1, 1, 7)], "what comes later begins with it");
    assert_eq!(of(&key(1)), [(1, 1, 1, 0), (2, 0, 1, 7), (3, 2, 3, 7)]);
    for number in 2..=KEYS {
        assert_eq!(of(&key(number)), [(1, number, number, 0), (2, 0, number, 7)]);
    }
    restart_adds_nothing(harness, 2 * all + 2, 0);
}

/// A key has one state, whichever input topic its records come from.
pub fn several_inputs_of_a_key_meet_in_one_state(harness: &mut impl Harness) {
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    harness.start();
    for (key, number) in keys.iter().zip(1..) {
        harness.publish(vec![Order::add(number, key)]);
    }
    wait_for_steps(harness, keys.len());
    for (key, number) in keys.iter().zip(101..) {
        harness.publish(vec![Order::on(MORE_ORDERS, number, key, What::Add(true))]);
    }
    let steps = wait_for_steps(harness, 2 * keys.len());
    let expected: Vec<_> = keys.iter().copied().zip(1..).chain(keys.iter().copied().zip(101..)).collect();
    assert_eq!(steps, counted(&expected));
    harness.stop();
}

/// What a key sends to another, on whatever partition, arrives there once and in order.
pub fn what_is_forwarded_reaches_its_key_once_and_in_order(harness: &mut impl Harness) {
    let mut expected = Vec::new();
    let mut orders = Vec::new();
    for number in 1..=60 {
        let (from, to) = (format!("from-{}", number % 5), format!("to-{}", number % 5));
        orders.push(Order::record(number, &from, What::Forward(to.clone())));
        expected.extend([(from, number), (to, number)]);
    }
    let partition = |(key, _): &(String, u64)| PARTITIONS.of_key(key.as_bytes());
    assert!(expected.chunks(2).any(|pair| partition(&pair[0]) != partition(&pair[1])), "some go elsewhere");
    harness.start();
    harness.publish(orders);
    let steps = wait_for_steps(harness, expected.len());
    let expected: Vec<_> = expected.iter().map(|(key, number)| (key.as_str(), *number)).collect();
    assert_eq!(steps, counted(&expected));
    assert_eq!(harness.records(FORWARDED).len(), 60);
    harness.stop();
}

/// Bytes that are no message become one letter that holds them; what comes after is applied.
pub fn an_undecodable_record_goes_to_dead_letters_and_its_partition_goes_on(harness: &mut impl Harness) {
    let broken = Emitted { topic: ORDERS, key: "a".to_owned(), payload: b"\xff\xff not a message".to_vec() };
    harness.start();
    harness.publish(vec![Order::add(1, "a"), broken.clone(), Order::add(3, "a")]);
    assert_eq!(wait_for_steps(harness, 2), counted(&[("a", 1), ("a", 3)]));
    let letters = wait_for_letters(harness, 1);
    let expected = letter(harness, &broken, &Poison::new("undecodable", letters[0].message.clone()));
    assert_eq!(letters, [expected]);
    restart_adds_nothing(harness, 2, 1);
}

/// A record that is refused after it changed state and emitted leaves nothing but its letter.
pub fn a_refused_record_takes_back_what_it_changed(harness: &mut impl Harness) {
    let refused = Order::record(2, "a", What::Refuse(true));
    harness.start();
    harness.publish(vec![Order::add(1, "a")]);
    wait_for_steps(harness, 1);
    harness.publish(vec![refused.clone()]);
    let letters = wait_for_letters(harness, 1);
    assert_eq!(letters, [letter(harness, &refused, &Poison::new("refused", "an order to refuse"))]);
    harness.publish(vec![Order::add(3, "a")]);
    assert_eq!(wait_for_steps(harness, 2), counted(&[("a", 1), ("a", 3)]));
    restart_adds_nothing(harness, 2, 1);
}

/// The same where the transaction under way had changed the state of the same key before, so that the overlay is lost:
/// nothing of what came before or after the refused records is.
pub fn a_refused_record_spares_what_its_transaction_did_before(harness: &mut impl Harness) {
    let mut orders = Vec::new();
    let mut expected = Vec::new();
    for number in 1..=100 {
        if number % 25 == 0 {
            orders.push(Order::record(number, "a", What::Refuse(true)));
        } else {
            orders.push(Order::add(number, "a"));
            expected.push(("a", number));
        }
    }
    harness.publish(orders);
    harness.start();
    assert_eq!(wait_for_steps(harness, expected.len()), counted(&expected));
    let codes: Vec<_> = wait_for_letters(harness, 4).into_iter().map(|letter| letter.code).collect();
    assert_eq!(codes, ["refused"; 4]);
    restart_adds_nothing(harness, expected.len(), 4);
}

/// A processor that panics on a record has refused it.
pub fn a_panic_is_a_refusal(harness: &mut impl Harness) {
    let panics = Order::record(2, "a", What::Panic(true));
    harness.publish(vec![Order::add(1, "a"), panics.clone(), Order::add(3, "a")]);
    harness.start();
    assert_eq!(wait_for_steps(harness, 2), counted(&[("a", 1), ("a", 3)]));
    let letters = wait_for_letters(harness, 1);
    let poison = Poison::new("panic", "the processor panicked: an order to panic");
    assert_eq!(letters, [letter(harness, &panics, &poison)]);
    restart_adds_nothing(harness, 2, 1);
}

/// A deadline fires when the clock has passed it, not before, and once.
pub fn a_deadline_fires_once_and_not_before_its_time(harness: &mut impl Harness) {
    let due = START + Millis::from_hours(1);
    harness.start();
    harness.publish(vec![Order::record(1, "a", What::WakeAt(due.as_millis()))]);
    wait_for_steps(harness, 1);
    harness.clock().advance(Millis::new(3_599_999));
    harness.publish(vec![Order::add(2, "a")]);
    wait_for_steps(harness, 2);
    harness.clock().advance(Millis::new(5_001));
    wait_for_steps(harness, 3);
    harness.clock().advance(Millis::from_hours(1));
    harness.publish(vec![Order::add(3, "a")]);
    let mut expected = counted(&[("a", 1), ("a", 2), ("a", 0), ("a", 3)]);
    let fired = &mut expected.get_mut("a").expect("just counted")[2];
    fired.due_at = Some(due.as_millis());
    fired.fired_at = Some(due.as_millis() + 5_000);
    assert_eq!(wait_for_steps(harness, 4), expected);
    restart_adds_nothing(harness, 4, 0);
}

/// A deadline that passes while nothing runs fires after the next start, before inputs written meanwhile, with the
/// instant it was due at, and once.
pub fn a_deadline_passed_while_stopped_fires_before_later_inputs(harness: &mut impl Harness) {
    let due = START + Millis::from_hours(1);
    harness.start();
    harness.publish(vec![Order::record(1, "a", What::WakeAt(due.as_millis()))]);
    wait_for_steps(harness, 1);
    harness.stop();
    harness.clock().advance(Millis::from_hours(5));
    harness.publish(vec![Order::add(2, "a")]);
    harness.start();
    let mut expected = counted(&[("a", 1), ("a", 0), ("a", 2)]);
    let fired = &mut expected.get_mut("a").expect("just counted")[1];
    fired.due_at = Some(due.as_millis());
    fired.fired_at = Some((START + Millis::from_hours(5)).as_millis());
    assert_eq!(wait_for_steps(harness, 3), expected);
    restart_adds_nothing(harness, 3, 0);
}

/// So do as many as no single transaction should hold.
pub fn many_deadlines_passed_while_stopped_all_fire_before_later_inputs(harness: &mut impl Harness) {
    const KEYS: u64 = 1_500;
    let due = START + Millis::from_hours(1);
    let keys: Vec<_> = (1..=KEYS).map(|n| (n, format!("key-{n}"))).collect();
    harness.start();
    harness.publish(keys.iter().map(|(n, key)| Order::record(*n, key, What::WakeAt(due.as_millis()))).collect());
    wait_for_steps(harness, keys.len());
    harness.stop();
    harness.clock().advance(Millis::from_hours(2));
    harness.publish(keys.iter().map(|(n, key)| Order::add(*n, key)).collect());
    harness.start();
    let orders: Vec<_> = keys.iter().flat_map(|(n, key)| [(key.as_str(), *n), (key, 0), (key, *n)]).collect();
    let mut expected = counted(&orders);
    for steps in expected.values_mut() {
        steps[1].due_at = Some(due.as_millis());
        steps[1].fired_at = Some((START + Millis::from_hours(2)).as_millis());
    }
    assert!(wait_for_steps(harness, 3 * keys.len()) == expected, "some key has not: order, deadline, order");
    harness.stop();
}

type Steps = BTreeMap<String, Vec<Step>>;

/// The steps that must come of these orders, given as key and number.
fn counted(orders: &[(&str, u64)]) -> Steps {
    let mut steps = Steps::new();
    for &(key, number) in orders {
        let of_key = steps.entry(key.to_owned()).or_default();
        let (version, total) = of_key.last().map_or((0, 0), |step| (step.version, step.total));
        of_key.push(Step {
            key: key.to_owned(),
            version: version + 1,
            number,
            total: total + number,
            due_at: None,
            fired_at: None,
            of: 0,
        });
    }
    steps
}

/// The steps on the log by key, once there are so many; more are no less wrong.
fn wait_for_steps(harness: &mut impl Harness, count: usize) -> Steps {
    let records = wait_for(harness, STEPS, count);
    let mut steps = Steps::new();
    for record in records {
        let step = Step::decode(record.payload.as_slice()).expect("the processor writes steps");
        assert_eq!(record.key, step.key.as_bytes());
        steps.entry(step.key.clone()).or_default().push(step);
    }
    steps
}

fn wait_for_letters(harness: &mut impl Harness, count: usize) -> Vec<v1::DeadLetter> {
    let records = wait_for(harness, Topic::DeadLetters, count);
    records.iter().map(|record| v1::DeadLetter::decode(record.payload.as_slice()).expect("a dead letter")).collect()
}

fn wait_for(harness: &mut impl Harness, topic: Topic, count: usize) -> Vec<tasuki_stream::log::LogRecord> {
    let what = format!("{count} records on {topic}");
    let records = eventually(&what, || {
        let records = harness.records(topic);
        if records.len() >= count { Ok(records) } else { Err(format!("there are {}", records.len())) }
    });
    assert_eq!(records.len(), count, "too many records on {topic}: {records:#?}");
    records
}

/// The letter that this record must become, wherever on the log it stands.
fn letter(harness: &mut impl Harness, record: &Emitted, poison: &Poison) -> v1::DeadLetter {
    let records = harness.records(record.topic);
    let stands = records
        .iter()
        .find(|other| other.key == record.key.as_bytes() && other.payload == record.payload)
        .expect("what was published is on the log");
    let input = Input {
        topic: stands.topic,
        partition: stands.partition,
        offset: stands.offset,
        key: &stands.key,
        payload: &stands.payload,
    };
    let letter = dead_letter(SERVICE, &input, poison, harness.clock().now());
    v1::DeadLetter::decode(letter.payload.as_slice()).expect("just encoded")
}

/// After another start nothing is done again. That nothing comes is proved by a marker on every partition, which comes
/// after it.
fn restart_adds_nothing(harness: &mut impl Harness, steps: usize, letters: usize) {
    harness.stop();
    harness.start();
    let markers: Vec<_> = PARTITIONS
        .all()
        .map(|partition| {
            let of_partition = |key: &String| PARTITIONS.of_key(key.as_bytes()) == partition;
            let key = (0..).map(|n| format!("marker-{n}")).find(of_partition).expect("some key is on each partition");
            Order::add(1, &key)
        })
        .collect();
    let count = markers.len();
    harness.publish(markers);
    let all = wait_for_steps(harness, steps + count);
    assert_eq!(all.keys().filter(|key| key.starts_with("marker-")).count(), count);
    wait_for_letters(harness, letters);
    harness.stop();
}
