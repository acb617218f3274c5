//! Where and how an event happened: what follows from a URL and a user agent.

use std::borrow::Cow;

use tasuki_wire::behavior::Circumstances;

/// Path, host and campaign from the URL, where the tracker did not say them itself.
pub(crate) fn complete_from_url(at: &mut Circumstances<'_>) {
    match std::mem::take(&mut at.url) {
        Cow::Borrowed(url) => {
            complete(at, url, |text| text);
            at.url = Cow::Borrowed(url);
        }
        Cow::Owned(url) => {
            complete(at, &url, |text| Cow::Owned(text.into_owned()));
            at.url = Cow::Owned(url);
        }
    }
    if !at.path.is_empty() && !at.path.starts_with('/') {
        at.path = ["/", &at.path].concat().into();
    }
}

/// The same from this URL, whose parts are kept so.
fn complete<'u, 'a>(at: &mut Circumstances<'a>, url: &'u str, keep: impl Fn(Cow<'u, str>) -> Cow<'a, str>) {
    match usual_url(url).filter(|_| !at.path.is_empty()) {
        Some((host, query)) => {
            if at.host.is_empty() {
                at.host = keep(Cow::Borrowed(host));
            }
            if may_name_a_campaign(query) {
                for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
                    complete_campaign(at, &name, || keep(value));
                }
            }
        }
        None => {
            if let Ok(url) = url::Url::parse(url) {
                if at.path.is_empty() {
                    at.path = url.path().to_owned().into();
                }
                if at.host.is_empty() {
                    at.host = url.host_str().unwrap_or_default().to_owned().into();
                }
                for (name, value) in url.query_pairs() {
                    complete_campaign(at, &name, || value.into_owned().into());
                }
            }
        }
    }
}

fn complete_campaign<'a>(at: &mut Circumstances<'a>, name: &str, value: impl FnOnce() -> Cow<'a, str>) {
    let field = match name {
        "utm_campaign" => &mut at.campaign_name,
        "utm_source" => &mut at.campaign_source,
        "utm_medium" => &mut at.campaign_medium,
        "utm_term" => &mut at.campaign_term,
        "utm_content" => &mut at.campaign_content,
        _ => return,
    };
    if field.is_empty() {
        *field = value();
    }
}

/// Host and query of a URL of which one need not be a browser to tell them: a name in small letters behind `https://` or
/// `http://`, without user, port, and characters that a browser would write in another way.
fn usual_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    // To look at all of them costs less than to stop at the first.
    if !rest.bytes().fold(true, |usual, byte| usual & byte.is_ascii_graphic()) {
        return None;
    }
    let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_name = host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let top = host.rsplit('.').next().unwrap_or_default();
    // What ends in a number is an address.
    let is_top = top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_name || !is_top || host.contains("xn--") {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    Some((host, rest.split_once('?').map_or("", |(_, query)| query)))
}

/// Whether a parameter may be one of a campaign. Their names may be written with escapes.
fn may_name_a_campaign(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.starts_with("utm_") || name.contains('%')
    })
}

/// Whether a user agent says it is a program. Such events are flagged, never dropped.
pub(crate) fn is_bot(user_agent: &str) -> bool {
    let agent = user_agent.as_bytes();
    // Hardly any does, and this much can be asked of many bytes at once.
    let may_begin = |(one, next): (&u8, &u8)| {
        let (one, next) = (one | 0x20, next | 0x20);
        (one == b'b') & (next == b'o')
            | (one == b'c') & (next == b'r')
            | (one == b's') & (next == b'p')
            | (one == b'h') & (next == b'e')
    };
    if !agent.iter().zip(agent.iter().skip(1)).fold(false, |found, pair| found | may_begin(pair)) {
        return false;
    }
    let begins = |at: usize, word: &str| {
        agent.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    agent.iter().enumerate().any(|(at, byte)| match byte | 0x20 {
        b'b' => begins(at, "bot"),
        b'c' => begins(at, "crawler"),
        b's' => begins(at, "spider"),
        b'h' => begins(at, "headless"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_fills_in_what_was_not_said() {
        let text = "https://example.com/pricing?utm_source=google&utm_campaign=spring%20x";
        for url in [Cow::Borrowed(text), Cow::Owned(text.to_owned())] {
            let mut at = Circumstances { url, campaign_source: "own".into(), ..Circumstances::default() };
            complete_from_url(&mut at);
            let expected = Circumstances {
                url: text.into(),
                path: "/pricing".into(),
                host: "example.com".into(),
                campaign_source: "own".into(),
                campaign_name: "spring x".into(),
                ..Circumstances::default()
            };
            assert_eq!(at, expected);
        }
        let mut at = Circumstances { path: "pricing".into(), ..Circumstances::default() };
        complete_from_url(&mut at);
        assert_eq!(at.path, "/pricing");
    }

    #[test]
    fn a_browser_is_asked_about_urls_that_are_not_usual() {
        for (url, usual) in [
            ("https://www.tasuki.example/a?utm_source=x&b=%20c#utm_term=y", true),
            ("http://a-b.c.example", true),
            ("https://example.com?x=1", true),
            ("https://localhost/", true),
            ("https://EXAMPLE.com/", false),
            ("https://127.0.0.1/", false),
            ("https://0x7f.1/", false),
            ("https://a.b0/", false),
            ("https://user@example.com/", false),
            ("https://example.com:8443/", false),
            ("https://xn--wgv71a119e.example/", false),
            ("https://example.com/a b", false),
            ("https://example.com/é", false),
            ("ftp://example.com/", false),
            ("https:///x", false),
        ] {
            assert_eq!(usual_url(url).is_some(), usual, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_told_of_a_usual_url_is_what_a_browser_tells(
            host in "[a-z0-9.-]{1,12}", rest in "([/?#][ -~]{0,30})?", utm in "(utm_source=[!-~]{0,8})?",
        ) {
            let url = format!("https://{host}{rest}{utm}");
            if let Some((host, query)) = usual_url(&url) {
                let read = url::Url::parse(&url).unwrap();
                proptest::prop_assert_eq!(read.host_str(), Some(host), "{}", url);
                let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
                proptest::prop_assert_eq!(read.query_pairs().collect::<Vec<_>>(), pairs, "{}", url);
            }
        }
    }

    #[test]
    fn programs_are_told_by_their_names() {
        for (agent, bot) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1)", true),
            ("HeadlessChrome/141", true),
            ("a SPIDER", true),
            ("some CrawleR", true),
            ("bo", false),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", false),
        ] {
            assert_eq!(is_bot(agent), bot, "{agent}");
        }
    }
}
