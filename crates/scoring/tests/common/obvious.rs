//! The semantics of scoring once more, slow and obvious, from the text of the playbook: knows nothing of the crate's code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "the obvious way, with numbers that are small"
)]

use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use toml::{Table, Value};

use super::{DAY, Did};

#[derive(Debug, PartialEq)]
pub(crate) struct Obvious {
    /// Rule and points of each, in the order of the playbook; then "cap".
    pub(crate) engagement: Vec<(String, i64)>,
    pub(crate) fit: Vec<(String, i64)>,
    pub(crate) grade: String,
}

pub(crate) fn shown(contributions: &[(String, i64)]) -> i64 {
    contributions.iter().map(|(_, points)| points).sum()
}

pub(crate) fn score(playbook: &str, history: &[Did], profile: &v1::Profile, as_of: i64) -> Obvious {
    let playbook: Table = playbook.parse().unwrap();
    let mut engagement = Vec::new();
    for rule in playbook["engagement"]["rules"].as_array().unwrap() {
        let mut matches = 0;
        let mut sum = 0.0;
        for did in history {
            let age = as_of - did.occurred_at;
            if age > 400 * DAY || !rule_matches(rule, did) {
                continue;
            }
            matches += 1;
            let half_life = rule.get("half_life").map(|length| milliseconds(length.as_str().unwrap()));
            let left = match half_life {
                Some(half_life) if age > 0 => 0.5_f64.powf(age as f64 / half_life as f64),
                _ => 1.0,
            };
            sum += number(&rule["points"]) * 1000.0 * left;
        }
        if let Some(cap) = rule.get("cap") {
            sum = sum.clamp(-number(cap) * 1000.0, number(cap) * 1000.0);
        }
        if matches > 0 {
            engagement.push((rule["name"].as_str().unwrap().to_owned(), sum.round() as i64));
        }
    }
    let mut fit = Vec::new();
    for rule in playbook["fit"]["rules"].as_array().unwrap() {
        let value = profile.attributes.get(rule["attribute"].as_str().unwrap());
        let one_of = rule["one_of"].as_array().unwrap();
        if value.is_some_and(|value| one_of.iter().any(|one| one.as_str() == Some(value.value.as_str()))) {
            fit.push((rule["name"].as_str().unwrap().to_owned(), (number(&rule["points"]) * 1000.0).round() as i64));
        }
    }
    cap(&mut engagement, &playbook["engagement"]);
    cap(&mut fit, &playbook["fit"]);
    let grade = grade(&playbook, shown(&engagement), shown(&fit));
    Obvious { engagement, fit, grade }
}

/// How many signals of a rule are at most so old.
pub(crate) fn within(playbook: &str, history: &[Did], rule: &str, window: i64, as_of: i64) -> i64 {
    let playbook: Table = playbook.parse().unwrap();
    let rules = playbook["engagement"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|known| known["name"].as_str() == Some(rule)).unwrap();
    let counted = history.iter().filter(|did| as_of - did.occurred_at <= window && rule_matches(rule, did));
    i64::try_from(counted.count()).unwrap()
}

fn cap(contributions: &mut Vec<(String, i64)>, axis: &Value) {
    let raw = shown(contributions);
    let shown = raw.clamp(0, (number(&axis["cap"]) * 1000.0) as i64);
    if shown != raw {
        contributions.push(("cap".to_owned(), shown - raw));
    }
}

fn grade(playbook: &Table, engagement: i64, fit: i64) -> String {
    let reaches = |axis: &str, step: &str, shown: i64| shown as f64 >= number(&playbook["grades"][axis][step]) * 1000.0;
    let letter = ["A", "B", "C"].into_iter().find(|step| reaches("fit", step, fit)).unwrap_or("D");
    let digit = ["1", "2", "3"].into_iter().find(|step| reaches("engagement", step, engagement)).unwrap_or("4");
    format!("{letter}{digit}")
}

fn number(value: &Value) -> f64 {
    value.as_float().unwrap_or_else(|| value.as_integer().unwrap() as f64)
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

fn rule_matches(rule: &Value, did: &Did) -> bool {
    let (kind, about) = match &did.event {
        Behavior::PageViewed(_) => ("PageViewed", ""),
        Behavior::FormSubmitted(form) => ("FormSubmitted", form.form.as_str()),
        Behavior::CustomBehavior(custom) => ("CustomBehavior", custom.name.as_str()),
        _ => ("another", ""),
    };
    let one_of = |key: &str, text: &str| {
        let patterns = rule.get(key).and_then(Value::as_array);
        patterns.is_none_or(|patterns| patterns.iter().any(|pattern| like(pattern.as_str().unwrap(), text)))
    };
    rule["event"].as_str() == Some(kind) && one_of("about", about) && one_of("path", &did.path)
}

/// Patterns of the tests have at most one star, at the end.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.to_lowercase().starts_with(&start.to_lowercase()),
        None => text.eq_ignore_ascii_case(pattern),
    }
}
