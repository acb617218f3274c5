//! Some people on some devices, and whose each event is, said as plainly as possible: by a look at the whole set at once.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tasuki_domain::LeadId;

use crate::support::{Behavior, Profile, event, lead};

pub(crate) const VISITORS: [&str; 4] = ["", "tablet", "laptop", "phone"];
const USERS: [&str; 4] = ["", "", "4711", "4712"];
const EMAILS: [&str; 5] = ["", "", "ana@acme.example", "ben@gmail.com", "eva@acme.example"];
const CRM_IDS: [&str; 5] = ["", "", "", "hubspot:1", "hubspot:2"];
/// The one of an office, the other somebody's own.
const PHONES: [&str; 5] = ["", "", "", "+81312345678", "+819012345678"];
const SAYINGS: [(&str, &str); 4] = [("title", "CTO"), ("title", "CEO"), ("country", "jp"), ("country", "at")];

pub(crate) fn behavior(id: u8) -> impl Strategy<Value = Behavior> {
    let who = (
        prop::sample::select(&VISITORS[..]),
        prop::sample::select(&USERS[..]),
        prop::sample::select(&CRM_IDS[..]),
        prop::sample::select(&EMAILS[..]),
        prop::sample::select(&PHONES[..]),
    );
    let says = prop::collection::vec(prop::sample::select(&SAYINGS[..]), 0..3);
    let call = prop::option::weighted(0.12, prop::sample::select(&PHONES[3..]));
    let who = (who, call).prop_map(|(who, call)| call.map_or(who, |phone| ("", "", "", "", phone)));
    (0_i64..8, who, says).prop_filter("an event names somebody", |(_, who, _)| *who != ("", "", "", "", "")).prop_map(
        move |(at, (visitor, user, crm, email, phone), says)| Behavior {
            says: says.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
            ..event(id, at).visitor(visitor).user(user).crm(crm).email(email).phone(phone)
        },
    )
}

pub(crate) fn behaviors() -> impl Strategy<Value = Vec<Behavior>> {
    (1_u8..12).prop_flat_map(|count| (1..=count).map(behavior).collect::<Vec<_>>())
}

fn order(event: &Behavior) -> (i64, u8) {
    (event.minute, event.id)
}

/// The strongest of what an event is named by, without device and phone number.
fn strong(event: &Behavior) -> Option<String> {
    match (event.user, event.crm, event.email) {
        ("", "", "") => None,
        ("", "", email) => Some(format!("e:{email}")),
        ("", crm, _) => Some(format!("c:{crm}")),
        (user, _, _) => Some(format!("u:{user}")),
    }
}

/// The key of the lead that stands behind the key of an identifier.
fn resolve(key: &str, all: &[Behavior]) -> String {
    let earliest = |names: &dyn Fn(&&Behavior) -> bool| all.iter().filter(names).min_by_key(|it| order(it));
    let (kind, id) = key.split_once(':').unwrap();
    let found = match kind {
        "u" => {
            let email = earliest(&|it| it.user == id && !it.email.is_empty()).map(|it| format!("e:{}", it.email));
            let crm = || earliest(&|it| it.user == id && !it.crm.is_empty()).map(|it| format!("c:{}", it.crm));
            email.or_else(crm).map(|other| resolve(&other, all))
        }
        "c" => earliest(&|it| it.crm == id && !it.email.is_empty()).map(|it| format!("e:{}", it.email)),
        "p" => {
            let beside = all.iter().filter(|it| it.phone == id).filter_map(strong);
            let leads: BTreeSet<String> = beside.map(|it| resolve(&it, all)).collect();
            if leads.len() == 1 { leads.into_iter().next() } else { None }
        }
        _ => None,
    };
    found.unwrap_or_else(|| key.to_owned())
}

/// The key of the lead an event belongs to; `None` while nobody is known.
fn owner(event: &Behavior, all: &[Behavior]) -> Option<String> {
    let by_phone = |it: &Behavior| (!it.phone.is_empty()).then(|| format!("p:{}", it.phone));
    if let Some(named) = strong(event) {
        return Some(resolve(&named, all));
    }
    let mut on_device: Vec<&Behavior> = all.iter().filter(|it| it.visitor == event.visitor).collect();
    if event.visitor.is_empty() {
        on_device = vec![event];
    }
    on_device.sort_by_key(|it| order(it));
    let until = |it: &&&Behavior| order(it) <= order(event);
    let strong_before = on_device.iter().take_while(until).filter_map(|it| strong(it)).last();
    let phone_before = || on_device.iter().take_while(until).filter_map(|it| by_phone(it)).last();
    let after = || on_device.iter().find_map(|it| strong(it).or_else(|| by_phone(it)));
    strong_before.or_else(phone_before).or_else(after).map(|named| resolve(&named, all))
}

pub(crate) fn profile(key: &str, mut events: Vec<&Behavior>) -> Profile {
    events.sort_by_key(|it| order(it));
    let mut current: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
    for event in events {
        let ids = [("user_id", event.user), ("crm_id", event.crm), ("phone", event.phone)];
        let identified = ids.into_iter().filter(|(_, id)| !id.is_empty());
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
