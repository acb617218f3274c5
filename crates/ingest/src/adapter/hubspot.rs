//! HubSpot's webhooks, signature version 3: up to a hundred events in an array, each about one object of the CRM. An
//! event says which property changed and nothing else of the person, so people are known by their HubSpot id, and by
//! their address once that changes. Subscribe to contacts: other objects are nobody's behaviour.

use axum::http::Method;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tasuki_domain::Timestamp;
use tasuki_wire::v1::DeadLetterKind;

use super::reading::{Part, Readable, fault, properties_of, whole};
use super::standard_webhooks::{credentials, endpoint};
use super::{Adapter, Credentials, Endpoint, Outcome, Unsigned};
use crate::json;
use crate::mapping::{Called, Meaning, identified};
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};
use crate::webhook::{Sender, fresh};

/// See the module.
#[derive(Debug)]
pub(super) struct HubSpot;

/// Escapes that HubSpot undoes before it signs an address; the others stay.
const UNDONE: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// What a delivery changes and the event does not.
const VOLATILE: &str = "attemptNumber";

impl Adapter for HubSpot {
    fn name(&self) -> &'static str {
        "hubspot"
    }

    fn endpoint(&self, path: &str, sources: &Sources) -> Option<Endpoint> {
        endpoint(path, sources, Sender::HubSpot)
    }

    fn credentials(&self, path: &str, _: &str, _: &[u8]) -> Credentials {
        credentials(path)
    }

    fn verify(&self, request: &RawRequest<'_>) -> Result<(), Unsigned> {
        let webhook = request.source.webhook().ok_or(Unsigned::Missing)?;
        let header = |name| request.header(name).ok_or(Unsigned::Missing);
        let (signature, sent) = (header("x-hubspot-signature-v3")?, header("x-hubspot-request-timestamp")?);
        let address = address(request, webhook.public_url());
        let method = Method::as_str(request.method).as_bytes();
        let signed = |address: &str| {
            let message = [method, address.as_bytes(), request.body, sent.as_bytes()];
            webhook.signed(&message, std::iter::once(signature))
        };
        // Its documentation says to undo escapes; its own client does not.
        signed(&address).or_else(|_| signed(&undone(&address)))?;
        fresh(sent.parse().ok().map(Timestamp::from_millis), request.received_at)
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        let readable = Readable::of(request.body)?;
        let items: Vec<&RawValue> = match serde_json::from_str(readable.root().get()) {
            Ok(items) => items,
            // One event without the array around it: so a dead letter is sent again.
            Err(_) if readable.root().get().starts_with('{') => {
                return Ok(vec![readable.only().and_then(|part| self.read_part(request, &part))]);
            }
            Err(_) => return Err(whole(request.body, "not-an-array", "HubSpot sends an array of events")),
        };
        let parts = readable.parts(&items, "");
        Ok(parts.map(|part| part.and_then(|part| self.read_part(request, &part))).collect())
    }
}

/// The address as HubSpot was told it.
fn address(request: &RawRequest<'_>, public_url: &str) -> String {
    let address = format!("{public_url}{}", request.path_as_sent);
    if request.query.is_empty() { address } else { format!("{address}?{}", request.query) }
}

fn undone(address: &str) -> String {
    let mut undone = address.to_owned();
    for (escape, character) in UNDONE {
        undone = undone.replace(escape, character).replace(&escape.to_ascii_lowercase(), character);
    }
    undone
}

impl HubSpot {
    fn read_part(&self, request: &RawRequest<'_>, part: &Part<'_>) -> Outcome {
        let outcome = part.object().and_then(|object| {
            let mut observed = Notice { object, request }.observe()?;
            part.mark(&mut observed);
            observed.into_record(request, self.name())
        });
        outcome.map_err(|bad| part.found(bad))
    }
}

/// One event of HubSpot's.
struct Notice<'a> {
    object: &'a Map<String, Value>,
    request: &'a RawRequest<'a>,
}

impl Notice<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.object.get(name).and_then(json::scalar_of)
    }

    fn observe(&self) -> Result<Observed<'static>, BadRecord> {
        let subscription = self.text("subscriptionType").or_else(|| self.text("eventType")).ok_or_else(|| {
            fault("no-type", "/subscriptionType", "the event does not say which subscription it is of")
        })?;
        // "object.propertyChange" is the newer name; 0-1 is the contact.
        let is_contact = subscription.starts_with("contact.")
            || (subscription.starts_with("object.") && self.text("objectTypeId").as_deref() == Some("0-1"));
        if !is_contact {
            let mut bad = fault(
                "not-a-contact",
                "/subscriptionType",
                format!("{subscription:?} is not about a contact; subscribe to events of contacts only"),
            );
            bad.kind = DeadLetterKind::Policy;
            return Err(bad);
        }
        let contact = self.text("newObjectId").or_else(|| self.text("objectId"));
        let contact = contact
            .ok_or_else(|| fault("no-object", "/objectId", "the event does not say which contact it is about"))?;
        let property = self.text("propertyName").unwrap_or_default();
        let value = self.text("propertyValue").unwrap_or_default();
        let meaning = self.meaning(&subscription, &property, &value);
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        let portal = self.text("portalId").unwrap_or_default();
        observed.user_id = Some(format!("hubspot:{portal}:{contact}").into());
        observed.crm_id = Some(format!("hubspot:{contact}"));
        if property == "email" {
            observed.email = Some(value);
        }
        // Of eventId alone HubSpot says that it need not be unique.
        let parts = ["portalId", "subscriptionType", "objectId", "propertyName", "eventId", "occurredAt"];
        observed.message_id = parts.map(|name| self.text(name).unwrap_or_default()).join(" ").into();
        let happened = self.text("occurredAt");
        observed.times = Times { happened: Reported::read(happened.as_deref()), ..Times::default() };
        let mut properties = self.object.clone();
        properties.retain(|name, _| name != VOLATILE);
        for (name, value) in &properties {
            observed.fingerprint.add(name, &value.to_string());
        }
        observed.properties_json = properties_of(properties).into();
        Ok(observed)
    }

    /// What the mapping says; else a property that changed is an attribute of the person.
    fn meaning(&self, subscription: &str, property: &str, value: &str) -> Meaning {
        let mapping = self.request.mapping;
        let (_, what) = subscription.split_once('.').unwrap_or(("", subscription));
        let flat = json::flatten(&Value::Object(self.object.clone()));
        let subscription = format!("contact.{what}");
        let known = if property.is_empty() {
            mapping.known(Called::Structured { category: "hubspot", action: &subscription }, &flat)
        } else {
            mapping.known(Called::Structured { category: &subscription, action: property }, &flat)
        };
        known.unwrap_or_else(|| match (what, property) {
            ("creation", _) => Meaning::of(identified([])),
            (_, property) if !property.is_empty() => {
                Meaning::of(identified(mapping.attributes(&[(property.to_owned(), value.to_owned())])))
            }
            (_, _) => mapping.meaning(Called::Name(&subscription), &flat),
        })
    }
}
