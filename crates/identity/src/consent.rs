//! What a person allows: per purpose, by what was said last; and which events are withheld for want of it.
//!
//! Everything follows from the set of consent events, each at its instant: so a consent that arrives late withholds, or
//! gives back, what happened after it.

use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{self, BehaviorRecord};

use crate::history::Order;

/// Changes of consent remembered of a lead for each purpose: the most recent.
const MOST_SAID: usize = 64;

/// What consent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// To observe: pages, opened mails, clicks, downloads, and whatever the mapping does not know. What a person sends of
    /// their own accord, a form or an inquiry, needs none.
    Tracking,
    /// To rate.
    Scoring,
    /// To be called on by sales.
    Contact,
}

impl Purpose {
    /// All of them, in the order of their names.
    pub(crate) const ALL: [Self; 3] = [Self::Contact, Self::Scoring, Self::Tracking];

    /// As in events and settings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tracking => "tracking",
            Self::Scoring => "scoring",
            Self::Contact => "contact",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name().eq_ignore_ascii_case(name.trim()))
    }
}

/// Purposes for which nothing is allowed until the person has said so. Default none: what is not known is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Tracking.
    pub tracking: bool,
    /// Scoring.
    pub scoring: bool,
    /// Contact.
    pub contact: bool,
}

impl Required {
    const fn is(self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Tracking => self.tracking,
            Purpose::Scoring => self.scoring,
            Purpose::Contact => self.contact,
        }
    }
}

/// Somebody gave or withdrew consent.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Said {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
    #[prost(string, tag = "3")]
    purpose: String,
    #[prost(bool, tag = "4")]
    granted: bool,
    #[prost(string, tag = "5")]
    source: String,
    #[prost(string, tag = "6")]
    basis: String,
}

impl Said {
    /// What an event says about consent for purposes that are known: itself, or by the way. Of what contradicts itself the
    /// event counts, which is about nothing else.
    fn of(order: Order<'_>, behavior: &BehaviorRecord) -> Vec<Self> {
        let changed = if let Some(Event::ConsentChanged(it)) = &behavior.event {
            Purpose::of(&it.purpose).map(|purpose| (purpose, it.granted, cut(&it.basis)))
        } else {
            None
        };
        let by_the_way = behavior
            .consents
            .iter()
            .filter_map(|(purpose, granted)| Some((Purpose::of(purpose)?, *granted, "consent manager".to_owned())));
        let about = changed.as_ref().map(|it| it.0);
        let by_the_way = by_the_way.filter(move |it| Some(it.0) != about).collect::<Vec<_>>();
        let said = changed.into_iter().chain(by_the_way).map(|(purpose, granted, basis)| Self {
            event_id: order.1.to_vec(),
            occurred_at_ms: order.0,
            purpose: purpose.name().to_owned(),
            granted,
            source: behavior.origin.as_ref().map_or_else(String::new, |origin| origin.source.clone()),
            basis,
        });
        said.collect()
    }

    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }
}

/// Everything that was said, in the order it was said.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Consents {
    #[prost(message, repeated, tag = "1")]
    said: Vec<Said>,
}

impl Consents {
    /// Takes in what an event says about consent, if it does.
    pub(crate) fn hear(&mut self, order: Order<'_>, behavior: &BehaviorRecord) {
        for said in Said::of(order, behavior) {
            let purpose = said.purpose.clone();
            let place = self.said.partition_point(|it| it.order() < order);
            self.said.insert(place, said);
            let same: Vec<usize> =
                (0..).zip(&self.said).filter(|(_, it)| it.purpose == purpose).map(|it| it.0).collect();
            if same.len() > MOST_SAID {
                self.said.remove(self.spare(&same));
            }
        }
    }

    /// Which of the words about one purpose, of more than are remembered, says least: one from the inside of a run of equal
    /// ones, as a consent manager repeats them with every page; else the oldest.
    fn spare(&self, same: &[usize]) -> usize {
        let granted = |place: usize| self.said[place].granted;
        let inner = same.windows(3).find(|three| three.iter().all(|place| granted(*place) == granted(three[0])));
        inner.map_or(same[0], |three| three[1])
    }

    /// Forgets what an event said.
    pub(crate) fn forget(&mut self, event_id: &[u8]) {
        self.said.retain(|it| it.event_id != event_id);
    }

    /// Whether each event is allowed by these as it is by others: what is said about contact decides about none, and what is
    /// said again does not either.
    pub(crate) fn decides_like(&self, other: &Self) -> bool {
        [Purpose::Tracking, Purpose::Scoring].iter().all(|purpose| self.turns(*purpose).eq(other.turns(*purpose)))
    }

    /// What was said about a purpose that had not been said before.
    fn turns(&self, purpose: Purpose) -> impl Iterator<Item = (Order<'_>, bool)> {
        let mut standing = None;
        let same = self.said.iter().filter(move |it| it.purpose == purpose.name());
        same.filter(move |it| standing.replace(it.granted) != Some(it.granted)).map(|it| (it.order(), it.granted))
    }

    /// What was said last about a purpose, at or before this place in the order of events.
    fn last(&self, purpose: Purpose, at: Option<Order<'_>>) -> Option<&Said> {
        let until = at.map_or(self.said.len(), |at| self.said.partition_point(|it| it.order() <= at));
        self.said[..until].iter().rfind(|it| it.purpose == purpose.name())
    }

    fn allowed(&self, purpose: Purpose, at: Option<Order<'_>>, required: Required) -> bool {
        self.last(purpose, at).map_or(!required.is(purpose), |said| said.granted)
    }

    /// For want of which consent an event is withheld: observation, of the time it happened; scoring, of that time or now.
    pub(crate) fn withheld(&self, order: Order<'_>, behavior: &BehaviorRecord, required: Required) -> Option<Purpose> {
        if needs_tracking(behavior) && !self.allowed(Purpose::Tracking, Some(order), required) {
            return Some(Purpose::Tracking);
        }
        let allowed = |at| self.allowed(Purpose::Scoring, at, required);
        (!allowed(Some(order)) || !allowed(None)).then_some(Purpose::Scoring)
    }

    /// The first of those that said last what holds now: saying the same again changes nothing.
    fn since(&self, purpose: Purpose) -> Option<&Said> {
        let mut same = self.said.iter().rev().filter(|it| it.purpose == purpose.name());
        let last = same.next()?;
        Some(same.take_while(|it| it.granted == last.granted).last().unwrap_or(last))
    }

    /// How things stand, for each purpose that something was said about, or for which it has to be.
    pub(crate) fn standing(&self, required: Required) -> Vec<v1::Consent> {
        let standing = Purpose::ALL.into_iter().filter_map(|purpose| {
            let said = self.since(purpose);
            (said.is_some() || required.is(purpose)).then(|| v1::Consent {
                purpose: purpose.name().to_owned(),
                granted: said.is_some_and(|said| said.granted),
                since_ms: said.map_or(0, |said| said.occurred_at_ms),
                source: said.map_or_else(String::new, |said| said.source.clone()),
                basis: said.map_or_else(String::new, |said| said.basis.clone()),
            })
        });
        standing.collect()
    }
}

/// Whether an event is one that somebody observed, not one that the person sent.
fn needs_tracking(behavior: &BehaviorRecord) -> bool {
    behavior.event.as_ref().and_then(emptied).is_some()
}

/// What is left of an event that must not be observed: that there was one, and of which kind.
pub(crate) fn bare(behavior: &BehaviorRecord) -> BehaviorRecord {
    let event = behavior.event.as_ref().map(|event| emptied(event).unwrap_or_else(|| event.clone()));
    BehaviorRecord { meta: behavior.meta.clone(), origin: behavior.origin.clone(), event, ..BehaviorRecord::default() }
}

/// An event that somebody observed, with nothing left but its kind; `None` for what the person sent.
fn emptied(event: &Event) -> Option<Event> {
    match event {
        Event::PageViewed(_) => Some(Event::PageViewed(v1::PageViewed::default())),
        Event::EmailOpened(_) => Some(Event::EmailOpened(v1::EmailOpened::default())),
        Event::EmailClicked(_) => Some(Event::EmailClicked(v1::EmailClicked::default())),
        Event::ContentDownloaded(_) => Some(Event::ContentDownloaded(v1::ContentDownloaded::default())),
        Event::CustomBehavior(_) => Some(Event::CustomBehavior(v1::CustomBehavior::default())),
        Event::FormSubmitted(_)
        | Event::EventAttended(_)
        | Event::SurveyAnswered(_)
        | Event::AssessmentCompleted(_)
        | Event::ReferralReceived(_)
        | Event::InquiryReceived(_)
        | Event::LeadIdentified(_)
        | Event::ConsentChanged(_) => None,
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(200)].to_owned()
}
