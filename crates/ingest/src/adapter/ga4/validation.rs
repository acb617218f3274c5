//! What the validation server of the Measurement Protocol says about a request. Limits and codes are those that Google
//! documents for it.

use serde_json::{Map, Value, json};

use crate::adapter::reading::Readable;
use crate::request::query_value;

const MAX_EVENTS: usize = 25;
const MAX_PARAMS: usize = 25;
const MAX_EVENT_NAME: usize = 40;
const MAX_PROPERTY_NAME: usize = 24;
const MAX_VALUE: usize = 100;
const MAX_PROPERTY_VALUE: usize = 36;

/// Parameters whose values may be longer.
const LONGER_VALUES: [(&str, usize); 3] = [("page_title", 300), ("page_referrer", 420), ("page_location", 1000)];

/// Names of events that Google Analytics makes itself.
const RESERVED: [&str; 20] = [
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_query",
    "ad_reward",
    "adunit_exposure",
    "app_exception",
    "app_remove",
    "app_update",
    "error",
    "first_open",
    "first_visit",
    "in_app_purchase",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "os_update",
    "session_start",
    "user_engagement",
];

const RESERVED_PREFIXES: [&str; 4] = ["_", "firebase_", "ga_", "google_"];

/// All that is wrong, in the form of Google's answer; nothing for a good request.
pub(super) fn messages(query: &str, body: &[u8]) -> Vec<Value> {
    let mut faults = Faults::default();
    if query_value(query, &["measurement_id", "firebase_app_id"]).is_none() {
        faults.add(
            "measurement_id",
            "VALUE_REQUIRED",
            "Either measurement_id or firebase_app_id is required in the query.",
        );
    }
    let whole = Readable::of(body).ok().and_then(|readable| Some(readable.only().ok()?.value));
    match whole {
        Some(Value::Object(body)) => check(&body, &mut faults),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            faults.add("", "VALUE_INVALID", "The body is not a JSON object.");
        }
    }
    faults.0
}

#[derive(Default)]
struct Faults(Vec<Value>);

impl Faults {
    fn add(&mut self, path: &str, code: &str, description: &str) {
        self.0.push(json!({ "fieldPath": path, "description": description, "validationCode": code }));
    }
}

fn check(body: &Map<String, Value>, faults: &mut Faults) {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("client_id").or_else(|| text("app_instance_id")).is_none() {
        faults.add("client_id", "VALUE_REQUIRED", "A client_id (web) or app_instance_id (app), a text, is required.");
    }
    if body.get("timestamp_micros").is_some_and(|micros| !is_micros(micros)) {
        faults.add("timestamp_micros", "VALUE_INVALID", "timestamp_micros must be microseconds since 1970.");
    }
    match body.get("user_properties") {
        None => {}
        Some(Value::Object(properties)) => check_properties(properties, faults),
        Some(_) => faults.add("user_properties", "VALUE_INVALID", "user_properties must be an object."),
    }
    match body.get("events") {
        None => faults.add("events", "VALUE_REQUIRED", "events is required."),
        Some(Value::Array(events)) if events.is_empty() => {
            faults.add("events", "VALUE_REQUIRED", "At least one event is required.");
        }
        Some(Value::Array(events)) => {
            if events.len() > MAX_EVENTS {
                let message = format!("There are {} events; at most {MAX_EVENTS} are taken.", events.len());
                faults.add("events", "EXCEEDED_MAX_ENTITIES", &message);
            }
            for (index, event) in events.iter().enumerate() {
                check_event(index, event, faults);
            }
        }
        Some(_) => faults.add("events", "VALUE_INVALID", "events must be an array."),
    }
}

fn is_micros(value: &Value) -> bool {
    value.as_u64().is_some() || value.as_str().is_some_and(|text| text.parse::<u64>().is_ok())
}

fn check_event(index: usize, event: &Value, faults: &mut Faults) {
    let at = format!("Event at index: [{index}]");
    let Some(name) = event.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return faults.add("events", "VALUE_REQUIRED", &format!("{at} has no name."));
    };
    if let Some(why) = bad_name(name, MAX_EVENT_NAME) {
        faults.add("events", "NAME_INVALID", &format!("{at} has invalid name [{name}]. {why}"));
    } else if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        faults.add("events", "NAME_RESERVED", &format!("{at} has name [{name}] which is reserved."));
    }
    let params = match event.get("params") {
        None => return,
        Some(Value::Object(params)) => params,
        Some(_) => return faults.add("events", "VALUE_INVALID", &format!("{at} has params that are no object.")),
    };
    if params.len() > MAX_PARAMS {
        let message = format!("{at} has {} params; at most {MAX_PARAMS} are taken.", params.len());
        faults.add("events", "EXCEEDED_MAX_ENTITIES", &message);
    }
    for (name, value) in params {
        if let Some(why) = bad_name(name, MAX_EVENT_NAME) {
            faults.add("events", "NAME_INVALID", &format!("{at} has a param of invalid name [{name}]. {why}"));
        }
        let longest = LONGER_VALUES.iter().find(|(longer, _)| longer == name).map_or(MAX_VALUE, |(_, most)| *most);
        if value.as_str().is_some_and(|text| text.chars().count() > longest) {
            let message = format!("{at} has a value of param [{name}] with more than {longest} characters.");
            faults.add("events", "VALUE_OUT_OF_BOUNDS", &message);
        }
    }
}

fn check_properties(properties: &Map<String, Value>, faults: &mut Faults) {
    if properties.len() > MAX_PARAMS {
        let message = format!("There are {} user properties; at most {MAX_PARAMS} are taken.", properties.len());
        faults.add("user_properties", "EXCEEDED_MAX_ENTITIES", &message);
    }
    for (name, property) in properties {
        let path = format!("user_properties.{name}");
        if let Some(why) = bad_name(name, MAX_PROPERTY_NAME) {
            faults.add(&path, "NAME_INVALID", why);
        }
        match property.get("value") {
            None => faults.add(&path, "VALUE_REQUIRED", "A user property is an object with a value."),
            Some(Value::String(text)) if text.chars().count() > MAX_PROPERTY_VALUE => {
                let message = format!("The value has more than {MAX_PROPERTY_VALUE} characters.");
                faults.add(&path, "VALUE_OUT_OF_BOUNDS", &message);
            }
            Some(_) => {}
        }
    }
}

fn bad_name(name: &str, longest: usize) -> Option<&'static str> {
    if !name.starts_with(|c: char| c.is_alphabetic()) {
        return Some("Names must start with an alphabetic character.");
    }
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Some("Names must be of letters, digits and underscores.");
    }
    (name.chars().count() > longest).then_some("The name is too long.")
}
