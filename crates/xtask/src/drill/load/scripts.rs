//! Who does what: people with devices, user ids and addresses, and what they do on a website and with mails.

use std::collections::BTreeMap;

use prost::Message as _;
use tasuki_domain::{Cycle, EventId, HandoffId};
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::sales_feedback::Command;
use tasuki_wire::{Topic, v1};

use super::{Load, Sent, Shape, poison};
use crate::drill::model::lead_of;
use crate::drill::random::Random;

/// How many events a person has on average. Far below what any service forgets.
const EVENTS_PER_PERSON: usize = 60;
/// Most events that say who a person is: identity remembers eight values of an attribute.
const MOST_STATEMENTS: u32 = 5;
/// The first event was received so long before the drill: deadlines of sales have passed by then.
const BEGAN_BEFORE_MS: i64 = 6 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const PATHS: [&str; 8] =
    ["/", "/pricing", "/products/relay", "/products/sash", "/docs/api", "/blog/handoff", "/careers/tokyo", "/about"];
const TITLES: [&str; 6] = ["VP Sales", "Sales Manager", "営業部長", "Engineer", "Chief Marketing Officer", "Student"];
const INDUSTRIES: [&str; 4] = ["Software", "製造", "Retail", "Insurance"];
const COUNTRIES: [&str; 4] = ["JP", "US", "DE", "FR"];
const REASONS: [v1::RejectReason; 4] =
    [v1::RejectReason::Timing, v1::RejectReason::NoBudget, v1::RejectReason::Duplicate, v1::RejectReason::NotAFit];

/// Somebody.
#[derive(Clone, Debug)]
struct Person {
    devices: Vec<String>,
    /// Empty: has none.
    user_id: String,
    /// Empty: has none that anybody learns of.
    email: String,
    /// After how many of its events it says who it is.
    identifies_after: u32,
    events: u32,
    statements: u32,
}

/// The load of a seed. `now_ms` is when the drill begins; it only moves all instants.
pub(crate) fn load(seed: u64, events: usize, shape: Shape, now_ms: i64) -> Load {
    let mut random = Random::of(seed, "load");
    let mut people = people(&mut random, (events / EVENTS_PER_PERSON).max(12));
    let mut records = Vec::with_capacity(events + events / 4);
    for number in 0..events {
        let at = random.below(people.len());
        let step =
            i64::try_from(number).unwrap_or(0) * (BEGAN_BEFORE_MS - HOUR_MS) / i64::try_from(events).unwrap_or(1);
        let received_at_ms = now_ms - BEGAN_BEFORE_MS + step;
        let occurred_at_ms = received_at_ms - lateness(&mut random, shape);
        let id = EventId::reported("drill", &format!("{seed}-{number}"));
        let meta = v1::Meta { event_id: id.as_bytes().to_vec(), occurred_at_ms, received_at_ms, ..v1::Meta::default() };
        records.push(act(&mut random, &mut people[at], meta));
        if random.percent(1) {
            records.extend(feedback(&mut random, &people[at], seed, number, received_at_ms));
        }
        if shape.poison && random.percent(1) {
            records.push(poison::record(&mut random, seed, number, received_at_ms));
        }
    }
    if shape.duplicates {
        duplicate(&mut random, &mut records);
    }
    if shape.disorder {
        disorder(&mut random, &mut records);
    }
    Load { records }
}

fn people(random: &mut Random, count: usize) -> Vec<Person> {
    let mut people = Vec::with_capacity(count);
    for number in 0..count {
        let company = number / 3;
        let domain = if random.percent(5) { "gmail.com".to_owned() } else { format!("company-{company}.example") };
        let email = format!("person-{number}@{domain}");
        let user_id = format!("user-{number}");
        let (user_id, email) = match random.below(20) {
            0 | 1 => (String::new(), String::new()),
            2 => (user_id, String::new()),
            3..=7 => (user_id, email),
            _ => (String::new(), email),
        };
        let mut devices = vec![format!("visitor-{number}")];
        if random.percent(30) {
            devices.push(format!("visitor-{number}-phone"));
        }
        // A device that two people share.
        if number > 0 && random.percent(5) {
            devices.push(format!("visitor-{}", number - 1));
        }
        let identifies_after = u32::try_from(random.below(12)).unwrap_or(0);
        people.push(Person { devices, user_id, email, identifies_after, events: 0, statements: 0 });
    }
    people
}

/// How long after it happened an event is received.
fn lateness(random: &mut Random, shape: Shape) -> i64 {
    if !shape.disorder {
        return random.up_to(2_000);
    }
    match random.below(100) {
        0 => 30 * DAY_MS + random.up_to(DAY_MS),
        1 | 2 => -(10 * 60_000),
        _ => random.up_to(HOUR_MS),
    }
}

/// The next thing that somebody does.
fn act(random: &mut Random, person: &mut Person, meta: v1::Meta) -> Sent {
    person.events += 1;
    let known = !person.email.is_empty() || !person.user_id.is_empty();
    let says_who = known
        && person.statements < MOST_STATEMENTS
        && (person.events == person.identifies_after + 1
            || person.events > person.identifies_after && random.percent(5));
    let device = random.one_of(&person.devices).clone();
    let named =
        v1::Identifiers { user_id: person.user_id.clone(), email: person.email.clone(), ..v1::Identifiers::default() };
    let (event, identifiers) = if says_who {
        person.statements += 1;
        (identified(random), v1::Identifiers { anonymous_id: device, ..named })
    } else {
        let event = something(random);
        // Before somebody says who it is nothing names it; afterwards servers do, without its device.
        let identifiers = match (person.events > person.identifies_after, random.below(10)) {
            (true, 0) if !person.user_id.is_empty() => v1::Identifiers { email: String::new(), ..named },
            (true, 1 | 2) if !person.email.is_empty() => v1::Identifiers { user_id: String::new(), ..named },
            _ => v1::Identifiers { anonymous_id: device, ..v1::Identifiers::default() },
        };
        (event, identifiers)
    };
    let key = if !identifiers.anonymous_id.is_empty() {
        format!("v:{}", identifiers.anonymous_id)
    } else if !identifiers.user_id.is_empty() {
        format!("u:{}", identifiers.user_id)
    } else {
        format!("e:{}", identifiers.email)
    };
    let record = v1::BehaviorRecord {
        meta: Some(meta),
        origin: Some(v1::Origin {
            source: "website".to_owned(),
            protocol: "drill".to_owned(),
            ..v1::Origin::default()
        }),
        identifiers: Some(identifiers),
        circumstances: Some(v1::Circumstances {
            path: (*random.one_of(&PATHS)).to_owned(),
            ..v1::Circumstances::default()
        }),
        event: Some(event),
        ..v1::BehaviorRecord::default()
    };
    Sent { topic: Topic::Behavior, key: key.into_bytes(), payload: record.encode_to_vec(), poison: None }
}

fn identified(random: &mut Random) -> Event {
    let mut attributes = BTreeMap::new();
    attributes.insert("title".to_owned(), (*random.one_of(&TITLES)).to_owned());
    attributes.insert("employees".to_owned(), (10 + random.below(3_000)).to_string());
    if random.percent(60) {
        attributes.insert("industry".to_owned(), (*random.one_of(&INDUSTRIES)).to_owned());
        attributes.insert("country".to_owned(), (*random.one_of(&COUNTRIES)).to_owned());
    }
    Event::LeadIdentified(v1::LeadIdentified { attributes })
}

fn something(random: &mut Random) -> Event {
    let text = |text: &str| text.to_owned();
    match random.below(100) {
        0..65 => Event::PageViewed(v1::PageViewed::default()),
        65..71 => Event::EmailOpened(v1::EmailOpened { email_name: text("news") }),
        71..80 => Event::EmailClicked(v1::EmailClicked { email_name: text("news"), target_url: String::new() }),
        80..85 => Event::ContentDownloaded(v1::ContentDownloaded { content: text("whitepaper") }),
        85..88 => Event::EventAttended(v1::EventAttended { event_name: text("launch"), kind: text("webinar") }),
        88..90 => Event::SurveyAnswered(v1::SurveyAnswered { survey: text("nps") }),
        90..92 => Event::AssessmentCompleted(v1::AssessmentCompleted { assessment: text("fit"), result: text("b") }),
        92..95 => Event::FormSubmitted(v1::FormSubmitted { form: text("newsletter") }),
        95 => Event::FormSubmitted(v1::FormSubmitted { form: text("demo-request") }),
        96 => Event::ReferralReceived(v1::ReferralReceived { referred_by: text("somebody") }),
        97 => {
            Event::ConsentChanged(v1::ConsentChanged { purpose: text("contact"), granted: true, basis: String::new() })
        }
        _ => Event::CustomBehavior(v1::CustomBehavior { name: text("Video Played") }),
    }
}

/// What sales says about the person's first handoff, perhaps before there is one; sometimes twice, or against itself.
fn feedback(random: &mut Random, person: &Person, seed: u64, number: usize, received_at_ms: i64) -> Vec<Sent> {
    let known_as = match (person.email.as_str(), person.user_id.as_str()) {
        ("", "") => return Vec::new(),
        ("", user_id) => format!("u:{user_id}"),
        (email, _) => format!("e:{email}"),
    };
    let lead = lead_of(&known_as);
    let mut say = |part: &str| {
        let id = EventId::reported("drill feedback", &format!("{seed}-{number}-{part}"));
        let command = if random.percent(70) {
            Command::Accept(v1::AcceptLead {})
        } else {
            let reason = (*random.one_of(&REASONS)).into();
            Command::Reject(v1::RejectLead { reason, note: String::new() })
        };
        let record = v1::SalesFeedback {
            meta: Some(v1::Meta {
                event_id: id.as_bytes().to_vec(),
                occurred_at_ms: received_at_ms,
                received_at_ms,
                lead_id: lead.as_bytes().to_vec(),
                ..v1::Meta::default()
            }),
            handoff_id: HandoffId::of(lead, Cycle::new(1)).as_bytes().to_vec(),
            by: "rep-1".to_owned(),
            command: Some(command),
        };
        let key = lead.to_string().into_bytes();
        Sent { topic: Topic::SalesFeedback, key, payload: record.encode_to_vec(), poison: None }
    };
    let first = say("first");
    match number % 3 {
        0 => vec![first.clone(), first],
        1 => vec![first, say("second")],
        _ => vec![first],
    }
}

/// Whole batches again, every fifth record again anywhere later, and the first ones once more at the end.
fn duplicate(random: &mut Random, records: &mut Vec<Sent>) {
    let mut again: Vec<(usize, Sent)> = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if random.percent(20) {
            again.push((at + 1 + random.below(records.len() - at), record.clone()));
        }
        // A batch of 50 whose answer the client has not heard.
        if at % 500 < 50 {
            again.push((at + 50, record.clone()));
        }
    }
    let late: Vec<Sent> = records.iter().take(records.len() / 20).cloned().collect();
    again.sort_by_key(|(at, _)| *at);
    let mut again = again.into_iter().peekable();
    let mut all = Vec::with_capacity(records.len() * 2);
    for (at, record) in std::mem::take(records).into_iter().enumerate() {
        while let Some((_, repeated)) = again.next_if(|(due, _)| *due <= at) {
            all.push(repeated);
        }
        all.push(record);
    }
    all.extend(again.map(|(_, record)| record));
    all.extend(late);
    *records = all;
}

/// Neighbours within some hundred change places.
fn disorder(random: &mut Random, records: &mut [Sent]) {
    for some in records.chunks_mut(400) {
        random.shuffle(some);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_load_and_another_one_another() {
        let shape = Shape { duplicates: true, disorder: true, poison: true };
        let first = load(7, 500, shape, 0);
        assert!(first.records == load(7, 500, shape, 0).records);
        assert!(first.records != load(8, 500, shape, 0).records);
    }

    #[test]
    fn a_shape_adds_what_it_says() {
        let plain = load(1, 1_000, Shape::default(), 0).records;
        assert!(plain.iter().all(|sent| sent.poison.is_none()));
        let poisoned = load(1, 1_000, Shape { poison: true, ..Shape::default() }, 0).records;
        assert!(poisoned.iter().filter(|sent| sent.poison.is_some()).count() >= 5);
        let doubled = load(1, 1_000, Shape { duplicates: true, ..Shape::default() }, 0).records;
        assert!(doubled.len() > plain.len() * 13 / 10, "{} of {}", doubled.len(), plain.len());
    }
}
