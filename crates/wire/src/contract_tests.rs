//! The public contract against its schema, its golden records and its own past.
//!
//! `TASUKI_WRITE_GOLDEN=1 cargo test -p tasuki-wire` writes the schema, and golden files that do not exist yet.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/contracts/leads.qualified.v1.schema.json");

fn sample() -> QualifiedLead {
    let id = |n: u128| EventId::new(uuid::Uuid::from_u128(n));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let some = |text: &str| Some(text.to_owned());
    QualifiedLead {
        spec_version: SPEC_VERSION.into(),
        event_id: id(1),
        occurred_at: at("2026-11-23T09:30:00.250Z"),
        handoff_id: HandoffId::new(uuid::Uuid::from_u128(2)),
        lead_id: LeadId::new(uuid::Uuid::from_u128(3)),
        cycle: 1,
        version: 1,
        qualified_at: at("2026-11-23T09:30:00Z"),
        playbook_version: 7,
        route: Route { name: "hand-raise".into(), condition: "signals.within(\"demo-request\", \"30d\") > 0".into() },
        urgency: "urgent".into(),
        contact: Contact {
            email: some("hanako.tanaka@acme.example"),
            name: some("田中 花子"),
            first_name: some("花子"),
            last_name: some("田中"),
            title: some("情報システム部長"),
            department: some("IT"),
            phone: some("+81 3 0000 0000"),
        },
        company: Company {
            account_id: some("acme.example"),
            name: some("Acme K.K."),
            industry: some("Manufacturing"),
            employees: some("250"),
            country: some("JP"),
            region: some("Tokyo"),
            website: None,
        },
        score: Score {
            engagement: Millipoints::new(62_125),
            fit: Millipoints::from_points(40),
            grade: "B2".into(),
            as_of: at("2026-11-23T09:30:00Z"),
            reasons: vec![Reason {
                axis: "engagement".into(),
                rule: "demo-request".into(),
                points: Millipoints::from_points(50),
                matches: 1,
            }],
        },
        timeline: vec![Deed {
            behavior_id: id(4),
            occurred_at: at("2026-11-23T09:29:58.7Z"),
            what: "FormSubmitted demo-request".into(),
        }],
        owner: Some(Owner { id: "sato".into(), name: "Sato Yuki".into(), email: "yuki.sato@sales.example.com".into() }),
        pool: "inside-sales".into(),
        assignment_reason: "next in turn of pool inside-sales".into(),
        accept_by: at("2026-11-23T10:30:00Z"),
        merged_into: Some(LeadId::new(uuid::Uuid::from_u128(5))),
        track: Some(Track {
            name: "machines".into(),
            engagement: Millipoints::new(52_125),
            fit: Millipoints::from_points(45),
            grade: "B2".into(),
        }),
    }
}

fn schema() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<QualifiedLead>();
    schema.insert("title".into(), "leads.qualified.v1".into());
    schema.to_value()
}

fn read(path: impl AsRef<Path>) -> Value {
    let text = fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
    serde_json::from_str(&text).unwrap()
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

fn writing() -> bool {
    std::env::var_os("TASUKI_WRITE_GOLDEN").is_some()
}

/// Golden files of the contract that end like this, oldest first.
fn goldens(ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(GOLDEN)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("leads.qualified.v1-") && name.ends_with(ending)
        })
        .collect();
    paths.sort();
    paths
}

/// What `new` lacks or has otherwise than `old`; what `new` has beside is no matter. Words for people may change.
fn lost(old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old.iter().filter(|(key, _)| *key != "description" || at.ends_with("/properties")) {
                let at = format!("{at}/{key}");
                match new.get(key) {
                    Some(now) => lost(value, now, &at, found),
                    None => found.push(at),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if at.ends_with("/required") => {
            let gone = old.iter().filter(|key| !new.contains(key));
            found.extend(gone.map(|key| format!("{at}/{}", key.as_str().unwrap_or_default())));
        }
        (old, new) if old == new => {}
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn a_record_reads_back() {
    let record = sample();
    assert_eq!(QualifiedLead::from_json(&record.to_json()).unwrap(), record);
}

#[test]
fn every_key_is_there_even_when_nothing_is_known() {
    let mut record = sample();
    record.owner = None;
    record.contact = Contact::default();
    let json: Value = serde_json::from_slice(&record.to_json()).unwrap();
    assert_eq!(json["owner"], Value::Null);
    assert_eq!(json["contact"].as_object().unwrap().len(), 7);
    assert!(json["contact"].as_object().unwrap().values().all(Value::is_null));
}

#[test]
fn points_are_exact_to_three_decimals() {
    for thousandths in [0, 1, -1, 62_125, 100_000, -12_340, 33_333, 999_999_999_999] {
        let mut record = sample();
        record.score.engagement = Millipoints::new(thousandths);
        let json = record.to_json();
        let text = String::from_utf8(json.clone()).unwrap();
        assert!(thousandths != 62_125 || text.contains("\"engagement\":62.125,"), "{text}");
        assert_eq!(QualifiedLead::from_json(&json).unwrap().score.engagement.get(), thousandths);
    }
}

#[test]
fn what_a_later_addition_brings_is_no_error() {
    let mut json: Value = serde_json::from_slice(&sample().to_json()).unwrap();
    json["spec_version"] = "1.9".into();
    json["surprise"] = serde_json::json!({"a": [1]});
    let read = QualifiedLead::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(read, QualifiedLead { spec_version: "1.9".into(), ..sample() });
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    if writing() {
        fs::write(SCHEMA, pretty(&schema())).unwrap();
    }
    assert_eq!(read(SCHEMA), schema(), "write it anew with TASUKI_WRITE_GOLDEN=1");
}

#[test]
fn the_present_version_has_its_golden_files() {
    let files = [
        (format!("leads.qualified.v1-{SPEC_VERSION}.json"), serde_json::to_value(sample()).unwrap()),
        (format!("leads.qualified.v1-{SPEC_VERSION}.schema.json"), schema()),
    ];
    for (name, value) in files {
        let path = Path::new(GOLDEN).join(&name);
        if writing() && !path.exists() {
            fs::write(&path, pretty(&value)).unwrap();
        }
        assert_eq!(read(&path), value, "{name}: raise SPEC_VERSION for an addition; golden files are never edited");
    }
}

#[test]
fn every_golden_record_reads_back_with_all_it_said() {
    let paths = goldens(".json");
    let records: Vec<_> = paths.iter().filter(|path| !path.to_string_lossy().ends_with(".schema.json")).collect();
    assert!(!records.is_empty());
    for path in records {
        let golden = read(path);
        let now = serde_json::to_value(QualifiedLead::from_json(golden.to_string().as_bytes()).unwrap()).unwrap();
        let mut gone = Vec::new();
        lost(&golden, &now, "", &mut gone);
        assert_eq!(gone, [""; 0], "{}", path.display());
    }
}

#[test]
fn nothing_of_a_past_schema_has_gone() {
    let paths = goldens(".schema.json");
    assert!(!paths.is_empty());
    for path in paths {
        let mut gone = Vec::new();
        lost(&read(&path), &schema(), "", &mut gone);
        assert_eq!(gone, [""; 0], "{}: the contract is additive only", path.display());
    }
}

#[test]
fn the_check_for_additions_sees_what_is_not_one() {
    let old = schema();
    let change = |edit: fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new);
        let mut gone = Vec::new();
        lost(&old, &new, "", &mut gone);
        gone
    };
    assert_eq!(change(|_| ()), [""; 0]);
    assert_eq!(change(|new| new["properties"]["more"] = serde_json::json!({"type": "string"})), [""; 0]);
    assert_eq!(change(|new| new["properties"]["pool"]["description"] = "Other words.".into()), [""; 0]);
    assert_eq!(change(|new| new["properties"]["cycle"]["type"] = "string".into()), ["/properties/cycle/type"]);
    assert_eq!(
        change(|new| drop(new["$defs"]["Contact"]["properties"].as_object_mut().unwrap().remove("phone"))),
        ["/$defs/Contact/properties/phone"]
    );
    assert_eq!(
        change(|new| new["required"].as_array_mut().unwrap().retain(|key| key != "accept_by")),
        ["/required/accept_by"]
    );
}
