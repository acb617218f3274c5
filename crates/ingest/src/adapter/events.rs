//! Our own API, for whoever writes a tracker: one event or an array of them, in the words of Tasuki. Strict where the
//! others forgive, since nobody has to live with a client that is out in the world already: what is wrong is said by
//! JSON pointer, event by event. `/v1/openapi.json` describes it.

mod document;
mod form;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;
use tasuki_domain::CrmId;
use tasuki_wire::v1;
use tasuki_wire::v1::Circumstances;
use tasuki_wire::v1::behavior_record::Event;

use self::form::{Context, Data, NewEvent};
use super::matomo::minute;
use super::reading::{Part, Readable, fault, properties_of, token};
use super::segment::MANNERS;
use super::{Adapter, Credentials, Endpoint, Outcome, Purpose, Reply};
use crate::json;
use crate::mapping::{Mapping, identified};
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct Events;

impl Adapter for Events {
    fn name(&self) -> &'static str {
        "tasuki"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let events =
            Endpoint { operation: "events", get: false, post: true, purpose: Purpose::Events, manners: MANNERS };
        match path {
            "/v1/events" => Some(events),
            "/v1/openapi.json" => {
                Some(Endpoint { operation: "document", get: true, post: false, purpose: Purpose::Document, ..events })
            }
            _ => None,
        }
    }

    fn credentials(&self, _: &str, _: &str, _: &[u8]) -> Credentials {
        Credentials::default()
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        let readable = Readable::of(request.body)?;
        let read = |part: Part<'_>| {
            let outcome = observe(request, &part).and_then(|observed| observed.into_record(request, self.name()));
            outcome.map_err(|bad| part.found(bad))
        };
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(readable.root().get()) {
            return Ok(readable.parts(&items, "").map(|part| part.and_then(read)).collect());
        }
        Ok(vec![readable.only().and_then(read)])
    }

    /// What became of each event, in the order they were sent. 422 if none was taken.
    fn reply(&self, _: &RawRequest<'_>, outcomes: &[Outcome]) -> Option<Reply> {
        let rejected = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let none_taken = rejected > 0 && rejected == outcomes.len();
        let events: Vec<Value> = outcomes.iter().map(said).collect();
        Some(Reply {
            status: if none_taken { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK },
            body: json!({ "accepted": outcomes.len() - rejected, "rejected": rejected, "events": events }),
        })
    }

    fn document(&self) -> Value {
        document::openapi()
    }
}

fn said(outcome: &Outcome) -> Value {
    match outcome {
        Ok(record) => json!({ "status": "accepted", "id": record.event_id.to_string() }),
        Err(bad) => json!({
            "status": "rejected", "code": bad.code, "pointer": bad.pointer, "message": bad.message,
        }),
    }
}

/// Reads a value as what it should be; what is wrong is said by pointer.
fn strict<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, BadRecord> {
    serde_path_to_error::deserialize(value).map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let mut pointer = at.to_owned();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&format!("/{}", token(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        fault("invalid", &pointer, error.inner().to_string())
    })
}

/// An event in the words of the API.
pub(super) fn observe<'a>(request: &RawRequest<'a>, part: &Part<'_>) -> Result<Observed<'a>, BadRecord> {
    part.object()?;
    let new: NewEvent = strict(&part.value, "")?;
    let data = part.value.get("data").filter(|data| !data.is_null()).cloned().unwrap_or_else(|| json!({}));
    let data = Data::read(new.kind, &data)?;
    let attributes = json::flatten(&json!(new.attributes));
    let mut observed = Observed::new(event(data, &attributes, request.mapping));
    if !matches!(observed.event, Event::LeadIdentified(_)) {
        observed.attributes = request.mapping.standard_attributes(&attributes);
    }
    observed.message_id = text(new.id).into();
    observed.times = Times {
        happened: new.occurred_at.map_or(Reported::Absent, |at| Reported::read(Some(&at.0.to_string()))),
        sent: new.sent_at.map(|at| at.0),
        vouched: false,
    };
    observed.anonymous_id = new.visitor_id.map(|id| id.0.into());
    observed.user_id = new.user_id.map(|id| id.0.into());
    observed.email = new.email.map(|address| address.0);
    observed.phone = new.phone.map(|phone| phone.0);
    if let Some(form::Text(id)) = new.crm_id {
        let id = id.parse::<CrmId>().map_err(|error| fault("invalid", "/crm_id", error.to_string()))?;
        observed.crm_id = Some(id.as_str().to_owned());
    }
    observed.circumstances = new.context.map(circumstances).unwrap_or_default().into();
    observed.properties_json = properties_of(new.properties.unwrap_or_default()).into();
    part.mark(&mut observed);
    for (name, value) in part.object()?.iter().filter(|(name, _)| name.as_str() != "sent_at") {
        observed.fingerprint.add(name, &value.to_string());
    }
    if observed.message_id.is_empty() && observed.times.happened == Reported::Absent {
        observed.fingerprint.add("minute", &minute(request.received_at));
    }
    Ok(observed)
}

fn text(given: Option<form::Text>) -> String {
    given.map(|text| text.0).unwrap_or_default()
}

fn circumstances(context: Context) -> Circumstances {
    let campaign = context.campaign.unwrap_or_default();
    Circumstances {
        url: context.url.unwrap_or_default(),
        path: context.path.unwrap_or_default(),
        referrer: context.referrer.unwrap_or_default(),
        title: context.title.unwrap_or_default(),
        user_agent: context.user_agent.unwrap_or_default(),
        locale: context.locale.unwrap_or_default(),
        time_zone: context.time_zone.unwrap_or_default(),
        ip: context.ip.unwrap_or_default(),
        campaign_name: campaign.name.unwrap_or_default(),
        campaign_source: campaign.source.unwrap_or_default(),
        campaign_medium: campaign.medium.unwrap_or_default(),
        campaign_term: campaign.term.unwrap_or_default(),
        campaign_content: campaign.content.unwrap_or_default(),
        ..Circumstances::default()
    }
}

fn event(data: Data, attributes: &[(String, String)], mapping: &Mapping) -> Event {
    match data {
        Data::PageViewed(it) => Event::PageViewed(v1::PageViewed { name: text(it.name), category: text(it.category) }),
        Data::FormSubmitted(it) => Event::FormSubmitted(v1::FormSubmitted { form: it.form.0 }),
        Data::EmailOpened(it) => Event::EmailOpened(v1::EmailOpened { email_name: text(it.email_name) }),
        Data::EmailClicked(it) => {
            Event::EmailClicked(v1::EmailClicked { email_name: text(it.email_name), target_url: text(it.target_url) })
        }
        Data::ContentDownloaded(it) => Event::ContentDownloaded(v1::ContentDownloaded { content: it.content.0 }),
        Data::EventAttended(it) => {
            Event::EventAttended(v1::EventAttended { event_name: it.event_name.0, kind: text(it.kind) })
        }
        Data::SurveyAnswered(it) => Event::SurveyAnswered(v1::SurveyAnswered { survey: it.survey.0 }),
        Data::AssessmentCompleted(it) => {
            Event::AssessmentCompleted(v1::AssessmentCompleted { assessment: it.assessment.0, result: text(it.result) })
        }
        Data::ReferralReceived(it) => {
            Event::ReferralReceived(v1::ReferralReceived { referred_by: text(it.referred_by) })
        }
        Data::InquiryReceived(it) => {
            Event::InquiryReceived(v1::InquiryReceived { channel: text(it.channel), subject: text(it.subject) })
        }
        Data::LeadIdentified(_) => identified(mapping.attributes(attributes)),
        Data::ConsentChanged(it) => Event::ConsentChanged(v1::ConsentChanged {
            purpose: it.purpose.name().to_owned(),
            granted: it.granted,
            basis: text(it.basis),
        }),
        Data::Custom(it) => Event::CustomBehavior(v1::CustomBehavior { name: it.name.0 }),
    }
}

/// Attributes that say one thing each.
type Attributes = BTreeMap<String, Scalar>;

/// A text, a number or a truth.
#[derive(Clone, Debug, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// Whether something is so.
    Truth(bool),
}

/// An object of whatever.
type Free = Map<String, Value>;
