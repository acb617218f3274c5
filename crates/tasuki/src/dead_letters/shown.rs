//! How a dead letter is shown.

use std::io::Write;

use serde_json::{Value, json};
use tasuki_domain::{EventId, Timestamp};
use tasuki_import::Charset;
use tasuki_wire::v1::dead_letter::FoundAt;
use tasuki_wire::v1::{DeadLetter, DeadLetterKind, HttpPlace};

pub(super) fn source(letter: &DeadLetter) -> &str {
    match &letter.found_at {
        Some(FoundAt::Http(place)) => &place.source,
        Some(FoundAt::Log(_)) | None => "",
    }
}

pub(super) fn id(letter: &DeadLetter) -> String {
    EventId::from_slice(&letter.id).map_or_else(|_| "no-id".to_owned(), |id| id.to_string())
}

fn kind(letter: &DeadLetter) -> String {
    let name = DeadLetterKind::try_from(letter.kind).map_or("", |kind| kind.as_str_name());
    name.trim_start_matches("DEAD_LETTER_KIND_").to_ascii_lowercase()
}

/// Where it was found, in brief.
fn found(letter: &DeadLetter) -> String {
    match &letter.found_at {
        None => String::new(),
        Some(FoundAt::Log(place)) => format!("{}/{}@{}", place.topic, place.partition, place.offset),
        Some(FoundAt::Http(place)) if place.protocol == "import" => {
            // Line and column of a file.
            let (line, column) = place.pointer.trim_start_matches('/').split_once('/').unwrap_or((&place.pointer, ""));
            let column = column.replace("~1", "/").replace("~0", "~");
            format!("{} {} line {} {column}", place.source, parameter(place, "file"), line.trim_matches('/'))
        }
        Some(FoundAt::Http(place)) => {
            let path = place.target.split('?').next().unwrap_or_default();
            format!("{} {} {path}{}", place.source, place.method, place.pointer)
        }
    }
}

pub(super) fn line(letter: &DeadLetter) -> String {
    let received = Timestamp::from_millis(letter.received_at_ms);
    let service = &letter.service;
    format!("{}  {received}  {service}  {}  {}  {}", id(letter), letter.code, found(letter), letter.message)
}

/// Without the original and the query: they may hold personal data.
pub(super) fn summary(letter: &DeadLetter) -> Value {
    json!({
        "id": id(letter),
        "received_at": Timestamp::from_millis(letter.received_at_ms).to_string(),
        "service": letter.service,
        "kind": kind(letter),
        "code": letter.code,
        "message": letter.message,
        "source": source(letter),
        "found_at": found(letter),
        "bytes": letter.original.len(),
    })
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
pub(super) fn show(letter: &DeadLetter, json: bool) -> anyhow::Result<()> {
    let mut whole = summary(letter);
    if let (Value::Object(fields), Some(FoundAt::Http(place))) = (&mut whole, &letter.found_at) {
        fields.insert("target".to_owned(), place.target.clone().into());
        fields.insert("content_type".to_owned(), place.content_type.clone().into());
        fields.insert("protocol".to_owned(), place.protocol.clone().into());
        fields.insert("item".to_owned(), place.item.into());
        fields.insert("repairs".to_owned(), place.repairs.clone().into());
    }
    let original = original(letter);
    if json {
        whole["original"] = original.into();
        println!("{whole}");
        return Ok(());
    }
    let Value::Object(fields) = whole else { return Ok(()) };
    let mut out = std::io::stdout().lock();
    for (name, value) in fields {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "{name:>13}  {text}")?;
    }
    writeln!(out, "\n{original}")?;
    Ok(())
}

/// The original as text; a row of a file in the character set the file was in.
pub(super) fn original(letter: &DeadLetter) -> String {
    let charset = match &letter.found_at {
        Some(FoundAt::Http(place)) if place.protocol == "import" => parameter(place, "charset").parse::<Charset>().ok(),
        Some(FoundAt::Http(_) | FoundAt::Log(_)) | None => None,
    };
    match charset {
        Some(charset) => charset.show(&letter.original),
        None => String::from_utf8_lossy(&letter.original).into_owned(),
    }
}

/// A parameter of the query.
fn parameter(place: &HttpPlace, name: &str) -> String {
    let query = place.target.split_once('?').map_or("", |(_, query)| query);
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = (*first == b'%').then(|| behind.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
