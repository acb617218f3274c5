//! Scenarios as files that a marketer can read: what a lead did, and what it was worth then.
//!
//! Lines that begin with `=>` or `  ` say what came out. A scenario begins with its playbook: `playbook <name>` for one that
//! is ready-made, or lines that begin with `| ` for one with just these rules (and its
//! routes, if there are some among them); without either it is the built-in one. The
//! others are what happened:
//!
//! - `<instant> <event> [about] [path=...] [campaign=...] [received=<instant>]`: a behavior event, numbered from 1;
//! - `<instant> profile email=... title="..." ...`: who the lead is from then on;
//! - `<instant> retract <number>`: that event was not this lead's;
//! - `<instant> again <number>`: that event comes once more;
//! - `until <instant>`: time passes, and what it changes is told;
//! - `look <instant>`: the score as of that instant, by all that is known until here.
//!
//! With `TASUKI_WRITE_SCENARIOS=1` the files are written anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Did, NO_ACCOUNT, OneLead, assert_ledger, profile, signals_of};
use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_scoring::{explain, score};
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;

#[test]
fn every_scenario_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 18, "the scenarios are there: {files:?}");
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("TASUKI_WRITE_SCENARIOS").is_some() {
            std::fs::write(&file, &played).unwrap();
            continue;
        }
        assert!(written == played, "{} comes out differently:\n{played}", file.display());
    }
}

/// What a playbook has beside its rules.
const REST: &str = r#"
name = "scenario"
version = 1
[grades]
fit = { A = 70, B = 45, C = 20 }
engagement = { 1 = 70, 2 = 40, 3 = 15 }
[[routes]]
name = "score"
when = "engagement >= 60 && fit >= 40"
urgency = "normal"
pool = "inside-sales"
[accept_within]
urgent = "4h"
high = "8h"
normal = "24h"
[after_rejection]
timing = "disqualify"
no-budget = "disqualify"
no-authority = "disqualify"
no-need = "disqualify"
unreachable = "disqualify"
bad-data = "disqualify"
duplicate = "disqualify"
competitor = "disqualify"
not-a-fit = "disqualify"
[engagement]
cap = 100
[fit]
cap = 100
"#;

/// The playbook that a scenario begins with.
fn playbook_of(text: &str) -> Playbook {
    let named = text.lines().find_map(|line| line.strip_prefix("playbook "));
    if let Some(name) = named {
        return Playbook::parse(Playbook::ready_made(name).expect("a ready-made playbook")).unwrap();
    }
    let rules: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    if rules.is_empty() {
        return Playbook::built_in();
    }
    let rules = rules.join("\n");
    let none = |axis: &str| if rules.contains(&format!("[[{axis}.rules]]")) { "" } else { "rules = []" };
    let rest = REST.replace("[fit]", &format!("{}\n[fit]", none("engagement")));
    // With routes of its own, it has no others.
    let (start, end) = (rest.find("[[routes]]").unwrap(), rest.find("[accept_within]").unwrap());
    let routes = if rules.contains("[[routes]]") { "" } else { &rest[start..end] };
    let rest = [&rest[..start], routes, &rest[end..]].concat();
    let text = format!("{rest}{}\n{rules}\n", none("fit"));
    Playbook::parse(&text).unwrap_or_else(|faults| panic!("{faults} in {text}"))
}

fn play(text: &str) -> String {
    let playbook = Arc::new(playbook_of(text));
    let mut lead = OneLead::new(&playbook, 0);
    let (mut done, mut gone) = (Vec::<Did>::new(), Vec::new());
    let (mut told, mut out) = (0, String::new());
    for line in text.lines().filter(|line| !line.starts_with("=>") && !line.starts_with("  ")) {
        writeln!(out, "{line}").unwrap();
        if line.is_empty() || ["#", "| ", "playbook "].iter().any(|start| line.starts_with(start)) {
            continue;
        }
        if let Some(instant) = line.strip_prefix("look ") {
            let theirs = theirs(&done, &gone);
            tell(&mut out, "look", &look(&lead, &theirs, &playbook, instant.parse().unwrap()));
            continue;
        }
        step(&mut lead, &mut done, &mut gone, line);
        let scores = lead.scores();
        for (head, scored) in &scores[told..] {
            assert_ledger(scored);
            tell(&mut out, &format!("{}.", head.version.get()), scored);
        }
        if let Some((_, last)) = scores.last() {
            assert_eq!(explained(&theirs(&done, &gone), &playbook, last), *last, "{line}");
        }
        told = scores.len();
    }
    out
}

/// What was done, without what turned out to be somebody else's.
fn theirs(done: &[Did], gone: &[usize]) -> Vec<Did> {
    (1..).zip(done).filter(|(number, _)| !gone.contains(number)).map(|(_, did)| did.clone()).collect()
}

/// What stands on the log, with all that an explanation as of the same instant says in its place.
fn explained(theirs: &[Did], playbook: &Playbook, last: &v1::LeadScored) -> v1::LeadScored {
    let profile = last.profile.clone().unwrap_or_default();
    let explained =
        explain(&signals_of(theirs), &profile, &NO_ACCOUNT, playbook, Timestamp::from_millis(last.as_of_ms));
    v1::LeadScored {
        profile: last.profile.clone(),
        because: last.because,
        identities_version: last.identities_version,
        ..explained.score.recorded(playbook, explained.signals, &NO_ACCOUNT)
    }
}

/// The score as of an instant, by all that the lead did and is.
fn look(lead: &OneLead, done: &[Did], playbook: &Playbook, as_of: Timestamp) -> v1::LeadScored {
    let profile = lead.scores().pop().and_then(|(_, scored)| scored.profile);
    let score = score(&signals_of(done), &profile.clone().unwrap_or_default(), playbook, as_of);
    let scored = score.recorded(playbook, done.len(), &NO_ACCOUNT);
    assert_ledger(&scored);
    scored
}

fn step(lead: &mut OneLead, done: &mut Vec<Did>, gone: &mut Vec<usize>, line: &str) {
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
        "retract" => {
            let which = rest[0].parse::<usize>().unwrap();
            lead.activity(done[which - 1].retracted(), at);
            gone.push(which);
        }
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
        "AssessmentCompleted" => {
            Behavior::AssessmentCompleted(v1::AssessmentCompleted { assessment: about, ..Default::default() })
        }
        "ReferralReceived" => Behavior::ReferralReceived(v1::ReferralReceived { referred_by: about }),
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

/// Empty for a score that no event is about.
fn because(because: v1::ScoredBecause) -> String {
    if because == v1::ScoredBecause::Unspecified {
        return String::new();
    }
    because.as_str_name().replace("SCORED_BECAUSE_", " ").to_lowercase()
}

fn tell(out: &mut String, which: &str, scored: &v1::LeadScored) {
    let points = |thousandths| Millipoints::new(thousandths);
    let instant = |millis| Timestamp::from_millis(millis);
    writeln!(
        out,
        "=> {which}{} as of {}: engagement {}, fit {}, grade {}, {} signals",
        because(scored.because()),
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
        let mut of = newest.unwrap_or_default();
        for (what, by) in [("limit", contribution.limit_mp), ("cap", contribution.cap_mp)] {
            if by != 0 {
                write!(of, ", by its {what} {}", points(by)).unwrap();
            }
        }
        if !contribution.track.is_empty() {
            write!(of, ", of the track {}", contribution.track).unwrap();
        }
        writeln!(out, "  {axis} {} {}{of}", contribution.rule, points(contribution.points_mp)).unwrap();
    }
    for track in &scored.tracks {
        let (engagement, fit) = (points(track.engagement_mp), points(track.fit_mp));
        write!(out, "  track {}: engagement {engagement}, fit {fit}, grade {}", track.track, track.grade).unwrap();
        for bound in &track.bounds {
            let axis = if bound.axis() == v1::Axis::Fit { "fit" } else { "engagement" };
            write!(out, ", the bounds of {axis} {}", points(bound.points_mp)).unwrap();
        }
        writeln!(out).unwrap();
    }
    for fact in scored.facts.iter().filter(|fact| fact.value != 0) {
        writeln!(out, "  {} is {}", fact.name, fact.value).unwrap();
    }
    if scored.next_change_at_ms != 0 {
        writeln!(out, "  time changes something at {}", instant(scored.next_change_at_ms)).unwrap();
    }
}
