//! The life of a playbook, end to end on both logs: published by the command, every lead scored anew, taken back, and
//! still in force after a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tasuki_tests::commands::program;
use tasuki_tests::{Log, PATIENCE, Tasuki, eventually};

const LEADS: usize = 40;

/// Within the minutes of a test a score fades by less, in thousandths of points.
const FADES: i64 = 50;

#[test]
fn a_published_playbook_scores_every_lead_anew_on_the_embedded_log() -> anyhow::Result<()> {
    published(Log::Embedded)
}

#[test]
fn a_published_playbook_scores_every_lead_anew_on_kafka() -> anyhow::Result<()> {
    published(Log::Kafka)
}

fn published(log: Log) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tasuki = Tasuki::start(log, folder.path(), &[])?;
    visits(&tasuki)?;
    let first = scores(&tasuki, 1)?;
    let file = folder.path().join("second.toml");
    let (built_in, _) = playbook(&tasuki, &["show", "--file"], 0)?;
    std::fs::write(&file, changed(&built_in, &[("version = 1", "version = 2"), ("points = 8", "points = 20")])?)?;

    let path = file.to_string_lossy();
    let answer = json_of(&tasuki, &["publish", &path, "--by", "mori", "--json"], 0)?;
    ensure!(answer["changed"] == true && answer["version"] == 2, "{answer}");
    let second = scores(&tasuki, 2)?;
    ensure!(first.iter().all(|(lead, points)| second[lead] > *points), "{first:?} {second:?}");
    let again = json_of(&tasuki, &["publish", &path, "--json"], 0)?;
    ensure!(again == json!({ "changed": false, "version": 2 }), "{again}");
    explained(&tasuki, &path, first[&address(0)])?;
    refusals(&tasuki, folder.path(), &built_in)?;

    // A kill, and a start with a file that has no effect any more.
    tasuki.signal("KILL")?;
    tasuki.ended()?;
    let third = folder.path().join("third.toml");
    std::fs::write(&third, changed(&built_in, &[("version = 1", "version = 3")])?)?;
    let tasuki = Tasuki::start(log, folder.path(), &["--playbook", &third.to_string_lossy()])?;
    ensure!(alike(&scores(&tasuki, 2)?, &second), "as they were");
    visit(&tasuki, LEADS)?;
    let with_one_more = scores_of(&tasuki, LEADS + 1, 2)?;
    let newest = (with_one_more[&address(LEADS)] - second[&address(0)]).abs();
    ensure!(newest < FADES, "the next lead is scored by it as well: {newest}");

    let answer = json_of(&tasuki, &["rollback", "--by", "mori", "--json"], 0)?;
    ensure!(answer["version"] == 1, "{answer}");
    let mut back = scores_of(&tasuki, LEADS + 1, 1)?;
    back.remove(&address(LEADS));
    ensure!(alike(&back, &first), "the numbers are back: {first:?} {back:?}");
    let (history, _) = playbook(&tasuki, &["history"], 0)?;
    let told: Vec<_> = history.lines().map(|line| line.split("  ").skip(1).take(2).collect::<Vec<_>>()).collect();
    let expected = [["version 1", "rolled-back by mori"], ["version 2", "published by mori"], ["version 1", "started"]];
    ensure!(told == expected, "{history}");
    tasuki.stop()
}

/// What is explained is what the log holds, to the last thousandth and piece of evidence; by the earlier version it is what
/// was shown before, `first`.
fn explained(tasuki: &Tasuki, second: &str, first: i64) -> anyhow::Result<()> {
    let found = tasuki.get(&format!("/api/v1/leads?search={}", address(0)))?;
    let id = found["items"][0]["id"].as_str().context("the lead is found")?.to_owned();
    let shown = tasuki.get(&format!("/api/v1/leads/{id}"))?;
    let said = |arguments: &[&str], code: i32| -> anyhow::Result<String> {
        let mut command: Command = program(tasuki)?;
        command.args(["leads", "explain"]).args(arguments);
        command.args(["--to", tasuki.told("console"), "--api-token", tasuki.told("api_token")]);
        let output = command.output()?;
        let (said, why) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.code() == Some(code), "{arguments:?} ended with {}: {said}{why}", output.status);
        Ok(said + &why)
    };
    let explained = |arguments: &[&str]| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&said(&[&[id.as_str(), "--json"], arguments].concat(), 0)?)?)
    };
    let now = explained(&[])?;
    for (name, held) in [
        ("as_of", "scored_as_of"),
        ("engagement_mp", "engagement_mp"),
        ("fit_mp", "fit_mp"),
        ("score_mp", "score_mp"),
        ("grade", "grade"),
        ("contributions", "contributions"),
        ("facts", "facts"),
    ] {
        ensure!(now[name] == shown[held], "{name} is {}, and {} is shown", now[name], shown[held]);
    }
    ensure!(now["playbook"]["version"] == 2 && now["playbook"]["in_force"] == true, "{now}");
    ensure!(explained(&["--playbook-file", second])?["contributions"] == now["contributions"], "by its file");
    let before = explained(&["--playbook", "1"])?;
    let points = before["score_mp"].as_i64().context("points")?;
    ensure!((points - first).abs() < FADES, "{points} by version 1, and {first} was shown");
    ensure!(said(&[&id], 0)?.contains("by playbook default, version 2, in force; 2 signals"), "in words");
    let nobody = "00000000-0000-8000-8000-000000000000";
    for (arguments, code, told) in [
        (&[nobody][..], 65, "no lead with id"),
        (&[&id, "--playbook", "9"], 65, "no playbook of version 9 was ever published"),
        (&[&id, "--as-of", "1969-01-01T00:00:00Z"], 65, "allowed is from 1970-01-01T00:00:00.000Z"),
        (&[&id, "--as-of", "yesterday"], 64, "not an instant"),
        (&[&id, "--playbook-file", "/nowhere.toml"], 66, "cannot read /nowhere.toml"),
    ] {
        let answer = said(arguments, code)?;
        ensure!(answer.contains(told), "{arguments:?}: {answer}");
    }
    Ok(())
}

/// What must not be published is not, and is told with its place.
fn refusals(tasuki: &Tasuki, folder: &Path, built_in: &str) -> anyhow::Result<()> {
    let file = folder.join("refused.toml");
    let path = file.to_string_lossy().into_owned();
    for (changes, code, told) in [
        ([("version = 1", "version = 3"), ("points = 8", "points = \"8\"")], 65, "line 34"),
        ([("version = 1", "version = 3"), ("cap = 24", "cap = 4")], 1, "its cap is 4"),
        ([("version = 1", "version = 2"), ("cap = 24", "cap = 25")], 65, "allowed is a higher one"),
    ] {
        std::fs::write(&file, changed(built_in, &changes)?)?;
        let (said, why) = playbook(tasuki, &["publish", &path], code)?;
        ensure!(said.contains(told) || why.contains(told), "{told}: {said}{why}");
    }
    let nothing = tasuki.get("/api/v1/playbooks")?;
    ensure!(nothing["in_force"]["version"] == 2 && nothing["items"].as_array().map(Vec::len) == Some(2), "{nothing}");
    Ok(())
}

fn changed(text: &str, changes: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for (from, to) in changes {
        ensure!(text.contains(from), "invalid: no {from}");
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

fn alike(these: &BTreeMap<String, i64>, those: &BTreeMap<String, i64>) -> bool {
    let near = |(lead, points): (&String, &i64)| those.get(lead).is_some_and(|other| (points - other).abs() < FADES);
    these.len() == those.len() && these.iter().all(near)
}

fn address(number: usize) -> String {
    format!("lead-{number}@acme.example")
}

fn visits(tasuki: &Tasuki) -> anyhow::Result<()> {
    (0..LEADS).try_for_each(|number| visit(tasuki, number))
}

/// Says who it is, and looks at the prices.
fn visit(tasuki: &Tasuki, number: usize) -> anyhow::Result<()> {
    let event = |kind: &str, more: Value| {
        let mut event = json!({
            "type": kind, "userId": format!("user-{number}"),
            "messageId": format!("{number}-{kind}"),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    let batch = json!({
        "writeKey": tasuki.told("write_key"),
        "batch": [
            event("identify", json!({ "traits": { "email": address(number), "title": "CTO" } })),
            event("page", json!({ "properties": { "path": "/pricing", "url": "https://www.example.com/pricing" } })),
        ],
    });
    let answer = ureq::post(format!("{}/v1/batch", tasuki.told("ingest"))).send_json(&batch);
    answer.map(drop).context("ingest takes the visit")
}

/// The points of all leads by address, once each was scored by this version.
fn scores(tasuki: &Tasuki, version: u32) -> anyhow::Result<BTreeMap<String, i64>> {
    scores_of(tasuki, LEADS, version)
}

fn scores_of(tasuki: &Tasuki, leads: usize, version: u32) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut last = Value::Null;
    eventually(PATIENCE, || {
        last = tasuki.get("/api/v1/leads?limit=500")?;
        let items = last["items"].as_array().map_or(&[][..], Vec::as_slice);
        // The title, the address and the prices, and by this version.
        let done = |item: &&Value| {
            item["playbook_version"] == version
                && item["activities"] == 2
                && item["fit"].as_f64().is_some_and(|fit| fit > 0.0)
        };
        if items.iter().filter(done).count() != leads {
            return Ok(None);
        }
        let points = |item: &Value| {
            let address = item["email"].as_str().context("a lead has an address")?.to_owned();
            let score = item["score_mp"].as_i64().context("a lead has a score")?;
            Ok((address, score))
        };
        items.iter().map(points).collect::<anyhow::Result<BTreeMap<_, _>>>().map(Some)
    })
    .with_context(|| format!("{leads} leads by version {version}; last seen: {last:#}"))
}

/// What `tasuki playbook` says on both streams, once it has ended with this code.
fn playbook(tasuki: &Tasuki, arguments: &[&str], code: i32) -> anyhow::Result<(String, String)> {
    let mut command: Command = program(tasuki)?;
    command.arg("playbook").args(arguments).env_remove("TASUKI_PLAYBOOK");
    if arguments[0] != "show" {
        command.args(["--to", tasuki.told("console"), "--api-token", tasuki.told("api_token")]);
    }
    let output = command.output()?;
    let (said, why) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(
        output.status.code() == Some(code),
        "{arguments:?} ended with {}, not {code}:\n{said}\n{why}",
        output.status
    );
    Ok((said, why))
}

fn json_of(tasuki: &Tasuki, arguments: &[&str], code: i32) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&playbook(tasuki, arguments, code)?.0)?)
}
