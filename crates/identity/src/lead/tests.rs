use super::*;

const KNOWN_AS: &str = "e:ana@acme.example";

fn said(attributes: &[(&str, &str)]) -> v1::BehaviorRecord {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    v1::BehaviorRecord {
        identifiers: Some(v1::Identifiers { phone: "+81 3".to_owned(), ..v1::Identifiers::default() }),
        origin: Some(v1::Origin { source: "import".to_owned(), ..v1::Origin::default() }),
        event: Some(v1::behavior_record::Event::LeadIdentified(v1::LeadIdentified { attributes })),
        ..v1::BehaviorRecord::default()
    }
}

fn claim(
    lead: &mut Lead,
    order: Order<'_>,
    home: &str,
    said: &v1::BehaviorRecord,
    settings: &IdentitySettings,
) -> Claim {
    lead.claim(order, (home, KNOWN_AS), (said, vec![1]), settings, &mut Gone::new())
}

fn holders(none_beside: bool, none_of_its_own_beside: bool) -> Holders {
    Holders { none_beside, none_of_its_own_beside }
}

fn values(lead: &Lead, attribute: &str) -> Vec<(String, i64)> {
    let said = lead.statements.iter().filter(|said| said.attribute == attribute);
    said.map(|said| (said.value.clone(), said.occurred_at_ms)).collect()
}

#[test]
fn an_event_that_two_homes_claim_is_retracted_when_both_have_released_it() {
    let (mut lead, settings) = (Lead::default(), IdentitySettings::default());
    let order = (1, [7; 16].as_slice());
    let mut claims = |home| claim(&mut lead, order, home, &said(&[]), &settings);
    let (first, second) = (Claim::Taken(holders(true, true)), Claim::Taken(holders(false, false)));
    let merged = Claim::Taken(holders(false, false));
    assert_eq!([claims("v:1"), claims("u:1"), claims("v:1"), claims("l:1")], [first, second, Claim::Repeated, merged]);
    let (last, one_less) = (Release::Taken(holders(true, false)), Release::Taken(holders(false, false)));
    let last_own = Release::Taken(holders(false, true));
    assert_eq!(
        ["v:1", "v:1", "u:1", "u:1", "l:1"].map(|home| lead.release(order, home, &mut Gone::new())),
        [one_less, Release::Unknown, last_own, Release::Unknown, last]
    );
    assert_eq!(lead.profile(&Accounts::built_in(), &settings), v1::Profile::default());
}

#[test]
fn an_event_that_is_not_remembered_any_more_can_still_be_retracted() {
    let mut lead = Lead::default();
    let settings = IdentitySettings { events_per_lead: 1, ..IdentitySettings::default() };
    let (first, second, never) = ((1, [1; 16]), (2, [2; 16]), (3, [3; 16]));
    for (at, id) in [first, second] {
        claim(&mut lead, (at, &id), "v:1", &said(&[]), &settings);
    }
    assert_eq!(
        [first, never].map(|(at, id)| lead.release((at, &id), "v:1", &mut Gone::new())),
        [Release::Forgotten, Release::Unknown]
    );
}

#[test]
fn of_many_equal_values_the_first_and_the_last_stay() {
    let mut lead = Lead::default();
    let settings = IdentitySettings { values_per_attribute: 3, ..IdentitySettings::default() };
    for (n, title) in [(1, "CTO"), (2, "CTO"), (3, "CTO"), (4, "CTO"), (5, "CEO"), (6, "CFO"), (7, "CFO")] {
        let id = [u8::try_from(n).unwrap(); 16];
        claim(&mut lead, (n, id.as_slice()), "v:1", &said(&[("title", title)]), &settings);
        if n == 4 {
            assert_eq!(values(&lead, "title"), [("CTO".to_owned(), 1), ("CTO".to_owned(), 3), ("CTO".to_owned(), 4)]);
        }
    }
    assert_eq!(values(&lead, "title"), [("CEO".to_owned(), 5), ("CFO".to_owned(), 6), ("CFO".to_owned(), 7)]);
}

#[test]
fn what_a_form_says_about_the_person_is_in_the_profile_until_the_form_is_retracted() {
    let (mut lead, settings) = (Lead::default(), IdentitySettings::default());
    let form = v1::FormSubmitted { form: "demo-request".to_owned() };
    let behavior = v1::BehaviorRecord {
        origin: Some(v1::Origin { source: "website".to_owned(), ..v1::Origin::default() }),
        attributes: [("company", "Acme"), ("name", "Ana")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        event: Some(v1::behavior_record::Event::FormSubmitted(form)),
        ..v1::BehaviorRecord::default()
    };
    let (page, submitted) = ((1, [6; 16]), (2, [7; 16]));
    claim(&mut lead, (page.0, &page.1), "v:1", &v1::BehaviorRecord::default(), &settings);
    let before = lead.profile(&Accounts::built_in(), &settings);
    claim(&mut lead, (submitted.0, &submitted.1), "v:1", &behavior, &settings);
    let value =
        |value: &str| v1::AttributeValue { value: value.to_owned(), source: "website".to_owned(), occurred_at_ms: 2 };
    let expected = v1::Profile {
        attributes: [("company".to_owned(), value("Acme")), ("name".to_owned(), value("Ana"))].into(),
        ..before.clone()
    };
    assert_eq!(lead.profile(&Accounts::built_in(), &settings), expected);
    lead.release((submitted.0, &submitted.1), "v:1", &mut Gone::new());
    assert_eq!(lead.profile(&Accounts::built_in(), &settings), before);
}

#[test]
fn a_profile_is_bounded_in_names_and_values() {
    let mut lead = Lead::default();
    let settings = IdentitySettings { attributes_per_lead: 2, bytes_per_value: 4, ..IdentitySettings::default() };
    let behavior = said(&[("company", "東京商会"), ("title", "CTO")]);
    claim(&mut lead, (1, [7; 16].as_slice()), "v:1", &behavior, &settings);
    let value =
        |value: &str| v1::AttributeValue { value: value.to_owned(), source: "import".to_owned(), occurred_at_ms: 1 };
    assert_eq!(
        lead.profile(&Accounts::built_in(), &settings),
        v1::Profile {
            email: "ana@acme.example".to_owned(),
            account_id: "acme.example".to_owned(),
            attributes: [("company".to_owned(), value("東")), ("phone".to_owned(), value("+81 "))].into(),
            other_emails: Vec::new(),
        }
    );
}

#[test]
fn what_a_lead_is_found_by_stays_beyond_the_bound_and_before_an_attribute_of_its_name() {
    let mut lead = Lead::default();
    let settings = IdentitySettings { attributes_per_lead: 1, ..IdentitySettings::default() };
    let mut behavior = said(&[("company", "Acme"), ("title", "CTO"), ("user_id", "0"), ("zone", "jp")]);
    behavior.identifiers.get_or_insert_default().user_id = "4711".to_owned();
    let said = (&behavior, Vec::new());
    lead.claim((1, [7; 16].as_slice()), ("v:1", "u:4711"), said, &settings, &mut Gone::new());
    let attributes = lead.profile(&Accounts::built_in(), &settings).attributes;
    let values: Vec<_> = attributes.iter().map(|(name, it)| (name.as_str(), it.value.as_str())).collect();
    assert_eq!(values, [("company", "Acme"), ("phone", "+81 3"), ("user_id", "4711")]);
}
