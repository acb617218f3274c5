//! The semantics of scoring once more, slow and obvious, from the text of the playbook: knows nothing of the crate's code.
//!
//! Amounts are whole numbers of 2^-32 millipoints, which is where the semantics cut each signal off.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::wildcard_enum_match_arm,
    reason = "the obvious way, with numbers that are small"
)]

use regex::RegexBuilder;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use toml::{Table, Value};

use super::{DAY, Did};

/// A line of the ledger, in millipoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) rule: String,
    pub(crate) points: i64,
    /// Before everything.
    pub(crate) raw: i64,
    pub(crate) limit: i64,
    pub(crate) cap: i64,
    pub(crate) matches: u32,
    pub(crate) track: String,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Obvious {
    /// In the order of the playbook; then the caps of groups; then "cap".
    pub(crate) engagement: Vec<Line>,
    pub(crate) fit: Vec<Line>,
    pub(crate) grade: String,
}

pub(crate) fn shown(ledger: &[Line]) -> i64 {
    ledger.iter().map(|line| line.points).sum()
}

/// A playbook as it is written, and which of the things that a lead did match which of its rules.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    playbook: Table,
    /// In the order of the playbook.
    rules: Vec<(Value, Vec<Did>)>,
}

impl Lead {
    pub(crate) fn new(playbook: &str, history: &[Did]) -> Self {
        let playbook: Table = playbook.parse().unwrap();
        let rules = playbook["engagement"]["rules"].as_array().unwrap().clone();
        let own = |rule: Value| {
            let own = history.iter().filter(|did| matches(&rule, did)).cloned().collect();
            (rule, own)
        };
        Self { rules: rules.into_iter().map(own).collect(), playbook }
    }

    /// By a playbook that has only the rules of a track and those of none: what it says of the lead is the score of the track.
    pub(crate) fn in_track(mut self, track: &str) -> Self {
        let counts = |rule: &Value| rule.get("track").is_none_or(|of| of.as_str() == Some(track));
        self.rules.retain(|(rule, _)| counts(rule));
        self.playbook["fit"]["rules"].as_array_mut().unwrap().retain(counts);
        self
    }

    /// The same with so many more things that match this rule, and no other, at an instant.
    pub(crate) fn with_more(mut self, rule: &str, times: u32, instant: i64) -> Self {
        let (_, own) = self.rules.iter_mut().find(|(known, _)| text(known, "name") == rule).unwrap();
        own.extend((0..times).map(|number| Did {
            id: u128::MAX - u128::from(number),
            occurred_at: instant,
            received_at: instant,
            event: Behavior::CustomBehavior(v1::CustomBehavior::default()),
            path: String::new(),
            campaign: String::new(),
        }));
        self
    }
}

pub(crate) fn score(Lead { playbook, rules }: &Lead, profile: &v1::Profile, as_of: i64) -> Obvious {
    let mut engagement: Vec<Line> = rules.iter().filter_map(|(rule, own)| behaviour(rule, own, as_of)).collect();
    let mut caps = Vec::new();
    for (name, group) in playbook.get("groups").and_then(Value::as_table).into_iter().flatten() {
        let own = |line: &&Line| rules.iter().any(|(rule, _)| text(rule, "name") == line.rule && in_group(rule, name));
        let (sum, cap) = (engagement.iter().filter(own).map(|line| line.points).sum::<i64>(), millis(&group["cap"]));
        let points = sum.clamp(-cap, cap) - sum;
        if points != 0 {
            let track = rules.iter().find(|(rule, _)| in_group(rule, name)).map(|(rule, _)| track_of(rule)).unwrap();
            caps.push(Line { rule: format!("cap:{name}"), points, track, ..Line::default() });
        }
    }
    engagement.extend(caps);
    let mut fit = Vec::new();
    for rule in playbook["fit"]["rules"].as_array().unwrap() {
        let value = match text(rule, "attribute") {
            "email_domain" => profile.email.split('@').nth(1).map(str::to_owned),
            name => profile.attributes.get(name).map(|attribute| attribute.value.clone()),
        };
        if fits(rule, value.unwrap_or_default().trim()) {
            let points = millis(&rule["points"]);
            let (rule, track) = (text(rule, "name").to_owned(), track_of(rule));
            fit.push(Line { rule, points, raw: points, matches: 1, track, ..Line::default() });
        }
    }
    axis(&mut engagement, &playbook["engagement"]);
    axis(&mut fit, &playbook["fit"]);
    let grade = grade(playbook, shown(&engagement), shown(&fit));
    Obvious { engagement, fit, grade }
}

/// The line of one rule, if anything matches it.
fn behaviour(rule: &Value, own: &[Did], as_of: i64) -> Option<Line> {
    let own: Vec<&Did> = own.iter().filter(|did| as_of - did.occurred_at <= 400 * DAY).collect();
    let points = millis(&rule["points"]);
    let counts = |did: &&&Did| match rule.get("limit") {
        None => true,
        Some(limit) => {
            let per = milliseconds(text(limit, "per"));
            let same = |other: &&&Did| other.occurred_at.div_euclid(per) == did.occurred_at.div_euclid(per);
            let later = |other: &&&Did| (other.occurred_at, other.id) > (did.occurred_at, did.id);
            let before_it = own.iter().filter(same).filter(later).count() as i64;
            before_it < limit["times"].as_integer().unwrap()
        }
    };
    let counted: Vec<&&Did> = own.iter().filter(counts).collect();
    let decayed: i128 = counted.iter().map(|did| worth(rule, points, (as_of - did.occurred_at).max(0))).sum();
    let mut capped = decayed;
    if let Some(cap) = rule.get("cap") {
        let cap = i128::from(millis(cap)) << 32;
        capped = capped.clamp(-cap, cap);
    }
    (!own.is_empty()).then(|| Line {
        rule: text(rule, "name").to_owned(),
        points: rounded(capped),
        raw: points * own.len() as i64,
        limit: -points * (own.len() - counted.len()) as i64,
        cap: rounded(capped) - rounded(decayed),
        matches: own.len() as u32,
        track: track_of(rule),
    })
}

/// Of one signal at this age.
fn worth(rule: &Value, points: i64, age: i64) -> i128 {
    let all = i128::from(points) << 32;
    let length = |key: &str| rule.get(key).map(|length| i128::from(milliseconds(length.as_str().unwrap())));
    let wide = i128::from(age);
    if let Some(half_life) = length("half_life") {
        return (all as f64 * 0.5_f64.powf(age as f64 / half_life as f64)).round() as i128;
    }
    if let Some(over) = length("linear") {
        return if wide >= over { 0 } else { all * (over - wide) / over };
    }
    if let Some(window) = length("window") {
        return if wide > window { 0 } else { all };
    }
    let mut left = 100;
    for step in rule.get("step").and_then(Value::as_array).into_iter().flatten() {
        if age > milliseconds(text(step, "after")) {
            left = step["left"].as_integer().unwrap();
        }
    }
    all * i128::from(left) / 100
}

/// Halves away from zero.
fn rounded(amount: i128) -> i64 {
    let magnitude = (amount.abs() + (1 << 31)) >> 32;
    (magnitude * amount.signum()) as i64
}

/// How many signals of a rule are at most so old.
pub(crate) fn within(lead: &Lead, rule: &str, window: i64, as_of: i64) -> i64 {
    let (_, own) = lead.rules.iter().find(|(known, _)| text(known, "name") == rule).unwrap();
    own.iter().filter(|did| as_of - did.occurred_at <= window).count() as i64
}

/// Every instant at which something about a rule may turn, and those beside it.
pub(crate) fn turns(lead: &Lead) -> Vec<i64> {
    let mut turns = Vec::new();
    for (rule, own) in &lead.rules {
        let steps = rule.get("step").and_then(Value::as_array).into_iter().flatten();
        let lengths = [rule.get("linear"), rule.get("window")].into_iter().flatten();
        let lengths = lengths.chain(steps.map(|step| &step["after"]));
        let ages: Vec<i64> = lengths.map(|age| milliseconds(age.as_str().unwrap())).chain([0, 400 * DAY]).collect();
        let of =
            |did: &Did| ages.iter().flat_map(|age| [0, 1].map(|near| did.occurred_at + age + near)).collect::<Vec<_>>();
        turns.extend(own.iter().flat_map(of));
    }
    turns
}

fn axis(ledger: &mut Vec<Line>, axis: &Value) {
    let raw = shown(ledger);
    let points = raw.clamp(0, millis(&axis["cap"])) - raw;
    if points != 0 {
        ledger.push(Line { rule: "cap".to_owned(), points, ..Line::default() });
    }
}

fn grade(playbook: &Table, engagement: i64, fit: i64) -> String {
    let reaches = |axis: &str, step: &str, shown: i64| shown >= millis(&playbook["grades"][axis][step]);
    let letter = ["A", "B", "C"].into_iter().find(|step| reaches("fit", step, fit)).unwrap_or("D");
    let digit = ["1", "2", "3"].into_iter().find(|step| reaches("engagement", step, engagement)).unwrap_or("4");
    format!("{letter}{digit}")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

fn track_of(rule: &Value) -> String {
    rule.get("track").map(|track| track.as_str().unwrap().to_owned()).unwrap_or_default()
}

fn in_group(rule: &Value, name: &str) -> bool {
    rule.get("group").and_then(Value::as_str) == Some(name)
}

/// Points as millipoints.
fn millis(value: &Value) -> i64 {
    let points = value.as_float().unwrap_or_else(|| value.as_integer().unwrap() as f64);
    (points * 1000.0).round() as i64
}

pub(crate) fn milliseconds(length: &str) -> i64 {
    let (number, unit) = length.split_at(length.len() - 1);
    let unit = match unit {
        "d" => DAY,
        "h" => DAY / 24,
        _ => DAY / 1440,
    };
    number.parse::<i64>().unwrap() * unit
}

fn matches(rule: &Value, did: &Did) -> bool {
    let (kind, about) = match &did.event {
        Behavior::PageViewed(_) => ("PageViewed", ""),
        Behavior::FormSubmitted(form) => ("FormSubmitted", form.form.as_str()),
        Behavior::CustomBehavior(custom) => ("CustomBehavior", custom.name.as_str()),
        _ => ("another", ""),
    };
    let one_of = |key: &str, text: &str| rule.get(key).is_none_or(|patterns| any_like(patterns, text));
    text(rule, "event") == kind
        && one_of("about", about)
        && one_of("path", &did.path)
        && one_of("source", "website")
        && one_of("campaign", &did.campaign)
}

fn any_like(patterns: &Value, text: &str) -> bool {
    patterns.as_array().unwrap().iter().any(|pattern| like(pattern, text))
}

fn like(pattern: &Value, text: &str) -> bool {
    let regex = match pattern.as_str() {
        Some(stars) => stars.split('*').map(regex::escape).collect::<Vec<_>>().join("(?s:.*)"),
        None => pattern["regex"].as_str().unwrap().to_owned(),
    };
    RegexBuilder::new(&format!("^(?:{regex})$")).case_insensitive(true).build().unwrap().is_match(text)
}

/// Whether a fit rule holds for a value; an empty one is none.
fn fits(rule: &Value, value: &str) -> bool {
    if rule.get("missing").is_some() {
        return value.is_empty();
    }
    let lower = value.to_lowercase();
    let listed = |key: &str| rule.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut one_of = listed("one_of").map(|one| one.as_str().unwrap().to_lowercase());
    let mut mentions = listed("mentions").map(|phrase| phrase.as_str().unwrap().to_lowercase());
    let number: String = value.chars().filter(|c| *c != '約' && *c != ',').take_while(char::is_ascii_digit).collect();
    let within = number.parse::<i64>().is_ok_and(|number| {
        let bound = |key: &str| rule.get(key).map(|bound| bound.as_integer().unwrap());
        (bound("from").is_some() || bound("to").is_some())
            && bound("from").is_none_or(|from| number >= from)
            && bound("to").is_none_or(|to| number <= to)
    });
    let words = |text: &str| text.replace(|c: char| !c.is_alphanumeric(), " ");
    let mentioned = |phrase: String| {
        if phrase.is_ascii() {
            format!(" {} ", words(&lower)).contains(&format!(" {phrase} "))
        } else {
            lower.contains(&phrase)
        }
    };
    !value.is_empty()
        && (one_of.any(|one| one == lower)
            || mentions.any(mentioned)
            || within
            || rule.get("like").is_some_and(|patterns| any_like(patterns, value)))
}
