//! The words a playbook shares with the events: kinds of behaviour, urgencies, reasons of rejection.

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// A kind of behavior event, as rules name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
        pub enum EventKind { $($(#[$doc])* $name,)* }

        impl EventKind {
            /// Every kind, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands in playbooks and pages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// A number that never changes, for compact storage: 1, 2, 3 ...
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }

            /// The kind of a code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// A page was shown; `path` says which.
    PageViewed = 1,
    /// A form was sent; `about` is the form.
    FormSubmitted = 2,
    /// A mail was opened; `about` is the mail.
    EmailOpened = 3,
    /// A link in a mail was followed; `about` is the mail.
    EmailClicked = 4,
    /// `about` is the content.
    ContentDownloaded = 5,
    /// A seminar, webinar or trade show; `about` is its name.
    EventAttended = 6,
    /// `about` is the survey.
    SurveyAnswered = 7,
    /// `about` is the assessment.
    AssessmentCompleted = 8,
    /// `about` is who referred.
    ReferralReceived = 9,
    /// `about` is the channel.
    InquiryReceived = 10,
    /// The tracker told who somebody is.
    LeadIdentified = 11,
    /// `about` is the purpose.
    ConsentChanged = 12,
    /// Anything else; `about` is the name the tracker gave.
    CustomBehavior = 13,
}

/// How quickly sales must take a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Somebody is waiting for a call.
    Urgent,
    /// Before the others.
    High,
    /// In turn.
    Normal,
}

impl Urgency {
    /// As it stands in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
        }
    }

    /// Reads what stands in events.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Urgent, Self::High, Self::Normal].into_iter().find(|urgency| urgency.name() == name)
    }
}

/// Why sales refuses a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Not now.
    Timing,
    /// No money for it.
    NoBudget,
    /// Cannot decide it.
    NoAuthority,
    /// Does not need it.
    NoNeed,
    /// Does not answer.
    Unreachable,
    /// The data is wrong.
    BadData,
    /// Is another lead.
    Duplicate,
    /// Works for a competitor.
    Competitor,
    /// Not somebody we sell to.
    NotAFit,
}

impl RejectReason {
    /// Every reason, in the order in which a playbook says what follows.
    pub const ALL: &'static [Self] = &[
        Self::Timing,
        Self::NoBudget,
        Self::NoAuthority,
        Self::NoNeed,
        Self::Unreachable,
        Self::BadData,
        Self::Duplicate,
        Self::Competitor,
        Self::NotAFit,
    ];

    /// As it stands in playbooks and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timing => "timing",
            Self::NoBudget => "no-budget",
            Self::NoAuthority => "no-authority",
            Self::NoNeed => "no-need",
            Self::Unreachable => "unreachable",
            Self::BadData => "bad-data",
            Self::Duplicate => "duplicate",
            Self::Competitor => "competitor",
            Self::NotAFit => "not-a-fit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_never_change() {
        for (index, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.code()), index + 1);
            assert_eq!(EventKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(EventKind::from_code(0), None);
    }
}
