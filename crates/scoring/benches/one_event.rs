//! What it costs to take one event into a lead's score: read the record and the state, match, decay, find the next
//! deadline, write score and state.

#[path = "../tests/common/mod.rs"]
mod common;

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use common::{profile, signals_of, typical_lead, typical_visit};
use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_scoring::{Scoring, ScoringState, score};
use tasuki_stream::{Input, State, Task};
use tasuki_wire::{Head, Partition, Topic, v1};
use uuid::Uuid;

/// The default playbook with more rules on page views, or without the last of its rules, so that there are so many in all.
fn playbook(rules: usize) -> Arc<Playbook> {
    let known = Playbook::built_in().rules().len();
    let mut text = Playbook::DEFAULT.to_owned();
    for _ in rules..known {
        let last = text.rfind("[[engagement.rules]]").expect("there are rules");
        let end = text.find("# ---- Fit").expect("fit comes behind them");
        text.replace_range(last..end, "");
    }
    // The routes may ask for what is gone.
    if rules < known {
        let routes = text.find("[[routes]]").expect("there are routes");
        let score = text.rfind("[[routes]]").expect("there are routes");
        text.replace_range(routes..score, "");
    }
    for number in known..rules {
        write!(
            text,
            "\n[[engagement.rules]]\nname = \"page-{number}\"\nevent = \"PageViewed\"\npath = [\"/page-{number}*\"]\n\
             points = 1\nhalf_life = \"14d\"\n"
        )
        .expect("a text takes everything");
    }
    Arc::new(Playbook::parse(&text).expect("a playbook"))
}

fn one_event(criterion: &mut Criterion) {
    for (signals, rules) in [(20, 10), (20, 14), (20, 50), (20, 200), (500, 10), (500, 14), (500, 50), (500, 200)] {
        let playbook = playbook(rules);
        let lead = typical_lead(&playbook, signals);
        let state = lead.state();
        let key = lead.lead.to_string();
        let payload = next_event(lead.lead, signals);
        let mut task: Task<Scoring> = Task::new(Arc::new(Scoring::new(Arc::clone(&playbook))));
        task.restore(&key, Some(&state)).expect("a state");
        let input = Input {
            topic: Topic::Activity,
            partition: Partition::new(0),
            offset: 0,
            key: key.as_bytes(),
            payload: &payload,
        };
        criterion.bench_function(&format!("one event, {signals} signals, {rules} rules"), |bencher| {
            bencher.iter(|| {
                task.apply(&input).expect("it is applied");
                black_box((task.take_emitted(), task.changes()));
                task.abort();
            });
        });
        criterion.bench_function(&format!("state read and written, {signals} signals, {rules} rules"), |bencher| {
            let mut bytes = Vec::new();
            bencher.iter(|| {
                bytes.clear();
                ScoringState::decode(&state).expect("a state").encode(&mut bytes);
                black_box(bytes.len())
            });
        });
        let kept = signals_of(&(0..signals).map(typical_visit).collect::<Vec<_>>());
        let profile = profile("hanako@acme.example", &[("title", "VP Sales"), ("country", "JP")]);
        let as_of = Timestamp::from_millis(typical_visit(signals).received_at);
        criterion.bench_function(&format!("score alone, {signals} signals, {rules} rules"), |bencher| {
            bencher.iter(|| black_box(score(&kept, &profile, &playbook, as_of)));
        });
    }
}

/// Rules that use all that the language has.
fn every_feature(rules: usize) -> Arc<Playbook> {
    let mut text = Playbook::DEFAULT.replace("[engagement]", "[groups.pages]\ncap = 40\n\n[engagement]");
    let fades =
        ["linear = \"60d\"", "window = \"30d\"", "step = [{ after = \"7d\", left = 50 }]", "half_life = \"14d\""];
    for number in Playbook::built_in().rules().len()..rules {
        write!(
            text,
            "\n[[engagement.rules]]\nname = \"page-{number}\"\nevent = \"PageViewed\"\npath = [{{ regex = \"/(page|docs)-?{number}?.*\" }}]\n\
             points = 1\n{}\nlimit = {{ times = 2, per = \"1d\" }}\ngroup = \"pages\"\n",
            fades[number % fades.len()]
        )
        .expect("a text takes everything");
    }
    Arc::new(Playbook::parse(&text).expect("a playbook"))
}

/// A lead's state as it is when the rules have changed: every signal is matched and scored anew.
fn refold(criterion: &mut Criterion) {
    for (name, playbook) in
        [("50 rules", playbook(50)), ("200 rules", playbook(200)), ("50 rules of every kind", every_feature(50))]
    {
        let kept = signals_of(&(0..500).map(typical_visit).collect::<Vec<_>>());
        let profile = profile("hanako@acme.example", &[("title", "VP Sales"), ("country", "JP")]);
        let as_of = Timestamp::from_millis(typical_visit(500).received_at);
        criterion.bench_function(&format!("500 signals matched and scored anew, {name}"), |bencher| {
            bencher.iter(|| black_box(score(&kept, &profile, &playbook, as_of)));
        });
    }
}

/// The activity record that comes next for the lead, another page view.
fn next_event(lead: LeadId, signals: usize) -> Vec<u8> {
    let did = typical_visit(signals);
    let version = u64::try_from(signals + 2).expect("a small number");
    let head = Head {
        event_id: EventId::new(Uuid::from_u128(u128::MAX)),
        occurred_at: Timestamp::from_millis(did.received_at),
        received_at: Timestamp::from_millis(did.received_at),
        cause: None,
        lead: Some(lead),
        version: Version::new(version),
    };
    v1::ActivityRecord { meta: Some(head.to_meta()), identities_version: 0, event: Some(did.attributed()) }
        .encode_to_vec()
}

criterion_group!(benches, one_event, refold);
criterion_main!(benches);
