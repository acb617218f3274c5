//! Mautic's webhooks: a map from triggers to lists of what happened, at once or gathered by its queue. There are no
//! event ids; a form submission, page hit or mail has one of its own. A contact may be nobody yet (Mautic makes one for
//! every visitor), so its id is a visitor's, and the address makes the person.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use tasuki_wire::v1::Circumstances;

use super::reading::{Part, Readable, properties_of, token, whole};
use super::standard_webhooks::{credentials, endpoint};
use super::{Adapter, Credentials, Endpoint, Outcome, Unsigned};
use crate::fingerprint::Fingerprint;
use crate::json::{self, Object};
use crate::mapping::Called;
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};
use crate::webhook::Sender;

/// See the module.
#[derive(Debug)]
pub(super) struct Mautic;

/// What a submission, page hit or mail is called within its event.
const INNER: [&str; 3] = ["submission", "hit", "stat"];

impl Adapter for Mautic {
    fn name(&self) -> &'static str {
        "mautic"
    }

    fn endpoint(&self, path: &str, sources: &Sources) -> Option<Endpoint> {
        endpoint(path, sources, Sender::Mautic)
    }

    fn credentials(&self, path: &str, _: &str, _: &[u8]) -> Credentials {
        credentials(path)
    }

    /// Its signature has no time in it: an old request is as good as a new one, and counts once.
    fn verify(&self, request: &RawRequest<'_>) -> Result<(), Unsigned> {
        let webhook = request.source.webhook().ok_or(Unsigned::Missing)?;
        webhook.signed(&[request.body], request.header("webhook-signature").into_iter())
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        let readable = Readable::of(request.body)?;
        let Ok(triggers) = serde_json::from_str::<Object<'_>>(readable.root().get()) else {
            return Err(whole(request.body, "not-an-object", "Mautic sends an object of triggers"));
        };
        let mut outcomes = Vec::new();
        for (trigger, raw) in &triggers {
            let place = format!("/{}", token(trigger));
            let read =
                |part: Result<Part<'_>, BadRecord>| part.and_then(|part| self.read_part(request, trigger, &part));
            match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
                Ok(items) => outcomes.extend(readable.parts(&items, &place).map(read)),
                // PHP writes a list of one as an object in some versions.
                Err(_) => outcomes.push(read(readable.part(raw, place, 0))),
            }
        }
        Ok(outcomes)
    }
}

impl Mautic {
    fn read_part(&self, request: &RawRequest<'_>, trigger: &str, part: &Part<'_>) -> Outcome {
        let outcome = part.object().and_then(|object| {
            let mut observed = Happening::of(trigger, object, request).observe();
            part.mark(&mut observed);
            let mut fingerprint = Fingerprint::default();
            fingerprint.add(trigger, part.raw);
            observed.fingerprint = fingerprint;
            observed.into_record(request, self.name())
        });
        outcome.map_err(|bad| {
            let mut bad = part.found(bad);
            // With its trigger, which says what it is: so it can be read again alone.
            bad.original = format!("{{{}:[{}]}}", json!(trigger), part.raw).into_bytes();
            bad
        })
    }
}

/// One event of Mautic's.
struct Happening<'a> {
    trigger: &'a str,
    /// All of it, the contact's fields made plain.
    all: Value,
    /// The submission, hit or mail, else all of it.
    inner: Value,
    contact: Value,
    request: &'a RawRequest<'a>,
}

impl<'a> Happening<'a> {
    fn of(trigger: &'a str, object: &Map<String, Value>, request: &'a RawRequest<'a>) -> Self {
        let all = plain(object.clone());
        let inner = INNER.iter().find_map(|name| all.get(name)).filter(|it| it.is_object()).unwrap_or(&all).clone();
        let contact = |of: &Value| ["contact", "lead"].iter().find_map(|name| of.get(name)).cloned();
        let contact = contact(&all).or_else(|| contact(&inner)).unwrap_or(Value::Null);
        Self { trigger, all, inner, contact, request }
    }

    fn inner(&self, path: &[&str]) -> String {
        json::at(&self.inner, path).unwrap_or_default()
    }

    /// What the mapping looks at: what was typed in first, then the contact's fields, then the rest by its path.
    fn properties(&self) -> Vec<(String, String)> {
        let mut properties = Vec::new();
        for object in [self.inner.get("results"), self.contact.get("fields")].into_iter().flatten() {
            properties.extend(json::flatten(object));
        }
        let rest = json::flatten(&self.all).into_iter().filter(|(path, _)| {
            !path.contains("contact.") && !path.contains("lead.") && path != "timestamp" && !path.contains(".results.")
        });
        properties.extend(rest);
        properties
    }

    fn observe(&self) -> Observed<'static> {
        let mapping = self.request.mapping;
        let properties = self.properties();
        // A page behind a link of a mail is a click on it.
        let by_mail = self.inner(&["source"]) == "email" || self.inner.get("email").is_some_and(Value::is_object);
        let by_mail = self.trigger == "mautic.page_on_hit" && by_mail;
        let clicked = by_mail
            .then(|| mapping.known(Called::Structured { category: self.trigger, action: "email" }, &properties))
            .flatten();
        let meaning = clicked.unwrap_or_else(|| mapping.meaning(Called::Name(self.trigger), &properties));
        let who = mapping.who(&properties);
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        observed.anonymous_id = json::at(&self.contact, &["id"])
            .map(|id| format!("mautic:{id}"))
            .or_else(|| json::at(&self.inner, &["trackingId"]))
            .map(Cow::Owned);
        let mailed_to = || json::at(&self.inner, &["emailAddress"]).or_else(|| json::at(&self.contact, &["email"]));
        observed.email = who.email.or_else(mailed_to);
        observed.phone = who.phone;
        // A contact without an address is one of Mautic's anonymous visitors: nobody that could be known.
        let in_mautic =
            || json::at(&self.contact, &["id"]).filter(|_| observed.email.is_some()).map(|id| format!("mautic:{id}"));
        observed.crm_id = who.crm_id.or_else(in_mautic);
        let timestamp = json::at(&self.all, &["timestamp"]);
        let own_id = json::at(&self.inner, &["id"]).filter(|_| INNER.iter().any(|name| self.all.get(name).is_some()));
        if let Some(id) = own_id {
            // A mail is opened more than once; each time is an event.
            observed.message_id = format!("{} {id} {}", self.trigger, timestamp.as_deref().unwrap_or_default()).into();
        }
        let own = ["dateSubmitted", "dateHit", "lastOpened", "dateRead", "dateSent"];
        let happened = timestamp.or_else(|| own.iter().find_map(|name| json::at(&self.inner, &[name])));
        observed.times = Times { happened: Reported::read(happened.as_deref()), ..Times::default() };
        let submission = self.all.get("submission").is_some();
        observed.circumstances = Circumstances {
            // The page that a form is on is what its submission calls the referrer.
            url: if submission { self.inner(&["referer"]) } else { self.inner(&["url"]) },
            referrer: if submission { String::new() } else { self.inner(&["referer"]) },
            title: self.inner(&["urlTitle"]),
            user_agent: self.inner(&["userAgent"]),
            locale: self.inner(&["pageLanguage"]),
            ip: self.inner(&["ipAddress", "ipAddress"]),
            ..Circumstances::default()
        }
        .into();
        if let Value::Object(all) = without_addresses(self.all.clone()) {
            observed.properties_json = properties_of(all).into();
        }
        observed
    }
}

/// The same, the fields of contacts as name and value instead of group, name and description.
fn plain(mut object: Map<String, Value>) -> Value {
    for (name, value) in &mut object {
        match value {
            Value::Object(inner) if name == "fields" => *value = fields(inner),
            Value::Object(inner) => *value = plain(std::mem::take(inner)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }
    Value::Object(object)
}

/// How much of an address is kept is the setting's to say: it stands in the circumstances only.
fn without_addresses(mut value: Value) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|name, _| !["ipAddress", "ipAddresses", "isp", "organization"].contains(&name.as_str()));
        for inner in object.values_mut() {
            *inner = without_addresses(std::mem::take(inner));
        }
    }
    value
}

fn fields(groups: &Map<String, Value>) -> Value {
    let mut fields = Map::new();
    for (group, of_group) in groups {
        let Value::Object(of_group) = of_group else { continue };
        for (name, field) in of_group {
            // "all" is the group where fields are plain already.
            let value = if group == "all" { Some(field) } else { field.get("value") };
            if let Some(value) = value.and_then(json::scalar_of) {
                fields.entry(name.clone()).or_insert_with(|| json!(value));
            }
        }
    }
    Value::Object(fields)
}
