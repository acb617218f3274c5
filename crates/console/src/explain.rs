//! A lead as of any instant and by any playbook. How a score is computed is not the console's business: whoever makes it
//! gives it a function.

use std::fmt;
use std::sync::Arc;

use tasuki_domain::{EventId, LeadId, Millipoints, Millis, PlaybookVersion, Timestamp};
use tasuki_playbook::{AccountFacts, Faults, KEPT_FOR, Playbook};
use tasuki_wire::v1;

use crate::publication::Published;
use crate::routes::Shared;
use crate::store::{self, AxisOf, Known, StoreError};

/// Computes what a lead is worth.
#[derive(Clone)]
pub struct Explainer(Arc<dyn Fn(&Question<'_>) -> Explained + Send + Sync>);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// By which playbook.
    pub playbook: &'q Playbook,
    /// Who the lead is, as known now.
    pub profile: &'q v1::Profile,
    /// What it did, as known now; what is later than the instant is not to count.
    pub signals: &'q [KnownSignal],
    /// What its account has, as known now.
    pub account: AccountFacts,
    /// As of when.
    pub as_of: Timestamp,
}

/// One thing that a lead did.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in the behavior event")]
pub struct KnownSignal {
    pub id: EventId,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub kind: String,
    pub about: String,
    pub path: String,
    pub source: String,
    pub campaign: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    /// The score, as it would stand on the log. Per axis, the points of its contributions add up to what it shows.
    pub scored: v1::LeadScored,
    /// The routes whose condition holds.
    pub open_routes: Vec<String>,
    /// What time alone will change, the earliest first.
    pub expected: Vec<Expected>,
    /// What would lift an axis to its next boundary.
    pub lifts: Vec<Lift>,
}

/// Time alone changes something.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// When.
    pub at: Timestamp,
    /// Engagement then.
    pub engagement: Millipoints,
    /// The grade then.
    pub grade: String,
    /// The boundaries that engagement falls below then.
    pub falls_below: Vec<Millipoints>,
    /// The boundaries that engagement reaches then.
    pub reaches: Vec<Millipoints>,
    /// The tracks of which engagement crosses a boundary.
    pub tracks: Vec<ExpectedInTrack>,
    /// The facts that change: name, from what, to what.
    pub facts: Vec<(String, i64, i64)>,
    /// The routes whose condition holds then.
    pub open_routes: Vec<String>,
}

/// Time alone changes something in a track.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedInTrack {
    /// Its name.
    pub track: String,
    /// Its engagement then.
    pub engagement: Millipoints,
    /// Its grade then.
    pub grade: String,
    /// The boundaries that it falls below then.
    pub falls_below: Vec<Millipoints>,
    /// The boundaries that it reaches then.
    pub reaches: Vec<Millipoints>,
}

/// What an axis is short of.
#[derive(Clone, Debug, PartialEq)]
pub struct Lift {
    /// Of which track; empty: of the lead itself.
    pub track: String,
    /// Which.
    pub axis: v1::Axis,
    /// The next boundary.
    pub to: Millipoints,
    /// How much is missing.
    pub missing: Millipoints,
    /// What would give it, the most first.
    pub by: Vec<LiftedBy>,
}

/// A rule that would lift an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct LiftedBy {
    /// Its name.
    pub rule: String,
    /// How much more the axis would show by one more.
    pub points: Millipoints,
    /// How many reach the boundary; `None` if no few do.
    pub times: Option<u32>,
    /// It takes points now: they come back when it does not hold any more.
    pub ends: bool,
}

impl Explainer {
    /// Computes by this function, which must be as pure as scoring is.
    pub fn new(explain: impl Fn(&Question<'_>) -> Explained + Send + Sync + 'static) -> Self {
        Self(Arc::new(explain))
    }
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer").finish_non_exhaustive()
    }
}

/// By which playbook somebody wants to know it.
#[derive(Clone, Debug)]
pub(crate) enum By {
    InForce,
    Version(PlaybookVersion),
    /// One that is not published: its text.
    Text(String),
}

/// A lead as of an instant, by a playbook.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) known: Known,
    pub(crate) playbook: Playbook,
    /// What is in force.
    pub(crate) in_force: PlaybookVersion,
    /// Whether it is this one.
    pub(crate) is_in_force: bool,
    pub(crate) as_of: Timestamp,
    pub(crate) explained: Explained,
}

/// Why nothing can be explained.
#[derive(Debug)]
pub(crate) enum Unexplained {
    NoLead,
    NeverPublished(PlaybookVersion),
    /// The instant is before the first or after the last that is allowed.
    OutOfBounds {
        first: Timestamp,
        last: Timestamp,
    },
    /// The text is no playbook.
    Faulty(Faults),
    /// This release cannot use what was published then.
    Unusable(Faults),
    Store(StoreError),
    Defect,
}

impl From<StoreError> for Unexplained {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Which axis it is on pages and in the API.
pub(crate) const fn axis(axis: v1::Axis) -> AxisOf {
    match axis {
        v1::Axis::Fit => AxisOf::Fit,
        v1::Axis::Engagement | v1::Axis::Unspecified => AxisOf::Engagement,
    }
}

/// The first and the last instant as of which something can be explained: from 1970 on, and until nothing counts any more
/// that has happened up to now.
pub(crate) fn bounds(now: Timestamp) -> (Timestamp, Timestamp) {
    (Timestamp::from_millis(0), now + KEPT_FOR + Millis::from_days(1))
}

/// Explains a lead; without an instant as of that of the score that is shown.
pub(crate) async fn explain(
    console: &Shared,
    lead: LeadId,
    as_of: Option<Timestamp>,
    by: By,
) -> Result<Explanation, Unexplained> {
    let now = console.clock.now();
    let (first, last) = bounds(now);
    if as_of.is_some_and(|as_of| as_of < first || as_of > last) {
        return Err(Unexplained::OutOfBounds { first, last });
    }
    let rows = store::publications(&console.pool).await?;
    let published = Published::new(&rows, &console.start);
    let playbook = match &by {
        By::InForce => Playbook::parse(published.text()).map_err(Unexplained::Unusable)?,
        By::Version(version) => {
            let text = published.text_of(*version).ok_or(Unexplained::NeverPublished(*version))?;
            Playbook::parse(text).map_err(Unexplained::Unusable)?
        }
        By::Text(text) => Playbook::parse(text).map_err(Unexplained::Faulty)?,
    };
    let known = store::known(&console.pool, lead, as_of).await?.ok_or(Unexplained::NoLead)?;
    let as_of = as_of.or(known.lead.scored_as_of).unwrap_or(now);
    let (in_force, is_in_force) = (published.version(), published.text() == playbook.text());
    let explainer = console.explainer.clone();
    // As much work as dozens of scores: not where requests wait for each other.
    let work = move || {
        let Known { profile, signals, account, .. } = &known;
        let question = Question { playbook: &playbook, profile, signals, account: *account, as_of };
        let explained = (explainer.0)(&question);
        Explanation { known, playbook, in_force, is_in_force, as_of, explained }
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Unexplained::Defect)
}

impl Explanation {
    /// Attributes whose value was said only later: fit may have been another then, since earlier values are not kept.
    pub(crate) fn said_later(&self) -> Vec<&str> {
        let attributes = self.known.profile.attributes.iter();
        let later = attributes.filter(|(_, attribute)| attribute.occurred_at_ms > self.as_of.as_millis());
        later.map(|(name, _)| name.as_str()).collect()
    }
}
