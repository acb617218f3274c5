//! Requests of a site with Segment's tracker, for load: made once, sent often, each time with ids of their own.

use std::fmt::Write;

/// Digits of an id that a stamp writes.
const STAMP: usize = 12;

const PAGES: [(&str, &str); 8] = [
    ("/", "Tasuki"),
    ("/pricing", "Pricing"),
    ("/product/overview", "Product overview"),
    ("/product/integrations", "Integrations"),
    ("/solutions/manufacturing", "Solutions for manufacturing"),
    ("/blog/what-is-lead-scoring", "What is lead scoring?"),
    ("/customers/yamada-works", "Yamada Works: a customer story"),
    ("/docs/getting-started", "Getting started"),
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
];
/// Track calls by name and properties: the first three mean something to the built-in mapping, the others are custom.
const CALLS: [(&str, &str); 6] = [
    ("Content Downloaded", r#"{"content":"buyers-guide.pdf","pages":24,"language":"en"}"#),
    (
        "Form Submitted",
        r#"{"form":"newsletter","email":"hanako.yamada@acme.example","company":"Acme","title":"VP Sales"}"#,
    ),
    ("Webinar Attended", r#"{"webinar":"Lead scoring in practice","minutes":41}"#),
    ("Video Played", r#"{"video":"product-tour","position":12.5,"duration":180,"quality":"1080p"}"#),
    ("Plan Compared", r#"{"left":"team","right":"enterprise","currency":"EUR","seats":25}"#),
    ("Docs Searched", r#"{"query":"segment write key","results":17,"section":"trackers"}"#),
];

/// One request: a path and a body, in which the ids of the events can be changed.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes.
    pub path: &'static str,
    /// What is sent, as JSON.
    pub body: Vec<u8>,
    stamps: Vec<usize>,
}

/// What all requests of one run share.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Part of every id, so that runs do not repeat each other's.
    pub number: u32,
    /// When the events happened and were sent, as ISO 8601.
    pub at: &'a str,
}

impl Request {
    /// A batch of so many events. Of ten, seven are page views and three track calls; different numbers make different
    /// visitors, pages and calls.
    pub fn batch(run: Run<'_>, number: u64, events: usize) -> Self {
        let (mut text, mut stamps) = (r#"{"batch":["#.to_owned(), Vec::new());
        for (index, number) in (0..events).zip(number * 7_919..) {
            if index > 0 {
                text.push(',');
            }
            event(&mut text, &mut stamps, run, number);
        }
        write!(text, r#"],"sentAt":"{}"}}"#, run.at).expect("a text takes everything");
        Self { path: "/v1/batch", body: text.into_bytes(), stamps }
    }

    /// One event, sent by itself.
    pub fn single(run: Run<'_>, number: u64) -> Self {
        let (mut text, mut stamps) = (String::new(), Vec::new());
        let path = if event(&mut text, &mut stamps, run, number) { "/v1/page" } else { "/v1/track" };
        Self { path, body: text.into_bytes(), stamps }
    }

    /// How many events it has.
    pub fn events(&self) -> u64 {
        u64::try_from(self.stamps.len()).unwrap_or(u64::MAX)
    }

    /// Gives the events ids that end in these numbers: the first, the one after it ...
    pub fn stamp(&mut self, first: u64) {
        for (at, number) in self.stamps.iter().zip(first..) {
            stamp(&mut self.body[*at..*at + STAMP], number);
        }
    }
}

/// Writes a number as hexadecimal digits, as many as there is room for.
pub fn stamp(into: &mut [u8], number: u64) {
    let mut left = number;
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(left & 15).expect("below 16")];
        left >>= 4;
    }
}

/// Adds one event; says whether it is a page view.
fn event(text: &mut String, stamps: &mut Vec<usize>, run: Run<'_>, number: u64) -> bool {
    let of = |count: usize| usize::try_from(number).unwrap_or_default() % count;
    let (path, title) = PAGES[of(PAGES.len())];
    let page = format!(
        r#"{{"path":"{path}","referrer":"https://www.google.com/","search":"?utm_source=google","title":"{title}","url":"https://www.tasuki.example{path}?utm_source=google"}}"#
    );
    let is_page = number % 10 < 7;
    let what = if is_page {
        format!(r#""type":"page","properties":{page},"category":"Site","name":"{title}""#)
    } else {
        let (name, properties) = CALLS[of(CALLS.len())];
        format!(r#""event":"{name}","type":"track","properties":{properties}"#)
    };
    let (at, agent, visitor) = (run.at, AGENTS[of(AGENTS.len())], number % 100_000);
    write!(
        text,
        r#"{{"timestamp":"{at}","integrations":{{}},{what},"context":{{"ip":"203.0.113.{}","userAgent":"{agent}","locale":"en-GB","timezone":"Europe/Berlin","page":{page},"library":{{"name":"@segment/analytics-node","version":"3.1.0"}}}},"anonymousId":"5f0c1d2e-7b3a-4c4d-9e8f-{visitor:012x}","messageId":"node-next-1795321937927-{:08x}-a241-4a02-98ec-"#,
        number % 100 + 100,
        run.number,
    )
    .expect("a text takes everything");
    stamps.push(text.len());
    text.push_str(r#"000000000000","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"}}"#);
    is_page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_the_ids_and_nothing_else() {
        let run = Run { number: 7, at: "2026-11-23T09:00:00.000Z" };
        let mut request = Request::batch(run, 3, 100);
        let before = String::from_utf8(request.body.clone()).unwrap();
        request.stamp(0xabc0);
        let after = String::from_utf8(request.body.clone()).unwrap();
        assert_eq!((request.events(), before.len()), (100, after.len()));
        for number in 0xabc0..0xabc0 + 100 {
            let id = format!("node-next-1795321937927-00000007-a241-4a02-98ec-{number:012x}");
            assert_eq!(after.matches(&id).count(), 1, "{id}");
        }
        request.stamp(0);
        assert_eq!(Request::single(run, 9).events(), 1);
        assert_ne!(request.body, before.into_bytes());
    }
}
