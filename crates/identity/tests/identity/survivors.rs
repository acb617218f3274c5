//! Which value of an attribute counts, and which account: compared with a model that looks at all that was ever said.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tasuki_domain::LeadId;
use tasuki_identity::IdentitySettings;
use tasuki_playbook::profile_rules::ProfileRules;

use crate::model;
use crate::support::{Behavior, Profile, Seen, World, event, lead, merge, minute, profile, split};

const ANA: &str = "ana@acme.example";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN_KEY: &str = "e:ben@gmail.com";

const SOURCES: [&str; 3] = ["crm", "import", "website"];
const VALUES: [&str; 5] = ["a", "b", "a,b", "c;d", r#"["e","f","g"]"#];

/// Items of each of the values.
fn items(value: &str) -> usize {
    let at = VALUES.iter().position(|it| *it == value).unwrap();
    [1, 1, 2, 2, 3][at]
}

/// Rules as a file has them, one for each of the attributes.
const RULES: [(&str, &str); 5] = [
    ("recent", r#"{ take = "most-recent" }"#),
    ("first", r#"{ take = "first" }"#),
    ("trusted", r#"{ take = "most-trusted", sources = ["crm", "import"] }"#),
    ("longest", r#"{ take = "longest-list" }"#),
    ("group_id", r#"{ take = "most-recent" }"#),
];

fn rules() -> ProfileRules {
    let lines: Vec<String> = RULES.iter().map(|(name, rule)| format!("attributes.{name} = {rule}\n")).collect();
    ProfileRules::parse(&lines.concat()).unwrap()
}

fn world(values_per_attribute: usize) -> World {
    World::new(IdentitySettings { profile_rules: rules(), values_per_attribute, ..IdentitySettings::default() })
}

/// On shared devices, with and without a user id and an address: what is said may move to another lead later.
fn behavior(id: u8) -> impl Strategy<Value = Behavior> {
    let who = (
        prop::sample::select(&["", "tablet"][..]),
        prop::sample::select(&["", "", "4711"][..]),
        prop::sample::select(&["", "ana@acme.example", "ana@acme.example", "ben@gmail.com"][..]),
    );
    let said =
        (prop::sample::select(&RULES[..]), prop::sample::select(&VALUES[..])).prop_map(|(rule, it)| (rule.0, it));
    let says = prop::collection::vec(said, 0..4);
    (0_i64..20, who, prop::sample::select(&SOURCES[..]), says)
        .prop_filter("an event names somebody", |(_, who, ..)| *who != ("", "", ""))
        .prop_map(move |(at, (visitor, user, email), source, says)| Behavior {
            says: says.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
            ..event(id, at).visitor(visitor).user(user).email(email).source(source)
        })
}

/// The events, and some of them more than once in any order.
fn runs() -> impl Strategy<Value = (Vec<Behavior>, Vec<Behavior>)> {
    (1_u8..24).prop_flat_map(|count| (1..=count).map(behavior).collect::<Vec<_>>()).prop_flat_map(|behaviors| {
        let again = prop::collection::vec(prop::sample::select(behaviors.clone()), 0..4);
        let arrivals = again.prop_flat_map({
            let behaviors = behaviors.clone();
            move |again| Just(behaviors.iter().cloned().chain(again).collect::<Vec<_>>()).prop_shuffle()
        });
        (Just(behaviors), arrivals)
    })
}

/// Since when it has been the last of these.
fn last<'b>(said: &[(&'b Behavior, &'b str)]) -> Option<(&'b str, i64)> {
    let mut current: Option<(&str, i64)> = None;
    for (event, value) in said {
        if current.is_none_or(|(before, _)| before != *value) {
            current = Some((value, event.minute));
        }
    }
    current
}

fn survivor<'b>(name: &str, said: &[(&'b Behavior, &'b str)]) -> Option<(&'b str, i64)> {
    let those = |wanted: &dyn Fn(&Behavior, &str) -> bool| {
        said.iter().copied().filter(|(event, value)| wanted(event, value)).collect::<Vec<_>>()
    };
    match name {
        "first" => said.first().map(|(event, value)| (*value, event.minute)),
        "trusted" => last(&those(&|event, _| event.source == "crm"))
            .or_else(|| last(&those(&|event, _| event.source == "import")))
            .or_else(|| last(said)),
        "longest" => {
            let most = said.iter().map(|(_, value)| items(value)).max()?;
            last(&those(&|_, value| items(value) == most))
        }
        _ => last(said),
    }
}

fn profile_of(key: &str, mut events: Vec<&Behavior>) -> Profile {
    events.sort_by_key(|event| (event.minute, event.id));
    let user = |event: &&Behavior| (!event.user.is_empty()).then_some(("user_id", event.user));
    let said = |name: &str| {
        let of = |event: &&Behavior| event.says.iter().copied().chain(user(event)).find(|(it, _)| *it == name);
        let said: Vec<_> = events.iter().filter_map(|event| Some((*event, of(event)?.1))).collect();
        survivor(name, &said).map(|(value, since)| (name.to_owned(), value.to_owned(), since))
    };
    let email = key.strip_prefix("e:").unwrap_or_default();
    let by_address = if email == ANA { "acme.example" } else { "" };
    Profile {
        email: email.to_owned(),
        account: said("group_id").map_or(by_address.to_owned(), |(_, group, _)| format!("group:{group}")),
        attributes: ["first", "group_id", "longest", "recent", "trusted", "user_id"]
            .into_iter()
            .filter_map(said)
            .collect(),
        others: Vec::new(),
    }
}

fn outcome(all: &[Behavior]) -> BTreeMap<LeadId, (BTreeSet<u8>, Profile)> {
    let mut owned: BTreeMap<String, Vec<&Behavior>> = BTreeMap::new();
    for (event, key) in model::owners(all) {
        owned.entry(key).or_default().push(event);
    }
    let known = |(key, events): (String, Vec<&Behavior>)| {
        let ids = events.iter().map(|event| event.id).collect();
        (lead(&key), (ids, profile_of(&key, events)))
    };
    owned.into_iter().map(known).collect()
}

proptest! {
    #[test]
    fn what_counts_is_a_function_of_all_that_was_said_however_little_is_remembered(
        (behaviors, arrivals) in runs(),
        values in 2_usize..6,
    ) {
        let mut world = world(values);
        world.arrive(arrivals);
        world.advance_to(minute(60 * 24));
        prop_assert_eq!(world.pipeline.refused(), []);
        prop_assert_eq!(world.outcome(), outcome(&behaviors));
    }
}

#[test]
fn a_merge_lets_the_rules_choose_among_what_both_said_and_a_split_takes_it_back() {
    let mut world = world(8);
    let of = |id, at, email, source| event(id, at).email(email).source(source);
    world.arrive([
        of(1, 1, ANA, "website").says("trusted", "a").says("first", "a"),
        of(2, 2, "ben@gmail.com", "crm").says("trusted", "b").says("first", "b").says("group_id", "7"),
        of(3, 3, ANA, "website").says("trusted", "a,b").says("group_id", "8"),
    ]);
    let before = world.outcome();
    world.say(&merge(201, 4, ANA_KEY, BEN_KEY));
    let (_, merged) = world.outcome().remove(&lead(ANA_KEY)).unwrap();
    let expected = profile(ANA, "group:8", &[("first", "a", 1), ("group_id", "8", 3), ("trusted", "b", 2)]);
    let Seen::Profile(expected) = expected else { unreachable!() };
    assert_eq!(merged, Profile { others: vec!["ben@gmail.com".to_owned()], ..expected });
    world.say(&split(202, 5, ANA_KEY, BEN_KEY));
    assert_eq!(world.outcome(), before);
}

#[test]
fn a_lead_goes_to_the_account_of_its_latest_group_and_back_when_that_was_somebody_elses() {
    let mut world = world(8);
    let account = |world: &World| world.outcome()[&lead(ANA_KEY)].1.account.clone();
    world.arrive([event(1, 1).visitor("laptop").email(ANA)]);
    let mut seen = vec![account(&world)];
    for (id, at, group) in [(2, 10, "group-b"), (3, 5, "group-a"), (4, 20, "acme.co.jp")] {
        world.arrive([event(id, at).visitor("laptop").says("group_id", group)]);
        seen.push(account(&world));
    }
    // From minute 15 the laptop is Ben's.
    world.arrive([event(5, 15).visitor("laptop").email("ben@gmail.com")]);
    seen.push(account(&world));
    assert_eq!(seen, ["acme.example", "group:group-b", "group:group-b", "acme.co.jp", "group:group-b"]);
    assert_eq!(world.outcome()[&lead(BEN_KEY)].1.account, "acme.co.jp");
}

#[test]
fn the_first_value_stays_when_its_event_is_no_longer_remembered() {
    let settings = IdentitySettings {
        profile_rules: rules(),
        values_per_attribute: 2,
        events_per_lead: 3,
        events_per_identifier: 1,
        ..IdentitySettings::default()
    };
    let mut world = World::new(settings);
    let said = |id: u8, value| event(id, i64::from(id)).email(ANA).says("first", value).says("recent", value);
    world.arrive([said(1, "a"), said(2, "b"), said(3, "a,b"), said(4, "c;d"), said(5, "a"), said(6, "b")]);
    // Late, of those that are remembered: they are heard anew.
    world.arrive([event(7, 5).email(ANA).says("recent", "c;d")]);
    let (_, known) = world.outcome().remove(&lead(ANA_KEY)).unwrap();
    let attributes = [("first", "a", 1), ("recent", "b", 6)].map(|(name, it, at)| (name.to_owned(), it.to_owned(), at));
    assert_eq!(known.attributes, attributes);
}
