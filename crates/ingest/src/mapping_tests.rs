//! What the default mapping makes of events, and what it says of a wrong file.

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn event(mapping: &Mapping, called: Called<'_>, properties: &[(String, String)]) -> Event {
    mapping.meaning(called, properties).event
}

#[test]
fn names_fit_without_case_spaces_and_underscores() {
    let mapping = Mapping::default();
    for name in ["Form Submitted", "form_submitted", "formSubmitted", "FORM-SUBMITTED"] {
        assert_eq!(
            event(&mapping, Called::Name(name), &pairs(&[("formId", "demo-request")])),
            Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() }),
            "{name}"
        );
    }
    assert_eq!(
        event(&mapping, Called::Name("Page Peek"), &[]),
        Event::CustomBehavior(v1::CustomBehavior { name: "Page Peek".to_owned() })
    );
}

#[test]
fn snowplow_events_fit_by_category_and_action_or_by_schema() {
    let mapping = Mapping::default();
    let opened = event(&mapping, Called::Structured { category: "Email", action: "open" }, &[]);
    assert_eq!(opened, Event::EmailOpened(v1::EmailOpened { email_name: String::new() }));
    let submitted = Called::Schema { vendor: "com.acme", name: "form_submitted" };
    assert_eq!(
        event(&mapping, submitted, &pairs(&[("form", "demo-request")])),
        Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() })
    );
}

#[test]
fn a_link_to_a_document_is_a_download_and_any_other_link_is_not() {
    let mapping = Mapping::default();
    let click = Called::Schema { vendor: "com.snowplowanalytics.snowplow", name: "link_click" };
    let pdf = "https://example.com/whitepaper.PDF?x=1";
    assert_eq!(
        event(&mapping, click, &pairs(&[("targetUrl", pdf)])),
        Event::ContentDownloaded(v1::ContentDownloaded { content: pdf.to_owned() })
    );
    assert_eq!(
        event(&mapping, click, &pairs(&[("targetUrl", "https://example.com/a")])),
        Event::CustomBehavior(v1::CustomBehavior { name: "link_click".to_owned() })
    );
    let elsewhere = Called::Schema { vendor: "com.acme", name: "link_click" };
    assert_eq!(
        event(&mapping, elsewhere, &pairs(&[("targetUrl", pdf)])),
        Event::CustomBehavior(v1::CustomBehavior { name: "link_click".to_owned() })
    );
}

#[test]
fn a_constant_stands_in_for_a_missing_property() {
    let mapping = Mapping::default();
    assert_eq!(
        event(&mapping, Called::Name("Webinar Attended"), &pairs(&[("title", "CRM")])),
        Event::EventAttended(v1::EventAttended { event_name: "CRM".to_owned(), kind: "webinar".to_owned() })
    );
}

fn said(name: &str, properties: &[(&str, &str)]) -> Meaning {
    Mapping::default().meaning(Called::Name(name), &pairs(properties))
}

#[test]
fn a_form_says_the_standard_attributes_of_the_person_and_no_others() {
    let properties = [
        ("form", "demo-request"),
        ("Full Name", "Ana Ruiz"),
        ("jobTitle", "CTO"),
        ("company.size", "120"),
        ("companyName", "Acme"),
        ("email", "ana@acme.example"),
        ("message", "call me"),
        ("url", "https://example.com/demo"),
    ];
    let attributes = pairs(&[("company", "Acme"), ("employees", "120"), ("name", "Ana Ruiz"), ("title", "CTO")]);
    let event = Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() });
    assert_eq!(said("Form Submitted", &properties), Meaning { event, attributes: attributes.into_iter().collect() });
    assert_eq!(said("Content Downloaded", &properties).attributes, BTreeMap::new());
    assert_eq!(said("Page Peek", &properties).attributes, BTreeMap::new());
}

#[test]
fn what_fills_a_field_of_the_event_is_not_the_persons() {
    let event_name = "CRM Day".to_owned();
    let event = Event::EventAttended(v1::EventAttended { event_name, kind: "webinar".to_owned() });
    assert_eq!(
        said("Webinar Attended", &[("title", "CRM Day"), ("name", "Ana")]),
        Meaning { event: event.clone(), attributes: pairs(&[("name", "Ana")]).into_iter().collect() }
    );
    assert_eq!(said("Webinar Attended", &[("name", "CRM Day")]), Meaning::of(event));
}

#[test]
fn whoever_asks_for_a_demo_a_trial_or_a_call_is_heard_however_the_site_calls_it() {
    let form = |form: &str| Event::FormSubmitted(v1::FormSubmitted { form: form.to_owned() });
    let inquiry = |channel: &str| {
        let channel = channel.to_owned();
        Event::InquiryReceived(v1::InquiryReceived { channel, subject: String::new() })
    };
    for (expected, names) in [
        (form("demo-request"), ["Requested a Demo", "Demo Request", "demo_requested", "Book a Demo", "デモ依頼"]),
        (
            form("trial-request"),
            ["Start Trial", "Trial Started", "Trial Requested", "Sign Up for Trial", "トライアル申込"],
        ),
        (inquiry("contact"), ["Contact Us", "Contact Requested", "Talk to Sales", "contactSales", "お問い合わせ"]),
        (inquiry("quote"), ["Get a Quote", "Request a Quote", "Quote Requested", "request_quote", "見積依頼"]),
    ] {
        for name in names {
            // The id of a form says less than the name of the event.
            assert_eq!(said(name, &[("form_id", "hs-4711")]).event, expected, "{name}");
        }
    }
}

#[test]
fn traits_get_standard_names_and_the_others_keep_theirs() {
    let mapping = Mapping::default();
    assert_eq!(
        mapping.attributes(&pairs(&[
            ("firstName", "Ana"),
            ("company.name", "Acme"),
            ("company.plan", "gold"),
            ("address.country", "DE"),
        ])),
        pairs(&[("company", "Acme"), ("country", "DE"), ("first_name", "Ana"), ("company.plan", "gold")])
    );
    assert_eq!(
        mapping.company_attributes(&pairs(&[("name", "Acme"), ("plan", "gold")])),
        pairs(&[("company", "Acme"), ("company.plan", "gold")])
    );
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let message = |text: &str| Mapping::from_toml(text).unwrap_err().to_string();
    assert_eq!(message("version = 2"), "the mapping file has version 2; this program reads version 1");
    assert_eq!(
        message("version = 1\n[[rule]]\nevent = \"FormSubmitted\"\nnames = [\"x\"]\nfields.from = [\"a\"]"),
        "rule 1: FormSubmitted has no field \"from\"; allowed are [\"form\"]"
    );
    assert_eq!(
        message("version = 1\n[[rule]]\nevent = \"FormSubmitted\""),
        "rule 1 names no names, structured or schemas: it would never fit"
    );
}

#[test]
fn the_end_of_a_type_is_its_name_and_a_version_says_nothing() {
    let mapping = Mapping::default();
    let form = Event::FormSubmitted(v1::FormSubmitted { form: "x".to_owned() });
    for name in ["com.acme.form.submitted", "form.submitted", "acme.FormSubmitted", "com.acme.forms.form_submitted.v2"]
    {
        assert_eq!(event(&mapping, Called::Type(name), &pairs(&[("form", "x")])), form, "{name}");
    }
    let other = "com.acme.thing.happened.v1";
    assert_eq!(
        event(&mapping, Called::Type(other), &[]),
        Event::CustomBehavior(v1::CustomBehavior { name: other.to_owned() })
    );
    assert_eq!(mapping.known(Called::Type(""), &[]), None);
    assert_eq!(mapping.known(Called::Type("v1"), &[]), None);
}

#[test]
fn who_it_was_stands_at_the_top_or_in_an_object_for_the_person() {
    let mapping = Mapping::default();
    let said = |properties: &[(&str, &str)]| mapping.who(&mapping.lifted(pairs(properties)));
    let ana = Some("ana@acme.example".to_owned());
    assert_eq!(said(&[("email", "ana@acme.example")]).email, ana);
    assert_eq!(said(&[("Contact.Email", "ana@acme.example"), ("contact.phone", "+81 3")]).email, ana);
    assert_eq!(
        said(&[
            ("email", "ana@acme.example"),
            ("lead.email", "other@acme.example"),
            ("clientId", "c"),
            ("user.id", "7")
        ]),
        Who {
            anonymous_id: Some("c".to_owned()),
            user_id: Some("7".to_owned()),
            email: ana,
            phone: None,
            crm_id: None
        }
    );
    assert_eq!(said(&[("sender.email", "ana@acme.example"), ("id", "7")]), Who::default());
}

#[test]
fn a_contact_that_was_created_is_a_person_with_its_traits() {
    let mapping = Mapping::default();
    let properties =
        mapping.lifted(pairs(&[("contact.email", "Ana@acme.example"), ("contact.jobTitle", "CTO"), ("plan", "gold")]));
    let attributes = [("email", "ana@acme.example"), ("title", "CTO"), ("plan", "gold")];
    assert_eq!(
        mapping.meaning(Called::Type("contact.created"), &properties),
        Meaning::of(identified(pairs(&attributes)))
    );
}

#[test]
fn consent_is_given_unless_it_is_said_to_be_denied() {
    let mapping = Mapping::default();
    for (granted, expected) in [("true", true), ("granted", true), ("Denied", false), ("false", false), ("", false)] {
        assert_eq!(
            event(&mapping, Called::Name("Consent Changed"), &pairs(&[("purpose", "scoring"), ("granted", granted)])),
            Event::ConsentChanged(v1::ConsentChanged {
                purpose: "scoring".to_owned(),
                granted: expected,
                basis: String::new()
            }),
            "{granted:?}"
        );
    }
}

#[test]
fn a_mapping_that_does_not_say_who_looks_where_the_built_in_one_looks() {
    let mapping = Mapping::from_toml("version = 1\n[traits]\nemail = [\"mail\"]").unwrap();
    let who = mapping.who(&mapping.lifted(pairs(&[("user_id", "7"), ("contact.mail", "a@acme.example")])));
    assert_eq!((who.user_id.as_deref(), who.email.as_deref()), (Some("7"), Some("a@acme.example")));
}

#[test]
fn a_record_in_a_crm_system_has_its_system_before_it() {
    let mapping = Mapping::default();
    let of = |name: &str, value: &str| mapping.crm_id(&[(name.to_owned(), value.to_owned())]);
    for (name, value, id) in [
        ("salesforceId", "0035g00000ABCde", Some("salesforce:0035g00000ABCde")),
        ("hs_object_id", "123", Some("hubspot:123")),
        ("mauticId", "7", Some("mautic:7")),
        ("crm_id", "dynamics:8f1c", Some("dynamics:8f1c")),
        ("crmId", "8f1c", Some("8f1c")),
        ("salesforce_id", "salesforce:0035g00000ABCde", Some("salesforce:0035g00000ABCde")),
        ("salesforce_account_id", "001", None),
    ] {
        assert_eq!(of(name, value).as_deref(), id, "{name}");
    }
    let own = Mapping::from_toml("version = 1\n[crm_ids]\nkintone = [\"record\"]").unwrap();
    let said = [("record".to_owned(), "9".to_owned()), ("hubspot_id".to_owned(), "1".to_owned())];
    assert_eq!(own.crm_id(&said).as_deref(), Some("kintone:9"));
}
