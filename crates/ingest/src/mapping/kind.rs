//! The events a rule may name, their fields, and how they are filled.

use serde::Deserialize;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;

use super::{identified, plain};

/// Which event a rule makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    PageViewed,
    FormSubmitted,
    EmailOpened,
    EmailClicked,
    ContentDownloaded,
    EventAttended,
    SurveyAnswered,
    AssessmentCompleted,
    ReferralReceived,
    InquiryReceived,
    LeadIdentified,
    ConsentChanged,
    CustomBehavior,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PageViewed => "PageViewed",
            Self::FormSubmitted => "FormSubmitted",
            Self::EmailOpened => "EmailOpened",
            Self::EmailClicked => "EmailClicked",
            Self::ContentDownloaded => "ContentDownloaded",
            Self::EventAttended => "EventAttended",
            Self::SurveyAnswered => "SurveyAnswered",
            Self::AssessmentCompleted => "AssessmentCompleted",
            Self::ReferralReceived => "ReferralReceived",
            Self::InquiryReceived => "InquiryReceived",
            Self::LeadIdentified => "LeadIdentified",
            Self::ConsentChanged => "ConsentChanged",
            Self::CustomBehavior => "CustomBehavior",
        }
    }

    pub(super) const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::PageViewed => &["name", "category"],
            Self::FormSubmitted => &["form"],
            Self::EmailOpened => &["email_name"],
            Self::EmailClicked => &["email_name", "target_url"],
            Self::ContentDownloaded => &["content"],
            Self::EventAttended => &["event_name", "kind"],
            Self::SurveyAnswered => &["survey"],
            Self::AssessmentCompleted => &["assessment", "result"],
            Self::ReferralReceived => &["referred_by"],
            Self::InquiryReceived => &["channel", "subject"],
            Self::LeadIdentified => &[],
            Self::ConsentChanged => &["purpose", "granted", "basis"],
            Self::CustomBehavior => &["name"],
        }
    }

    /// Whether its properties are what somebody filled in about themselves. Those of the others are about a document
    /// or a mail, which have names and titles too.
    pub(super) const fn describes_person(self) -> bool {
        match self {
            Self::FormSubmitted | Self::EventAttended | Self::InquiryReceived => true,
            Self::PageViewed
            | Self::EmailOpened
            | Self::EmailClicked
            | Self::ContentDownloaded
            | Self::SurveyAnswered
            | Self::AssessmentCompleted
            | Self::ReferralReceived
            // Its attributes are the event.
            | Self::LeadIdentified
            | Self::ConsentChanged
            | Self::CustomBehavior => false,
        }
    }

    pub(super) fn event(self, field: impl Fn(&str) -> String, attributes: impl Fn() -> Vec<(String, String)>) -> Event {
        match self {
            Self::LeadIdentified => identified(attributes()),
            Self::ConsentChanged => {
                let denied = ["false", "no", "0", "off", "denied", "unsubscribed", "optout", "manual", "bounced"];
                let granted = plain(&field("granted"));
                Event::ConsentChanged(v1::ConsentChanged {
                    purpose: field("purpose"),
                    granted: !granted.is_empty() && !denied.contains(&granted.as_str()),
                    basis: field("basis"),
                })
            }
            Self::PageViewed => Event::PageViewed(v1::PageViewed { name: field("name"), category: field("category") }),
            Self::FormSubmitted => Event::FormSubmitted(v1::FormSubmitted { form: field("form") }),
            Self::EmailOpened => Event::EmailOpened(v1::EmailOpened { email_name: field("email_name") }),
            Self::EmailClicked => Event::EmailClicked(v1::EmailClicked {
                email_name: field("email_name"),
                target_url: field("target_url"),
            }),
            Self::ContentDownloaded => Event::ContentDownloaded(v1::ContentDownloaded { content: field("content") }),
            Self::EventAttended => {
                Event::EventAttended(v1::EventAttended { event_name: field("event_name"), kind: field("kind") })
            }
            Self::SurveyAnswered => Event::SurveyAnswered(v1::SurveyAnswered { survey: field("survey") }),
            Self::AssessmentCompleted => Event::AssessmentCompleted(v1::AssessmentCompleted {
                assessment: field("assessment"),
                result: field("result"),
            }),
            Self::ReferralReceived => {
                Event::ReferralReceived(v1::ReferralReceived { referred_by: field("referred_by") })
            }
            Self::InquiryReceived => {
                Event::InquiryReceived(v1::InquiryReceived { channel: field("channel"), subject: field("subject") })
            }
            Self::CustomBehavior => Event::CustomBehavior(v1::CustomBehavior { name: field("name") }),
        }
    }
}
