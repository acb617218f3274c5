//! In which language a page is shown.

use axum::http::{HeaderMap, header};

use crate::auth;

/// Name of the cookie that remembers the choice.
const COOKIE: &str = "tasuki_language";

/// A language of the pages. Each text of [`crate::text`] exists in every one of them, or nothing compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Language {
    /// Every language, in the order of the switch on the pages.
    pub(crate) const ALL: [Self; 2] = [Self::En, Self::Ja];

    /// As in `lang` of HTML and in `?lang=`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
        }
    }

    /// Its name in itself.
    pub(crate) const fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Ja => "日本語",
        }
    }

    /// The same where a playbook is put into words.
    pub(crate) const fn of_playbooks(self) -> tasuki_playbook::Language {
        match self {
            Self::En => tasuki_playbook::Language::En,
            Self::Ja => tasuki_playbook::Language::Ja,
        }
    }

    /// Reads `en`, `ja`, `ja-JP` ...
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        let primary = code.split(['-', '_']).next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// What the cookie says, else the first language of `Accept-Language` that we have, else English.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        auth::cookie(headers, COOKIE).and_then(Self::from_code).or_else(|| accepted(headers)).unwrap_or(Self::En)
    }

    /// The `Set-Cookie` that remembers it for a year.
    pub(crate) fn remember(self) -> String {
        format!("{COOKIE}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age=31536000", self.code())
    }
}

/// The language with the highest weight in `Accept-Language`; of equal ones the first.
fn accepted(headers: &HeaderMap) -> Option<Language> {
    let header = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, Language)> = None;
    for item in header.split(',') {
        let (code, weight) = match item.split_once(";q=") {
            Some((code, weight)) => (code, weight.trim().parse().unwrap_or(0.0)),
            None => (item, 1.0),
        };
        if let Some(language) = Language::from_code(code.trim())
            && weight > best.map_or(0.0, |(weight, _)| weight)
        {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_wins_then_the_browsers_weights_then_english() {
        for (cookie, accept, expected) in [
            (None, None, Language::En),
            (None, Some("ja"), Language::Ja),
            (None, Some("ja-JP,ja;q=0.9,en;q=0.8"), Language::Ja),
            (None, Some("de, en;q=0.5, ja;q=0.7"), Language::Ja),
            (None, Some("en-US,ja;q=0.9"), Language::En),
            (None, Some("ja;q=0, fr"), Language::En),
            (Some("tasuki_language=en"), Some("ja"), Language::En),
            (Some("tasuki_language=xx"), Some("ja"), Language::Ja),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(cookie) = cookie {
                headers.insert(header::COOKIE, cookie.parse().unwrap());
            }
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
            }
            assert_eq!(Language::of_request(&headers), expected, "{cookie:?} {accept:?}");
        }
    }
}
