//! What a source may send: from which pages, and how fast. Pure.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::source::Sources;

/// Pages that may send: `https://example.com`, or `https://*.example.com` for everything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(Vec<String>);

/// Events per second that a source may send on average, and at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Origins {
    /// Reads the list; the first that is no origin is the error.
    pub(crate) fn read(listed: &[String]) -> Result<Self, String> {
        let is_origin = |text: &str| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
        };
        match listed.iter().find(|text| !is_origin(text)) {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(Self(listed.iter().map(|text| text.to_ascii_lowercase()).collect())),
        }
    }

    /// Whether a page of this origin may send. An empty list allows every page.
    pub(crate) fn allow(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let fits = |listed: &String| match listed.split_once("*.") {
            None => *listed == origin,
            Some((scheme, domain)) => origin
                .strip_prefix(scheme)
                .and_then(|host| host.strip_suffix(domain))
                .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        };
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

/// A bucket of events: filled by the rate, emptied by requests. A request is taken while there is anything in it, and
/// may leave a debt, so that one larger than the bucket can be taken at all.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), filled_at: now }
    }

    /// Takes so many events, or says when something will be in the bucket again.
    fn take(&mut self, events: u64, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(self.rate.per_second);
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second).min(f64::from(self.rate.burst));
        self.filled_at = now;
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / per_second));
        }
        self.tokens -= u32::try_from(events).map_or(f64::from(u32::MAX), f64::from);
        Ok(())
    }
}

/// The buckets of all sources that have a rate.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<String, Mutex<Bucket>>);

impl Buckets {
    pub(crate) fn of(sources: &Sources) -> Self {
        let now = Instant::now();
        let limited = sources.all().iter().filter_map(|source| source.rate.map(|rate| (source, rate)));
        Self(limited.map(|(source, rate)| (source.name.clone(), Mutex::new(Bucket::full(rate, now)))).collect())
    }

    /// Takes so many events of a source, or says after how many whole seconds its clients may come back.
    pub(crate) fn take(&self, source: &str, events: u64, now: Instant) -> Result<(), u32> {
        let Some(bucket) = self.0.get(source) else { return Ok(()) };
        let taken = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(events, now);
        taken.map_err(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listed: &[&str]) -> Result<Origins, String> {
        Origins::read(&listed.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_origin_is_allowed_as_listed_or_below_a_domain() {
        let listed = origins(&["https://Example.com", "http://localhost:3000", "https://*.shop.example"]).unwrap();
        for (origin, allowed) in [
            ("https://example.com", true),
            ("https://EXAMPLE.com", true),
            ("http://example.com", false),
            ("https://example.com:8443", false),
            ("https://www.example.com", false),
            ("http://localhost:3000", true),
            ("https://a.shop.example", true),
            ("https://a.b.shop.example", true),
            ("https://shop.example", false),
            ("https://.shop.example", false),
            ("https://evilshop.example", false),
            ("https://a.shop.example.evil.example", false),
            ("null", false),
        ] {
            assert_eq!(listed.allow(origin), allowed, "{origin}");
        }
        assert!(origins(&[]).unwrap().allow("https://any.example"));
        for wrong in ["example.com", "https://example.com/", "https://", "*"] {
            assert_eq!(origins(&["https://a.example", wrong]), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_lends_to_a_large_request() {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut bucket = Bucket::full(Rate { per_second: 10, burst: 20 }, begin);
        assert_eq!(bucket.take(20, at(0.0)), Ok(()));
        assert_eq!(bucket.take(1, at(0.0)), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(50, at(1.0)), Ok(()), "ten are there; it leaves a debt of forty");
        let wait = bucket.take(1, at(1.0)).unwrap_err();
        assert_eq!(wait.as_millis(), 4100);
        assert_eq!(bucket.take(1, at(5.0)).map_err(|wait| wait.as_millis()), Err(100));
        assert_eq!(bucket.take(1, at(5.2)), Ok(()));
        assert_eq!(bucket.take(20, at(100.0)), Ok(()), "full again, and no fuller");
        assert!(bucket.take(1, at(100.0)).is_err());
    }
}
