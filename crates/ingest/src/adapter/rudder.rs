//! RudderStack's own routes beside the Segment ones: beacon, pixel, source configuration.

use serde_json::{Map, Value, json};

use super::segment::{self, MANNERS};
use super::{Adapter, Asked, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, Success, UnknownSource};
use crate::observed::BadRecord;
use crate::request::RawRequest;
use crate::source::Sources;

/// See the module.
#[derive(Debug)]
pub(super) struct Rudder;

/// Neither a beacon nor a pixel reads its answer: what is refused is lost, so what cannot be attributed is kept.
const BEACON: Manners = Manners { unknown_source: UnknownSource::Quarantine, refused: Refused::Lost, ..MANNERS };
const PIXEL: Manners = Manners { success: Success::Pixel, ..BEACON };

/// Query parameters of a pixel that are fields of the event; the others are its properties.
const FIELDS: [&str; 10] = [
    "anonymousId",
    "userId",
    "event",
    "name",
    "category",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "type",
];

impl Adapter for Rudder {
    fn name(&self) -> &'static str {
        "rudderstack"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let events =
            |operation, get, manners| Some(Endpoint { operation, get, post: !get, purpose: Purpose::Events, manners });
        match path {
            "/beacon/v1/batch" => events("batch", false, BEACON),
            "/pixel/v1/track" => events("track", true, PIXEL),
            "/pixel/v1/page" => events("page", true, PIXEL),
            "/sourceConfig" => Some(Endpoint {
                operation: "settings",
                get: true,
                post: false,
                purpose: Purpose::Settings,
                manners: MANNERS,
            }),
            _ => None,
        }
    }

    fn credentials(&self, _: &str, _: &str, body: &[u8]) -> Credentials {
        segment::body_key(body)
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        if request.path.starts_with("/pixel/") {
            let body = pixel(request.query).to_string();
            return segment::read(&RawRequest { body: body.as_bytes(), ..*request }, self.name());
        }
        segment::read(request, self.name())
    }

    /// What the browser SDK must hear before it sends: its source, enabled, without destinations of its own.
    fn settings(&self, asked: &Asked<'_>) -> Value {
        json!({
            "source": {
                "id": asked.write_key,
                "name": "tasuki",
                "writeKey": asked.write_key,
                "config": { "statsCollection": { "errors": { "enabled": false }, "metrics": { "enabled": false } } },
                "enabled": true,
                "workspaceId": "tasuki",
                "connections": [],
                "destinations": [],
                "dataplanes": {},
            },
        })
    }
}

/// The event of a pixel's query.
fn pixel(query: &str) -> Value {
    let (mut event, mut properties) = (Map::new(), Map::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "writeKey" | "writekey" => {}
            field if FIELDS.contains(&field) => {
                event.insert(field.to_owned(), value.into());
            }
            property => {
                properties.insert(property.to_owned(), value.into());
            }
        }
    }
    event.insert("properties".to_owned(), Value::Object(properties));
    Value::Object(event)
}
