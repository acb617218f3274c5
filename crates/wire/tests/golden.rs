//! What was ever written to the log must be read for ever.
//!
//! For every event there is a golden record in `golden/`: `<Record>.<event>.v<N>.bin`, the bytes as they stand on the log,
//! and `.json`, what they say (protobuf's canonical JSON). They are added, never edited. `golden/proto.lock` holds
//! every field and enum value that was ever given, with number and type.
//!
//! For a new event, write the `.json` with every field set; `TASUKI_WRITE_GOLDEN=1 cargo test -p tasuki-wire` writes the
//! `.bin`, and adds to `proto.lock`. For an event that has got new fields, add a `.v2` beside the old one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, MessageDescriptor, Value};
use serde::de::DeserializeSeed;
use tasuki_wire::topic::Keep;
use tasuki_wire::{Topic, v1};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! records {
    ($($topic:ident: $message:ident,)*) => {
        /// The message that stands on each topic.
        const RECORDS: &[(Topic, &str)] = &[$((Topic::$topic, stringify!($message)),)*];

        /// Decodes with the generated type and encodes again.
        fn through_generated_type(message: &str, bytes: &[u8]) -> Vec<u8> {
            match message {
                $(stringify!($message) => v1::$message::decode(bytes).unwrap().encode_to_vec(),)*
                other => panic!("{other} stands on no topic"),
            }
        }
    };
}

records! {
    Behavior: BehaviorRecord,
    IdentityLinks: IdentityLinkRecord,
    LeadCommands: LeadCommand,
    Identities: IdentityRecord,
    Activity: ActivityRecord,
    Scores: ScoreRecord,
    Accounts: AccountRecord,
    AccountLinks: AccountLinkRecord,
    Qualification: QualificationRecord,
    QualificationLinks: QualificationLinkRecord,
    DeskRequests: DeskRequest,
    DeskDecisions: DeskDecision,
    Handoff: HandoffRecord,
    SalesFeedback: SalesFeedback,
    Playbooks: PlaybookRecord,
    PlaybookMarkers: PlaybookRecord,
    DeadLetters: DeadLetter,
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

fn message(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(&format!("tasuki.v1.{name}")).unwrap_or_else(|| panic!("no message {name}"))
}

fn writing() -> bool {
    std::env::var_os("TASUKI_WRITE_GOLDEN").is_some()
}

/// One golden record: `ScoreRecord.scored.v1`.
struct Golden {
    name: String,
    json: PathBuf,
    bin: PathBuf,
}

impl Golden {
    fn record(&self) -> &str {
        self.name.split('.').next().unwrap()
    }

    fn says(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(&self.json).unwrap()).unwrap()
    }

    /// The bytes; written from what they say if there are none yet.
    fn bytes(&self) -> Vec<u8> {
        if writing() && !self.bin.exists() {
            let text = self.says().to_string();
            let mut json = serde_json::Deserializer::from_str(&text);
            let read = message(self.record()).deserialize(&mut json).unwrap();
            fs::write(&self.bin, through_generated_type(self.record(), &read.encode_to_vec())).unwrap();
        }
        fs::read(&self.bin).unwrap_or_else(|error| panic!("{}: {error}", self.bin.display()))
    }

    fn decoded(&self) -> DynamicMessage {
        DynamicMessage::decode(message(self.record()), self.bytes().as_slice()).unwrap()
    }
}

/// Every golden record, whichever of its two files is there.
fn goldens() -> Vec<Golden> {
    let names: BTreeSet<String> = fs::read_dir(GOLDEN)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("leads.qualified.v1-") && name != "proto.lock")
        .map(|name| name.rsplit_once('.').unwrap().0.to_owned())
        .collect();
    let path = |name: &str, ending| Path::new(GOLDEN).join(format!("{name}.{ending}"));
    names.into_iter().map(|name| Golden { json: path(&name, "json"), bin: path(&name, "bin"), name }).collect()
}

/// Whether anything in it is not understood by this release.
fn has_unknown(message: &DynamicMessage) -> bool {
    message.unknown_fields().count() > 0
        || message.fields().any(|(_, value)| nested(value).into_iter().any(has_unknown))
}

/// The messages in a value.
fn nested(value: &Value) -> Vec<&DynamicMessage> {
    match value {
        Value::Message(message) => vec![message],
        Value::List(values) => values.iter().flat_map(nested).collect(),
        Value::Map(values) => values.values().flat_map(nested).collect(),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_) => vec![],
    }
}

/// Adds the name of every field that is set.
fn set_fields(message: &DynamicMessage, found: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        found.insert(field.full_name().to_owned());
        nested(value).into_iter().for_each(|message| set_fields(message, found));
    }
}

/// The event of a record, or whatever its oneof holds.
fn variants(record: &MessageDescriptor) -> Vec<String> {
    record.oneofs().flat_map(|oneof| oneof.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn every_golden_record_says_what_it_said_and_is_written_the_same() {
    let goldens = goldens();
    assert!(goldens.len() >= 36, "{} are left", goldens.len());
    for golden in goldens {
        let decoded = golden.decoded();
        assert_eq!(serde_json::to_value(&decoded).unwrap(), golden.says(), "{}", golden.name);
        assert!(!has_unknown(&decoded), "{}: a field of it is gone", golden.name);
        let bytes = golden.bytes();
        assert_eq!(through_generated_type(golden.record(), &bytes), bytes, "{}", golden.name);
    }
}

#[test]
fn every_event_has_a_golden_record() {
    let there: BTreeSet<String> = goldens().into_iter().map(|golden| golden.name).collect();
    for (topic, name) in RECORDS {
        let variants = variants(&message(name));
        let expected: Vec<_> = if variants.is_empty() {
            vec![format!("{name}.v1")]
        } else {
            variants.iter().map(|variant| format!("{name}.{variant}.v1")).collect()
        };
        for name in expected {
            assert!(there.contains(&name), "{topic}: golden/{name}.json is missing");
        }
    }
}

#[test]
fn a_golden_record_is_of_the_event_in_its_name() {
    for golden in goldens() {
        let parts: Vec<_> = golden.name.split('.').collect();
        if let [_, event, _] = parts[..] {
            let field = message(golden.record()).get_field_by_name(event).unwrap();
            assert!(golden.decoded().has_field(&field), "{}", golden.name);
        }
    }
}

#[test]
fn every_topic_has_its_message() {
    for topic in Topic::ALL {
        let has = RECORDS.iter().any(|(of, _)| of == topic);
        assert_eq!(has, topic.keep() != Keep::LastOfKey && *topic != Topic::LeadsQualified, "{topic}");
    }
}

#[test]
fn every_field_is_set_in_some_golden_record() {
    let mut set = BTreeSet::new();
    goldens().iter().for_each(|golden| set_fields(&golden.decoded(), &mut set));
    let never: Vec<_> = pool()
        .all_messages()
        .filter(|message| !message.is_map_entry())
        .flat_map(|message| message.fields().map(|field| field.full_name().to_owned()).collect::<Vec<_>>())
        .filter(|field| !set.contains(field))
        .collect();
    assert_eq!(never, [""; 0], "add a golden record of the next version with them");
}

/// What must never change of a field: where it is, its number, its type.
fn line(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    let named = kind.as_message().map(MessageDescriptor::full_name).or(kind.as_enum().map(EnumDescriptor::full_name));
    let kind = named.map_or_else(|| format!("{kind:?}"), str::to_owned);
    let repeated = if field.is_list() { "repeated " } else { "" };
    let oneof = field.containing_oneof().map_or_else(String::new, |oneof| format!(" in {}", oneof.name()));
    format!("{} = {}: {repeated}{kind}{oneof}", field.full_name(), field.number())
}

#[test]
fn no_field_and_no_enum_value_ever_goes_or_changes() {
    let pool = pool();
    let fields = pool.all_messages().flat_map(|message| message.fields().map(|field| line(&field)).collect::<Vec<_>>());
    let mut now: BTreeSet<String> = fields.collect();
    for kind in pool.all_enums() {
        now.extend(kind.values().map(|value| format!("{} = {}", value.full_name(), value.number())));
    }
    let path = Path::new(GOLDEN).join("proto.lock");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut ever: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let gone: Vec<_> = ever.difference(&now).collect();
    assert_eq!(gone, [""; 0], "a record on the log still has it");
    if writing() && ever != now {
        ever = now.clone();
        fs::write(&path, ever.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    let new: Vec<_> = now.difference(&ever).collect();
    assert_eq!(new, [""; 0], "add it with TASUKI_WRITE_GOLDEN=1");
}
