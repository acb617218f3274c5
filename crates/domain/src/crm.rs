//! Ids of people in CRM systems.

use std::str::FromStr;

use crate::is_placeholder_id;

/// The id of one person's record in a CRM system, with the system before it: `salesforce:0035g00000ABCdeAAH`, `hubspot:123`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrmId(String);

/// Why a text is no id of a CRM system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCrmId {
    /// No system, or one that is not called like one.
    #[error("expected the system, \":\" and the id: the system is 1 to 32 letters, digits, \"-\" and \"_\"")]
    System,
    /// Empty, too long or with white space or control characters.
    #[error("the id behind the system has 1 to 128 bytes, without white space and control characters")]
    Id,
    /// It stands for nobody: `null`, `0` ...
    #[error("the id is a placeholder")]
    Placeholder,
}

impl CrmId {
    /// The id that a system gave. Systems are told apart without case, ids with it; Salesforce's short form (15 characters) is
    /// written out to the long one (18), which is the same record.
    ///
    /// # Errors
    ///
    /// If it can be none.
    pub fn new(system: &str, id: &str) -> Result<Self, InvalidCrmId> {
        let (system, id) = (system.trim().to_ascii_lowercase(), id.trim());
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=32).contains(&system.len()) || !system.bytes().all(is_name) {
            return Err(InvalidCrmId::System);
        }
        if !(1..=128).contains(&id.len()) || id.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidCrmId::Id);
        }
        if is_placeholder_id(id) {
            return Err(InvalidCrmId::Placeholder);
        }
        let check = if system == "salesforce" { salesforce_check(id) } else { None };
        Ok(Self(format!("{system}:{id}{}", check.unwrap_or_default())))
    }

    /// As text: the system, `:` and the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CrmId {
    type Err = InvalidCrmId;

    fn from_str(text: &str) -> Result<Self, InvalidCrmId> {
        let (system, id) = text.split_once(':').ok_or(InvalidCrmId::System)?;
        Self::new(system, id)
    }
}

/// The three characters by which Salesforce makes an id of 15 one that needs no case: each says which letters of five are
/// capitals.
fn salesforce_check(id: &str) -> Option<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let capitals = |five: &[u8]| {
        five.iter().zip(0..).map(|(byte, bit)| usize::from(byte.is_ascii_uppercase()) << bit).sum::<usize>()
    };
    Some(id.as_bytes().chunks(5).map(|five| char::from(LETTERS[capitals(five)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_system_before_them_and_one_form() {
        for (text, id) in [
            ("HubSpot: 123 ", Ok("hubspot:123")),
            ("salesforce:0035g00000ABCde", Ok("salesforce:0035g00000ABCdeAAH")),
            ("Salesforce:0035g00000ABCdeAAH", Ok("salesforce:0035g00000ABCdeAAH")),
            ("dynamics:a:b", Ok("dynamics:a:b")),
            ("123", Err(InvalidCrmId::System)),
            (":123", Err(InvalidCrmId::System)),
            ("our crm:123", Err(InvalidCrmId::System)),
            ("hubspot:", Err(InvalidCrmId::Id)),
            ("hubspot:1 2", Err(InvalidCrmId::Id)),
            ("hubspot:null", Err(InvalidCrmId::Placeholder)),
        ] {
            assert_eq!(text.parse::<CrmId>().as_ref().map(CrmId::as_str).map_err(|error| *error), id, "{text}");
        }
    }
}
