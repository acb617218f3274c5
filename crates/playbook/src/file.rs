//! The playbook file as it is written, before its parts are checked against each other.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use toml::Spanned;

use crate::kind::{EventKind, Urgency};
use crate::pattern::Pattern;
use crate::value::{Length, Name, Phrase, Points, Share};

/// The agreement between marketing and sales: what counts, when a lead is handed over, and what happens then.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tasuki playbook")]
pub(crate) struct File {
    /// What it is called.
    pub(crate) name: Name,
    /// 1, 2, 3 ...: raised with every change; stands on every decision.
    pub(crate) version: u32,
    /// How much interest the behaviour shows.
    pub(crate) engagement: EngagementSection,
    /// Groups of engagement rules with a common cap, by name; at most 15.
    #[serde(default)]
    pub(crate) groups: BTreeMap<Name, GroupEntry>,
    /// How well person and company match the ideal customer.
    pub(crate) fit: FitSection,
    /// Product lines with an engagement, a fit and a grade of their own; at most 8.
    #[serde(default)]
    pub(crate) tracks: Vec<TrackEntry>,
    /// What leads add to the engagement of their account.
    #[serde(default)]
    pub(crate) account: AccountSection,
    /// Where the letters (fit) and digits (engagement) of the grade begin.
    pub(crate) grades: GradesSection,
    /// The ways to become an MQL; the first that holds is taken.
    pub(crate) routes: Vec<RouteEntry>,
    /// How soon sales must accept, by urgency, where the route does not say otherwise.
    pub(crate) accept_within: AcceptWithin,
    /// What follows from each reason of rejection.
    pub(crate) after_rejection: AfterRejection,
    /// Who is never handed over.
    #[serde(default)]
    pub(crate) exclusions: Vec<ExclusionEntry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngagementSection {
    /// The axis never shows more than this; at most 100.
    #[schemars(with = "Points")]
    pub(crate) cap: Spanned<Points>,
    pub(crate) rules: Vec<EngagementRule>,
}

/// Engagement rules that together never give (or take) more than the cap.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupEntry {
    #[schemars(with = "Points")]
    pub(crate) cap: Spanned<Points>,
}

/// A product line: its engagement and its fit count the rules that name it and those that name no track.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackEntry {
    /// Rules and routes name it.
    #[schemars(with = "Name")]
    pub(crate) name: Spanned<Name>,
}

/// Points for something a lead did. Every condition that is given must hold; of the patterns in a list, one must. Of
/// `half_life`, `linear`, `step` and `window` at most one is given; without any, the points stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngagementRule {
    /// Routes name the signal by it.
    #[schemars(with = "Name")]
    pub(crate) name: Spanned<Name>,
    pub(crate) event: EventKind,
    /// Form, content, event, mail ...
    pub(crate) about: Option<Vec<Pattern>>,
    /// Path of the page, with its leading slash.
    pub(crate) path: Option<Vec<Pattern>>,
    /// The source that reported it.
    pub(crate) source: Option<Vec<Pattern>>,
    /// Name of the campaign.
    pub(crate) campaign: Option<Vec<Pattern>>,
    /// For each time; may be negative.
    pub(crate) points: Points,
    /// After this time half of the points are left.
    #[schemars(with = "Option<Length>")]
    pub(crate) half_life: Option<Spanned<Length>>,
    /// The points get less evenly, and after this time nothing is left; at most 400d.
    #[schemars(with = "Option<Length>")]
    pub(crate) linear: Option<Spanned<Length>>,
    /// What is left of the points after which time, step by step; at most 10 steps.
    #[schemars(with = "Option<Vec<StepEntry>>", length(min = 1, max = 10))]
    pub(crate) step: Option<Spanned<Vec<StepEntry>>>,
    /// All points for this time, and nothing after it; at most 400d.
    #[schemars(with = "Option<Length>")]
    pub(crate) window: Option<Spanned<Length>>,
    /// Of all times in one stretch of time only the latest count.
    #[schemars(with = "Option<LimitEntry>")]
    pub(crate) limit: Option<Spanned<LimitEntry>>,
    /// Which group of `[groups]` it belongs to.
    #[schemars(with = "Option<Name>")]
    pub(crate) group: Option<Spanned<Name>>,
    /// Which of `[[tracks]]` it belongs to; without one it counts for all of them.
    #[schemars(with = "Option<Name>")]
    pub(crate) track: Option<Spanned<Name>>,
    /// All times together never give (or take) more than this.
    #[schemars(with = "Option<Points>")]
    pub(crate) cap: Option<Spanned<Points>>,
}

/// Of signals older than `after`, `left` percent of the points are left.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepEntry {
    /// More than the step before; at most 400d.
    pub(crate) after: Length,
    /// Less than the step before.
    pub(crate) left: Share,
}

/// So many times count in each stretch of time, counted from 1970-01-01T00:00Z on: `1d` is a day of UTC.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitEntry {
    #[schemars(range(min = 1, max = 500))]
    pub(crate) times: u32,
    /// At most 400d.
    pub(crate) per: Length,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FitSection {
    /// The axis never shows more than this; at most 100.
    #[schemars(with = "Points")]
    pub(crate) cap: Spanned<Points>,
    pub(crate) rules: Vec<FitRuleEntry>,
}

/// Points while an attribute is as said: `mentions`, `one_of`, `like`, `missing`, or `from` and `to`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FitRuleEntry {
    #[schemars(with = "Name")]
    pub(crate) name: Spanned<Name>,
    /// An attribute by its standard name (title, department, company, industry, employees, country, region ...), or
    /// `email_domain`.
    pub(crate) attribute: String,
    /// One of these phrases is in it.
    pub(crate) mentions: Option<Vec<Phrase>>,
    /// It is one of these; case is ignored.
    pub(crate) one_of: Option<Vec<String>>,
    /// The whole of it is as one of these patterns says.
    pub(crate) like: Option<Vec<Pattern>>,
    /// The lead has no such attribute; only `true` says something.
    pub(crate) missing: Option<bool>,
    /// Its number is at least this; the number is what it begins with ("51-200" is 51, "3万人" is 30000).
    pub(crate) from: Option<u32>,
    /// Its number is at most this.
    pub(crate) to: Option<u32>,
    pub(crate) points: Points,
    /// Which of `[[tracks]]` it belongs to; without one it counts for all of them.
    #[schemars(with = "Option<Name>")]
    pub(crate) track: Option<Spanned<Name>>,
}

/// The engagement of an account is the sum of that of its engaged people.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSection {
    /// Whoever has at least so much engagement is an engaged person; others add nothing. Above 0 and at most the cap of
    /// engagement; if it is not given, 20 or, where that is less, the cap of engagement.
    #[schemars(with = "Option<Points>")]
    pub(crate) engaged_from: Option<Spanned<Points>>,
    /// An account never has more engagement than this; at least `engaged_from`, and if it is not given, 300.
    #[schemars(with = "Option<Points>")]
    pub(crate) cap: Option<Spanned<Points>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GradesSection {
    #[schemars(with = "FitGrades")]
    pub(crate) fit: Spanned<FitGrades>,
    #[schemars(with = "EngagementGrades")]
    pub(crate) engagement: Spanned<EngagementGrades>,
}

/// Fit of at least so many points is an A, B, C; below, it is a D.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FitGrades {
    #[serde(rename = "A")]
    pub(crate) a: Points,
    #[serde(rename = "B")]
    pub(crate) b: Points,
    #[serde(rename = "C")]
    pub(crate) c: Points,
}

/// Engagement of at least so many points is a 1, 2, 3; below, it is a 4.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngagementGrades {
    #[serde(rename = "1")]
    pub(crate) one: Points,
    #[serde(rename = "2")]
    pub(crate) two: Points,
    #[serde(rename = "3")]
    pub(crate) three: Points,
}

/// A named way to become an MQL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteEntry {
    #[schemars(with = "Name")]
    pub(crate) name: Spanned<Name>,
    /// In CEL, over `engagement`, `fit`, `signals.within("rule", "30d")`, and `account.departments`, `account.people` and
    /// `account.engagement`.
    #[schemars(with = "String")]
    pub(crate) when: Spanned<String>,
    /// Of which of `[[tracks]]` `engagement` and `fit` are; without one they are the lead's own.
    #[schemars(with = "Option<Name>")]
    pub(crate) track: Option<Spanned<Name>>,
    /// In CEL likewise. Once `when` has held, the route is open on while this holds: the other edge of its threshold.
    #[schemars(with = "Option<String>")]
    pub(crate) stays_while: Option<Spanned<String>>,
    /// It must have been open for so long without a break before the lead is handed over; at most 30d.
    #[schemars(with = "Option<Length>")]
    pub(crate) dwell: Option<Spanned<Length>>,
    pub(crate) urgency: Urgency,
    /// The pool of sales reps it hands to.
    pub(crate) pool: Name,
    /// Instead of the limit of its urgency.
    pub(crate) accept_within: Option<Length>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptWithin {
    pub(crate) urgent: Length,
    pub(crate) high: Length,
    pub(crate) normal: Length,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AfterRejection {
    pub(crate) timing: ConsequenceEntry,
    pub(crate) no_budget: ConsequenceEntry,
    pub(crate) no_authority: ConsequenceEntry,
    pub(crate) no_need: ConsequenceEntry,
    pub(crate) unreachable: ConsequenceEntry,
    pub(crate) bad_data: ConsequenceEntry,
    pub(crate) duplicate: ConsequenceEntry,
    pub(crate) competitor: ConsequenceEntry,
    pub(crate) not_a_fit: ConsequenceEntry,
}

/// `"disqualify"`, or `"recycle after 90d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^(disqualify|recycle after [0-9]+[mhd])$"))]
pub(crate) enum ConsequenceEntry {
    Disqualify,
    RecycleAfter(Length),
}

impl<'de> Deserialize<'de> for ConsequenceEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "disqualify" {
            return Ok(Self::Disqualify);
        }
        let length = text.strip_prefix("recycle after ").and_then(|length| Length::parse(length).ok());
        length.map(Self::RecycleAfter).ok_or_else(|| {
            de::Error::custom(format!(
                "after a rejection comes \"disqualify\" or \"recycle after\" and a length of time like \"90d\"; found \
                 \"{text}\""
            ))
        })
    }
}

/// Somebody who is never handed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExclusionEntry {
    #[schemars(with = "Name")]
    pub(crate) name: Spanned<Name>,
    /// The part of the e-mail address after the `@` is as one of these says; `*.acme.example` for all below a domain.
    pub(crate) email_domains: Vec<Pattern>,
}
