//! The OpenAPI document of our own API: schemas from the types that are read, the rest written here.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::form::{Data, NewEvent};

/// The document.
pub(super) fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<NewEvent>();
    let by_type: Vec<Value> = Data::schemas(&mut generator)
        .into_iter()
        .map(|(kind, data, needed)| {
            let required = if needed { json!(["data"]) } else { json!([]) };
            json!({ "properties": { "type": { "const": kind }, "data": data }, "required": required })
        })
        .collect();
    let mut schemas = json!(generator.take_definitions(false));
    let mut event = schemas["NewEvent"].take();
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.remove("NewEvent");
    }
    event["title"] = json!("Event");
    event["oneOf"] = json!(by_type);
    event["anyOf"] = json!(["visitor_id", "user_id", "crm_id", "email", "phone"].map(|name| json!({
        "required": [name], "properties": { name: { "type": "string" } },
    })));
    schemas["Event"] = event;
    schemas["Result"] = result();
    schemas["Fault"] = fault();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tasuki ingest",
            "version": "1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Takes what visitors and leads do, from whoever writes a tracker. A 200 means that each \
                event is durable: on the log, or kept with the reason why it was not taken. Send again what was \
                answered 408, 429 or 5xx, under the same ids: an event counts once.",
        },
        "security": [{ "basic": [] }, { "header": [] }, { "query": [] }],
        "paths": { "/v1/events": { "post": post() } },
        "components": { "schemas": schemas, "securitySchemes": security() },
    })
}

fn post() -> Value {
    let json_of = |schema: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    let fault = |what: &str| json!({ "description": what, "content": json_of("Fault") });
    json!({
        "operationId": "sendEvents",
        "summary": "Sends one event, or an array of them",
        "requestBody": {
            "required": true,
            "description": "Content-Encoding gzip, deflate, br and zstd are understood.",
            "content": { "application/json": {
                "schema": { "oneOf": [
                    { "$ref": "#/components/schemas/Event" },
                    { "type": "array", "items": { "$ref": "#/components/schemas/Event" } },
                ] },
                "examples": {
                    "one": { "value": {
                        "id": "5f0c2b1e-1", "type": "form_submitted", "data": { "form": "demo-request" },
                        "occurred_at": "2026-11-22T12:00:00Z", "visitor_id": "v-1", "email": "hanako@example.com",
                        "attributes": { "name": "Hanako Yamada", "title": "VP Sales", "company": "Example", "employees": 250 },
                        "context": { "url": "https://www.example.com/demo?utm_source=newsletter" },
                    } },
                    "several": { "value": [
                        { "type": "page_viewed", "visitor_id": "v-1", "context": { "url": "https://www.example.com/pricing" } },
                        { "type": "lead_identified", "visitor_id": "v-1", "user_id": "4711", "email": "hanako@example.com" },
                    ] },
                },
            } },
        },
        "responses": {
            "200": { "description": "At least one event was taken, or there was none; what became of each.", "content": json_of("Result") },
            "400": fault("The body cannot be read. It is kept."),
            "401": fault("The write key is missing or not known."),
            "405": fault("Only POST is taken."),
            "408": fault("The body did not arrive in time."),
            "413": fault("The body is too large."),
            "422": { "description": "No event was taken; what is wrong with each. They are kept.", "content": json_of("Result") },
            "429": fault("Too many events of this source; Retry-After says when to come back."),
            "503": fault("The log does not answer, or there is too much to do; Retry-After says when to come back."),
        },
    })
}

fn result() -> Value {
    json!({
        "type": "object",
        "description": "What became of the events.",
        "required": ["accepted", "rejected", "events"],
        "properties": {
            "accepted": { "type": "integer", "minimum": 0 },
            "rejected": { "type": "integer", "minimum": 0 },
            "events": {
                "type": "array",
                "description": "One entry per event, in the order they were sent.",
                "items": { "oneOf": [
                    {
                        "type": "object",
                        "required": ["status", "id"],
                        "properties": {
                            "status": { "const": "accepted" },
                            "id": { "type": "string", "format": "uuid", "description": "The event's id in Tasuki." },
                        },
                    },
                    {
                        "type": "object",
                        "required": ["status", "code", "pointer", "message"],
                        "properties": {
                            "status": { "const": "rejected" },
                            "code": { "type": "string", "description": "Short and stable." },
                            "pointer": { "type": "string", "description": "Where in the body, as a JSON pointer." },
                            "message": { "type": "string", "description": "What was found, what is allowed." },
                        },
                    },
                ] },
            },
        },
    })
}

fn fault() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "string", "description": "Short and stable." },
            "message": { "type": "string" },
        },
    })
}

fn security() -> Value {
    json!({
        "basic": { "type": "http", "scheme": "basic", "description": "The write key as user, without password." },
        "header": { "type": "apiKey", "in": "header", "name": "X-Write-Key" },
        "query": { "type": "apiKey", "in": "query", "name": "writeKey" },
    })
}
