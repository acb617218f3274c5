//! Some people on some devices, and whose each event is, said as plainly as possible: by a look at the whole set at once.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tasuki_domain::LeadId;

use crate::support::{Behavior, Profile, event, lead};

pub(crate) const VISITORS: [&str; 4] = ["", "tablet", "laptop", "phone"];
const USERS: [&str; 4] = ["", "", "4711", "4712"];
const EMAILS: [&str; 5] = ["", "", "ana@acme.example", "ben@gmail.com", "eva@acme.example"];
const SAYINGS: [(&str, &str); 4] = [("title", "CTO"), ("title", "CEO"), ("country", "jp"), ("country", "at")];

pub(crate) fn behavior(id: u8) -> impl Strategy<Value = Behavior> {
    let who =
        (prop::sample::select(&VISITORS[..]), prop::sample::select(&USERS[..]), prop::sample::select(&EMAILS[..]));
    let says = prop::collection::vec(prop::sample::select(&SAYINGS[..]), 0..3);
    (0_i64..8, who, says).prop_filter("an event names somebody", |(_, who, _)| *who != ("", "", "")).prop_map(
        move |(at, (visitor, user, email), says)| Behavior {
            says: says.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
            ..event(id, at).visitor(visitor).user(user).email(email)
        },
    )
}

pub(crate) fn behaviors() -> impl Strategy<Value = Vec<Behavior>> {
    (1_u8..12).prop_flat_map(|count| (1..=count).map(behavior).collect::<Vec<_>>())
}

fn order(event: &Behavior) -> (i64, u8) {
    (event.minute, event.id)
}

/// The key of the lead an event belongs to; `None` while nobody is known.
fn owner(event: &Behavior, all: &[Behavior]) -> Option<String> {
    if event.user.is_empty() && event.email.is_empty() {
        let on_device = all.iter().filter(|it| it.visitor == event.visitor);
        let mut named: Vec<&Behavior> = on_device.filter(|it| !it.user.is_empty() || !it.email.is_empty()).collect();
        named.sort_by_key(|it| order(it));
        let last_before = named.iter().rfind(|it| order(it) < order(event));
        return last_before.or(named.first()).and_then(|identification| owner(identification, all));
    }
    if event.user.is_empty() {
        return Some(format!("e:{}", event.email));
    }
    let links = all.iter().filter(|it| it.user == event.user && !it.email.is_empty());
    Some(match links.min_by_key(|it| order(it)) {
        Some(earliest) => format!("e:{}", earliest.email),
        None => format!("u:{}", event.user),
    })
}

pub(crate) fn profile(key: &str, mut events: Vec<&Behavior>) -> Profile {
    events.sort_by_key(|it| order(it));
    let mut current: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
    for event in events {
        let identified = (!event.user.is_empty()).then_some(("user_id", event.user));
        for (name, value) in event.says.iter().copied().chain(identified) {
            if current.get(name).is_none_or(|(before, _)| *before != value) {
                current.insert(name, (value, event.minute));
            }
        }
    }
    let email = key.strip_prefix("e:").unwrap_or_default();
    Profile {
        email: email.to_owned(),
        account: if email.ends_with("@acme.example") { "acme.example" } else { "" }.to_owned(),
        attributes: (current.into_iter())
            .map(|(name, (value, since))| (name.to_owned(), value.to_owned(), since))
            .collect(),
        others: Vec::new(),
    }
}

/// Each event that belongs to somebody, with the key of its lead.
pub(crate) fn owners(all: &[Behavior]) -> Vec<(&Behavior, String)> {
    all.iter().filter_map(|event| Some((event, owner(event, all)?))).collect()
}

pub(crate) fn outcome(all: &[Behavior]) -> BTreeMap<LeadId, (BTreeSet<u8>, Profile)> {
    let mut owned: BTreeMap<String, Vec<&Behavior>> = BTreeMap::new();
    for event in all {
        if let Some(key) = owner(event, all) {
            owned.entry(key).or_default().push(event);
        }
    }
    owned
        .into_iter()
        .map(|(key, events)| {
            let ids = events.iter().map(|event| event.id).collect();
            (lead(&key), (ids, profile(&key, events)))
        })
        .collect()
}
