//! What leads do, for measuring: activity records as identity writes them for a site with Segment's tracker.
//!
//! The n-th record is a function of n alone, so the same input can be made again, continued, and known in part. Leads
//! follow 256 patterns, by the last byte of their id, that differ in pages, content, attributes and order; ids and
//! addresses are each lead's own, and of the same length, so that two leads of one pattern give records of the same size.
//!
//! Records come in rounds: every lead does one thing in each, in another order in every round. So no two records near
//! each other concern the same lead, and nothing is gained by keeping a lead at hand.
//!
//! The instants begin a day from now and go on for weeks: as in live operation, no deadline has passed when its event is
//! scored. In the past, scoring a backlog would fire the deadlines of weeks meanwhile.

use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use tasuki_wire::{Head, v1};
use uuid::Uuid;

/// How many patterns of behaviour there are.
pub(super) const PATTERNS: u64 = 256;

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
const PAGES: [&str; 24] = [
    "/",
    "/pricing",
    "/product/overview",
    "/product/integrations",
    "/product/security",
    "/features/scoring",
    "/features/routing",
    "/solutions/manufacturing",
    "/solutions/insurance",
    "/solutions/software",
    "/docs/getting-started",
    "/docs/api/authentication",
    "/docs/trackers/segment",
    "/blog/what-is-lead-scoring",
    "/blog/sales-and-marketing",
    "/blog/2026/09/release-notes",
    "/customers",
    "/customers/yamada-works",
    "/about",
    "/careers",
    "/contact",
    "/events",
    "/resources",
    "/product/tour",
];
const CONTENT: [&str; 6] = [
    "buyers-guide.pdf",
    "security-whitepaper.pdf",
    "roi-calculator.xlsx",
    "case-study-insurance.pdf",
    "datasheet-2026.pdf",
    "導入事例集.pdf",
];
const FORMS: [&str; 5] = ["contact", "demo-request", "newsletter", "trial-signup", "webinar-registration"];
const MAILS: [&str; 4] = ["autumn-newsletter", "product-update-10", "webinar-invitation", "nurture-3-pricing"];
const TITLES: [&str; 8] = [
    "VP Sales",
    "Marketing Manager",
    "CTO",
    "Head of Revenue Operations",
    "営業部長",
    "Student",
    "Software Engineer",
    "Managing Director",
];
const INDUSTRIES: [&str; 5] = ["Computer Software", "Industrial Machinery", "Insurance", "Logistics", "Education"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
];

/// An endless input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How many leads.
    pub(super) leads: u64,
    /// When the first of them does its first thing, in milliseconds since 1970.
    pub(super) start_ms: i64,
}

/// One record.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
}

/// Spreads numbers evenly (the finaliser of splitmix64).
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of several, by a number that is as good as random.
fn pick<'a>(from: &[&'a str], by: u64) -> &'a str {
    let index = usize::try_from(by % 1_000_003).unwrap_or_default() % from.len();
    from.get(index).copied().unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Load {
    /// So many leads, from tomorrow on.
    pub(super) fn new(leads: u64, now_ms: i64) -> Self {
        Self { leads: leads.max(1), start_ms: now_ms + DAY }
    }

    /// Which lead does something, and its how many-th thing that is (from 1), for record number `sequence` (from 0).
    pub(super) fn place(self, sequence: u64) -> (u64, u64) {
        let (round, position) = (sequence / self.leads, sequence % self.leads);
        // A prime larger than any number of leads here: every lead comes once a round.
        let lead = (position.wrapping_mul(1_000_003) + mix(round) % self.leads) % self.leads;
        (lead, round + 1)
    }

    /// Record number `sequence`.
    pub(super) fn record(self, sequence: u64) -> Made {
        let (lead, version) = self.place(sequence);
        self.record_of(lead, version, sequence)
    }

    /// What a lead does as its `version`-th thing. The number becomes the low half of the event's id.
    pub(super) fn record_of(self, lead: u64, version: u64, number: u64) -> Made {
        let id = lead_id(lead);
        let at = self.instant(lead, version);
        let head = Head {
            event_id: event_id(number),
            occurred_at: Timestamp::from_millis(at),
            received_at: Timestamp::from_millis(at + 350),
            cause: Some(EventId::new(Uuid::from_u64_pair(mix(number ^ 1), number))),
            lead: Some(id),
            version: Version::new(version),
        };
        let event = if version == 1 || chance(lead, version) >= 97 {
            Activity::ProfileChanged(v1::ProfileChanged { profile: Some(profile(lead, version, at)) })
        } else {
            let behavior = Some(behavior(lead, version, number, at));
            Activity::Attributed(v1::BehaviorAttributed { behavior, via: "email".to_owned(), unscored: false })
        };
        let record = v1::ActivityRecord { meta: Some(head.to_meta()), identities_version: 0, event: Some(event) };
        Made { key: id.to_string(), payload: record.encode_to_vec() }
    }

    /// Visits of five things, some minutes between them, four days apart; each lead begins at its own time.
    fn instant(self, lead: u64, version: u64) -> i64 {
        let (visit, thing) = (signed(version / 5), signed(version % 5));
        let beginning = signed(mix(lead) % 86_400_000);
        self.start_ms
            + beginning
            + visit * 4 * DAY
            + thing * 3 * MINUTE
            + signed(mix(lead % PATTERNS + version) % 60_000)
    }
}

/// The id of an event: its low half is the number given.
fn event_id(number: u64) -> EventId {
    EventId::new(Uuid::from_u64_pair(mix(number), number))
}

/// The number that an event id was made from.
pub(super) fn number_of(event_id: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(event_id.get(8..16)?.try_into().ok()?))
}

/// The id of a lead: its last byte is its pattern.
pub(super) fn lead_id(lead: u64) -> LeadId {
    LeadId::new(Uuid::from_u64_pair(mix(lead.wrapping_mul(3)), lead.wrapping_shl(8) | (lead % PATTERNS)))
}

/// The pattern that the lead of this key follows.
pub(super) fn pattern_of(key: &str) -> Option<u64> {
    u64::from_str_radix(key.get(34..36)?, 16).ok()
}

fn chance(lead: u64, version: u64) -> u64 {
    mix((lead % PATTERNS) << 32 | version) % 100
}

fn address(lead: u64) -> String {
    format!("hanako.{lead:08}@company-{:06}.example", lead % 250_000 / 3)
}

fn profile(lead: u64, version: u64, at: i64) -> v1::Profile {
    let pattern = mix(lead % PATTERNS);
    let employees = [12, 45, 180, 250, 900, 12_000][usize::try_from(pattern % 6).unwrap_or_default()];
    let title = pick(&TITLES, pattern >> 8 ^ (version / 20));
    let mut said = vec![
        ("name", format!("Hanako Yamada {lead:08}")),
        ("title", title.to_owned()),
        ("company", format!("Yamada Works {:06}", lead % 250_000)),
        ("country", pick(&["JP", "DE", "US", "FR"], pattern >> 16).to_owned()),
    ];
    if pattern & 1 == 0 {
        said.push(("employees", format!("{employees}")));
    }
    if pattern & 2 == 0 || version > 1 {
        said.push(("industry", pick(&INDUSTRIES, pattern >> 24 ^ version).to_owned()));
    }
    let value = |value| v1::AttributeValue { value, source: "website".to_owned(), occurred_at_ms: at };
    let attributes = said.into_iter().map(|(name, said)| (name.to_owned(), value(said))).collect();
    // Without an account: what scoring does for leads is measured, against a copy that knows no accounts.
    v1::Profile { email: address(lead), account_id: String::new(), attributes, other_emails: Vec::new() }
}

fn behavior(lead: u64, version: u64, number: u64, at: i64) -> v1::BehaviorRecord {
    let dice = mix((lead % PATTERNS) << 24 | version);
    let text = |from: &[&str]| pick(from, dice >> 8).to_owned();
    let (event, path) = match chance(lead, version) {
        0..70 => (Behavior::PageViewed(v1::PageViewed { name: String::new(), category: String::new() }), text(&PAGES)),
        70..78 => (Behavior::ContentDownloaded(v1::ContentDownloaded { content: text(&CONTENT) }), text(&PAGES[20..])),
        78..84 => (Behavior::FormSubmitted(v1::FormSubmitted { form: text(&FORMS) }), "/contact".to_owned()),
        84..91 => {
            let target_url = "https://www.tasuki.example/pricing?utm_source=mail".to_owned();
            (Behavior::EmailClicked(v1::EmailClicked { email_name: text(&MAILS), target_url }), String::new())
        }
        91..94 => (Behavior::EmailOpened(v1::EmailOpened { email_name: text(&MAILS) }), String::new()),
        94..96 => {
            let event_name = "Lead scoring in practice".to_owned();
            (Behavior::EventAttended(v1::EventAttended { event_name, kind: "webinar".to_owned() }), String::new())
        }
        _ => (Behavior::SurveyAnswered(v1::SurveyAnswered { survey: "why-us".to_owned() }), "/customers".to_owned()),
    };
    let head = Head {
        event_id: EventId::new(Uuid::from_u64_pair(mix(number ^ 1), number)),
        occurred_at: Timestamp::from_millis(at),
        received_at: Timestamp::from_millis(at + 350),
        cause: None,
        lead: None,
        version: Version::new(0),
    };
    let email = address(lead);
    let visitor = Uuid::from_u64_pair(mix(lead ^ 0xabcd), lead).to_string();
    let campaign = if dice.is_multiple_of(16) { "autumn-2026" } else { "" };
    let circumstances = v1::Circumstances {
        url: format!("https://www.tasuki.example{path}"),
        referrer: if dice & 3 == 0 { "https://www.google.com/".to_owned() } else { String::new() },
        title: if path.is_empty() { String::new() } else { format!("Tasuki | {path}") },
        host: "www.tasuki.example".to_owned(),
        path,
        campaign_name: campaign.to_owned(),
        campaign_source: if campaign.is_empty() { String::new() } else { "newsletter".to_owned() },
        user_agent: pick(&AGENTS, dice >> 40).to_owned(),
        locale: "ja-JP".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        ip: format!("203.0.113.{:03}", 100 + lead % 100),
        ..v1::Circumstances::default()
    };
    v1::BehaviorRecord {
        meta: Some(head.to_meta()),
        origin: Some(v1::Origin {
            source: "website".to_owned(),
            protocol: "segment".to_owned(),
            message_id: Uuid::from_u64_pair(mix(number ^ 1), number).to_string(),
            sent_at_ms: at + 100,
        }),
        identifiers: Some(v1::Identifiers { anonymous_id: visitor, email, ..v1::Identifiers::default() }),
        circumstances: Some(circumstances),
        payload_hash: Uuid::from_u64_pair(mix(number ^ 2), mix(number ^ 3)).as_bytes().to_vec(),
        event: Some(event),
        ..v1::BehaviorRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lead_comes_once_a_round_with_gapless_versions() {
        let load = Load::new(1_000, 0);
        for round in 0..3 {
            let mut seen = vec![false; 1_000];
            for sequence in round * 1_000..(round + 1) * 1_000 {
                let (lead, version) = load.place(sequence);
                assert_eq!(version, round + 1);
                assert!(!std::mem::replace(&mut seen[usize::try_from(lead).unwrap()], true));
            }
        }
    }

    #[test]
    fn leads_of_one_pattern_give_records_of_the_same_size() {
        let load = Load::new(100_000, 1_790_000_000_000);
        for version in 1..=40 {
            let [one, other] = [7, 7 + 300 * PATTERNS].map(|lead| load.record_of(lead, version, 4_711));
            assert_eq!(one.payload.len(), other.payload.len(), "version {version}");
            assert_ne!(one.key, other.key);
            assert_eq!((pattern_of(&one.key), pattern_of(&other.key)), (Some(7), Some(7)));
        }
    }

    #[test]
    fn an_event_tells_its_number() {
        let made = Load::new(10, 0).record(23);
        let record = v1::ActivityRecord::decode(made.payload.as_slice()).unwrap();
        assert_eq!(number_of(&record.meta.unwrap().event_id), Some(23));
    }
}
