//! The Measurement Protocol of Google Analytics 4: up to 25 events of one device in a body, always answered 2xx. What
//! is wrong is said by `/debug/mp/collect` only, which keeps nothing.

mod validation;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use tasuki_wire::v1::DeadLetterKind;

use super::cloudevents::circumstances;
use super::matomo::minute;
use super::reading::{Part, Readable, fault, properties_of};
use super::{
    Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, Reply, SourceBy, Success, TooLarge,
    UnknownSource,
};
use crate::json::{self, Object};
use crate::mapping::Called;
use crate::observed::{BadRecord, Observed};
use crate::request::{RawRequest, query_value};
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct Ga4;

const MANNERS: Manners = Manners {
    success: Success::NoContent,
    unknown_source: UnknownSource::Quarantine,
    too_large: TooLarge::Swallow,
    source_by: SourceBy::KeyOrPlace,
    refused: Refused::Lost,
};

/// Whoever tries out wants to hear what is wrong.
const TRYING_OUT: Manners = Manners {
    unknown_source: UnknownSource::Refuse,
    too_large: TooLarge::Refuse,
    refused: Refused::SentAgain,
    ..MANNERS
};

const DEBUG: &str = "debug";

impl Adapter for Ga4 {
    fn name(&self) -> &'static str {
        "ga4"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let (operation, manners) = match path {
            "/mp/collect" => ("collect", MANNERS),
            "/debug/mp/collect" => (DEBUG, TRYING_OUT),
            _ => return None,
        };
        Some(Endpoint { operation, get: false, post: true, purpose: Purpose::Events, manners })
    }

    /// The secret is a write key, or the stream is one of a source's measurement ids.
    fn credentials(&self, _: &str, query: &str, _: &[u8]) -> Credentials {
        let stream = query_value(query, &["measurement_id", "firebase_app_id"]);
        Credentials {
            write_key: query_value(query, &["api_secret"]),
            app_id: stream.map(|id| format!("ga4:{id}")),
            ..Credentials::default()
        }
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        if request.operation == DEBUG {
            return Ok(Vec::new());
        }
        let outcomes = Readable::of(request.body).and_then(|readable| {
            let whole = readable.only()?;
            let found = |bad: BadRecord| whole.found(bad);
            let hit = Hit { of_all: whole.object().map_err(found)?, request };
            let raw: Object<'_> = serde_json::from_str(readable.root().get()).unwrap_or_default();
            let events = raw.get("events").and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok());
            let no_events = || found(fault("no-events", "/events", "\"events\" must be an array"));
            let events = events.ok_or_else(no_events)?;
            let parts = readable.parts(&events, "/events");
            Ok(parts.map(|part| part.and_then(|part| hit.read_part(&part, self.name()))).collect())
        });
        // Always 2xx: nobody would send it better.
        Ok(outcomes.unwrap_or_else(|bad| vec![Err(bad)]))
    }

    fn reply(&self, request: &RawRequest<'_>, _: &[Outcome]) -> Option<Reply> {
        (request.operation == DEBUG).then(|| Reply {
            status: axum::http::StatusCode::OK,
            body: json!({ "validationMessages": validation::messages(request.query, request.body) }),
        })
    }
}

/// What all events of a body have in common.
struct Hit<'a> {
    of_all: &'a Map<String, Value>,
    request: &'a RawRequest<'a>,
}

impl Hit<'_> {
    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.of_all.get(*name).and_then(json::scalar_of))
    }

    fn read_part(&self, part: &Part<'_>, protocol: &'static str) -> Outcome {
        let outcome = part.object().and_then(|event| {
            let mut observed = self.observe(event)?;
            part.mark(&mut observed);
            observed.into_record(self.request, protocol)
        });
        outcome.map_err(|bad| {
            let mut bad = part.found(bad);
            // With what stands around it, whose event it is among that: so it can be read again alone.
            let mut alone = self.of_all.clone();
            alone.insert("events".to_owned(), json!([part.value]));
            bad.original = Value::Object(alone).to_string().into_bytes();
            bad
        })
    }

    fn observe(&self, event: &Map<String, Value>) -> Result<Observed<'static>, BadRecord> {
        let name = event.get("name").and_then(json::scalar_of);
        let name = name.ok_or_else(|| fault("no-name", "/name", "the event has no name"))?;
        let params = match event.get("params") {
            Some(Value::Object(params)) => params.clone(),
            Some(Value::Null) | None => Map::new(),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                let mut bad = fault("params-not-an-object", "/params", "\"params\" must be an object");
                bad.kind = DeadLetterKind::Format;
                return Err(bad);
            }
        };
        let mapping = self.request.mapping;
        let of_person = self.user_properties();
        let mut flat = json::flatten(&Value::Object(params.clone()));
        flat.extend(json::flatten(&Value::Object(of_person.clone())));
        let flat = mapping.lifted(flat);
        let known = mapping.known(Called::Structured { category: "ga4", action: &name }, &flat);
        let meaning = known.unwrap_or_else(|| mapping.meaning(Called::Name(&name), &flat));
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        let who = mapping.who(&flat);
        observed.anonymous_id = self.text(&["client_id", "app_instance_id"]).map(Cow::Owned);
        observed.user_id = self.text(&["user_id"]).or(who.user_id).map(Cow::Owned);
        observed.email = who.email;
        observed.phone = who.phone;
        observed.crm_id = who.crm_id;
        let micros =
            event.get("timestamp_micros").and_then(json::scalar_of).or_else(|| self.text(&["timestamp_micros"]));
        observed.times =
            Times { happened: micros.as_deref().map_or(Reported::Absent, from_micros), ..Times::default() };
        observed.circumstances = circumstances(&Value::Object(params.clone())).into();
        if let Some(agent) = self.text(&["user_agent"]) {
            observed.circumstances.user_agent = agent.into();
        }
        observed.circumstances.ip = self.text(&["ip_override"]).unwrap_or_default().into();
        self.identify(&name, event, micros.is_none(), &mut observed);
        observed.properties_json = properties_of(self.properties(params, of_person)).into();
        Ok(observed)
    }

    /// There are no ids: the content tells, and the minute where the event does not say its time.
    fn identify(&self, name: &str, event: &Map<String, Value>, timeless: bool, observed: &mut Observed<'_>) {
        observed.fingerprint.add("event", name);
        for (name, value) in event.iter().chain(self.of_all.iter().filter(|(name, _)| name.as_str() != "events")) {
            observed.fingerprint.add(name, &value.to_string());
        }
        if timeless {
            observed.fingerprint.add("minute", &minute(self.request.received_at));
        }
    }

    /// `{"plan": {"value": "gold"}}` as `{"plan": "gold"}`.
    fn user_properties(&self) -> Map<String, Value> {
        let Some(Value::Object(properties)) = self.of_all.get("user_properties") else { return Map::new() };
        let value = |property: &Value| property.get("value").unwrap_or(property).clone();
        properties.iter().map(|(name, property)| (name.clone(), value(property))).collect()
    }

    /// The parameters; consent and user properties beside them as they were said.
    fn properties(&self, mut params: Map<String, Value>, of_person: Map<String, Value>) -> Map<String, Value> {
        if let Some(consent) = self.of_all.get("consent").filter(|consent| consent.is_object()) {
            params.insert("consent".to_owned(), consent.clone());
        }
        if !of_person.is_empty() {
            params.insert("user_properties".to_owned(), Value::Object(of_person));
        }
        params
    }
}

/// An instant in microseconds since 1970.
fn from_micros(text: &str) -> Reported {
    match text.parse::<u64>() {
        Ok(micros) => Reported::read(Some(&(micros / 1000).to_string())),
        Err(_) => Reported::Unreadable,
    }
}
