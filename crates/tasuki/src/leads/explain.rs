//! `tasuki leads explain`: what a lead was, is or would be worth, in text.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tasuki_domain::{LeadId, Timestamp};

use crate::ask::Place;
use crate::playbook;

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Id of the lead.
    #[arg(value_name = "LEAD")]
    lead: LeadId,
    /// As of when, for example 2026-11-23T09:30:00Z: what had happened by then counts, as known now. As of the score that is
    /// shown if not given; may lie ahead.
    #[arg(long, value_name = "INSTANT")]
    as_of: Option<Timestamp>,
    /// By the playbook of this version, one that was ever in force. By the one in force if not given.
    #[arg(id = "of_version", long = "playbook", value_name = "VERSION", conflicts_with = "playbook_file")]
    version: Option<u32>,
    /// By a playbook that need not be published: a file, or built-in, b2b-saas, industrial, insurance. Nothing is changed by it.
    #[arg(long, value_name = "FILE")]
    playbook_file: Option<PathBuf>,
    /// The answer as one JSON object, instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Asks the console; what it says, as text or JSON.
pub(super) fn answer(asked: &Explain) -> anyhow::Result<String> {
    let path = format!("/api/v1/leads/{}/explain", asked.lead);
    let answered = match &asked.playbook_file {
        Some(file) => {
            // Read here first: its faults are told with their places.
            let playbook = playbook::read(Some(file))?;
            let as_of = asked.as_of.map(|at| at.to_string());
            asked.place.post(&path, &json!({ "text": playbook.text(), "as_of": as_of }), None)?
        }
        None => {
            let as_of = asked.as_of.map(|at| format!("as_of={at}"));
            let version = asked.version.map(|version| format!("playbook={version}"));
            let query: Vec<String> = as_of.into_iter().chain(version).collect();
            asked.place.get(&format!("{path}?{}", query.join("&")))?
        }
    };
    let answer = answered.good()?;
    if asked.json { Ok(serde_json::to_string_pretty(&answer)? + "\n") } else { in_words(&answer) }
}

fn in_words(answer: &Value) -> anyhow::Result<String> {
    let mut text = String::new();
    let playbook = &answer["playbook"];
    let standing = match (playbook["in_force"] == true, playbook["published"] == true) {
        (true, _) => "in force",
        (false, true) => "not in force",
        (false, false) => "not published",
    };
    let name = said(&playbook["name"]);
    writeln!(text, "lead {} as of {}", said(&answer["lead_id"]), said(&answer["as_of"]))?;
    writeln!(text, "by playbook {name}, version {}, {standing}; {} signals", playbook["version"], answer["signals"])?;
    if let Some(into) = answer["merged_into"].as_str() {
        writeln!(text, "it is merged into {into}, which has all that it did")?;
    }
    let shown = &answer["shown"];
    if let Some(as_of) = shown["as_of"].as_str() {
        let (engagement, fit, version) = (&shown["engagement"], &shown["fit"], &shown["playbook_version"]);
        let grade = said(&shown["grade"]);
        writeln!(
            text,
            "shown is engagement {engagement}, fit {fit}, grade {grade}, as of {as_of} by version {version}"
        )?;
    }
    writeln!(text, "\ngrade {}, {} points in all", said(&answer["grade"]), answer["score"])?;
    for axis in ["engagement", "fit"] {
        ledger(&mut text, answer, axis)?;
    }
    for track in list(answer, "tracks") {
        let (engagement, fit, grade) = (&track["engagement"], &track["fit"], said(&track["grade"]));
        writeln!(text, "\ntrack {}: engagement {engagement}, fit {fit}, grade {grade}", said(&track["track"]))?;
        for row in list(track, "contributions") {
            let (axis, rule) = (said(&row["axis"]), said(&row["rule"]));
            writeln!(text, "  {:>8}  {axis}: {rule}", row["points"].to_string())?;
        }
    }
    let later = names(&answer["attributes_said_later"]);
    if !later.is_empty() {
        writeln!(text, "  said only later, so that fit may have been another: {later}")?;
    }
    let open = names(&answer["open_routes"]);
    writeln!(text, "\nroutes whose condition holds: {}", if open.is_empty() { "none" } else { &open })?;
    outlook(&mut text, answer)?;
    Ok(text)
}

/// An axis and what it is made of: the points of its rows add up to it.
fn ledger(text: &mut String, answer: &Value, axis: &str) -> anyhow::Result<()> {
    writeln!(text, "\n{axis} {}", answer[axis])?;
    for row in list(answer, "contributions").iter().filter(|row| row["axis"] == axis) {
        write!(text, "  {:>8}  {}", row["points"].to_string(), said(&row["rule"]))?;
        let matches = row["matches"].as_u64().unwrap_or_default();
        if matches > 0 && axis == "engagement" {
            write!(text, ": {matches} of {} in all", row["raw"])?;
            for (what, by) in [("limit", "limit_mp"), ("decay", "decay_mp"), ("cap", "cap_mp")] {
                let taken = row[by].as_i64().unwrap_or_default();
                if taken != 0 {
                    write!(text, ", {what} {}", tasuki_domain::Millipoints::new(taken))?;
                }
            }
        }
        writeln!(text)?;
        for event in list(row, "evidence") {
            let (what, at, points) = (said(&event["what"]), said(&event["occurred_at"]), &event["points"]);
            writeln!(text, "            {at}  {what}  {points}")?;
        }
    }
    Ok(())
}

/// What time alone will change, and what would lift it.
fn outlook(text: &mut String, answer: &Value) -> anyhow::Result<()> {
    writeln!(text, "\nexpected if nothing else happens")?;
    let expected = list(answer, "expected");
    if expected.is_empty() {
        writeln!(text, "  nothing that a route or a grade looks at")?;
    }
    for change in expected {
        write!(
            text,
            "  {}  engagement {}, grade {}",
            said(&change["at"]),
            change["engagement"],
            said(&change["grade"])
        )?;
        crossed(text, change)?;
        for track in list(change, "tracks") {
            let (name, grade) = (said(&track["track"]), said(&track["grade"]));
            write!(text, "; track {name}: engagement {}, grade {grade}", track["engagement"])?;
            crossed(text, track)?;
        }
        for fact in list(change, "facts") {
            write!(text, ", {} goes from {} to {}", said(&fact["name"]), fact["from"], fact["to"])?;
        }
        writeln!(text)?;
    }
    for lift in list(answer, "lifts") {
        let of = lift["track"].as_str().map_or_else(String::new, |track| format!(" of the track {track}"));
        let (to, axis, missing) = (&lift["to"], said(&lift["axis"]), &lift["missing"]);
        writeln!(text, "\nto reach {to} {axis}{of} it is short of {missing}")?;
        let rules = list(lift, "rules");
        for by in rules {
            let ends = if by["by"] == "matching" { "" } else { " once it does not hold any more" };
            let times = by["times"].as_u64().map_or_else(String::new, |times| format!(", {times} would do"));
            writeln!(text, "  {:>8}  {}{ends}{times}", format!("+{}", by["points"]), said(&by["rule"]))?;
        }
        if rules.is_empty() {
            writeln!(text, "  no rule would give more")?;
        }
    }
    Ok(())
}

/// The boundaries that engagement crosses.
fn crossed(text: &mut String, change: &Value) -> anyhow::Result<()> {
    for (what, list_of) in [("falls below", "falls_below"), ("reaches", "reaches")] {
        let at: Vec<String> = list(change, list_of).iter().map(Value::to_string).collect();
        if !at.is_empty() {
            write!(text, ", {what} {}", at.join(", "))?;
        }
    }
    Ok(())
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn said(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn names(value: &Value) -> String {
    let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_reads_as_a_ledger_with_what_is_expected() {
        let answer = json!({
            "lead_id": "a", "merged_into": null, "as_of": "2026-11-23T00:00:00.000Z",
            "playbook": { "name": "default", "version": 2, "in_force": false, "published": false },
            "engagement": 7.5, "fit": 20, "score": 27.5, "grade": "C4", "signals": 2,
            "contributions": [
                { "axis": "engagement", "rule": "page", "points": 7.5, "raw": 16, "matches": 2, "limit_mp": -8000,
                  "decay_mp": 0, "cap_mp": -500,
                  "evidence": [{ "what": "PageViewed /", "occurred_at": "2026-11-22T00:00:00.000Z", "points": 8 }] },
                { "axis": "fit", "rule": "large", "points": 20, "matches": 1, "evidence": [] },
            ],
            "tracks": [{ "track": "machines", "engagement": 7.5, "fit": 0, "grade": "D4", "contributions": [
                { "axis": "engagement", "rule": "page", "points": 7.5 }, { "axis": "fit", "rule": "large", "points": 20 },
                { "axis": "fit", "rule": "cap", "points": -20 }] }],
            "open_routes": ["score"], "attributes_said_later": ["title"],
            "expected": [{ "at": "2026-12-01T00:00:00.000Z", "engagement": 4, "grade": "C4", "falls_below": [5],
                "reaches": [], "tracks": [{ "track": "machines", "engagement": 4, "grade": "D4", "falls_below": [5, 7], "reaches": [] }],
                "facts": [{ "name": "f", "from": 1, "to": 0 }], "open_routes": [] }],
            "lifts": [{ "track": "machines", "axis": "engagement", "to": 10, "missing": 2.5, "rules": [] },
              { "track": null, "axis": "fit", "to": 45, "missing": 25, "rules": [
                { "rule": "free-mail", "points": 20, "times": null, "by": "no longer matching" },
                { "rule": "boss", "points": 30, "times": 1, "by": "matching" }] }],
            "shown": { "as_of": "2026-11-23T00:00:00.000Z", "playbook_version": 1, "engagement": 9, "fit": 20, "grade": "C4" },
        });
        let expected = "\
lead a as of 2026-11-23T00:00:00.000Z
by playbook default, version 2, not published; 2 signals
shown is engagement 9, fit 20, grade C4, as of 2026-11-23T00:00:00.000Z by version 1

grade C4, 27.5 points in all

engagement 7.5
       7.5  page: 2 of 16 in all, limit -8, cap -0.5
            2026-11-22T00:00:00.000Z  PageViewed /  8

fit 20
        20  large

track machines: engagement 7.5, fit 0, grade D4
       7.5  engagement: page
        20  fit: large
       -20  fit: cap
  said only later, so that fit may have been another: title

routes whose condition holds: score

expected if nothing else happens
  2026-12-01T00:00:00.000Z  engagement 4, grade C4, falls below 5; track machines: engagement 4, grade D4, falls below 5, 7, f goes from 1 to 0

to reach 10 engagement of the track machines it is short of 2.5
  no rule would give more

to reach 45 fit it is short of 25
       +20  free-mail once it does not hold any more
       +30  boss, 1 would do
";
        assert_eq!(in_words(&answer).expect("a string takes it"), expected);
    }
}
