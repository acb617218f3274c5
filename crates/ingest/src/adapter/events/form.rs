//! What an event of our own API looks like. These types are what is read, and what the OpenAPI document is made from.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasuki_domain::{EmailAddress, Timestamp};

use super::{Attributes, Free, strict};
use crate::observed::BadRecord;

/// One thing that somebody did. It names at least one of `visitor_id`, `user_id`, `crm_id`, `email` and `phone`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEvent {
    /// Its id, unique within the source. Sent again under the same id, it counts once, so make one and keep it when you
    /// send again. Left out: it follows from the content, and events of the same content are one; those that do not say
    /// when they happened, one a minute.
    pub(super) id: Option<Text>,
    /// What happened.
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// What there is to say about what happened; which fields depends on the type.
    #[serde(rename = "data", default)]
    pub(super) _data: Option<Free>,
    /// When it happened. Left out: when it is received.
    pub(super) occurred_at: Option<Instant>,
    /// When it was sent, by the clock that `occurred_at` is from: so a clock that is wrong is found out and corrected.
    pub(super) sent_at: Option<Instant>,
    /// The device or browser, as long as it does not change hands.
    pub(super) visitor_id: Option<Text>,
    /// The person, as your own systems know them.
    pub(super) user_id: Option<Text>,
    /// The person's e-mail address.
    pub(super) email: Option<Address>,
    /// The person's record in a CRM system: the system, ":" and its id, for example salesforce:0035g00000ABCdeAAH or
    /// hubspot:123. As good as an e-mail address.
    pub(super) crm_id: Option<Text>,
    /// The person's phone number, with country code or as it is dialled at home. It names somebody only where nothing else
    /// does.
    pub(super) phone: Option<Text>,
    /// About the person and the company: name, first_name, last_name, title, department, company, industry, employees,
    /// country, region, website. Others are kept with `lead_identified` only.
    #[serde(default)]
    pub(super) attributes: Attributes,
    /// Where and how it happened.
    pub(super) context: Option<Context>,
    /// Whatever else there is to say. Kept as it is, but for an IP address (`ip`, `ip_address`): that belongs to the
    /// context.
    pub(super) properties: Option<Free>,
}

/// Which of the things that Tasuki knows happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
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
    Custom,
}

/// What there is to say, by type.
#[derive(Debug)]
pub(super) enum Data {
    PageViewed(PageViewed),
    FormSubmitted(FormSubmitted),
    EmailOpened(EmailOpened),
    EmailClicked(EmailClicked),
    ContentDownloaded(ContentDownloaded),
    EventAttended(EventAttended),
    SurveyAnswered(SurveyAnswered),
    AssessmentCompleted(AssessmentCompleted),
    ReferralReceived(ReferralReceived),
    InquiryReceived(InquiryReceived),
    LeadIdentified(LeadIdentified),
    ConsentChanged(ConsentChanged),
    Custom(Custom),
}

impl Data {
    /// Reads the "data" of an event of this type.
    pub(super) fn read(kind: Kind, data: &Value) -> Result<Self, BadRecord> {
        const AT: &str = "/data";
        Ok(match kind {
            Kind::PageViewed => Self::PageViewed(strict(data, AT)?),
            Kind::FormSubmitted => Self::FormSubmitted(strict(data, AT)?),
            Kind::EmailOpened => Self::EmailOpened(strict(data, AT)?),
            Kind::EmailClicked => Self::EmailClicked(strict(data, AT)?),
            Kind::ContentDownloaded => Self::ContentDownloaded(strict(data, AT)?),
            Kind::EventAttended => Self::EventAttended(strict(data, AT)?),
            Kind::SurveyAnswered => Self::SurveyAnswered(strict(data, AT)?),
            Kind::AssessmentCompleted => Self::AssessmentCompleted(strict(data, AT)?),
            Kind::ReferralReceived => Self::ReferralReceived(strict(data, AT)?),
            Kind::InquiryReceived => Self::InquiryReceived(strict(data, AT)?),
            Kind::LeadIdentified => Self::LeadIdentified(strict(data, AT)?),
            Kind::ConsentChanged => Self::ConsentChanged(strict(data, AT)?),
            Kind::Custom => Self::Custom(strict(data, AT)?),
        })
    }

    /// The type's name, its schema, and whether it must say something.
    pub(super) fn schemas(generator: &mut SchemaGenerator) -> Vec<(Kind, Schema, bool)> {
        let mut all = Vec::new();
        let mut add = |kind, schema, needed| all.push((kind, schema, needed));
        add(Kind::PageViewed, generator.subschema_for::<PageViewed>(), false);
        add(Kind::FormSubmitted, generator.subschema_for::<FormSubmitted>(), true);
        add(Kind::EmailOpened, generator.subschema_for::<EmailOpened>(), false);
        add(Kind::EmailClicked, generator.subschema_for::<EmailClicked>(), false);
        add(Kind::ContentDownloaded, generator.subschema_for::<ContentDownloaded>(), true);
        add(Kind::EventAttended, generator.subschema_for::<EventAttended>(), true);
        add(Kind::SurveyAnswered, generator.subschema_for::<SurveyAnswered>(), true);
        add(Kind::AssessmentCompleted, generator.subschema_for::<AssessmentCompleted>(), true);
        add(Kind::ReferralReceived, generator.subschema_for::<ReferralReceived>(), false);
        add(Kind::InquiryReceived, generator.subschema_for::<InquiryReceived>(), false);
        add(Kind::LeadIdentified, generator.subschema_for::<LeadIdentified>(), false);
        add(Kind::ConsentChanged, generator.subschema_for::<ConsentChanged>(), true);
        add(Kind::Custom, generator.subschema_for::<Custom>(), true);
        all
    }
}

/// A page was shown; which one is in the context.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageViewed {
    /// The name the site gives the page.
    pub(super) name: Option<Text>,
    /// Its category.
    pub(super) category: Option<Text>,
}

/// A form was filled in. What it said about the person belongs to the attributes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FormSubmitted {
    /// Which form, for example "demo-request".
    pub(super) form: Text,
}

/// A mail was opened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailOpened {
    /// Which mail.
    pub(super) email_name: Option<Text>,
}

/// A link in a mail was followed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailClicked {
    /// Which mail.
    pub(super) email_name: Option<Text>,
    /// Where the link leads.
    pub(super) target_url: Option<Text>,
}

/// A document was downloaded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentDownloaded {
    /// File or title.
    pub(super) content: Text,
}

/// Somebody came to a seminar, webinar or trade show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventAttended {
    /// Which one.
    pub(super) event_name: Text,
    /// "seminar", "webinar", "trade-show" or what you call it.
    pub(super) kind: Option<Text>,
}

/// A survey was answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SurveyAnswered {
    /// Which survey.
    pub(super) survey: Text,
}

/// An assessment was completed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssessmentCompleted {
    /// Which assessment.
    pub(super) assessment: Text,
    /// What came out.
    pub(super) result: Option<Text>,
}

/// Somebody recommended the person to us.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferralReceived {
    /// Who did.
    pub(super) referred_by: Option<Text>,
}

/// Somebody asked us something.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InquiryReceived {
    /// "phone", "mail", "chat" ...
    pub(super) channel: Option<Text>,
    /// About what.
    pub(super) subject: Option<Text>,
}

/// Somebody said who they are: by the ids and attributes of the event. Nothing more to say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeadIdentified {}

/// Somebody agreed to something, or no longer does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentChanged {
    /// To what.
    pub(super) purpose: Purpose,
    /// Whether they agree.
    pub(super) granted: bool,
    /// On what grounds.
    pub(super) basis: Option<Text>,
}

/// What consent is about.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Purpose {
    Tracking,
    Scoring,
    Contact,
}

impl Purpose {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tracking => "tracking",
            Self::Scoring => "scoring",
            Self::Contact => "contact",
        }
    }
}

/// Anything else.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Custom {
    /// What it is called.
    pub(super) name: Text,
}

/// Where and how it happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    /// Address of the page. Path, host and campaign (utm_*) follow from it where they are not given.
    pub(super) url: Option<String>,
    /// Path of the page.
    pub(super) path: Option<String>,
    /// Where the visitor came from.
    pub(super) referrer: Option<String>,
    /// Title of the page.
    pub(super) title: Option<String>,
    /// The browser's user agent. Left out: that of the request, if a browser sent it.
    pub(super) user_agent: Option<String>,
    /// For example "ja-JP".
    pub(super) locale: Option<String>,
    /// IANA name, for example "Asia/Tokyo".
    pub(super) time_zone: Option<String>,
    /// The visitor's IP address; believed of sources that are servers.
    pub(super) ip: Option<String>,
    /// The campaign that brought the visitor.
    pub(super) campaign: Option<Campaign>,
}

/// The campaign that brought the visitor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Campaign {
    /// utm_campaign
    pub(super) name: Option<String>,
    /// utm_source
    pub(super) source: Option<String>,
    /// utm_medium
    pub(super) medium: Option<String>,
    /// utm_term
    pub(super) term: Option<String>,
    /// utm_content
    pub(super) content: Option<String>,
}

/// A text that says something.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(D::Error::custom("must not be empty; leave it out if there is nothing to say"));
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "\\S" })
    }
}

/// An e-mail address.
#[derive(Debug)]
pub(super) struct Address(pub(super) String);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<EmailAddress>().map_err(|_| D::Error::custom("is no e-mail address"))?;
        Ok(Self(address.as_str().to_owned()))
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "email" })
    }
}

/// An instant with its time zone.
#[derive(Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = text.trim().parse::<Timestamp>();
        at.map(Self).map_err(|_| {
            D::Error::custom("is no instant; expected RFC 3339 with a time zone, like 2026-11-22T12:00:00Z")
        })
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
