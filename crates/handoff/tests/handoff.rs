//! The rules of the processor `handoff`, one by one.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod given;

use given::*;
use prost::Message;
use tasuki_domain::{EventId, Millipoints};
use tasuki_handoff::{Desk, Handoff};
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::contract::{Company, Contact, Deed, Owner, QualifiedLead, Reason, Route, Score, Track};
use tasuki_wire::v1::{self, RejectReason};
use tasuki_wire::{Head, Topic};
use uuid::Uuid;

/// Works on these records, one after another.
fn after(records: Vec<Emitted>) -> Pipeline {
    let mut pipeline = empty_pipeline().with(Handoff::new(policy()));
    for record in records {
        pipeline.publish(record);
        pipeline.run();
    }
    pipeline
}

#[test]
fn a_qualified_lead_is_a_question_to_the_desk_of_its_pool() {
    let pipeline = after(vec![qualified(lead(1), 1, at("09:00:00"))]);
    let requests: Vec<v1::DeskRequest> = pipeline.messages(Topic::DeskRequests);
    let cause = event("qualification", lead(1), 1);
    let head = Head {
        event_id: EventId::derived("handoff", cause, 0),
        occurred_at: at("08:59:59"),
        received_at: at("09:00:00"),
        cause: Some(cause),
        lead: Some(lead(1)),
        version: Default::default(),
    };
    let expected = v1::DeskRequest {
        meta: Some(head.to_meta()),
        handoff_id: handoff_id(lead(1), 1).as_bytes().to_vec(),
        cycle: 1,
        pool: POOL.into(),
        not_to: vec![],
        answered: false,
    };
    assert_eq!(requests, [expected]);
    assert_eq!(pipeline.records(Topic::DeskRequests).next().unwrap().key, POOL.as_bytes());
    assert_eq!(handoff_events(&pipeline, lead(1)), []);
}

#[test]
fn the_desks_decision_assigns_the_lead_until_the_deadline_of_its_urgency() {
    for (urgency, accept_by) in [("urgent", at("10:00:00")), ("high", at("13:00:00")), ("odd", at("09:00:00"))] {
        let accept_by = if urgency == "odd" { accept_by + policy().accept_within.normal } else { accept_by };
        let event = v1::qualification_record::Event::Qualified(lead_qualified(1, urgency));
        let pipeline = after(vec![
            qualification(lead(1), 1, at("09:00:00"), event),
            decided(lead(1), 1, Some("sato"), at("09:00:00")),
        ]);
        assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), accept_by)], "{urgency}");
        assert_eq!(contract_records(&pipeline)[0].accept_by, accept_by, "{urgency}");
    }
}

#[test]
fn an_assignment_names_its_cause_and_times_and_the_deadline_counts_from_the_qualification() {
    let pipeline =
        after(vec![qualified(lead(1), 1, at("09:00:00")), decided(lead(1), 1, Some("sato"), at("09:00:05"))]);
    let cause = event("desk", lead(1), 1);
    let head = Head {
        event_id: EventId::derived("handoff", cause, 0),
        occurred_at: at("09:00:05"),
        received_at: at("09:00:05"),
        cause: Some(cause),
        lead: Some(lead(1)),
        version: tasuki_domain::Version::new(1),
    };
    let expected = v1::HandoffRecord {
        meta: Some(head.to_meta()),
        handoff_id: handoff_id(lead(1), 1).as_bytes().to_vec(),
        cycle: 1,
        event: Some(assigned(Some("sato"), at("10:00:00"))),
    };
    assert_eq!(handoff_records(&pipeline, lead(1)), [expected]);
}

#[test]
fn the_public_contract_tells_all_a_connector_needs() {
    let pipeline =
        after(vec![qualified(lead(1), 1, at("09:00:00")), decided(lead(1), 1, Some("sato"), at("09:00:00"))]);
    let reason = |axis: &str, rule: &str, points, matches| Reason {
        axis: axis.into(),
        rule: rule.into(),
        points: Millipoints::new(points),
        matches,
    };
    let deed = |n, time, what: &str| Deed {
        behavior_id: EventId::new(Uuid::from_u128(n)),
        occurred_at: at(time),
        what: what.into(),
    };
    let some = |text: &str| Some(text.to_owned());
    let expected = QualifiedLead {
        spec_version: "1.2".into(),
        event_id: EventId::derived("handoff", event("desk", lead(1), 1), 1),
        occurred_at: at("09:00:00"),
        handoff_id: handoff_id(lead(1), 1),
        lead_id: lead(1),
        cycle: 1,
        version: 1,
        qualified_at: at("08:59:59"),
        playbook_version: 3,
        route: Route { name: "hand-raise".into(), condition: "signals.within(\"demo-request\", \"30d\") > 0".into() },
        urgency: "urgent".into(),
        contact: Contact {
            email: some("hanako@acme.example"),
            name: some("Hanako Tanaka"),
            title: some("CTO"),
            ..Contact::default()
        },
        company: Company { account_id: some("acme.example"), name: some("Acme K.K."), ..Company::default() },
        score: Score {
            engagement: Millipoints::new(82_125),
            fit: Millipoints::new(40_000),
            grade: "B2".into(),
            as_of: at("08:59:59"),
            reasons: vec![
                reason("engagement", "demo", 60_000, 1),
                reason("fit", "title", 40_000, 0),
                reason("engagement", "pricing", 12_125, 2),
                reason("engagement", "any-page", 5_000, 1),
            ],
        },
        timeline: vec![
            deed(3, "08:59:58", "FormSubmitted demo-request"),
            deed(2, "08:10:00", "PageViewed /pricing"),
            deed(1, "08:00:00", "PageViewed /pricing"),
        ],
        owner: Some(Owner { id: "sato".into(), name: "sato".into(), email: "sato@sales.example.com".into() }),
        pool: POOL.into(),
        assignment_reason: "next in turn of pool inside-sales".into(),
        accept_by: at("10:00:00"),
        merged_into: None,
        track: None,
    };
    assert_eq!(contract_records(&pipeline), [expected]);
    let key = &pipeline.records(Topic::LeadsQualified).next().unwrap().key;
    assert_eq!(key, lead(1).to_string().as_bytes());
}

#[test]
fn a_lead_qualified_in_a_track_is_told_with_the_score_and_the_reasons_of_the_track() {
    let mut scored = seen();
    let own = |track: &str, engagement_mp| v1::TrackScore {
        track: track.into(),
        engagement_mp,
        fit_mp: 40_000,
        grade: "C2".into(),
        bounds: vec![],
    };
    scored.tracks = vec![own("machines", 65_000), own("parts", 22_125)];
    for (place, track) in [(1, "parts"), (3, "machines")] {
        scored.contributions[place].track = track.into();
    }
    let qualified = v1::LeadQualified { track: "machines".into(), seen: Some(scored), ..lead_qualified(1, "urgent") };
    let event = v1::qualification_record::Event::Qualified(qualified);
    let pipeline = after(vec![
        qualification(lead(1), 1, at("09:00:00"), event),
        decided(lead(1), 1, Some("sato"), at("09:00:00")),
    ]);
    let [record] = contract_records(&pipeline).try_into().unwrap();
    let points = Millipoints::new;
    let track = Track { name: "machines".into(), engagement: points(65_000), fit: points(40_000), grade: "C2".into() };
    assert_eq!(record.track, Some(track));
    assert_eq!((record.score.engagement, record.score.grade.as_str()), (points(82_125), "B2"));
    let reasons: Vec<&str> = record.score.reasons.iter().map(|reason| reason.rule.as_str()).collect();
    assert_eq!(reasons, ["demo", "title", "any-page"], "pricing is of the other track");
}

#[test]
fn nobody_free_is_an_assignment_to_nobody_that_somebody_may_still_take() {
    let pipeline = after(vec![
        qualified(lead(1), 1, at("09:00:00")),
        decided(lead(1), 1, None, at("09:00:00")),
        feedback(lead(1), 1, handoff_id(lead(1), 1), "boss", Say::Accept, at("09:10:00")),
    ]);
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(None, at("10:00:00")), accepted("boss")]);
    assert_eq!(contract_records(&pipeline)[0].owner, None);
    // Nobody's capacity was used, so no desk is told.
    assert_eq!(pipeline.records(Topic::DeskRequests).count(), 1);
}

#[test]
fn repeated_qualifications_and_decisions_change_nothing() {
    let once = vec![qualified(lead(1), 1, at("09:00:00")), decided(lead(1), 1, Some("sato"), at("09:00:00"))];
    let mut twice = once.clone();
    twice.extend(once.clone());
    let (once, twice) = (after(once), after(twice));
    for topic in [Topic::Handoff, Topic::LeadsQualified, Topic::DeskRequests] {
        assert!(once.records(topic).eq(twice.records(topic)), "{topic}");
    }
    assert_eq!(once.states("handoff"), twice.states("handoff"));
}

#[test]
fn a_gap_in_the_versions_does_not_lose_the_lead() {
    let event = v1::qualification_record::Event::Qualified(lead_qualified(1, "urgent"));
    let pipeline = after(vec![
        qualification(lead(1), 7, at("09:00:00"), event),
        decided(lead(1), 1, Some("sato"), at("09:00:00")),
    ]);
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), at("10:00:00"))]);
}

#[test]
fn the_other_events_of_qualification_are_nothing_to_hand_over() {
    let recycled = v1::qualification_record::Event::Recycled(v1::LeadRecycled { cycle: 1, ..Default::default() });
    let pipeline = after(vec![qualification(lead(1), 1, at("09:00:00"), recycled)]);
    assert_eq!((pipeline.records(Topic::DeskRequests).count(), pipeline.refused().len()), (0, 0));
}

/// A lead assigned to sato at nine, to be accepted until ten, and then this feedback, one after another.
fn assigned_then(said: &[(u32, &str, Say, &str)]) -> Pipeline {
    let mut records = vec![qualified(lead(1), 1, at("09:00:00")), decided(lead(1), 1, Some("sato"), at("09:00:00"))];
    for &(n, by, say, time) in said {
        records.push(feedback(lead(1), n, handoff_id(lead(1), 1), by, say, at(time)));
    }
    after(records)
}

#[test]
fn sales_accepts() {
    let pipeline = assigned_then(&[(1, "sato", Say::Accept, "09:20:00")]);
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), at("10:00:00")), accepted("sato")]);
    let last = handoff_records(&pipeline, lead(1)).pop().unwrap();
    let head = Head::read(last.meta.as_ref()).unwrap();
    let command = event("feedback", lead(1), 1);
    assert_eq!((head.cause, head.event_id), (Some(command), EventId::derived("handoff", command, 0)));
    assert_eq!((head.occurred_at, head.received_at), (at("09:19:59"), at("09:20:00")));
}

#[test]
fn sales_rejects_with_a_reason_of_the_list() {
    let pipeline = assigned_then(&[(1, "sato", Say::Reject(RejectReason::NoBudget), "09:20:00")]);
    let expected = [assigned(Some("sato"), at("10:00:00")), rejected("sato", RejectReason::NoBudget)];
    assert_eq!(handoff_events(&pipeline, lead(1)), expected);
}

#[test]
fn a_rejection_without_a_reason_is_refused_and_another_may_follow() {
    let unspecified = Say::Reject(RejectReason::Unspecified);
    let pipeline = assigned_then(&[(1, "sato", unspecified, "09:20:00"), (2, "sato", Say::Accept, "09:21:00")]);
    let refusal = refused(event("feedback", lead(1), 1), "sato", "a rejection names one of the reasons of the list");
    let expected = [assigned(Some("sato"), at("10:00:00")), refusal, accepted("sato")];
    assert_eq!(handoff_events(&pipeline, lead(1)), expected);
}

#[test]
fn the_verdict_gives_the_reps_capacity_back() {
    let pipeline = assigned_then(&[(1, "sato", Say::Accept, "09:20:00")]);
    let answered: Vec<_> = pipeline.messages::<v1::DeskRequest>(Topic::DeskRequests).split_off(1);
    let handoff_id = handoff_id(lead(1), 1).as_bytes().to_vec();
    assert_eq!(answered.len(), 1);
    assert_eq!((answered[0].answered, &answered[0].handoff_id, answered[0].pool.as_str()), (true, &handoff_id, POOL));
}

#[test]
fn the_same_said_again_has_no_effect() {
    for say in [Say::Accept, Say::Reject(RejectReason::Timing)] {
        let pipeline =
            assigned_then(&[(1, "sato", say, "09:20:00"), (1, "sato", say, "09:20:00"), (2, "crm", say, "09:21:00")]);
        assert_eq!(handoff_events(&pipeline, lead(1)).len(), 2, "{say:?}");
    }
}

#[test]
fn what_contradicts_the_verdict_is_refused_once_and_kept_visible() {
    let (reject, other) = (Say::Reject(RejectReason::Timing), Say::Reject(RejectReason::NoNeed));
    for (first, then, why) in [
        (Say::Accept, reject, "the lead was already accepted by sato"),
        (reject, Say::Accept, "the lead was already rejected (timing) by sato"),
        (reject, other, "the lead was already rejected (timing) by sato"),
    ] {
        let pipeline = assigned_then(&[
            (1, "sato", first, "09:20:00"),
            (2, "mori", then, "09:21:00"),
            (2, "mori", then, "09:21:00"),
        ]);
        let events = handoff_events(&pipeline, lead(1));
        assert_eq!(events[2..], [refused(event("feedback", lead(1), 2), "mori", why)], "{first:?} {then:?}");
    }
}

#[test]
fn feedback_that_comes_before_its_handoff_waits_for_it() {
    let pipeline = after(vec![
        feedback(lead(1), 1, handoff_id(lead(1), 1), "sato", Say::Accept, at("09:20:00")),
        decided(lead(1), 1, Some("sato"), at("09:00:00")),
        qualified(lead(1), 1, at("09:00:00")),
    ]);
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), at("10:00:00")), accepted("sato")]);
}

#[test]
fn only_so_much_feedback_waits() {
    let handoff = handoff_id(lead(1), 1);
    let said = (1..=10).map(|n| feedback(lead(1), n, handoff, "crm", Say::Accept, at("09:00:00")));
    let events = handoff_events(&after(said.collect()), lead(1));
    let why = "too much feedback waits for this handoff already";
    assert_eq!(events, [9, 10].map(|n| refused(event("feedback", lead(1), n), "crm", why)));
}

#[test]
fn feedback_on_a_handoff_that_the_lead_never_had_is_refused_at_once() {
    let handoff = handoff_id(lead(2), 1);
    let pipeline = after(vec![feedback(lead(1), 1, handoff, "crm", Say::Accept, at("09:00:00"))]);
    let why = "no handoff of this lead has this id";
    assert_eq!(handoff_events(&pipeline, lead(1)), [refused(event("feedback", lead(1), 1), "crm", why)]);
}

#[test]
fn a_deadline_that_passes_is_said_once_and_accepting_still_works() {
    let mut pipeline = assigned_then(&[]);
    pipeline.advance_to(at("12:00:00"));
    pipeline.publish(feedback(lead(1), 1, handoff_id(lead(1), 1), "sato", Say::Accept, at("12:00:00")));
    pipeline.run();
    pipeline.advance_to(at("23:00:00"));
    let due = at("10:00:00");
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), due), overdue(due, due), accepted("sato")]);
}

#[test]
fn a_verdict_in_time_stops_the_deadline() {
    let mut pipeline = assigned_then(&[(1, "sato", Say::Accept, "09:59:59")]);
    pipeline.advance_to(at("23:00:00"));
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), at("10:00:00")), accepted("sato")]);
}

#[test]
fn a_verdict_that_is_read_before_the_timer_fires_still_missed_its_deadline() {
    let mut by_timer = assigned_then(&[]);
    by_timer.advance_to(at("10:00:00"));
    // The clock of this one stands at nine: as after a stop, when feedback is read first.
    let mut by_verdict = assigned_then(&[(1, "sato", Say::Accept, "10:20:00")]);
    by_verdict.advance_to(at("23:00:00"));
    let (due, late) = (at("10:00:00"), at("10:20:00"));
    let events = handoff_events(&by_verdict, lead(1));
    assert_eq!(events, [assigned(Some("sato"), due), overdue(due, late), accepted("sato")]);
    let overdue_meta = |pipeline: &Pipeline| handoff_records(pipeline, lead(1))[1].meta.clone();
    assert_eq!(overdue_meta(&by_timer), overdue_meta(&by_verdict), "one missed deadline has one id");
}

#[test]
fn the_next_cycle_is_a_handoff_of_its_own() {
    let pipeline = after(vec![
        qualified(lead(1), 1, at("09:00:00")),
        decided(lead(1), 1, Some("sato"), at("09:00:00")),
        feedback(lead(1), 1, handoff_id(lead(1), 1), "sato", Say::Reject(RejectReason::Timing), at("09:10:00")),
        qualified(lead(1), 2, at("09:30:00")),
        decided(lead(1), 2, Some("mori"), at("09:30:00")),
        feedback(lead(1), 2, handoff_id(lead(1), 2), "mori", Say::Accept, at("09:40:00")),
    ]);
    let expected = [
        assigned(Some("sato"), at("10:00:00")),
        rejected("sato", RejectReason::Timing),
        assigned(Some("mori"), at("10:30:00")),
        accepted("mori"),
    ];
    assert_eq!(handoff_events(&pipeline, lead(1)), expected);
    let contract: Vec<_> = contract_records(&pipeline).iter().map(|record| (record.cycle, record.version)).collect();
    assert_eq!(contract, [(1, 1), (2, 2)]);
}

#[test]
fn settled_handoffs_are_kept_for_sixteen_cycles_and_known_after_that() {
    let mut records = Vec::new();
    for cycle in 1..=20 {
        let say = Say::Reject(RejectReason::Timing);
        records.push(qualified(lead(1), cycle, at("09:00:00")));
        records.push(decided(lead(1), cycle, Some("sato"), at("09:00:00")));
        records.push(feedback(lead(1), cycle, handoff_id(lead(1), cycle), "sato", say, at("09:00:01")));
    }
    records.push(feedback(lead(1), 98, handoff_id(lead(1), 4), "sato", Say::Accept, at("09:00:02")));
    records.push(feedback(lead(1), 99, handoff_id(lead(1), 5), "sato", Say::Accept, at("09:00:02")));
    let events = handoff_events(&after(records), lead(1));
    let refusals = [
        refused(event("feedback", lead(1), 98), "sato", "this handoff was settled many cycles ago"),
        refused(event("feedback", lead(1), 99), "sato", "the lead was already rejected (timing) by sato"),
    ];
    assert_eq!(events[40..], refusals);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let with_key = |mut record: Emitted, key: &str| {
        record.key = key.into();
        record
    };
    let changed = |record: Emitted, change: fn(&mut v1::QualificationRecord)| {
        let mut message = v1::QualificationRecord::decode(record.payload.as_slice()).unwrap();
        change(&mut message);
        Emitted { payload: message.encode_to_vec(), ..record }
    };
    let nine = at("09:00:00");
    let qualified = qualified(lead(1), 1, nine);
    let no_score = v1::qualification_record::Event::Qualified(v1::LeadQualified { cycle: 1, ..Default::default() });
    let mute = v1::SalesFeedback { handoff_id: vec![0; 16], ..Default::default() };
    let mut of_other = v1::DeskDecision::decode(decided(lead(1), 1, None, nine).payload.as_slice()).unwrap();
    of_other.cycle = 2;
    let decision = Emitted { payload: of_other.encode_to_vec(), ..decided(lead(1), 1, None, nine) };
    let mut mute_record = feedback(lead(1), 1, handoff_id(lead(1), 1), "x", Say::Accept, nine);
    let meta = v1::SalesFeedback::decode(mute_record.payload.as_slice()).unwrap().meta;
    mute_record.payload = v1::SalesFeedback { meta, ..mute }.encode_to_vec();
    for (record, code) in [
        (with_key(qualified.clone(), "somebody"), "wrong-key"),
        (changed(qualified.clone(), |record| record.meta.as_mut().unwrap().version = 0), "no-version"),
        (changed(qualified.clone(), |record| record.event = None), "unknown-event"),
        (changed(qualified.clone(), |record| record.meta = None), "invalid-head"),
        (qualification(lead(1), 1, nine, no_score), "incomplete"),
        (Emitted { payload: vec![0xff], ..qualified }, "undecodable"),
        (decision, "wrong-handoff-id"),
        (mute_record, "no-command"),
    ] {
        let pipeline = after(vec![record]);
        let codes: Vec<_> = pipeline.refused().iter().map(|refused| refused.poison.code).collect();
        assert_eq!(codes, [code]);
        assert!(pipeline.states("handoff").is_empty(), "{code}");
    }
}

#[test]
fn with_a_desk_beside_it_a_qualified_lead_finds_its_rep() {
    let desk = Desk::new(reps(&["sato 1", "mori 1"]));
    let mut pipeline = empty_pipeline().with(Handoff::new(policy())).with(desk);
    for n in 1..=4 {
        pipeline.publish(qualified(lead(n), 1, at("09:00:00")));
    }
    pipeline.run();
    let mut owners: Vec<_> = contract_records(&pipeline).into_iter().map(|record| record.owner.unwrap().id).collect();
    owners.sort();
    assert_eq!(owners, ["mori", "mori", "sato", "sato"]);
    assert_eq!(handoff_events(&pipeline, lead(1)).len(), 1);
}

#[test]
fn a_deadline_is_that_of_the_playbook_by_which_the_lead_qualified() {
    let published = |version: u32, urgent: &str| {
        let text = tasuki_playbook::Playbook::DEFAULT.replacen("urgent = \"4h\"", &format!("urgent = \"{urgent}\""), 1);
        assert!(text.contains(&format!("urgent = \"{urgent}\"")));
        let head = Head {
            event_id: EventId::reported("test", &text),
            occurred_at: at("08:00:00"),
            received_at: at("08:00:00"),
            cause: None,
            lead: None,
            version: Default::default(),
        };
        let playbook = v1::PlaybookPublished { version, text, ..Default::default() };
        let event = Some(v1::qualification_record::Event::Playbook(playbook));
        let record = v1::QualificationRecord { meta: Some(head.to_meta()), event };
        // A key of the lead's partition, as every partition has one.
        Emitted { topic: Topic::Qualification, key: lead(1).to_string(), payload: record.encode_to_vec() }
    };
    for (version, accept_by) in [(1, at("10:00:00")), (2, at("11:00:00")), (3, at("12:00:00"))] {
        let mut qualified = lead_qualified(1, "urgent");
        qualified.playbook_version = version;
        let event = v1::qualification_record::Event::Qualified(qualified);
        let pipeline = after(vec![
            published(2, "2h"),
            published(3, "3h"),
            qualification(lead(1), 1, at("09:00:00"), event),
            decided(lead(1), 1, Some("sato"), at("09:00:00")),
        ]);
        assert_eq!(pipeline.refused(), []);
        assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), accept_by)], "version {version}");
    }
}
