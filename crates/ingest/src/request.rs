//! A request as adapters see it: decoded, its source known, nothing read from clock or network any more.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method};
use tasuki_domain::Timestamp;

use crate::mapping::Mapping;
use crate::source::Source;

/// One request, its body decompressed, with all that reading it may depend on.
#[derive(Clone, Copy, Debug)]
pub struct RawRequest<'a> {
    /// GET or POST.
    pub method: &'a Method,
    /// The path, without trailing slash.
    pub path: &'a str,
    /// The path as the client sent it, with whatever slashes: signatures are over it.
    pub path_as_sent: &'a str,
    /// What the endpoint is for, in the adapter's own words: "batch", "track" ...
    pub operation: &'a str,
    /// The query as sent, without the question mark.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body, decompressed.
    pub body: &'a [u8],
    /// Whose events these are.
    pub source: &'a Source,
    /// Who it comes from, as far as the connection and the headers say.
    pub visitor: &'a Visitor,
    /// When it was received.
    pub received_at: Timestamp,
    /// What the events mean.
    pub mapping: &'a Mapping,
    /// Largest event that is taken, in bytes.
    pub max_event_bytes: usize,
}

/// What a request says about the visitor, the same for all of its events.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// How much of an IP address may be kept.
    pub(crate) ip_mode: IpMode,
    /// As much of the request's own as may be; empty for none.
    pub(crate) address: String,
    /// No address is to be kept (Snowplow's `SP-Anonymous`).
    pub(crate) anonymous: bool,
    /// "gpc" and "dnt", as far as the browser sends them.
    pub(crate) signals: Vec<&'static str>,
}

impl Visitor {
    /// By the headers and the address that the request came from, behind the trusted proxies.
    pub fn of(headers: &HeaderMap, peer: Option<IpAddr>, ip_mode: IpMode) -> Self {
        let signals = [("sec-gpc", "gpc"), ("dnt", "dnt")].into_iter();
        Self {
            ip_mode,
            address: peer.map(|address| ip_mode.keep(address)).unwrap_or_default(),
            anonymous: headers.contains_key("sp-anonymous"),
            signals: signals.filter(|(name, _)| header(headers, name) == Some("1")).map(|(_, flag)| flag).collect(),
        }
    }
}

/// How much of an IP address is kept. Applied before anything reaches the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum IpMode {
    /// Nothing.
    None,
    /// The network: the first 24 bits of IPv4, the first 48 of IPv6.
    #[default]
    Truncated,
    /// All of it.
    Full,
}

impl IpMode {
    /// The address as it may be kept; empty for none.
    pub fn keep(self, address: IpAddr) -> String {
        match (self, address.to_canonical()) {
            (Self::None, _) => String::new(),
            (Self::Full, address) => address.to_string(),
            (Self::Truncated, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}.0")
            }
            (Self::Truncated, IpAddr::V6(address)) => {
                let [a, b, c, ..] = address.segments();
                std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
            }
        }
    }
}

impl<'a> RawRequest<'a> {
    /// A header as text; `None` if it is missing, empty or no UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.headers, name)
    }

    /// The value of the first query parameter of one of these names.
    pub fn query_value(&self, names: &[&str]) -> Option<String> {
        query_value(self.query, names)
    }
}

/// A header as text; `None` if it is missing, empty or no UTF-8.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    text(headers.get(name)?)
}

/// The value of a header as text; `None` if it is empty or no UTF-8.
pub(crate) fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::trim).filter(|text| !text.is_empty())
}

/// The value of the first query parameter of one of these names, unless empty.
pub(crate) fn query_value(query: &str, names: &[&str]) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, value)| names.contains(&name.as_ref()) && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_of_an_address_what_the_mode_allows() {
        let (v4, v6, mapped): (IpAddr, IpAddr, IpAddr) = (
            "203.0.113.9".parse().unwrap(),
            "2001:db8:85a3:8d3:1319:8a2e:370:7348".parse().unwrap(),
            "::ffff:203.0.113.9".parse().unwrap(),
        );
        assert_eq!([v4, v6, mapped].map(|ip| IpMode::None.keep(ip)), ["", "", ""]);
        assert_eq!(
            [v4, v6, mapped].map(|ip| IpMode::Truncated.keep(ip)),
            ["203.0.113.0", "2001:db8:85a3::", "203.0.113.0"]
        );
        assert_eq!(IpMode::Full.keep(mapped), "203.0.113.9");
    }
}
