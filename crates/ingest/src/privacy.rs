//! What becomes of events whose visitor asks not to be tracked (`Sec-GPC: 1`, `DNT: 1`). Pure.

use axum::http::HeaderMap;
use serde::Deserialize;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{BehaviorRecord, Identifiers};

use crate::fingerprint::hex;
use crate::request;

/// What a privacy signal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyPolicy {
    /// It is noted on the event as "gpc" or "dnt", nothing else.
    #[default]
    Ignore,
    /// The event is kept without anything that tells who it was.
    Anonymise,
    /// The event is not kept; the client is answered as if it were.
    Drop,
}

impl PrivacyPolicy {
    /// What is to be done with this request: what the policy says, if the visitor asks for it.
    pub(crate) fn for_request(self, headers: &HeaderMap) -> Self {
        let asks = ["sec-gpc", "dnt"].iter().any(|name| request::header(headers, name) == Some("1"));
        if asks { self } else { Self::Ignore }
    }

    /// The record as it may be kept; `None` if it may not. A change of consent is kept as it is: not to hear somebody's
    /// "no" would be the opposite of what was asked for.
    pub(crate) fn apply(self, record: BehaviorRecord) -> Option<BehaviorRecord> {
        if matches!(record.event, Some(Event::ConsentChanged(_))) {
            return Some(record);
        }
        match self {
            Self::Ignore => Some(record),
            Self::Anonymise => anonymous(record),
            Self::Drop => None,
        }
    }
}

/// The event by nobody: in its place stands an id that no other event has. What says nothing but who somebody is, is
/// nothing then.
fn anonymous(mut record: BehaviorRecord) -> Option<BehaviorRecord> {
    if matches!(record.event, Some(Event::LeadIdentified(_))) {
        return None;
    }
    let event_id = record.meta.as_ref().map(|meta| hex(&meta.event_id)).unwrap_or_default();
    record.identifiers = Some(Identifiers { anonymous_id: format!("anonymised-{event_id}"), ..Identifiers::default() });
    record.attributes.clear();
    record.properties_json.clear();
    if let Some(origin) = &mut record.origin {
        origin.message_id.clear();
    }
    if let Some(at) = &mut record.circumstances {
        at.ip.clear();
        at.user_agent.clear();
        for url in [&mut at.url, &mut at.referrer, &mut at.path] {
            let kept = url.find(['?', '#']).unwrap_or(url.len());
            url.truncate(kept);
        }
    }
    record.flags.push("anonymised".to_owned());
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasuki_wire::v1::{Circumstances, ConsentChanged, LeadIdentified, Meta, Origin, PageViewed};

    fn record(event: Event) -> BehaviorRecord {
        BehaviorRecord {
            meta: Some(Meta { event_id: vec![0xab, 0x01], occurred_at_ms: 5, ..Meta::default() }),
            origin: Some(Origin { source: "site".into(), message_id: "hanako-1".into(), ..Origin::default() }),
            identifiers: Some(Identifiers {
                anonymous_id: "a-hanako".into(),
                user_id: "u-hanako".into(),
                email: "hanako@acme.example".into(),
                phone: "hanako-phone".into(),
                ..Identifiers::default()
            }),
            circumstances: Some(Circumstances {
                url: "https://example.com/pricing?email=hanako#hanako".into(),
                path: "/pricing".into(),
                referrer: "https://example.com/?u=hanako".into(),
                user_agent: "hanako's browser".into(),
                ip: "203.0.113.0".into(),
                ..Circumstances::default()
            }),
            properties_json: "{\"name\":\"hanako\"}".into(),
            flags: vec!["gpc".into()],
            attributes: [("name".to_owned(), "hanako".to_owned())].into(),
            event: Some(event),
            ..BehaviorRecord::default()
        }
    }

    #[test]
    fn an_anonymised_event_says_what_was_done_and_nothing_of_whom() {
        let kept = PrivacyPolicy::Anonymise.apply(record(Event::PageViewed(PageViewed::default()))).unwrap();
        assert!(!format!("{kept:?}").contains("hanako"), "{kept:?}");
        let at = kept.circumstances.clone().unwrap();
        assert_eq!(
            (at.path.as_str(), at.url.as_str(), at.ip.as_str()),
            ("/pricing", "https://example.com/pricing", "")
        );
        assert_eq!(kept.identifiers.unwrap().anonymous_id, "anonymised-ab01");
        assert_eq!(
            (kept.flags, kept.meta.unwrap().occurred_at_ms),
            (vec!["gpc".to_owned(), "anonymised".to_owned()], 5)
        );
        assert_eq!(PrivacyPolicy::Anonymise.apply(record(Event::LeadIdentified(LeadIdentified::default()))), None);
    }

    #[test]
    fn a_dropped_event_is_gone_but_a_change_of_consent_is_heard() {
        assert_eq!(PrivacyPolicy::Drop.apply(record(Event::PageViewed(PageViewed::default()))), None);
        let consent = record(Event::ConsentChanged(ConsentChanged::default()));
        for policy in [PrivacyPolicy::Ignore, PrivacyPolicy::Anonymise, PrivacyPolicy::Drop] {
            assert_eq!(policy.apply(consent.clone()), Some(consent.clone()));
        }
    }

    #[test]
    fn a_policy_holds_for_requests_that_carry_the_signal() {
        let of = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            PrivacyPolicy::Drop.for_request(&headers)
        };
        assert_eq!([of("dnt", "1"), of("sec-gpc", "1")], [PrivacyPolicy::Drop; 2]);
        assert_eq!([of("dnt", "0"), of("x", "1")], [PrivacyPolicy::Ignore; 2]);
    }
}
