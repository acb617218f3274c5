//! A playbook comes into force, is taken back, and what was in force when: `publish`, `rollback`, `history`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tasuki_service::{Exit, Failure};

use super::{Answer, BUILT_IN, pretty, text};
use crate::ask::{Answered, Place};

const PLAYBOOKS: &str = "/api/v1/playbooks";

/// How long what is on the log may take to be shown, and how often it is asked for.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Brings a playbook into force.
pub(super) fn publish(path: &Path, by: &str, despite_warnings: bool, place: &Place, as_json: bool) -> Answer {
    let body = json!({ "text": text(Some(path))?, "by": by, "despite_warnings": despite_warnings });
    let answered = place.post(PLAYBOOKS, &body, None)?;
    let code = match answered.code() {
        "faulty-playbook" => Exit::Data.code(),
        "doubtful-playbook" => 1,
        _ => return brought_about(place, answered, as_json),
    };
    if as_json {
        return Ok((pretty(&answered.body)?, code));
    }
    let mut text = String::new();
    let shown = path.display();
    for list in ["faults", "lints"] {
        for found in answered.body[list].as_array().into_iter().flatten() {
            let (line, column) = (&found["line"], &found["column"]);
            writeln!(text, "{shown}: line {line}, column {column}: {}", found["problem"].as_str().unwrap_or_default())?;
        }
    }
    let hint = if code == 1 { "; --despite-warnings if it is meant so" } else { "" };
    writeln!(text, "{shown}: not published: correct it at the places named{hint}")?;
    Ok((text, code))
}

/// Brings an earlier playbook into force again.
pub(super) fn roll_back(version: Option<u32>, by: &str, place: &Place, as_json: bool) -> Answer {
    let answered = place.post(&format!("{PLAYBOOKS}/rollback"), &json!({ "version": version, "by": by }), None)?;
    brought_about(place, answered, as_json)
}

/// Waits until what was published is shown as in force, so that the next command builds on it.
fn brought_about(place: &Place, answered: Answered, as_json: bool) -> Answer {
    let answer = answered.good()?;
    let version = &answer["version"];
    if answer["changed"] == json!(false) {
        return Ok((
            if as_json {
                pretty(&answer)?
            } else {
                format!("version {version} is in force already: nothing changes\n")
            },
            0,
        ));
    }
    let until = Instant::now() + SHOWN_WITHIN;
    loop {
        let history = place.get(PLAYBOOKS)?.good()?;
        let mut items = history["items"].as_array().into_iter().flatten();
        if items.any(|item| item["id"] == answer["id"]) {
            break;
        }
        if Instant::now() > until {
            let what =
                format!("version {version} is on the log, and not in the tables after {} s", SHOWN_WITHIN.as_secs());
            return Err(Failure::new(Exit::TemporaryFailure, what, "is the projection running?").into());
        }
        std::thread::sleep(ASK_EVERY);
    }
    let name = answer["name"].as_str().unwrap_or_default();
    let said =
        format!("playbook {name}, version {version}, is in force: leads are scored by it, those scored before too\n");
    Ok((if as_json { pretty(&answer)? } else { said }, 0))
}

/// What is in force, and everything that was published, the latest first.
pub(super) fn history(place: &Place, as_json: bool) -> Answer {
    let history = place.get(PLAYBOOKS)?.good()?;
    if as_json {
        return Ok((pretty(&history)?, 0));
    }
    let mut text = String::new();
    let items = history["items"].as_array().map_or(&[][..], Vec::as_slice);
    for item in items {
        writeln!(text, "{}", line(item))?;
    }
    if items.is_empty() {
        let (name, version) =
            (history["in_force"]["name"].as_str().unwrap_or_default(), &history["in_force"]["version"]);
        writeln!(
            text,
            "nothing was published yet; {name}, version {version}, is in force from the start ({BUILT_IN}, or --playbook)"
        )?;
    }
    Ok((text, 0))
}

fn line(item: &Value) -> String {
    let field = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let (at, because, name) = (field("published_at"), field("because"), field("name"));
    let by = item["published_by"].as_str().map_or_else(String::new, |by| format!(" by {by}"));
    let now = if item["in_force"] == json!(true) { "  <- in force" } else { "" };
    format!("{at}  version {}  {because}{by}  {name}{now}", item["version"])
}
