//! E-mail addresses, normalised.

use std::fmt;
use std::str::FromStr;

/// An e-mail address: trimmed, lower-case, domain in IDNA ASCII form. `+tag` stays: it may be another person.
///
/// `Debug` does not show it, since debug output reaches logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(String);

/// Why a text is no e-mail address. Does not repeat the text: it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Not exactly one `@` with something on both sides.
    #[error("an e-mail address has one \"@\" with something before and after it")]
    Shape,
    /// White space or control characters.
    #[error("an e-mail address has no white space or control characters")]
    Character,
    /// The domain is not a domain name.
    #[error("the part after \"@\" is not a domain name")]
    Domain,
    /// Over 254 bytes (RFC 5321, 4.5.3.1.3).
    #[error("an e-mail address has at most 254 bytes")]
    Length,
}

impl EmailAddress {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(self.0.as_str(), |(local, _)| local)
    }

    /// What stands after the `@`, in ASCII form.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail::Shape)?;
        if local.is_empty() || domain.is_empty() || local.contains('@') {
            return Err(InvalidEmail::Shape);
        }
        if local.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidEmail::Character);
        }
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail::Domain)?;
        if !domain.contains('.') || domain.starts_with('.') || domain.ends_with('.') {
            return Err(InvalidEmail::Domain);
        }
        let address = format!("{}@{domain}", local.to_lowercase());
        if address.len() > 254 {
            return Err(InvalidEmail::Length);
        }
        Ok(Self(address))
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_case_space_and_international_domains() {
        let address: EmailAddress = "  Hanako.YAMADA+x@日本語.example ".parse().unwrap();
        assert_eq!(address.as_str(), "hanako.yamada+x@xn--wgv71a119e.example");
        assert_eq!((address.local_part(), address.domain()), ("hanako.yamada+x", "xn--wgv71a119e.example"));
        assert_eq!(format!("{address:?}"), "EmailAddress(…)");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for (text, why) in [
            ("ana", InvalidEmail::Shape),
            ("@acme.example", InvalidEmail::Shape),
            ("ana@", InvalidEmail::Shape),
            ("a@b@acme.example", InvalidEmail::Shape),
            ("a na@acme.example", InvalidEmail::Character),
            ("ana@acme", InvalidEmail::Domain),
            ("ana@ac me.example", InvalidEmail::Domain),
        ] {
            assert_eq!(text.parse::<EmailAddress>().unwrap_err(), why, "{text}");
        }
        assert_eq!(
            format!("{}@acme.example", "a".repeat(250)).parse::<EmailAddress>().unwrap_err(),
            InvalidEmail::Length
        );
    }
}
