//! Whole files, as spreadsheets write them, and what their rows become.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it should be")]

use serde_json::{Value, json};
use tasuki_import::{
    BadPhones, Charset, Code, Column, Detected, Events, Fault, Field, Kind, Plan, PlanFault, Reading, Rows, Text,
    TimeZone, guess_all, headers,
};

/// What became of each row, by the line it begins at.
type Read = Vec<(u64, Result<Events, Fault>)>;

fn plan(kind: Kind, columns: Vec<Column>, charset: Charset) -> Plan {
    Plan {
        kind,
        name: Some("Expo 2026".to_owned()),
        columns,
        reading: Reading { zone: TimeZone::get("Asia/Tokyo").ok(), order: None },
        date: Some("2026-11-03T00:00:00+09:00".parse().unwrap()),
        not_after: "2026-11-24T00:00:00Z".parse().unwrap(),
        charset,
        bad_phones: BadPhones::Refuse,
    }
}

fn read_with(kind: Kind, bytes: &[u8], change: impl Fn(&mut Plan)) -> Read {
    let detected = Detected::of(bytes).unwrap();
    let mut rows = Rows::new(Text::new(bytes, detected), None).unwrap();
    let found = headers(&rows.next_row().unwrap().unwrap(), detected.charset).unwrap();
    let fields = guess_all(&found);
    let columns = found.into_iter().zip(fields).map(|(header, field)| Column { header, field }).collect();
    let mut plan = plan(kind, columns, detected.charset);
    change(&mut plan);
    assert_eq!(plan.faults(), []);
    let mut all = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        if !row.is_blank() {
            all.push((row.line, plan.events(&row)));
        }
    }
    all
}

fn read(kind: Kind, text: &str) -> Read {
    read_with(kind, text.as_bytes(), |_| {})
}

/// The one row's events, without their ids.
fn only(kind: Kind, text: &str) -> Vec<Value> {
    let rows = read(kind, text);
    let [(_, Ok(events))] = rows.as_slice() else { panic!("{rows:?}") };
    let mut events = events.events.clone();
    for event in &mut events {
        let id = event.as_object_mut().unwrap().remove("id").unwrap();
        assert!(id.as_str().unwrap().starts_with("import:"), "{id}");
    }
    events
}

fn ids(read: &Read) -> Vec<String> {
    let events = read.iter().filter_map(|(_, row)| row.as_ref().ok()).flat_map(|row| &row.events);
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn faults(read: &Read) -> Vec<(u64, Code, Option<&str>)> {
    let bad = read.iter().filter_map(|(line, row)| row.as_ref().err().map(|fault| (*line, fault)));
    bad.map(|(line, fault)| (line, fault.code, fault.column.as_deref())).collect()
}

#[test]
fn a_card_of_a_trade_show_says_who_it_is_and_that_they_were_there() {
    let text = "メールアドレス,会社名,部署,役職,姓,名,電話番号,来場日時,興味,No.\r\n\
                Ｈａｎａｋｏ@acme.example,ｱｸﾒ株式会社,営業部,部長,山田,花子,'090-1234-5678,2026/11/3 14:05,\"見積\r\n希望\",7\r\n";
    assert_eq!(
        only(Kind::TradeShow, text),
        [
            json!({
                "type": "lead_identified", "occurred_at": "2026-11-03T05:05:00.000Z", "email": "hanako@acme.example",
                "phone": "090-1234-5678",
                "attributes": {"company": "アクメ株式会社", "department": "営業部", "title": "部長",
                               "last_name": "山田", "first_name": "花子", "name": "山田 花子"},
            }),
            json!({
                "type": "event_attended", "occurred_at": "2026-11-03T05:05:00.000Z", "email": "hanako@acme.example",
                "data": {"event_name": "Expo 2026", "kind": "trade-show"},
                "properties": {"興味": "見積\r\n希望"},
            }),
        ]
    );
}

#[test]
fn an_answer_to_a_survey_keeps_the_questions() {
    let text = "Timestamp\tEmail Address\tHow did you hear of us?\tMemo\tMemo\n3 Nov 2026 2:05 PM\tana@acme.example\tfriend\ta\tb\n";
    assert_eq!(
        only(Kind::Survey, text),
        [json!({
            "type": "survey_answered", "occurred_at": "2026-11-03T05:05:00.000Z", "email": "ana@acme.example",
            "data": {"survey": "Expo 2026"},
            "properties": {"How did you hear of us?": "friend", "Memo": "a", "Memo (2)": "b"},
        })]
    );
}

#[test]
fn of_whom_did_not_come_only_who_it_is_is_kept() {
    let rows = read(
        Kind::Seminar,
        "email,company,出欠,セミナー名\na@x.example,X,参加,Kafka 入門\nb@x.example,X,欠席,Kafka 入門\n",
    );
    let said: Vec<_> = rows
        .iter()
        .map(|(_, row)| row.as_ref().unwrap())
        .map(|row| (row.absent, row.events.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(said, [(false, vec!["lead_identified", "event_attended"]), (true, vec!["lead_identified"])]);
    assert_eq!(rows[0].1.as_ref().unwrap().events[1]["data"]["event_name"], "Kafka 入門");
}

#[test]
fn the_same_rows_have_the_same_ids_in_every_character_set_and_order_of_columns() {
    let text = "メール,会社名,来場日時\r\nhanako@acme.example,アクメ,2026/11/3\r\n";
    let other = "来場日時;会社名;メール\r\n令和8年11月3日;ｱｸﾒ;HANAKO@ACME.example\r\n";
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let first = ids(&read(Kind::TradeShow, text));
    assert_eq!(first.len(), 2);
    assert_eq!(ids(&read(Kind::TradeShow, other)), first);
    assert_eq!(ids(&read_with(Kind::TradeShow, &wide, |_| {})), first);
    let named = read_with(Kind::TradeShow, text.as_bytes(), |plan| plan.name = Some(" Ｅｘｐｏ  2026".to_owned()));
    assert_eq!(ids(&named), first, "the name of the show in another form");
    let seminar = ids(&read(Kind::Seminar, text));
    assert_eq!(
        (&seminar[0], seminar[1] == first[1]),
        (&first[0], false),
        "who it is is the same, what they did is not"
    );
    let corrected = ids(&read(Kind::TradeShow, &text.replace("アクメ", "アクメ商事")));
    assert_eq!(
        (corrected[0] == first[0], &corrected[1]),
        (false, &first[1]),
        "a correction is news; having been there is not"
    );
    let by_id = |text: &str| ids(&read(Kind::TradeShow, text))[0].clone();
    let (morning, noon) =
        ("id,email,date\n7,a@x.example,2026/11/3 9:00", "id,email,date\n7,a@x.example,2026/11/3 12:00");
    assert_eq!(by_id(morning), by_id(noon), "a row with an id is known by it");
}

#[test]
fn each_bad_row_is_named_with_its_line_and_column_and_stops_no_other() {
    let text = "email,会社名,tel,date\r\n\
                good@x.example,X,03-1234-5678,2026/11/3\r\n\
                no-at-sign,X,,2026/11/3\r\n\
                ,X,,2026/11/3\r\n\
                a@x.example,X,9012345678,2026/11/3\r\n\
                a@x.example,X,8.19E+10,2026/11/3\r\n\
                a@x.example,X,,yesterday\r\n\
                a@x.example,X,,3/4/2026\r\n\
                a@x.example,X,,2027/11/3\r\n\
                a@x.example,#REF!,,2026/11/3\r\n\
                a@x.example,X,,2026/11/3,surplus\r\n\
                a@x.example,X\0Y,,2026/11/3\r\n\
                ,,,,\r\n\
                \r\n\
                short@x.example\r\n\
                a@x.example,\"open,,2026/11/3\r\n\
                last@x.example,X,,46329,,,\r\n";
    let rows = read(Kind::TradeShow, text);
    assert_eq!(
        faults(&rows),
        [
            (3, Code::Email, Some("email")),
            (4, Code::NoPerson, Some("email")),
            (5, Code::Phone, Some("tel")),
            (6, Code::Phone, Some("tel")),
            (7, Code::Date, Some("date")),
            (8, Code::DateOrder, Some("date")),
            (9, Code::Future, Some("date")),
            (10, Code::ExcelError, Some("会社名")),
            (11, Code::Cells, None),
            (12, Code::Nul, Some("会社名")),
            (16, Code::OpenQuote, None),
        ]
    );
    let good: Vec<_> = rows.iter().filter(|(_, row)| row.is_ok()).map(|(line, _)| *line).collect();
    assert_eq!(good, [2, 15, 17]);
}

#[test]
fn what_a_bad_row_says_of_a_person_stays_on_the_screen() {
    let rows = read(Kind::Contacts, "email\nhanako.acme.example\n");
    let [(2, Err(fault))] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((fault.found.as_str(), fault.problem.contains("hanako")), ("hanako.acme.example", false));
}

#[test]
fn a_row_in_another_character_set_than_the_rest_is_named() {
    let mut bytes = format!("email,会社名\n{}", "a@x.example,アクメ商事\n".repeat(3)).into_bytes();
    bytes.extend_from_slice(b"b@x.example,\x83\x41\x83\x4e\n");
    let rows = read_with(Kind::Contacts, &bytes, |_| {});
    assert_eq!((rows.len(), faults(&rows)), (4, vec![(5, Code::Undecodable, Some("会社名"))]));
}

#[test]
fn a_spoilt_phone_number_can_be_left_out() {
    let read = read_with(Kind::Contacts, b"email,tel\na@x.example,9012345678\n", |plan| {
        plan.bad_phones = BadPhones::LeaveOut;
    });
    let events = read[0].1.as_ref().unwrap();
    assert_eq!((events.without_phone, events.events[0].get("phone")), (true, None));
}

#[test]
fn what_would_make_every_row_useless_is_said_at_once() {
    let column = |header: &str, field| Column { header: header.to_owned(), field };
    let columns = vec![column("a", Field::Company), column("b", Field::Company)];
    let useless = Plan { name: None, date: None, ..plan(Kind::Survey, columns, Charset::UTF_8) };
    assert_eq!(
        useless.faults(),
        [
            PlanFault::Twice("a".to_owned(), "b".to_owned(), "company"),
            PlanFault::NoPerson,
            PlanFault::NoDate,
            PlanFault::NoName("survey"),
        ]
    );
}
