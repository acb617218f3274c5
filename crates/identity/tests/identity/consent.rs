//! What a person allows decides what counts: compared with a model that looks at the whole set of events at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tasuki_domain::LeadId;
use tasuki_identity::{Identity, IdentitySettings, Required};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::{self, activity_record, identity_record};
use tasuki_wire::{PartitionCount, Topic};

use crate::model::{self, behavior};
use crate::support::{Behavior, START, World, event, lead, merge, minute, secret, split};

const ANA: &str = "ana@acme.example";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN: &str = "ben@gmail.com";
const BEN_KEY: &str = "e:ben@gmail.com";

/// What became of a lead's events, and what it allows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Standing {
    scored: BTreeSet<u8>,
    unscored: BTreeSet<u8>,
    allows: BTreeMap<String, bool>,
}

fn standing(pipeline: &Pipeline) -> BTreeMap<LeadId, Standing> {
    assert_eq!(pipeline.refused(), []);
    let mut leads: BTreeMap<LeadId, Standing> = BTreeMap::new();
    for record in pipeline.messages::<v1::ActivityRecord>(Topic::Activity) {
        let lead = leads.entry(LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap()).or_default();
        match record.event.unwrap() {
            activity_record::Event::Attributed(it) => {
                let id = it.behavior.unwrap().meta.unwrap().event_id[0];
                assert!(!lead.scored.contains(&id) && !lead.unscored.contains(&id), "event {id} stands there once");
                let into = if it.unscored { &mut lead.unscored } else { &mut lead.scored };
                into.insert(id);
            }
            activity_record::Event::Retracted(it) => {
                let id = it.behavior_id[0];
                assert!(lead.scored.remove(&id) || lead.unscored.remove(&id), "event {id} was there");
            }
            activity_record::Event::ProfileChanged(_) => {}
        }
    }
    let mut told: BTreeMap<LeadId, Vec<v1::Consent>> = BTreeMap::new();
    for record in pipeline.messages::<v1::IdentityRecord>(Topic::Identities) {
        let id = LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap();
        if let Some(identity_record::Event::ConsentsChanged(it)) = record.event {
            let before = told.insert(id, it.consents.clone()).unwrap_or_default();
            assert_ne!(before, it.consents, "consents are told when they changed");
            let allows = it.consents.into_iter().map(|it| (it.purpose, it.granted)).collect();
            leads.entry(id).or_default().allows = allows;
        }
    }
    leads.retain(|_, it| *it != Standing::default());
    leads
}

/// The same, said as plainly as possible.
fn expected(all: &[Behavior], required: Required) -> BTreeMap<LeadId, Standing> {
    let mut owned: BTreeMap<String, Vec<&Behavior>> = BTreeMap::new();
    for (event, key) in model::owners(all) {
        owned.entry(key).or_default().push(event);
    }
    let wanted = |purpose: &str| match purpose {
        "tracking" => required.tracking,
        "scoring" => required.scoring,
        _ => required.contact,
    };
    let of_lead = |(key, events): (String, Vec<&Behavior>)| {
        let said = |purpose: &str, until: (i64, u8)| {
            let by = |it: &Behavior| {
                let words = it.consent.into_iter().chain(it.by_the_way);
                words.into_iter().find(|(of, _)| *of == purpose).map(|(_, granted)| granted)
            };
            let before = events.iter().filter(|it| (it.minute, it.id) <= until);
            let said = before.filter_map(|it| Some(((it.minute, it.id), by(it)?)));
            said.max_by_key(|(at, _)| *at).map(|(_, granted)| granted)
        };
        let allowed = |purpose: &'static str, until| said(purpose, until).unwrap_or(!wanted(purpose));
        let now = (i64::MAX, u8::MAX);
        let mut lead_has = Standing::default();
        for event in &events {
            let at = (event.minute, event.id);
            let observed = event.consent.is_none() && !event.form && event.says.is_empty();
            if observed && !allowed("tracking", at) {
                continue;
            }
            let scored = allowed("scoring", at) && allowed("scoring", now);
            let into = if scored { &mut lead_has.scored } else { &mut lead_has.unscored };
            into.insert(event.id);
        }
        for purpose in ["contact", "scoring", "tracking"] {
            if said(purpose, now).is_some() || wanted(purpose) {
                lead_has.allows.insert(purpose.to_owned(), allowed(purpose, now));
            }
        }
        (lead(&key), lead_has)
    };
    owned.into_iter().map(of_lead).collect()
}

fn did(id: u8) -> impl Strategy<Value = Behavior> {
    let consent = (prop::sample::select(&["tracking", "scoring", "contact"][..]), any::<bool>());
    let words = (prop::option::weighted(0.4, consent.clone()), prop::option::weighted(0.2, consent));
    (behavior(id), words, any::<bool>()).prop_map(|(behavior, (consent, by_the_way), form)| Behavior {
        consent,
        by_the_way,
        form,
        says: Vec::new(),
        ..behavior
    })
}

/// The events, and an order of arrival with some of them twice.
fn runs() -> impl Strategy<Value = (Vec<Behavior>, Vec<Behavior>)> {
    let behaviors = (1_u8..14).prop_flat_map(|count| (1..=count).map(did).collect::<Vec<_>>());
    behaviors.prop_flat_map(|behaviors| {
        let again = prop::collection::vec(prop::sample::select(behaviors.clone()), 0..4);
        let arrivals = again.prop_flat_map({
            let behaviors = behaviors.clone();
            move |again| Just(behaviors.iter().cloned().chain(again).collect::<Vec<_>>()).prop_shuffle()
        });
        (Just(behaviors), arrivals)
    })
}

fn required() -> impl Strategy<Value = Required> {
    any::<(bool, bool, bool)>().prop_map(|(tracking, scoring, contact)| Required { tracking, scoring, contact })
}

fn world(consent_required: Required) -> World {
    World::new(IdentitySettings { consent_required, ..IdentitySettings::default() })
}

proptest! {
    #[test]
    fn any_order_of_consents_and_events_gives_what_the_set_of_them_says(
        (behaviors, arrivals) in runs(), required in required(),
    ) {
        let mut world = world(required);
        world.arrive(arrivals);
        world.advance_to(minute(60 * 24));
        prop_assert_eq!(standing(&world.pipeline), expected(&behaviors, required));
    }

    #[test]
    fn a_merge_joins_what_both_allow_and_a_split_brings_back_what_each_did((behaviors, arrivals) in runs()) {
        let mut apart = world(Required::default());
        apart.arrive(arrivals.clone());
        apart.advance_to(minute(60 * 24));
        let mut again = world(Required::default());
        again.say(&merge(200, 1, ANA_KEY, BEN_KEY));
        again.arrive(arrivals);
        again.advance_to(minute(60 * 24));
        let merged = standing(&again.pipeline);
        let events = |it: Option<&Standing>| it.map_or(0, |it| it.scored.len() + it.unscored.len());
        prop_assert_eq!(events(merged.get(&lead(BEN_KEY))), 0, "of {:?}", behaviors);
        again.say(&split(201, 2, ANA_KEY, BEN_KEY));
        prop_assert_eq!(standing(&again.pipeline), standing(&apart.pipeline));
    }
}

#[test]
fn what_is_observed_without_consent_to_tracking_is_kept_out_and_told_and_what_is_sent_is_not() {
    let mut world = world(Required::default());
    world.arrive([
        event(1, 1).visitor("tablet").email(ANA),
        event(2, 2).visitor("tablet").allows("tracking", false),
        event(3, 3).visitor("tablet"),
        event(4, 4).visitor("tablet").form(),
        event(5, 5).visitor("tablet").allows("tracking", true),
        event(6, 6).visitor("tablet"),
    ]);
    assert_eq!(standing(&world.pipeline)[&lead(ANA_KEY)].scored, [1, 2, 4, 5, 6].into());
    let told = world.pipeline.messages::<v1::IdentityRecord>(Topic::Identities).into_iter();
    let withheld: Vec<_> = told
        .filter_map(|record| {
            let Some(identity_record::Event::BehaviorWithheld(it)) = record.event else { return None };
            Some((it.behavior.unwrap(), it.purpose))
        })
        .collect();
    let whole = event(3, 3).visitor("tablet").record();
    let bare = v1::BehaviorRecord { identifiers: None, ..whole };
    assert_eq!(withheld, [(bare, "tracking".to_owned())]);
}

#[test]
fn a_consent_that_arrives_late_corrects_what_was_attributed() {
    let mut world = world(Required::default());
    world.arrive([
        event(1, 1).email(ANA),
        event(3, 3).email(ANA),
        event(5, 5).email(ANA).form(),
        event(4, 4).email(ANA).allows("scoring", true),
    ]);
    assert_eq!(standing(&world.pipeline)[&lead(ANA_KEY)].scored, [1, 3, 4, 5].into());
    world.arrive([event(2, 2).email(ANA).allows("scoring", false)]);
    let now = standing(&world.pipeline).remove(&lead(ANA_KEY)).unwrap();
    assert_eq!((now.scored, now.unscored), ([1, 4, 5].into(), [2, 3].into()));
    assert_eq!(now.allows, [("scoring".to_owned(), true)].into());
}

#[test]
fn a_score_names_what_was_said_before_the_event_it_follows_from() {
    let identity = Identity::new(secret(), IdentitySettings::default());
    let mut pipeline =
        Pipeline::new(PartitionCount::DEFAULT, START).with(identity).with(Scoring::new(Arc::new(Playbook::built_in())));
    let versions = |pipeline: &Pipeline| -> Vec<u64> {
        let scores = pipeline.messages::<v1::ScoreRecord>(Topic::Scores).into_iter();
        let scored = scores.filter_map(|record| match record.event {
            Some(v1::score_record::Event::Scored(scored)) => Some(scored.identities_version),
            Some(v1::score_record::Event::Playbook(_)) | None => None,
        });
        scored.collect()
    };
    pipeline.publish(event(1, 1).email(ANA).form().emitted());
    pipeline.run();
    assert!(versions(&pipeline).iter().all(|&version| version == 0), "nothing was said");
    for (id, granted) in [(2, false), (3, true), (4, false)] {
        pipeline.publish(event(id, i64::from(id)).email(ANA).allows("contact", granted).emitted());
    }
    pipeline.publish(event(5, 5).email(ANA).form().emitted());
    pipeline.run();
    assert_eq!(versions(&pipeline).last(), Some(&3));
}

/// What the score of Ana's engagement is.
fn engagement(events: &[Behavior]) -> i64 {
    let identity = Identity::new(secret(), IdentitySettings::default());
    let mut pipeline =
        Pipeline::new(PartitionCount::DEFAULT, START).with(identity).with(Scoring::new(Arc::new(Playbook::built_in())));
    for event in events {
        pipeline.publish(event.emitted());
        pipeline.run();
    }
    assert_eq!(pipeline.refused(), []);
    let scores = pipeline.messages::<v1::ScoreRecord>(Topic::Scores).into_iter();
    let scored = scores.filter_map(|record| {
        let Some(v1::score_record::Event::Scored(scored)) = record.event else { return None };
        Some(scored.engagement_mp)
    });
    scored.fold(0, |_, mp| mp)
}

#[test]
fn without_consent_to_scoring_there_are_no_points_and_what_was_allowed_counts_again_when_it_is_given_back() {
    let asks = event(1, 1).email(ANA).form();
    let (withdrawn, again) =
        (event(2, 2).email(ANA).allows("scoring", false), event(4, 4).email(ANA).allows("scoring", true));
    let asks_meanwhile = event(3, 3).email(ANA).form();
    // Consents give no points; they are there so that all scores are as of the same instant.
    let neutral = event(4, 4).email(ANA).allows("contact", true);
    let with_one = engagement(&[asks.clone(), neutral.clone()]);
    assert!(with_one > 0);
    assert_eq!(engagement(&[asks.clone(), withdrawn.clone()]), 0);
    assert_eq!(engagement(&[asks.clone(), withdrawn.clone(), asks_meanwhile.clone(), neutral]), 0);
    assert_eq!(engagement(&[asks.clone(), withdrawn.clone(), asks_meanwhile.clone(), again.clone()]), with_one);
    assert_eq!(engagement(&[again, asks_meanwhile, withdrawn, asks]), with_one);
}

#[test]
fn leads_that_share_a_device_do_not_share_consent() {
    let mut world = world(Required::default());
    world.arrive([
        event(1, 1).visitor("tablet").email(ANA),
        event(2, 2).visitor("tablet").allows("scoring", false),
        event(3, 3).visitor("tablet").email(BEN),
        event(4, 4).visitor("tablet").form(),
    ]);
    let standing = standing(&world.pipeline);
    assert_eq!(standing[&lead(ANA_KEY)].unscored, [1, 2].into());
    assert_eq!(standing[&lead(BEN_KEY)], Standing { scored: [3, 4].into(), ..Standing::default() });
}

#[test]
fn what_a_consent_manager_says_with_every_page_holds_from_the_page_on_however_often_it_is_said() {
    let mut world = world(Required::default());
    let page = |id: u8, granted| event(id, i64::from(id)).visitor("tablet").beside("tracking", granted);
    world.arrive([event(1, 1).visitor("tablet").email(ANA)]);
    // Longer than what is remembered of one purpose; the first word is needed to the end.
    world.arrive((2..=90).map(|id| page(id, false)));
    world.arrive([page(91, true)]);
    let now = standing(&world.pipeline).remove(&lead(ANA_KEY)).unwrap();
    assert_eq!((now.scored, now.allows), ([1, 91].into(), [("tracking".to_owned(), true)].into()));
    // One that comes late, from between.
    world.arrive([Behavior { id: 92, minute: 40, ..event(92, 40) }.visitor("tablet")]);
    assert_eq!(standing(&world.pipeline)[&lead(ANA_KEY)].scored, [1, 91].into());
}
