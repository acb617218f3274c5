//! `docs/EVENTS.md` names every topic, message, field and enum value.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use tasuki_wire::Topic;
use tasuki_wire::contract::{EVENT_TYPE, SOURCE};

const PAGE: &str = include_str!("../../../docs/EVENTS.md");
const CONTRACT: &str = include_str!("../golden/leads.qualified.v1-1.1.json");

/// The text under each heading of a message or enum.
fn sections() -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in PAGE.lines() {
        if line.starts_with('#') {
            current = line.strip_prefix("#### `").and_then(|rest| rest.strip_suffix('`')).map(str::to_owned);
        }
        if let Some(name) = &current {
            *sections.entry(name.clone()).or_default() += &format!("{line}\n");
        }
    }
    sections
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[test]
fn names_every_topic_with_its_writer() {
    for topic in Topic::ALL {
        let row = PAGE.lines().find(|line| line.starts_with('|') && line.contains(&code(topic.name())));
        let row = row.unwrap_or_else(|| panic!("{topic} is not in the table"));
        let writer = topic.name().strip_suffix(".state").map_or(topic.writer(), |_| "the service");
        assert!(row.contains(writer), "{topic} is written by {}", topic.writer());
    }
}

#[test]
fn describes_every_message_with_all_its_fields_and_no_others() {
    let pool = DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice()).unwrap();
    let mut sections = sections();
    for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
        let section = sections.remove(message.name()).unwrap_or_else(|| panic!("no section {}", message.name()));
        for field in message.fields() {
            // The thirteen events of a behavior record have sections that say which field they stand in.
            let in_own_section = message.name() == "BehaviorRecord" && field.containing_oneof().is_some();
            let text = if in_own_section { PAGE } else { &section };
            assert!(text.contains(&code(field.name())), "{} says nothing of {}", message.name(), field.name());
        }
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert!(rows <= message.fields().len(), "{} has a field that does not exist", message.name());
    }
    for kind in pool.all_enums() {
        let section = sections.remove(kind.name()).unwrap_or_else(|| panic!("no section {}", kind.name()));
        for value in kind.values() {
            assert!(section.contains(&code(value.name())), "{} says nothing of {}", kind.name(), value.name());
        }
    }
    assert!(sections.is_empty(), "nothing of this name exists: {:?}", sections.keys());
}

#[test]
fn names_every_key_of_the_public_contract() {
    let at = PAGE.find("## The public contract leads.qualified.v1").unwrap();
    let part = &PAGE[at..];
    assert!(part.contains(&code(EVENT_TYPE)) && part.contains(&code(SOURCE)));
    let mut keys = Vec::new();
    collect_keys(&serde_json::from_str(CONTRACT).unwrap(), &mut keys);
    assert!(keys.len() > 40);
    for key in keys {
        assert!(part.contains(&code(&key)), "{key}");
    }
}

fn collect_keys(value: &serde_json::Value, keys: &mut Vec<String>) {
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            keys.push(key.clone());
            collect_keys(value, keys);
        }
    }
    value.as_array().into_iter().flatten().for_each(|value| collect_keys(value, keys));
}
