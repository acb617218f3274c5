//! Who may come in: scripts with the API token as bearer, people with a session that was made from it.
//!
//! A session is a value in a cookie, signed with a key derived from the token. Nothing is stored: whoever changes the
//! token ends every session. The token itself never stands in a cookie.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tasuki_domain::{Millis, Timestamp};

/// Name of the session's cookie.
const COOKIE: &str = "tasuki_session";
/// How long a session lasts: one working day.
const LASTS: Millis = Millis::from_hours(12);
/// Longest name a person may sign in with, in characters.
pub(crate) const LONGEST_NAME: usize = 80;

/// The secret by which scripts and people come in.
#[derive(Clone)]
pub struct ApiToken(String);

/// The token has too few characters.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API token has {0} characters; at least 16 are needed")]
pub struct TokenTooShort(usize);

impl ApiToken {
    /// A token of at least 16 characters.
    ///
    /// # Errors
    ///
    /// If it is shorter.
    pub fn new(token: impl Into<String>) -> Result<Self, TokenTooShort> {
        let token = token.into();
        let length = token.chars().count();
        if length < 16 { Err(TokenTooShort(length)) } else { Ok(Self(token)) }
    }

    /// Whether this is the token, in a time that does not tell how much of it was right.
    pub(crate) fn is(&self, presented: &str) -> bool {
        self.mac("token", presented.as_bytes())
            .verify_slice(&self.mac("token", self.0.as_bytes()).finalize().into_bytes())
            .is_ok()
    }

    /// Whether the request carries the token as bearer.
    pub(crate) fn is_bearer_of(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match value.split_once(' ') {
            Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer") && self.is(token.trim()),
            None => false,
        }
    }

    /// The `Set-Cookie` that starts a session.
    pub(crate) fn start_session(&self, person: &str, now: Timestamp, secure: bool) -> String {
        let until = now + LASTS;
        let claims = format!("{}.{}", until.as_millis(), URL_SAFE_NO_PAD.encode(person));
        let signature = URL_SAFE_NO_PAD.encode(self.mac("session", claims.as_bytes()).finalize().into_bytes());
        let (age, secure) = (LASTS.get() / 1_000, if secure { "; Secure" } else { "" });
        format!("{COOKIE}={claims}.{signature}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age}{secure}")
    }

    /// The session that the request's cookie proves, if it has not run out.
    pub(crate) fn session(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session> {
        let value = cookie(headers, COOKIE)?;
        let (claims, signature) = value.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac("session", claims.as_bytes()).verify_slice(&signature).ok()?;
        let (until, person) = claims.split_once('.')?;
        let until = Timestamp::from_millis(until.parse().ok()?);
        let person = String::from_utf8(URL_SAFE_NO_PAD.decode(person).ok()?).ok()?;
        (now < until).then_some(Session { person })
    }

    fn mac(&self, purpose: &str, message: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(b"tasuki console ");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

/// A person who has signed in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// As they called themselves; commands they give carry it.
    pub(crate) person: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

/// The `Set-Cookie` that ends a session.
pub(crate) fn end_session() -> String {
    format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether the form was sent from one of our own pages, as the browser says. A request that says nothing about where
/// it comes from is refused: every browser of today says it with a POST.
pub(crate) fn is_from_our_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        }
        (None, _) | (_, None) => false,
    }
}

/// Whether the browser reached us by TLS, as the proxy in front says.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|value| value == "https")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const NOW: Timestamp = Timestamp::from_millis(1_795_426_200_000);

    fn token() -> ApiToken {
        ApiToken::new("0123456789abcdef").unwrap()
    }

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn session_cookie(token: &ApiToken, person: &str) -> String {
        token.start_session(person, NOW, false).split(';').next().unwrap().to_owned()
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = token();
        assert!(token.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert!(token.is_bearer_of(&with(&[("authorization", "bearer 0123456789abcdef")])));
        assert!(!token.is_bearer_of(&with(&[("authorization", "Basic 0123456789abcdef")])));
        assert_eq!(ApiToken::new("short").unwrap_err(), TokenTooShort(5));
    }

    #[test]
    fn a_session_holds_until_it_runs_out() {
        let cookie = session_cookie(&token(), "佐藤 花子");
        let headers = with(&[("cookie", &format!("other=1; {cookie}"))]);
        assert_eq!(token().session(&headers, NOW), Some(Session { person: "佐藤 花子".to_owned() }));
        assert_eq!(token().session(&headers, NOW + LASTS), None);
    }

    #[test]
    fn a_session_cannot_be_forged_or_carried_to_another_token() {
        let cookie = session_cookie(&token(), "a");
        let other = ApiToken::new("fedcba9876543210").unwrap();
        assert_eq!(other.session(&with(&[("cookie", &cookie)]), NOW), None);
        let longer = cookie.replacen("1795", "9795", 1);
        assert_ne!(cookie, longer);
        assert_eq!(token().session(&with(&[("cookie", &longer)]), NOW), None);
    }

    #[test]
    fn the_cookie_does_not_hold_the_token() {
        let cookie = token().start_session("a", NOW, true);
        assert!(!cookie.contains("0123456789abcdef"));
        assert!(!cookie.contains(&URL_SAFE_NO_PAD.encode("0123456789abcdef")));
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200; Secure"), "{cookie}");
    }

    #[test]
    fn a_form_counts_only_from_our_own_pages() {
        for (headers, ours) in [
            (with(&[("sec-fetch-site", "same-origin")]), true),
            (with(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")]), false),
            (with(&[("sec-fetch-site", "same-site")]), false),
            (with(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")]), true),
            (with(&[("origin", "http://localhost:9090"), ("host", "localhost:8080")]), false),
            (with(&[("origin", "null"), ("host", "localhost:8080")]), false),
            (with(&[("host", "localhost:8080")]), false),
        ] {
            assert_eq!(is_from_our_page(&headers), ours, "{headers:?}");
        }
    }
}
