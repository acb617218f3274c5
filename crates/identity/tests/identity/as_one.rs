//! A merge comes to the same as if the two had been one person from the start: the same events, the same profile and,
//! through scoring, the same score.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use tasuki_domain::LeadId;
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::{self, activity_record, behavior_record};
use tasuki_wire::{PartitionCount, Topic};

use crate::support::{Behavior, START, event, lead, merge, secret, split};

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@gmail.com";
const ANA_KEY: &str = "e:ana@acme.example";
const BEN_KEY: &str = "e:ben@gmail.com";

/// What somebody did, on a device that is theirs alone or, without one, under their address.
#[derive(Clone, Debug)]
struct Did {
    id: u8,
    hour: i64,
    ben: bool,
    on_device: bool,
    what: usize,
}

impl Did {
    /// As reported; `one`: all of it by Ana.
    fn emitted(&self, one: bool) -> Emitted {
        let (device, own) = if self.ben { ("tablet", BEN) } else { ("laptop", ANA) };
        let address = if one { ANA } else { own };
        let behavior = Behavior { email: address, ..event(self.id, self.hour * 60) };
        let behavior = if self.on_device { behavior.visitor(device) } else { behavior };
        let mut record = behavior.record();
        let (path, event) = what(self.what);
        record.circumstances = Some(v1::Circumstances { path: path.to_owned(), ..v1::Circumstances::default() });
        record.event = Some(event);
        Emitted { payload: record.encode_to_vec(), ..behavior.emitted() }
    }
}

fn what(number: usize) -> (&'static str, behavior_record::Event) {
    use behavior_record::Event;
    let form = |form: &str| Event::FormSubmitted(v1::FormSubmitted { form: form.to_owned() });
    let says = |title: &str| {
        let attributes = [("title".to_owned(), title.to_owned()), ("country".to_owned(), "JP".to_owned())].into();
        Event::LeadIdentified(v1::LeadIdentified { attributes })
    };
    match number {
        0 => ("/pricing", Event::PageViewed(v1::PageViewed::default())),
        1 => ("/jobs", Event::PageViewed(v1::PageViewed::default())),
        2 => ("/", form("demo-request")),
        3 => ("/", form("newsletter")),
        4 => ("/", Event::ContentDownloaded(v1::ContentDownloaded { content: "white paper".to_owned() })),
        5 => ("/", says("CTO")),
        _ => ("/", says("Head of IT")),
    }
}

fn pipeline() -> Pipeline {
    Pipeline::new(PartitionCount::DEFAULT, START)
        .with(Identity::new(secret(), IdentitySettings::default()))
        .with(Scoring::new(Arc::new(Playbook::built_in())))
}

/// What is known of a lead in the end.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    events: BTreeSet<u8>,
    profile: v1::Profile,
    score: Option<v1::LeadScored>,
}

fn known(pipeline: &Pipeline) -> BTreeMap<LeadId, Known> {
    assert_eq!(pipeline.refused(), []);
    let mut leads: BTreeMap<LeadId, Known> = BTreeMap::new();
    for record in pipeline.messages::<v1::ActivityRecord>(Topic::Activity) {
        let known = leads.entry(LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap()).or_default();
        match record.event.unwrap() {
            activity_record::Event::Attributed(it) => {
                assert!(known.events.insert(it.behavior.unwrap().meta.unwrap().event_id[0]));
            }
            activity_record::Event::Retracted(it) => assert!(known.events.remove(&it.behavior_id[0])),
            activity_record::Event::ProfileChanged(it) => known.profile = it.profile.unwrap(),
        }
    }
    for record in pipeline.messages::<v1::ScoreRecord>(Topic::Scores) {
        let known = leads.get_mut(&LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap()).unwrap();
        let Some(v1::score_record::Event::Scored(scored)) = record.event else { continue };
        // Why it was scored last, and behind what, is of the trail. The profile is compared for itself.
        known.score = Some(v1::LeadScored { because: 0, identities_version: 0, profile: None, ..scored });
    }
    leads
}

fn history() -> impl Strategy<Value = Vec<Did>> {
    (1_u8..14).prop_flat_map(|count| {
        let did =
            |id| {
                (0_i64..2_000, any::<bool>(), any::<bool>(), 0_usize..7)
                    .prop_map(move |(hour, ben, on_device, what)| Did { id, hour, ben, on_device, what })
            };
        (1..=count).map(did).collect::<Vec<_>>()
    })
}

/// In any order; the command somewhere among them.
fn runs() -> impl Strategy<Value = (Vec<Did>, Vec<Did>, usize)> {
    history()
        .prop_flat_map(|history| (Just(history.clone()), Just(history).prop_shuffle(), any::<prop::sample::Index>()))
        .prop_map(|(history, order, place)| {
            let at = place.index(order.len() + 1);
            (history, order, at)
        })
}

/// All of them have happened, and nothing more will for some days.
fn run(pipeline: &mut Pipeline, records: impl IntoIterator<Item = Emitted>) {
    for record in records {
        pipeline.publish(record);
        pipeline.run();
    }
}

proptest! {
    #[test]
    fn a_merge_comes_to_the_same_as_one_person_from_the_start((history, order, place) in runs()) {
        // With events of both, Ana stays; a lead that nothing is known of has nothing to give its own address to.
        prop_assume!(history.iter().any(|did| did.ben) && history.iter().any(|did| !did.ben));
        let mut one = pipeline();
        run(&mut one, history.iter().map(|did| did.emitted(true)));
        let mut merged = pipeline();
        let mut records: Vec<Emitted> = order.iter().map(|did| did.emitted(false)).collect();
        records.insert(place, merge(200, 1, ANA_KEY, BEN_KEY).emitted());
        run(&mut merged, records);
        let (mut one, mut merged) = (known(&one), known(&merged));
        let expected = one.remove(&lead(ANA_KEY)).unwrap();
        let mut found = merged.remove(&lead(ANA_KEY)).unwrap();
        prop_assert_eq!(std::mem::take(&mut found.profile.other_emails), [BEN]);
        prop_assert_eq!(found, expected);
        // Of the other, who it was is left, and no engagement.
        let rest = merged.remove(&lead(BEN_KEY)).unwrap_or_default();
        prop_assert!(rest.events.is_empty());
        prop_assert!(rest.score.is_none_or(|score| score.engagement_mp == 0));
    }

    #[test]
    fn after_a_split_both_have_the_score_they_would_have_had((history, order, place) in runs()) {
        let mut apart = pipeline();
        run(&mut apart, history.iter().map(|did| did.emitted(false)));
        let mut again = pipeline();
        let mut records: Vec<Emitted> = order.iter().map(|did| did.emitted(false)).collect();
        records.insert(place, merge(200, 1, ANA_KEY, BEN_KEY).emitted());
        run(&mut again, records);
        run(&mut again, [split(201, 2, ANA_KEY, BEN_KEY).emitted()]);
        let (apart, mut again) = (known(&apart), known(&again));
        // Who never did anything may have been scored at nothing for a while.
        again.retain(|lead, _| apart.contains_key(lead));
        prop_assert_eq!(again, apart);
    }
}

#[test]
fn a_rule_with_a_cap_gives_no_more_for_two_records_of_one_person() {
    let asks = |id, ben| Did { id, hour: i64::from(id), ben, on_device: false, what: 2 };
    let mut pipeline = pipeline();
    run(&mut pipeline, [asks(1, false).emitted(false), asks(2, true).emitted(false)]);
    let points = |pipeline: &Pipeline, key: &str| -> i64 {
        let score = known(pipeline).remove(&lead(key)).unwrap().score.unwrap();
        score.contributions.iter().filter(|it| it.rule == "demo-request").map(|it| it.points_mp).sum()
    };
    assert_eq!((points(&pipeline, ANA_KEY), points(&pipeline, BEN_KEY)), (30_000, 30_000));
    run(&mut pipeline, [merge(200, 1, ANA_KEY, BEN_KEY).emitted()]);
    assert_eq!((points(&pipeline, ANA_KEY), points(&pipeline, BEN_KEY)), (30_000, 0), "the cap of the rule is 30");
}
