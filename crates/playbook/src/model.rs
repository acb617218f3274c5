//! The playbook as it is used: checked, with its rules in the order in which they are looked up.

use std::fmt;

use tasuki_domain::{Millipoints, Millis, PlaybookVersion, fingerprint_32};

use crate::account::{AccountAsked, AccountFacts};
use crate::condition::Condition;
use crate::decay::{Decay, Limit};
use crate::fault::Spot;
use crate::kind::{EventKind, RejectReason, Urgency};
use crate::lint::MOST_SIGNALS;
use crate::number::leading_number;
use crate::pattern::Pattern;
use crate::track::{Track, TrackRef};
use crate::value::Phrase;

/// The agreement between marketing and sales, ready for use.
#[derive(Debug)]
pub struct Playbook {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) version: PlaybookVersion,
    pub(crate) rules: Vec<Rule>,
    /// For each code of an event kind, its rules.
    pub(crate) by_kind: Vec<Vec<usize>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) engagement_cap: Millipoints,
    pub(crate) fit_rules: Vec<FitRule>,
    pub(crate) fit_cap: Millipoints,
    pub(crate) tracks: Vec<Track>,
    pub(crate) account: AccountPolicy,
    pub(crate) account_asked: AccountAsked,
    pub(crate) grades: Grades,
    pub(crate) facts: Vec<FactQuery>,
    pub(crate) boundaries: Vec<Millipoints>,
    pub(crate) routes: Vec<Route>,
    pub(crate) exclusions: Vec<Exclusion>,
    pub(crate) accept_within: [Millis; 3],
    pub(crate) after_rejection: [Consequence; 9],
    pub(crate) places: Places,
}

/// Where in the file the parts stand, for what is said about them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// As long as `rules`, and in their order.
    pub(crate) rules: Vec<Spot>,
    /// As long as `groups`.
    pub(crate) groups: Vec<Spot>,
    /// As long as `fit_rules`.
    pub(crate) fit_rules: Vec<Spot>,
    /// As long as `tracks`.
    pub(crate) tracks: Vec<Spot>,
    /// As long as `routes`.
    pub(crate) routes: Vec<Spot>,
    /// Whether the file says who counts for an account.
    pub(crate) account_is_set: bool,
    pub(crate) fit_grades: Spot,
    pub(crate) engagement_grades: Spot,
}

/// Points for something a lead did.
#[derive(Debug)]
pub struct Rule {
    /// Routes and ledger name the signal by it.
    pub name: String,
    /// For each time.
    pub points: Millipoints,
    /// What is left of them later.
    pub decay: Decay,
    /// How often it counts; `None`: each time.
    pub limit: Option<Limit>,
    /// Above zero: all times together never give (or, with negative points, take) more.
    pub cap: Option<Millipoints>,
    /// With which others it has a common cap, as an index into [`Playbook::groups`].
    pub group: Option<usize>,
    /// Whose it is; `None`: it counts for every track.
    pub track: Option<TrackRef>,
    pub(crate) group_name: Option<String>,
    pub(crate) event: EventKind,
    pub(crate) about: Option<Vec<Pattern>>,
    pub(crate) path: Option<Vec<Pattern>>,
    pub(crate) source: Option<Vec<Pattern>>,
    pub(crate) campaign: Option<Vec<Pattern>>,
}

/// Engagement rules with a common cap. Either all of them give, or all of them take.
#[derive(Debug, PartialEq)]
pub struct Group {
    /// Rules name it; the ledger says `cap:` and this name.
    pub name: String,
    /// Above zero: its rules together never give (or take) more.
    pub cap: Millipoints,
    /// Of which track all of its rules are; `None`: of none.
    pub track: Option<TrackRef>,
}

impl Group {
    /// Whether it counts for a track; as [`Rule::counts_for`].
    pub fn counts_for(&self, track: Option<usize>) -> bool {
        TrackRef::counts(self.track.as_ref(), track)
    }
}

/// What leads add to the engagement of their account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPolicy {
    /// A lead with at least so much engagement is an engaged person of its account; others add nothing. Above zero, and not
    /// above the cap of engagement.
    pub engaged_from: Millipoints,
    /// The engagement of an account is the sum of that of its engaged people, and never more than this.
    pub cap: Millipoints,
}

/// What a rule looks at in a behavior event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalFields<'s> {
    /// What kind of event.
    pub kind: EventKind,
    /// Form, content, event, mail ...; may be empty.
    pub about: &'s str,
    /// Path of the page; may be empty.
    pub path: &'s str,
    /// The source that reported it.
    pub source: &'s str,
    /// Name of the campaign; may be empty.
    pub campaign: &'s str,
}

impl Rule {
    /// Whether the signal is one of this rule's.
    #[inline]
    pub fn matches(&self, signal: &SignalFields<'_>) -> bool {
        let one_of = |patterns: &Option<Vec<Pattern>>, text: &str| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(text)))
        };
        self.event == signal.kind
            && one_of(&self.about, signal.about)
            && one_of(&self.path, signal.path)
            && one_of(&self.source, signal.source)
            && one_of(&self.campaign, signal.campaign)
    }

    /// Whether it counts for a track, as an index into [`Playbook::tracks`]; for the lead itself (`None`) every rule does.
    #[inline]
    pub fn counts_for(&self, track: Option<usize>) -> bool {
        TrackRef::counts(self.track.as_ref(), track)
    }

    /// The most that it gives or, below zero, takes in all.
    pub(crate) fn most(&self) -> Millipoints {
        let many = Millipoints::new(self.points.get().saturating_mul(MOST_SIGNALS));
        self.cap.map_or(many, |cap| many.clamp(-cap, cap))
    }

    /// Whether it has the same conditions as another.
    pub(crate) fn looks_for_the_same(&self, other: &Self) -> bool {
        self.event == other.event
            && self.about == other.about
            && self.path == other.path
            && self.source == other.source
            && self.campaign == other.campaign
    }
}

/// Points while an attribute of the lead is as said.
#[derive(Debug)]
pub struct FitRule {
    /// The ledger names it.
    pub name: String,
    /// Which attribute; [`EMAIL_DOMAIN`] is computed from the address.
    pub attribute: String,
    /// May be negative.
    pub points: Millipoints,
    /// Whose it is; `None`: it counts for every track.
    pub track: Option<TrackRef>,
    pub(crate) test: FitTest,
}

/// Stands in fit rules for the part of the e-mail address after the `@`.
pub const EMAIL_DOMAIN: &str = "email_domain";

#[derive(Debug, PartialEq)]
pub(crate) enum FitTest {
    Mentions(Vec<Phrase>),
    /// Lower-case.
    OneOf(Vec<String>),
    Number {
        from: Option<u32>,
        to: Option<u32>,
    },
    Like(Vec<Pattern>),
    /// There is none, or it is empty.
    Missing,
}

impl FitRule {
    /// Whether it counts for a track; as [`Rule::counts_for`].
    #[inline]
    pub fn counts_for(&self, track: Option<usize>) -> bool {
        TrackRef::counts(self.track.as_ref(), track)
    }

    /// Whether the attribute is as said; `None` if the lead has no such attribute, and an empty one is none. Only a rule
    /// on what is missing matches then.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        let Some(value) = value else { return self.test == FitTest::Missing };
        match &self.test {
            FitTest::Missing => false,
            FitTest::Like(patterns) => patterns.iter().any(|pattern| pattern.matches(value)),
            FitTest::Mentions(phrases) => {
                let value = value.to_lowercase();
                phrases.iter().any(|phrase| phrase.is_in(&value))
            }
            FitTest::OneOf(values) => {
                let value = value.to_lowercase();
                values.contains(&value)
            }
            FitTest::Number { from, to } => leading_number(value).is_some_and(|number| {
                from.is_none_or(|from| number >= u64::from(from)) && to.is_none_or(|to| number <= u64::from(to))
            }),
        }
    }
}

/// Where the letters and digits of the grade begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grades {
    /// Least fit for an A, a B, a C.
    pub fit: [Millipoints; 3],
    /// Least engagement for a 1, a 2, a 3.
    pub engagement: [Millipoints; 3],
}

/// Fit letter and engagement digit: `B2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// `A` to `D`.
    pub fit: char,
    /// 1 to 4.
    pub engagement: u8,
}

impl Grades {
    /// The grade of a score.
    pub fn grade(&self, engagement: Millipoints, fit: Millipoints) -> Grade {
        let letter = match self.fit {
            [a, ..] if fit >= a => 'A',
            [_, b, _] if fit >= b => 'B',
            [.., c] if fit >= c => 'C',
            _ => 'D',
        };
        let digit = match self.engagement {
            [one, ..] if engagement >= one => 1,
            [_, two, _] if engagement >= two => 2,
            [.., three] if engagement >= three => 3,
            _ => 4,
        };
        Grade { fit: letter, engagement: digit }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.fit, self.engagement)
    }
}

/// A fact about a lead that some route asks for: how many signals of a rule there were in a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactQuery {
    /// As it stands in events: `signals.within("demo-request","30d")`.
    pub name: String,
    /// Which engagement rule, as an index into [`Playbook::rules`].
    pub rule: usize,
    /// Signals of at most this age count.
    pub window: Millis,
}

/// How facts are named in events.
pub(crate) mod facts {
    use crate::value::Length;

    pub(crate) fn within(rule: &str, window: Length) -> String {
        format!("signals.within(\"{rule}\",\"{window}\")")
    }
}

/// A named way to become an MQL.
#[derive(Debug)]
pub struct Route {
    /// Stands on the decision.
    pub name: String,
    /// When it is open.
    pub condition: Condition,
    /// Whose engagement and fit the condition is about; `None`: those of the lead itself.
    pub track: Option<TrackRef>,
    /// Once it is open, it is open on while this holds.
    pub stays_while: Option<Condition>,
    /// How long it must be open without a break before the lead is handed over; `None`: not at all.
    pub dwell: Option<Millis>,
    /// How quickly sales must take the lead.
    pub urgency: Urgency,
    /// The pool of sales reps it hands to.
    pub pool: String,
    pub(crate) accept_within: Option<Millis>,
}

impl Route {
    /// Whether the route is open. `engagement` and `fit` are those of its track; `facts` are those of [`Playbook::facts`], in that order.
    pub fn holds(&self, engagement: Millipoints, fit: Millipoints, facts: &[i64], account: &AccountFacts) -> bool {
        self.condition.holds(engagement, fit, facts, account)
    }

    /// Whether the route, once it is open, is open on.
    pub fn stays(&self, engagement: Millipoints, fit: Millipoints, facts: &[i64], account: &AccountFacts) -> bool {
        let stays = |condition: &Condition| condition.holds(engagement, fit, facts, account);
        stays(&self.condition) || self.stays_while.as_ref().is_some_and(stays)
    }

    /// All that it looks at: when it opens, and how long it stays open.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        [&self.condition].into_iter().chain(&self.stays_while)
    }

    /// The facts it asks for to open, as indices into [`Playbook::facts`].
    pub fn asks_for(&self) -> &[usize] {
        self.condition.asks_for()
    }
}

/// Somebody who is never handed over.
#[derive(Debug)]
pub struct Exclusion {
    /// Stands on the decision.
    pub name: String,
    pub(crate) email_domains: Vec<Pattern>,
}

impl Exclusion {
    /// Whether it is about a lead with this e-mail address; may be empty.
    pub fn applies_to(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        !domain.is_empty() && self.email_domains.iter().any(|pattern| pattern.matches(domain))
    }
}

/// What follows from a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Not to be handed over again.
    Disqualify,
    /// Back to marketing; may qualify again after this time.
    RecycleAfter(Millis),
}

impl Playbook {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tells texts of playbooks apart: equal for equal texts, on every machine and in every release. Never 0.
    pub fn fingerprint(text: &str) -> u32 {
        fingerprint_32(text.bytes()).max(1)
    }

    /// Stands on every decision made by it.
    pub fn version(&self) -> PlaybookVersion {
        self.version
    }

    /// The rules for engagement, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Indices of the rules that look at events of this kind, in the order of the file.
    pub fn rules_for(&self, kind: EventKind) -> &[usize] {
        self.by_kind.get(usize::from(kind.code())).map_or(&[], Vec::as_slice)
    }

    /// The groups of engagement rules, by name.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Engagement never shows more.
    pub fn engagement_cap(&self) -> Millipoints {
        self.engagement_cap
    }

    /// The rules for fit, in the order of the file.
    pub fn fit_rules(&self) -> &[FitRule] {
        &self.fit_rules
    }

    /// Fit never shows more.
    pub fn fit_cap(&self) -> Millipoints {
        self.fit_cap
    }

    /// The product lines that are scored beside the lead itself, in the order of the file.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// What leads add to their account.
    pub fn account(&self) -> AccountPolicy {
        self.account
    }

    /// Where letters and digits begin.
    pub fn grades(&self) -> &Grades {
        &self.grades
    }

    /// What the routes ask of the accounts of leads.
    pub fn account_asked(&self) -> &AccountAsked {
        &self.account_asked
    }

    /// The facts that the routes ask for, each once.
    pub fn facts(&self) -> &[FactQuery] {
        &self.facts
    }

    /// Amounts of engagement at which the grade, some route, or what the account has of a lead turns: it matters on which side of each a lead is, at or
    /// above it, or below. Ascending, each once.
    pub fn boundaries(&self) -> &[Millipoints] {
        &self.boundaries
    }

    /// The same of the engagement of a track, as an index into [`Playbook::tracks`], or of the lead itself.
    pub fn boundaries_of(&self, track: Option<usize>) -> &[Millipoints] {
        track.and_then(|track| self.tracks.get(track)).map_or(&self.boundaries, |track| &track.boundaries)
    }

    /// The ways to become an MQL; the first that is open is taken.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whom it excludes, if this address is one of those.
    pub fn exclusion(&self, email: &str) -> Option<&Exclusion> {
        self.exclusions.iter().find(|exclusion| exclusion.applies_to(email))
    }

    /// What follows from a rejection for this reason.
    pub fn after_rejection(&self, reason: RejectReason) -> Consequence {
        self.after_rejection[reason as usize]
    }

    /// How long sales has to accept what came by this route. A route that the playbook does not have (any more) has the
    /// limit of its urgency.
    pub fn accept_within(&self, route: &str, urgency: Urgency) -> Millis {
        let own = self.routes.iter().find(|known| known.name == route).and_then(|route| route.accept_within);
        own.unwrap_or(self.accept_within[urgency as usize])
    }
}
