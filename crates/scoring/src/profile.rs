//! The profile of a lead in few bytes, as the state keeps it: written anew only when it changes, and copied from there
//! into each score without becoming values in between.
//!
//! The numbers stand first, behind their length in bytes, and then all texts as one, so that one look tells whether it is
//! UTF-8.

use tasuki_stream::StateError;
use tasuki_wire::v1;

use crate::bytes::{Bytes, signed, unsigned};
use crate::message::Message;
use crate::signals::index;

/// Names of attributes that are written as their number here, counted from 1. Only ever added to.
const KNOWN_NAMES: [&str; 13] = [
    "email",
    "name",
    "first_name",
    "last_name",
    "title",
    "department",
    "phone",
    "company",
    "industry",
    "employees",
    "country",
    "region",
    "website",
];

/// A profile in few bytes; the same profile is the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompactProfile {
    bytes: Vec<u8>,
}

/// An attribute as it is read.
struct Attribute<'p> {
    name: &'p str,
    value: &'p str,
    source: &'p str,
    occurred_at_ms: i64,
}

impl CompactProfile {
    pub(crate) fn of(profile: &v1::Profile) -> Self {
        let (mut numbers, mut texts) = (Vec::new(), String::new());
        let mut text = |numbers: &mut Vec<u8>, text: &str| {
            unsigned(numbers, text.len());
            texts.push_str(text);
        };
        let by_domain = !profile.account_id.is_empty() && domain(&profile.email) == profile.account_id;
        text(&mut numbers, &profile.email);
        if !by_domain {
            text(&mut numbers, &profile.account_id);
        }
        unsigned(&mut numbers, profile.attributes.len());
        let (mut source, mut occurred_at_ms) = ("", 0_i64);
        for (name, attribute) in &profile.attributes {
            // Twice the number of the name, and one more where the source is another than before.
            let number = KNOWN_NAMES.iter().position(|known| known == name).map_or(0, |at| at + 1);
            let other_source = attribute.source != source;
            unsigned(&mut numbers, 2 * number + usize::from(other_source));
            if number == 0 {
                text(&mut numbers, name);
            }
            if other_source {
                source = &attribute.source;
                text(&mut numbers, source);
            }
            text(&mut numbers, &attribute.value);
            signed(&mut numbers, attribute.occurred_at_ms.wrapping_sub(occurred_at_ms));
            occurred_at_ms = attribute.occurred_at_ms;
        }
        profile.other_emails.iter().for_each(|other| text(&mut numbers, other));
        let mut bytes = Vec::with_capacity(numbers.len() + texts.len() + 2);
        // Twice the length, and one more where the account is the domain of the address. What is left of the numbers
        // behind the attributes are the other addresses.
        unsigned(&mut bytes, 2 * numbers.len() + usize::from(by_domain));
        bytes.extend_from_slice(&numbers);
        bytes.extend_from_slice(texts.as_bytes());
        Self { bytes }
    }

    /// Takes bytes that were written before.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (_, _, mut attributes) = read(bytes)?;
        while attributes.next()?.is_some() {}
        while attributes.other_email()?.is_some() {}
        if attributes.from.texts.is_empty() {
            Ok(Self { bytes: bytes.to_vec() })
        } else {
            Err(StateError("there is more behind a profile".to_owned()))
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The account; empty if there is none.
    pub(crate) fn account(&self) -> &str {
        read(&self.bytes).expect(CHECKED).1
    }

    /// The department as the lead writes it; empty if it is not known.
    pub(crate) fn department(&self) -> &str {
        let (_, _, mut attributes) = read(&self.bytes).expect(CHECKED);
        while let Some(attribute) = attributes.next().expect(CHECKED) {
            if attribute.name == "department" {
                return attribute.value;
            }
        }
        ""
    }

    pub(crate) fn to_profile(&self) -> v1::Profile {
        let (email, account_id, mut attributes) = read(&self.bytes).expect(CHECKED);
        let (email, account_id) = (email.to_owned(), account_id.to_owned());
        let mut profile = v1::Profile { email, account_id, ..v1::Profile::default() };
        while let Some(Attribute { name, value, source, occurred_at_ms }) = attributes.next().expect(CHECKED) {
            let value = v1::AttributeValue { value: value.to_owned(), source: source.to_owned(), occurred_at_ms };
            profile.attributes.insert(name.to_owned(), value);
        }
        while let Some(other) = attributes.other_email().expect(CHECKED) {
            profile.other_emails.push(other.to_owned());
        }
        profile
    }

    /// Writes the fields of a `Profile`.
    pub(crate) fn write(&self, message: &mut Message) {
        let (email, account, mut attributes) = read(&self.bytes).expect(CHECKED);
        message.text(1, email.as_bytes());
        message.text(2, account.as_bytes());
        while let Some(Attribute { name, value, source, occurred_at_ms }) = attributes.next().expect(CHECKED) {
            message.message(3, |entry| {
                entry.text(1, name.as_bytes());
                entry.message(2, |said| {
                    said.text(1, value.as_bytes());
                    said.text(2, source.as_bytes());
                    said.fixed(3, occurred_at_ms);
                });
            });
        }
        while let Some(other) = attributes.other_email().expect(CHECKED) {
            message.text_of_several(4, other.as_bytes());
        }
    }
}

const CHECKED: &str = "the bytes are those of a profile: written here, or checked when they were taken";

/// E-mail address, account and attributes.
fn read(bytes: &[u8]) -> Result<(&str, &str, Attributes<'_>), StateError> {
    let mut all = Bytes { rest: bytes };
    let head = all.unsigned()?;
    let (length, by_domain) = (usize::try_from(head / 2).unwrap_or(usize::MAX), head % 2 == 1);
    let numbers = Bytes { rest: all.take(length)? };
    let texts = std::str::from_utf8(all.rest).map_err(|_| StateError("a text is not UTF-8".to_owned()))?;
    let mut from = Parts { numbers, texts };
    let email = from.text()?;
    let account = if by_domain { domain(email) } else { from.text()? };
    let left = from.numbers.count()?;
    Ok((email, account, Attributes { from, left, source: "", occurred_at_ms: 0 }))
}

/// Numbers and texts that are still to be read.
struct Parts<'p> {
    numbers: Bytes<'p>,
    texts: &'p str,
}

impl<'p> Parts<'p> {
    fn text(&mut self) -> Result<&'p str, StateError> {
        let length = usize::try_from(self.numbers.unsigned()?).ok();
        let taken = length.and_then(|length| self.texts.split_at_checked(length));
        let (text, rest) =
            taken.ok_or_else(|| StateError("a text ends beyond the end, or within a character".to_owned()))?;
        self.texts = rest;
        Ok(text)
    }
}

/// The attributes that are still to be read.
struct Attributes<'p> {
    from: Parts<'p>,
    left: usize,
    source: &'p str,
    occurred_at_ms: i64,
}

impl<'p> Attributes<'p> {
    fn next(&mut self) -> Result<Option<Attribute<'p>>, StateError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let head = self.from.numbers.number(2 * KNOWN_NAMES.len() + 2)?;
        let name = match (head / 2).checked_sub(1) {
            Some(known) => KNOWN_NAMES[index(known)],
            None => self.from.text()?,
        };
        if head % 2 == 1 {
            self.source = self.from.text()?;
        }
        let value = self.from.text()?;
        self.occurred_at_ms = self.occurred_at_ms.wrapping_add(self.from.numbers.signed()?);
        Ok(Some(Attribute { name, value, source: self.source, occurred_at_ms: self.occurred_at_ms }))
    }
}

impl<'p> Attributes<'p> {
    /// The next of the other addresses, once there are no more attributes.
    fn other_email(&mut self) -> Result<Option<&'p str>, StateError> {
        if self.from.numbers.rest.is_empty() { Ok(None) } else { self.from.text().map(Some) }
    }
}

fn domain(email: &str) -> &str {
    email.rsplit_once('@').map_or("", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn profile(email: &str, account: &str, attributes: &[(&str, &str, &str, i64)]) -> v1::Profile {
        let attributes = attributes.iter().map(|&(name, value, source, occurred_at_ms)| {
            let (value, source) = (value.to_owned(), source.to_owned());
            (name.to_owned(), v1::AttributeValue { value, source, occurred_at_ms })
        });
        let attributes = attributes.collect();
        v1::Profile { email: email.into(), account_id: account.into(), attributes, other_emails: Vec::new() }
    }

    #[test]
    fn profiles_read_back_and_are_written_as_protobuf() {
        let others = vec!["ana@home.example".to_owned(), String::new(), "花子@acme.example".to_owned()];
        for profile in [
            v1::Profile { other_emails: others, ..profile("ana@acme.example", "", &[("title", "VP", "a", 1)]) },
            profile("", "", &[]),
            profile("ana@acme.example", "acme.example", &[("title", "VP", "website", 1_700_000_000_000)]),
            profile("ana@acme.example", "acme", &[("shoe size", "42", "crm", -5), ("title", "", "crm", i64::MAX)]),
            profile("ana", "", &[("city", "Tokyo", "", 0), ("title", "VP", "a", i64::MIN), ("x", "y", "b", 7)]),
        ] {
            let compact = CompactProfile::of(&profile);
            assert_eq!(compact.to_profile(), profile);
            assert_eq!(CompactProfile::from_bytes(compact.as_bytes()).unwrap(), compact);
            let mut message = Message::default();
            compact.write(&mut message);
            assert_eq!(v1::Profile::decode(message.as_bytes()).unwrap(), profile);
            for length in 0..compact.as_bytes().len() {
                assert!(CompactProfile::from_bytes(&compact.as_bytes()[..length]).is_err(), "cut off at {length}");
            }
        }
    }
}
