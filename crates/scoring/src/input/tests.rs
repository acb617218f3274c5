//! Reading against [`prost`]: the same records, as they are and damaged.

use proptest::prelude::*;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Done;

use super::*;
use crate::fields::DEEPEST;

/// What [`Record::read`] must give.
fn through_prost(record: &v1::ActivityRecord) -> Record<'_> {
    let event = record.event.as_ref().map(|event| match event {
        Activity::Attributed(attributed) => Event::Attributed(attributed.behavior.as_ref().map(behavior)),
        Activity::Retracted(retracted) => Event::Retracted(&retracted.behavior_id),
        Activity::ProfileChanged(changed) => Event::ProfileChanged(changed.profile.clone()),
    });
    let unscored = matches!(&record.event, Some(Activity::Attributed(attributed)) if attributed.unscored);
    let identities_version = record.identities_version;
    Record { meta: record.meta.as_ref().map(RawMeta::from), identities_version, event, unscored }
}

fn behavior(record: &v1::BehaviorRecord) -> Behavior<'_> {
    let around = record.circumstances.as_ref();
    Behavior {
        meta: record.meta.as_ref().map(RawMeta::from),
        source: record.origin.as_ref().map_or("", |origin| &origin.source),
        path: around.map_or("", |around| &around.path),
        campaign: around.map_or("", |around| &around.campaign_name),
        event: record.event.as_ref().map(|event| (kind_of(event), event.about())),
    }
}

fn kind_of(event: &Done) -> EventKind {
    match event {
        Done::PageViewed(_) => EventKind::PageViewed,
        Done::FormSubmitted(_) => EventKind::FormSubmitted,
        Done::EmailOpened(_) => EventKind::EmailOpened,
        Done::EmailClicked(_) => EventKind::EmailClicked,
        Done::ContentDownloaded(_) => EventKind::ContentDownloaded,
        Done::EventAttended(_) => EventKind::EventAttended,
        Done::SurveyAnswered(_) => EventKind::SurveyAnswered,
        Done::AssessmentCompleted(_) => EventKind::AssessmentCompleted,
        Done::ReferralReceived(_) => EventKind::ReferralReceived,
        Done::InquiryReceived(_) => EventKind::InquiryReceived,
        Done::LeadIdentified(_) => EventKind::LeadIdentified,
        Done::ConsentChanged(_) => EventKind::ConsentChanged,
        Done::CustomBehavior(_) => EventKind::CustomBehavior,
    }
}

/// Mostly of one or two bytes, so that wrong lengths and fields put together show; sometimes empty.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zé]{1,3}", "[a-z/]{130,140}"]
}

fn meta() -> impl Strategy<Value = Option<v1::Meta>> {
    let id = || prop_oneof![proptest::collection::vec(any::<u8>(), 16), proptest::collection::vec(any::<u8>(), 0..20),];
    let numbers = (any::<i64>(), any::<i64>(), any::<u64>());
    let meta = (id(), id(), id(), numbers).prop_map(|(event_id, cause_id, lead_id, (happened, received, version))| {
        v1::Meta { event_id, occurred_at_ms: happened, received_at_ms: received, cause_id, lead_id, version }
    });
    proptest::option::weighted(0.9, meta)
}

/// Every kind in turn, each field with a text of its own.
fn done() -> impl Strategy<Value = Option<Done>> {
    let done = (0..13_u8, text(), text()).prop_map(|(kind, a, b)| match kind {
        0 => Done::PageViewed(v1::PageViewed { name: a, category: b }),
        1 => Done::FormSubmitted(v1::FormSubmitted { form: a }),
        2 => Done::EmailOpened(v1::EmailOpened { email_name: a }),
        3 => Done::EmailClicked(v1::EmailClicked { email_name: a, target_url: b }),
        4 => Done::ContentDownloaded(v1::ContentDownloaded { content: a }),
        5 => Done::EventAttended(v1::EventAttended { event_name: a, kind: b }),
        6 => Done::SurveyAnswered(v1::SurveyAnswered { survey: a }),
        7 => Done::AssessmentCompleted(v1::AssessmentCompleted { assessment: a, result: b }),
        8 => Done::ReferralReceived(v1::ReferralReceived { referred_by: a }),
        9 => Done::InquiryReceived(v1::InquiryReceived { channel: a, subject: b }),
        10 => Done::LeadIdentified(v1::LeadIdentified { attributes: [(a, b)].into() }),
        11 => Done::ConsentChanged(v1::ConsentChanged { purpose: a, granted: true, basis: b }),
        _ => Done::CustomBehavior(v1::CustomBehavior { name: a }),
    });
    proptest::option::weighted(0.9, done)
}

fn behavior_record() -> impl Strategy<Value = v1::BehaviorRecord> {
    let origin = (text(), text(), any::<i64>()).prop_map(|(source, protocol, sent_at_ms)| v1::Origin {
        source,
        protocol,
        message_id: "m-1".into(),
        sent_at_ms,
    });
    let around = (text(), text(), text(), text()).prop_map(|(url, path, title, campaign_name)| v1::Circumstances {
        url,
        path,
        host: "h".into(),
        title,
        campaign_name,
        campaign_source: "s".into(),
        ..v1::Circumstances::default()
    });
    let beside = (text(), proptest::collection::vec(text(), 0..3));
    (meta(), proptest::option::of(origin), proptest::option::of(around), beside, done()).prop_map(
        |(meta, origin, circumstances, (properties_json, flags), event)| v1::BehaviorRecord {
            meta,
            origin,
            identifiers: Some(v1::Identifiers { email: "e".into(), ..v1::Identifiers::default() }),
            circumstances,
            properties_json,
            payload_hash: vec![0xff; 16],
            refused: Vec::new(),
            consents: [("tracking".to_owned(), true)].into(),
            flags,
            attributes: [("title".to_owned(), "VP".to_owned())].into(),
            event,
        },
    )
}

fn activity() -> impl Strategy<Value = v1::ActivityRecord> {
    let attributed = || {
        (proptest::option::weighted(0.9, behavior_record()), any::<bool>()).prop_map(|(behavior, unscored)| {
            Activity::Attributed(v1::BehaviorAttributed { behavior, via: "email".into(), unscored })
        })
    };
    let retracted = proptest::collection::vec(any::<u8>(), 0..18)
        .prop_map(|behavior_id| Activity::Retracted(v1::BehaviorRetracted { behavior_id }));
    let said = v1::AttributeValue { value: "VP".into(), source: "crm".into(), occurred_at_ms: 5 };
    let profile = proptest::option::of((text(), text()).prop_map(move |(email, account_id)| v1::Profile {
        email,
        account_id,
        attributes: [("title".to_owned(), said.clone())].into(),
        other_emails: vec!["ana@home.example".to_owned()],
    }));
    let profile = profile.prop_map(|profile| Activity::ProfileChanged(v1::ProfileChanged { profile }));
    let event = proptest::option::weighted(0.95, prop_oneof![3 => attributed(), 1 => retracted, 1 => profile]);
    let versions = prop_oneof![Just(0), any::<u64>()];
    (meta(), versions, event).prop_map(|(meta, identities_version, event)| v1::ActivityRecord {
        meta,
        identities_version,
        event,
    })
}

/// Whatever `prost` accepts is read to the same effect; what it refuses is read or refused, and nothing else.
fn assert_as_prost(bytes: &[u8]) {
    let ours = Record::read(bytes);
    if let Ok(record) = v1::ActivityRecord::decode(bytes) {
        assert_eq!(ours, Ok(through_prost(&record)));
    } else if let Err(poison) = ours {
        assert_eq!(poison.code, "undecodable");
    }
}

proptest! {
    /// Fails when a field of the proto gets another number or type, or an event that is not known here.
    #[test]
    fn reads_what_prost_reads(record in activity()) {
        let bytes = record.encode_to_vec();
        prop_assert_eq!(Record::read(&bytes), Ok(through_prost(&record)));
    }

    /// Two messages, one behind the other, are one message to protobuf.
    #[test]
    fn puts_messages_together_as_prost_does(
        outer in proptest::collection::vec(activity(), 2..4),
        inner in proptest::collection::vec(behavior_record(), 2..4),
    ) {
        assert_as_prost(&outer.iter().flat_map(Message::encode_to_vec).collect::<Vec<_>>());
        let inner: Vec<u8> = inner.iter().flat_map(Message::encode_to_vec).collect();
        let attributed = nested(1, &inner);
        assert_as_prost(&[nested(10, &attributed), nested(10, &attributed[..0]), nested(10, &attributed)].concat());
    }

    /// Damaged records never panic, and are read as `prost` reads them where it does.
    #[test]
    fn damage_is_undecodable_or_what_prost_makes_of_it(
        record in activity(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8_u8), 0..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = record.encode_to_vec();
        for (at, bit) in flips {
            let at = at.index(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        assert_as_prost(&bytes);
        assert_as_prost(&bytes[..cut.index(bytes.len() + 1)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        assert_as_prost(&bytes);
    }

    /// Fields of a later release, groups among them.
    #[test]
    fn unknown_fields_are_skipped(record in activity(), at_front in any::<bool>()) {
        let unknown = [
            &[0x98, 0x06, 0xff, 0x01][..],
            &[0x9d, 0x06, 1, 2, 3, 4],
            &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x9b, 0x06, 0x08, 0x01, 0x13, 0x14, 0x9c, 0x06],
            &[0x9a, 0x06, 0x02, 0xff, 0xff],
        ]
        .concat();
        let known = record.encode_to_vec();
        let bytes = if at_front { [unknown, known].concat() } else { [known, unknown].concat() };
        prop_assert_eq!(Record::read(&bytes), Ok(through_prost(&record)));
    }
}

fn nested(field: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encode_length_delimiter(message.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(message);
    bytes
}

#[test]
fn what_is_read_must_be_of_its_type_and_text_utf_8() {
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("a length beyond the end", vec![0x0a, 5, 1], "it ends within a field"),
        ("a cut number", vec![0x08, 0x80], "it ends within a field"),
        ("65 bits", [&[0x78][..], &[0xff; 9], &[2]].concat(), "a number has more than 64 bits"),
        ("field 0", vec![0x00, 0], "a field has no valid number and type"),
        ("type 7", vec![0x7f], "a field has no valid number and type"),
        ("a group left open", vec![0x7b], "it ends within a field"),
        ("a group closed as another", vec![0x7b, 0x74], "a group is not closed as it was opened, or stands too deep"),
        ("a number for meta", vec![0x08, 1], "field 1 is of another type"),
        (
            "a source that is no text",
            nested(10, &nested(1, &nested(2, &nested(1, &[0xff])))),
            "the text in field 1 is not UTF-8",
        ),
    ];
    for (case, bytes, message) in cases {
        assert!(v1::ActivityRecord::decode(&bytes[..]).is_err(), "{case}");
        assert_eq!(Record::read(&bytes), Err(Poison::new("undecodable", message)), "{case}");
    }
}

#[test]
fn groups_within_groups_end_somewhere() {
    for (deep, accepted) in [(DEEPEST, true), (DEEPEST + 1, false), (100_000, false)] {
        let bytes = [vec![0x7b; deep], vec![0x7c; deep]].concat();
        assert_eq!(Record::read(&bytes).is_ok(), accepted, "{deep}");
    }
}
