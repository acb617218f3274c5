//! Webhooks by the Standard Webhooks specification: one event per request, signed over id, time and body. What is
//! built on Svix calls the headers `svix-`, otherwise the same.

use serde_json::{Map, Value};
use std::borrow::Cow;
use tasuki_domain::Timestamp;

use super::cloudevents::circumstances;
use super::reading::{Part, Readable, fault, properties_of};
use super::{
    Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge, UnknownSource,
    Unsigned,
};
use crate::fingerprint::Fingerprint;
use crate::json;
use crate::mapping::Called;
use crate::observed::{BadRecord, Observed, SIGNED};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};
use crate::webhook::{Sender, fresh};

/// See the module.
#[derive(Debug)]
pub(super) struct StandardWebhooks;

/// Senders of webhooks take any 2xx for success, and send again whatever else they hear.
pub(super) const MANNERS: Manners = Manners {
    success: Success::NoContent,
    unknown_source: UnknownSource::Refuse,
    too_large: TooLarge::Refuse,
    source_by: SourceBy::Name,
    refused: Refused::SentAgain,
};

/// The endpoint of a source whose webhooks this sender sends.
pub(super) fn endpoint(path: &str, sources: &Sources, sender: Sender) -> Option<Endpoint> {
    let webhook = sources.by_name(named(path)?)?.webhook()?;
    (webhook.sender() == sender).then_some(Endpoint {
        operation: SIGNED,
        get: false,
        post: true,
        purpose: Purpose::Events,
        manners: MANNERS,
    })
}

/// The source in `/webhooks/NAME`.
pub(super) fn credentials(path: &str) -> Credentials {
    Credentials { source: named(path).map(str::to_owned), ..Credentials::default() }
}

fn named(path: &str) -> Option<&str> {
    path.strip_prefix("/webhooks/").filter(|name| !name.is_empty())
}

impl Adapter for StandardWebhooks {
    fn name(&self) -> &'static str {
        "standard-webhooks"
    }

    fn endpoint(&self, path: &str, sources: &Sources) -> Option<Endpoint> {
        endpoint(path, sources, Sender::StandardWebhooks)
    }

    fn credentials(&self, path: &str, _: &str, _: &[u8]) -> Credentials {
        credentials(path)
    }

    fn verify(&self, request: &RawRequest<'_>) -> Result<(), Unsigned> {
        let webhook = request.source.webhook().ok_or(Unsigned::Missing)?;
        let (id, sent) = (header(request, "id")?, header(request, "timestamp")?);
        let signatures = header(request, "signature")?.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
        webhook.signed(&[id.as_bytes(), b".", sent.as_bytes(), b".", request.body], signatures)?;
        fresh(sent_at(sent), request.received_at)
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        let readable = Readable::of(request.body)?;
        let read = |part: Part<'_>| {
            let outcome = observe(request, &part).and_then(|observed| observed.into_record(request, self.name()));
            outcome.map_err(|bad| part.found(bad))
        };
        Ok(vec![readable.only().and_then(read)])
    }
}

fn header<'a>(request: &RawRequest<'a>, name: &str) -> Result<&'a str, Unsigned> {
    let prefixed = |prefix: &str| request.header(&format!("{prefix}-{name}"));
    prefixed("webhook").or_else(|| prefixed("svix")).ok_or(Unsigned::Missing)
}

fn sent_at(text: &str) -> Option<Timestamp> {
    text.parse::<i64>().ok()?.checked_mul(1000).map(Timestamp::from_millis)
}

fn observe<'a>(request: &RawRequest<'a>, part: &Part<'_>) -> Result<Observed<'a>, BadRecord> {
    let object = part.object()?;
    let text = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(json::scalar_of));
    let kind = text(&["type", "event", "event_type", "eventType"]);
    let kind = kind.ok_or_else(|| fault("no-type", "/type", "the webhook says no type"))?;
    let data = data_of(object);
    let mapping = request.mapping;
    let flat = mapping.lifted(json::flatten(&Value::Object(data.clone())));
    let meaning = mapping.meaning(Called::Type(&kind), &flat);
    let who = mapping.who(&flat);
    let mut observed = Observed::new(meaning.event);
    observed.attributes = meaning.attributes;
    observed.message_id = header(request, "id").unwrap_or_default().into();
    let happened = text(&["timestamp", "created_at", "occurred_at", "createdAt"]);
    observed.times.happened = Reported::read(happened.as_deref());
    if observed.times.happened == Reported::Absent {
        let sent = header(request, "timestamp").ok().and_then(sent_at);
        observed.times = Times { happened: sent.map_or(Reported::Absent, Reported::At), ..Times::default() };
    }
    observed.anonymous_id = who.anonymous_id.map(Cow::Owned);
    observed.user_id = who.user_id.map(Cow::Owned);
    observed.email = who.email;
    observed.phone = who.phone;
    observed.crm_id = who.crm_id;
    observed.circumstances = circumstances(&Value::Object(data.clone())).into();
    observed.properties_json = properties_of(data).into();
    part.mark(&mut observed);
    let mut fingerprint = Fingerprint::default();
    fingerprint.add("body", part.raw);
    observed.fingerprint = fingerprint;
    Ok(observed)
}

/// What the event says: its "data", else all of it but its head.
fn data_of(object: &Map<String, Value>) -> Map<String, Value> {
    match object.get("data") {
        Some(Value::Object(data)) => data.clone(),
        Some(Value::Null) | None => {
            let head = ["type", "event", "timestamp", "data"];
            object
                .iter()
                .filter(|(name, _)| !head.contains(&name.as_str()))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect()
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
            Map::from_iter([("data".to_owned(), other.clone())])
        }
    }
}
