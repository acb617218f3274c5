//! `tasuki playbook` as it is called.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn tasuki(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tasuki"))
        .arg("playbook")
        .args(arguments)
        .env_remove("TASUKI_PLAYBOOK")
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The built-in playbook with some of its text replaced, as a file.
fn playbook(folder: &TempDir, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = String::from_utf8(tasuki(&["show", "--file"]).stdout).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "invalid: no {from}");
        text = text.replacen(from, to, 1);
    }
    let path = folder.path().join("playbook.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_playbook_that_can_be_used_ends_with_0_and_one_with_warnings_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let good = tasuki(&["check", "--json"]);
    let report = json_of(&good);
    assert_eq!((good.status.code(), &report["verdict"]), (Some(0), &json!("good")), "{report}");
    assert_eq!(report["lints"].as_array().unwrap().len(), 5);
    let quiet = json_of(&tasuki(&["check", "--json", "--quiet"]));
    assert_eq!(quiet["lints"], json!([]));

    let path = playbook(&folder, &[("cap = 24", "cap = 4")]);
    let warned = tasuki(&["check", as_text(&path), "--quiet"]);
    let text = String::from_utf8(warned.stdout).unwrap();
    assert_eq!(warned.status.code(), Some(1));
    let expected = format!(
        "{0}: line 31, column 8: warning: rule \"pricing-page\" never has its 8 points: its cap is 4 [cap-below-points]\n\
         {0}: playbook default, version 1, can be used: 14 engagement rules, 7 fit rules, 2 routes\n",
        path.display()
    );
    assert_eq!(text, expected);
}

#[test]
fn faults_are_told_with_their_places_and_end_with_65() {
    let folder = tempfile::tempdir().unwrap();
    let path = playbook(
        &folder,
        &[("event = \"PageViewed\"", "event = \"PageSeen\""), ("half_life = \"14d\"", "half_life = 14")],
    );
    let faulty = tasuki(&["check", as_text(&path), "--json"]);
    assert_eq!(faulty.status.code(), Some(65));
    let report = json_of(&faulty);
    let faults = report["faults"].as_array().unwrap();
    let lines: Vec<_> = faults.iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    assert_eq!((lines, &report["verdict"]), (vec![17, 27], &json!("faults")), "{report}");
    for missing in [tasuki(&["check", "/nowhere.toml"]), tasuki(&["diff", "built-in", "/nowhere.toml"])] {
        assert_eq!(missing.status.code(), Some(66));
        assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read /nowhere.toml"));
    }
}

#[test]
fn pools_that_nobody_is_in_are_told_where_the_reps_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let reps = folder.path().join("reps.toml");
    let path = playbook(&folder, &[("pool = \"inside-sales\"", "pool = \"nobody\"")]);
    std::fs::write(&reps, include_str!("../../playbook/reps.example.toml")).unwrap();
    let report = tasuki(&["check", as_text(&path), "--reps", as_text(&reps), "--json"]);
    assert_eq!((report.status.code(), &json_of(&report)["empty_pools"]), (Some(1), &json!(["nobody"])));
}

#[test]
fn two_playbooks_are_compared_part_by_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = playbook(&folder, &[("version = 1", "version = 2"), ("engagement >= 60", "engagement >= 50")]);
    let differs = tasuki(&["diff", "built-in", as_text(&path), "--json"]);
    let expected = json!({
        "earlier": {"name": "default", "version": 1},
        "later": {"name": "default", "version": 2},
        "version_raised": true,
        "differences": [{
            "part": "route",
            "name": "score",
            "change": "changed",
            "before": "score: when engagement >= 60 && fit >= 40; to inside-sales, in turn, to be accepted within 1 day.",
            "after": "score: when engagement >= 50 && fit >= 40; to inside-sales, in turn, to be accepted within 1 day.",
            "concerns": "leads that qualify from then on; what was handed over stays",
        }],
    });
    assert_eq!((differs.status.code(), json_of(&differs)), (Some(1), expected));
    let same = tasuki(&["diff", as_text(&path), as_text(&path)]);
    assert_eq!((same.status.code(), same.stdout.as_slice()), (Some(0), b"nothing differs\n".as_slice()));
}

#[test]
fn the_schema_is_json_and_the_sentences_are_in_the_language_asked_for() {
    let schema = json_of(&tasuki(&["schema"]));
    assert_eq!(schema["title"], "Tasuki playbook");
    for (language, heading) in [("en", "After a rejection"), ("ja", "営業が断ったあと")] {
        let shown = json_of(&tasuki(&["show", "--language", language, "--json"]));
        assert_eq!(shown["sections"][4]["heading"], heading);
    }
}

#[test]
fn ready_made_playbooks_are_known_by_their_names() {
    for name in ["built-in", "b2b-saas", "industrial", "insurance"] {
        let checked = tasuki(&["check", name, "--quiet", "--json"]);
        let report = json_of(&checked);
        assert_eq!(
            (checked.status.code(), &report["verdict"], &report["lints"]),
            (Some(0), &json!("good"), &json!([])),
            "{name}"
        );
    }
    let aloud = String::from_utf8(tasuki(&["show", "insurance", "--language", "ja"]).stdout).unwrap();
    assert!(
        aloud.contains("seminar：セミナー・展示会への参加1回につき25点、30日後に50%、90日後に0になる。合計50点まで。"),
        "{aloud}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, tasuki(&["show", "industrial", "--file"]).stdout).unwrap();
    assert_eq!(tasuki(&["diff", "industrial", as_text(&file)]).status.code(), Some(0));
}
