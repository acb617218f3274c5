//! What scoring looks at in a behavior event.

use crate::v1::behavior_record::Event;

impl Event {
    /// The event's name in playbooks, tables and pages: `PageViewed`, `FormSubmitted` ...
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PageViewed(_) => "PageViewed",
            Self::FormSubmitted(_) => "FormSubmitted",
            Self::EmailOpened(_) => "EmailOpened",
            Self::EmailClicked(_) => "EmailClicked",
            Self::ContentDownloaded(_) => "ContentDownloaded",
            Self::EventAttended(_) => "EventAttended",
            Self::SurveyAnswered(_) => "SurveyAnswered",
            Self::AssessmentCompleted(_) => "AssessmentCompleted",
            Self::ReferralReceived(_) => "ReferralReceived",
            Self::InquiryReceived(_) => "InquiryReceived",
            Self::LeadIdentified(_) => "LeadIdentified",
            Self::ConsentChanged(_) => "ConsentChanged",
            Self::CustomBehavior(_) => "CustomBehavior",
        }
    }

    /// What it was about: the form, the content, the event's own name; empty where the kind says it all. For a page
    /// view that is the path, which stands in the circumstances.
    pub fn about(&self) -> &str {
        match self {
            Self::PageViewed(_) | Self::LeadIdentified(_) => "",
            Self::FormSubmitted(event) => &event.form,
            Self::EmailOpened(event) => &event.email_name,
            Self::EmailClicked(event) => &event.email_name,
            Self::ContentDownloaded(event) => &event.content,
            Self::EventAttended(event) => &event.event_name,
            Self::SurveyAnswered(event) => &event.survey,
            Self::AssessmentCompleted(event) => &event.assessment,
            Self::ReferralReceived(event) => &event.referred_by,
            Self::InquiryReceived(event) => &event.channel,
            Self::ConsentChanged(event) => &event.purpose,
            Self::CustomBehavior(event) => &event.name,
        }
    }
}
