//! Files of people become leads: with their own dates, each row once however often it is imported, bad rows found again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use tasuki_tests::commands::{answers, import, program};
use tasuki_tests::{Log, Tasuki, top};

fn example(name: &str) -> PathBuf {
    top().join("docs/examples").join(name)
}

/// What of a summary is about numbers.
fn numbers(summary: &[Value]) -> Value {
    let of = |name: &str| summary.first().map(|summary| summary[name].clone()).unwrap_or_default();
    json!({"rows": of("rows"), "accepted": of("accepted"), "bad": of("bad_by_code"), "events": of("events")})
}

/// Kind, what about, and when, of all that a lead did, in order.
fn timeline(lead: &Value) -> Vec<(String, String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let entries = lead["timeline"].as_array().into_iter().flatten();
    let mut all: Vec<_> =
        entries.map(|entry| (text(entry, "occurred_at"), text(entry, "kind"), text(entry, "about"))).collect();
    all.sort_unstable();
    all
}

fn entry(at: &str, kind: &str, about: &str) -> (String, String, String) {
    (at.to_owned(), kind.to_owned(), about.to_owned())
}

#[test]
fn cards_of_a_trade_show_become_leads_once_however_often_they_are_imported() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    let cards = example("trade-show-cards.csv");
    let bad_rows = folder.path().join("bad.csv");
    let show = ["--kind", "trade-show", "--name", "Expo 2026", "--yes"];
    let expected = json!({"rows": 6, "accepted": 4, "bad": {"row-email": 1, "row-phone": 1}, "events": 8});

    let dry = answers(import(&tasuki, &cards, &show)?.arg("--dry-run"), 1)?;
    assert_eq!(numbers(&dry), expected);
    let first = answers(import(&tasuki, &cards, &show)?.arg("--bad-rows").arg(&bad_rows), 1)?;
    assert_eq!((numbers(&first), &first[0]["dry_run"]), (expected.clone(), &json!(false)));
    let again = answers(&mut import(&tasuki, &cards, &show)?, 1)?;
    assert_eq!(numbers(&again), expected, "it is accepted again; that it counts once is seen below");

    // A list that overlaps: the same visit in another form and character set, a corrected row, and somebody new.
    let overlapping = folder.path().join("overlapping.tsv");
    std::fs::write(
        &overlapping,
        "来場日時\tメールアドレス\t姓\t名\t会社名\t部署\t役職\t電話番号\n\
         2026年11月3日 午前10:15\tHANAKO.YAMADA@acme.example\t山田\t花子\t株式会社アクメ\t情報システム部\t部長\t03-1234-5678\n\
         2026-11-04 11:00\tsaburo.takahashi@delta.example\t髙橋\t三郎\tデルタ商事\t総務部\t主任\t090-1234-5678\n\
         46330\trokuro@eta.example\t六\t六郎\tイータ\t\t\t\n",
    )?;
    let third = answers(&mut import(&tasuki, &overlapping, &show)?, 0)?;
    assert_eq!(numbers(&third), json!({"rows": 3, "accepted": 3, "bad": {}, "events": 6}));

    // What comes last is the marker: whatever was sent before of the same person has arrived with it.
    let people = [
        ("hanako.yamada@acme.example", "山田 花子", "株式会社アクメ", "2026-11-03T01:15:00.000Z"),
        ("taro.sato@beta.example", "佐藤 太郎", "ベータ(株)", "2026-11-02T15:00:00.000Z"),
        ("jiro.suzuki@gamma.example", "鈴木 次郎", "ガンマ工業", "2026-11-04T06:00:00.000Z"),
        ("goro.ito@epsilon.example", "伊藤 五郎", "イプシロン", "2026-11-04T07:40:00.000Z"),
        ("saburo.takahashi@delta.example", "髙橋 三郎", "デルタ商事", "2026-11-04T02:00:00.000Z"),
        ("rokuro@eta.example", "六 六郎", "イータ", "2026-11-03T15:00:00.000Z"),
    ];
    let markers = folder.path().join("markers.csv");
    let rows: Vec<_> = people.iter().map(|(email, ..)| format!("{email},2026-11-20\n")).collect();
    std::fs::write(&markers, format!("email,date\n{}", rows.concat()))?;
    answers(&mut import(&tasuki, &markers, &["--kind", "survey", "--name", "marker", "--yes"])?, 0)?;

    for (email, name, company, at) in people {
        let marked = |lead: &Value| timeline(lead).iter().any(|(_, _, about)| about == "marker");
        // Three events of two rules: the score has seen all of them.
        let lead = tasuki.lead(email, |lead| marked(lead) && points(lead).len() == 2)?;
        assert_eq!((&lead["name"], &lead["company"]), (&json!(name), &json!(company)), "{lead:#}");
        assert_eq!(
            timeline(&lead),
            [
                entry(at, "EventAttended", "Expo 2026"),
                entry(at, "LeadIdentified", ""),
                entry("2026-11-19T15:00:00.000Z", "SurveyAnswered", "marker"),
            ]
        );
        let (points, shown) =
            (points(&lead).iter().map(|(_, points)| points).sum::<f64>(), lead["engagement"].as_f64());
        assert!((points - shown.unwrap_or_default()).abs() < 1e-6 && points > 0.0, "{lead:#}");
    }

    // The bad rows wait in a file of their own, in the character set of the first, to be corrected.
    let corrected = String::from_utf8_lossy(&std::fs::read(&bad_rows)?).lines().count();
    assert_eq!(corrected, 3, "headers and two rows");
    kept_as_dead_letters(tasuki, folder.path())
}

fn points(lead: &Value) -> Vec<(String, f64)> {
    let of = lead["contributions"].as_array().into_iter().flatten().filter(|it| it["axis"] == "engagement");
    of.map(|it| (it["rule"].to_string(), it["points"].as_f64().unwrap_or_default())).collect()
}

/// Both bad rows are dead letters, each once though imported twice, with line, column, cause and bytes.
fn kept_as_dead_letters(tasuki: Tasuki, folder: &Path) -> anyhow::Result<()> {
    let metrics = ureq::get(format!("{}/metrics", tasuki.told("metrics"))).call()?.body_mut().read_to_string()?;
    let counted: Vec<_> = metrics.lines().filter(|line| line.contains("protocol=\"import\"")).collect();
    let count = |name: &str| -> u64 {
        let of = counted.iter().filter(|line| line.starts_with(name));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    // Two imports of the cards (8 events and 2 bad rows each), the overlapping list, the markers.
    assert_eq!(
        (count("tasuki_ingest_received_events_total"), count("tasuki_ingest_accepted_events_total")),
        (2 * (8 + 2) + 6 + 6, 2 * 8 + 6 + 6),
        "{counted:#?}"
    );
    let mut command = program(&tasuki)?;
    tasuki.stop()?;
    command.args(["dead-letters", "list", "--json", "--data-dir"]).arg(folder);
    let listed = answers(&mut command, 0)?;
    let mut found: Vec<_> =
        listed.iter().map(|letter| (letter["code"].as_str(), letter["found_at"].as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            (Some("row-email"), Some("website trade-show-cards.csv line 7 メールアドレス")),
            (Some("row-phone"), Some("website trade-show-cards.csv line 6 電話番号")),
        ]
    );
    let id = listed.iter().find(|letter| letter["code"] == "row-phone").and_then(|letter| letter["id"].as_str());
    let mut show = Command::new(command.get_program());
    show.env_remove("DATABASE_URL")
        .args(["dead-letters", "show", id.context("an id")?, "--json", "--data-dir"])
        .arg(folder);
    let shown = answers(&mut show, 0)?;
    assert_eq!(
        shown[0]["original"],
        "saburo.takahashi@delta.example,デルタ商事,総務部,主任,髙橋,三郎,9012345678,2026/11/4 11:00,,電話番号の先頭の0が消えた行"
    );
    Ok(())
}

#[test]
fn nothing_is_sent_before_somebody_agreed_to_what_is_missing_or_guessed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    let cards = example("trade-show-cards.csv");
    let refused = |command: &mut Command| -> anyhow::Result<String> {
        let output = command.output()?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    let bare = || -> anyhow::Result<Command> {
        let mut command = program(&tasuki)?;
        command.env("TASUKI_INGEST_URL", tasuki.told("ingest")).env("TASUKI_DATA_DIR", folder.path());
        command.arg("import").arg(&cards);
        Ok(command)
    };
    let said = refused(bare()?.args(["--kind", "trade-show", "--yes"]))?;
    for missing in ["say it with --name", "say it with --time-zone"] {
        assert!(said.contains(missing), "all that is missing is said at once: {said}");
    }
    let complete = ["--kind", "trade-show", "--name", "Expo", "--time-zone", "Asia/Tokyo"];
    let said = refused(bare()?.args(complete))?;
    assert!(said.contains("nobody is here to agree"), "{said}");
    let said = refused(bare()?.args(complete).args(["--yes", "--write-key", "wrong"]))?;
    assert!(said.contains("does not know this write key"), "{said}");
    let said = refused(bare()?.args(complete).args(["--yes", "--to", "http://127.0.0.1:1", "--patience-s", "0"]))?;
    assert!(said.contains("http://127.0.0.1:1/v1/rows: ingest does not answer"), "{said}");

    // A mapping that was written down is somebody's word; edited, it says more than a guess.
    let mapping = folder.path().join("cards.toml");
    let written = bare()?.args(complete).arg("--write-mapping").arg(&mapping).status()?;
    assert!(written.success());
    let text = std::fs::read_to_string(&mapping)?;
    let edited = text.replace("\"備考\" = \"property\"", "\"備考\" = \"ignore\"");
    assert_ne!(text, edited, "{text}");
    std::fs::write(&mapping, format!("bad_phones = \"leave-out\"\n{edited}"))?;
    let summary = answers(bare()?.arg("--json").arg("--mapping").arg(&mapping), 1)?;
    assert_eq!(
        (numbers(&summary), &summary[0]["without_phone"]),
        (json!({"rows": 6, "accepted": 5, "bad": {"row-email": 1}, "events": 10}), &json!(1))
    );
    let leads = tasuki.lead("saburo.takahashi", |lead| timeline(lead).len() == 2)?;
    assert_eq!(leads["profile"]["attributes"]["phone"], Value::Null, "{leads:#}");
    tasuki.stop()
}

#[test]
fn a_source_that_may_send_slowly_is_waited_for_without_losing_patience() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sources = folder.path().join("sources.toml");
    let text = "default_source = \"lists\"\n[[source]]\nname = \"lists\"\nevents_per_second = 150\nburst = 100\n\
                write_key_sha256 = [\"276f289fa72e9209d124fb048fb6630d9df9499dfef65413c07c773f144257b8\"]\n";
    std::fs::write(&sources, text)?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &["--ingest-sources", &sources.to_string_lossy()])?;
    // Two portions: one takes ten times what may come at once, so the next is refused until that is made up for, 6 s later.
    let file = folder.path().join("people.csv");
    let rows: Vec<_> = (0..2_000).map(|number| format!("person{number}@acme.example,2026-11-01\n")).collect();
    std::fs::write(&file, format!("email,date\n{}", rows.concat()))?;
    let mut command = program(&tasuki)?;
    command.arg("import").arg(&file).args(["--kind", "contacts", "--time-zone", "UTC", "--yes", "--json"]);
    command.args(["--to", tasuki.told("ingest"), "--write-key", "lists-key", "--patience-s", "0"]);
    let summary = answers(&mut command, 0)?;
    assert_eq!(numbers(&summary), json!({"rows": 2000, "accepted": 2000, "bad": {}, "events": 2000}));
    let metrics = ureq::get(format!("{}/metrics", tasuki.told("metrics"))).call()?.body_mut().read_to_string()?;
    let refused =
        metrics.lines().any(|line| line.starts_with("tasuki_ingest_refused") && line.contains("rate-limited"));
    assert!(refused, "invalid: it was never too fast");
    tasuki.stop()
}
