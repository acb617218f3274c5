//! Scenarios as files that a marketer can read: what a lead did, and what it was worth then.
//!
//! Lines that begin with `=>` or `  ` say what came out; the others are what happened:
//!
//! - `<instant> <event> [about] [path=...] [campaign=...] [received=<instant>]`: a behavior event, numbered from 1;
//! - `<instant> profile email=... title="..." ...`: who the lead is from then on;
//! - `<instant> retract <number>`: that event was not this lead's;
//! - `<instant> again <number>`: that event comes once more;
//! - `until <instant>`: time passes.
//!
//! With `TASUKI_WRITE_SCENARIOS=1` the files are written anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Did, OneLead, assert_ledger, profile};
use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;

#[test]
fn every_scenario_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "the scenarios are there: {files:?}");
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("TASUKI_WRITE_SCENARIOS").is_some() {
            std::fs::write(&file, &played).unwrap();
        }
        assert!(written == played, "{} comes out differently:\n{played}", file.display());
    }
}

fn play(text: &str) -> String {
    let playbook = Arc::new(Playbook::built_in());
    let mut lead = OneLead::new(&playbook, 0);
    let (mut done, mut told, mut out) = (Vec::new(), 0, String::new());
    for line in text.lines().filter(|line| !line.starts_with("=>") && !line.starts_with("  ")) {
        writeln!(out, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        step(&mut lead, &mut done, line);
        let scores = lead.scores();
        for (head, scored) in &scores[told..] {
            assert_ledger(scored);
            tell(&mut out, head.version.get(), scored);
        }
        told = scores.len();
    }
    out
}

fn step(lead: &mut OneLead, done: &mut Vec<Did>, line: &str) {
    let words = words(line);
    let instant = |text: &str| text.parse::<Timestamp>().unwrap_or_else(|error| panic!("{line}: {error}")).as_millis();
    let [first, what, rest @ ..] = words.as_slice() else { panic!("{line}: an instant and what happened") };
    if first == "until" {
        return lead.pipeline.advance_to(Timestamp::from_millis(instant(what)));
    }
    let at = instant(first);
    let named = |name: &str| {
        let found = rest.iter().find_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
        found.map(str::to_owned)
    };
    match what.as_str() {
        "profile" => {
            let attributes: Vec<_> = rest.iter().filter_map(|word| word.split_once('=')).collect();
            let known: Vec<_> = attributes.iter().copied().filter(|(name, _)| *name != "email").collect();
            let profile = Some(profile(&named("email").unwrap_or_default(), &known));
            lead.activity(Activity::ProfileChanged(v1::ProfileChanged { profile }), at);
        }
        "retract" => lead.activity(done[rest[0].parse::<usize>().unwrap() - 1].retracted(), at),
        "again" => lead.activity(done[rest[0].parse::<usize>().unwrap() - 1].attributed(), at),
        kind => {
            let about = rest.first().filter(|word| !word.contains('=')).cloned().unwrap_or_default();
            let did = Did {
                id: done.len() as u128 + 1,
                occurred_at: at,
                received_at: named("received").map_or(at, |text| instant(&text)),
                event: event(kind, about),
                path: named("path").unwrap_or_default(),
                campaign: named("campaign").unwrap_or_default(),
            };
            lead.activity(did.attributed(), did.received_at);
            done.push(did);
        }
    }
}

fn event(kind: &str, about: String) -> Behavior {
    match kind {
        "PageViewed" => Behavior::PageViewed(v1::PageViewed::default()),
        "FormSubmitted" => Behavior::FormSubmitted(v1::FormSubmitted { form: about }),
        "EmailOpened" => Behavior::EmailOpened(v1::EmailOpened { email_name: about }),
        "EmailClicked" => Behavior::EmailClicked(v1::EmailClicked { email_name: about, ..Default::default() }),
        "ContentDownloaded" => Behavior::ContentDownloaded(v1::ContentDownloaded { content: about }),
        "EventAttended" => Behavior::EventAttended(v1::EventAttended { event_name: about, ..Default::default() }),
        "InquiryReceived" => Behavior::InquiryReceived(v1::InquiryReceived { channel: about, ..Default::default() }),
        "CustomBehavior" => Behavior::CustomBehavior(v1::CustomBehavior { name: about }),
        _ => panic!("scenarios know no {kind}"),
    }
}

/// Words, where quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words
}

fn tell(out: &mut String, version: u64, scored: &v1::LeadScored) {
    let points = |thousandths| Millipoints::new(thousandths);
    let instant = |millis| Timestamp::from_millis(millis);
    writeln!(
        out,
        "=> {version}. {} as of {}: engagement {}, fit {}, grade {}, {} signals",
        scored.because().as_str_name().trim_start_matches("SCORED_BECAUSE_").to_lowercase(),
        instant(scored.as_of_ms),
        points(scored.engagement_mp),
        points(scored.fit_mp),
        scored.grade,
        scored.signals,
    )
    .unwrap();
    let evidence = Evidence::of(scored);
    for contribution in &scored.contributions {
        let axis = if contribution.axis() == v1::Axis::Fit { "fit" } else { "engagement" };
        let newest = evidence.named_by(contribution).next().map(|(newest, _)| {
            let (count, raw) = (contribution.matches, points(contribution.raw_mp));
            format!(", of {raw} by {count}, the latest {} on {}", newest.what, instant(newest.occurred_at_ms))
        });
        let of = newest.unwrap_or_default();
        writeln!(out, "  {axis} {} {}{of}", contribution.rule, points(contribution.points_mp)).unwrap();
    }
    for fact in scored.facts.iter().filter(|fact| fact.value != 0) {
        writeln!(out, "  {} is {}", fact.name, fact.value).unwrap();
    }
    if scored.next_change_at_ms != 0 {
        writeln!(out, "  time changes something at {}", instant(scored.next_change_at_ms)).unwrap();
    }
}
