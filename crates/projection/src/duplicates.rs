//! By what two leads may be one person: keys that both have.
//!
//! Keys follow from the profile alone, so another reading of the log gives the same. They only ever suggest: an address
//! with a tag may be another person's, and two people of one company may have one name.

mod crm;
mod phone;
mod romaji;

use std::collections::BTreeSet;

use sqlx::types::Uuid;
use tasuki_wire::v1;
use unicode_normalization::UnicodeNormalization;

use crate::rows::DuplicateKey;
use crate::text::indexed;

/// In which attributes the reading of a name stands, whole and in parts (family name first).
const READINGS: [&str; 4] = ["name_kana", "kana", "furigana", "フリガナ"];
const READINGS_IN_PARTS: [(&str, &str); 2] = [("last_name_kana", "first_name_kana"), ("sei_kana", "mei_kana")];

/// Words that say nothing about which company it is.
const LEGAL_FORMS: [&str; 21] = [
    "株式会社",
    "有限会社",
    "合同会社",
    "(株)",
    "(有)",
    "(同)",
    "kabushikigaisha",
    "kabushiki",
    "kaisha",
    "kk",
    "co",
    "corp",
    "corporation",
    "company",
    "inc",
    "incorporated",
    "limited",
    "llc",
    "ltd",
    "gmbh",
    "ag",
];

/// Domains whose addresses have no dots that count.
const WITHOUT_DOTS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// The keys of a lead with this profile. `backfill` knows these rules by a number, to be raised when they change.
pub(crate) fn keys(lead_id: Uuid, profile: &v1::Profile) -> Vec<DuplicateKey> {
    let said = |name: &str| profile.attributes.get(name).map_or("", |attribute| attribute.value.as_str());
    let mut keys = BTreeSet::new();
    for address in std::iter::once(&profile.email).chain(&profile.other_emails) {
        keys.extend(mailbox(address).map(|key| ("email", key)));
    }
    keys.extend(crm::keys(profile).into_iter().map(|key| ("crm", key)));
    keys.extend(phone::keys(said("phone")).into_iter().map(|key| ("phone", key)));

    let company = company(said("company"));
    let mut employers = vec![];
    if !profile.account_id.is_empty() {
        employers.push(profile.account_id.clone());
    }
    if !company.is_empty() {
        employers.push(format!("company {company}"));
    }
    let in_parts = |family: &str, given: &str| format!("{} {}", said(family), said(given));
    let names = [said("name").to_owned(), in_parts("last_name", "first_name")];
    let readings = READINGS.map(|name| said(name).to_owned()).into_iter();
    let readings = readings.chain(READINGS_IN_PARTS.map(|(family, given)| in_parts(family, given)));
    let names_plain: BTreeSet<String> = names.iter().filter_map(|name| plain(name)).collect();
    let joined: BTreeSet<String> = names.into_iter().chain(readings).flat_map(|name| romaji::joined(&name)).collect();
    for employer in &employers {
        keys.extend(names_plain.iter().map(|name| ("name", format!("{name} @ {employer}"))));
        keys.extend(joined.iter().map(|reading| ("reading", format!("{reading} @ {employer}"))));
    }
    let row = |(kind, key): (&str, String)| DuplicateKey { lead_id, kind: kind.to_owned(), key: indexed(&key) };
    let mut rows: Vec<DuplicateKey> = keys.into_iter().map(row).collect();
    // Two long keys may be one after the cut.
    rows.dedup();
    rows
}

/// An address without what makes no other mailbox with most providers.
fn mailbox(address: &str) -> Option<String> {
    let (local, domain) = address.split_once('@')?;
    let local = local.split('+').next().filter(|local| !local.is_empty())?;
    let local = if WITHOUT_DOTS.contains(&domain) { local.replace('.', "") } else { local.to_owned() };
    Some(format!("{local}@{}", if domain == "googlemail.com" { "gmail.com" } else { domain }))
}

/// A name of at least two characters, without differences of width and case. Words of Latin letters in one order; others
/// are written with a space between them or without.
fn plain(name: &str) -> Option<String> {
    let name = name.nfkc().collect::<String>().to_lowercase();
    let mut words: Vec<&str> = romaji::words(&name).collect();
    let name = if name.contains(is_east_asian) {
        words.concat()
    } else {
        words.sort_unstable();
        words.join(" ")
    };
    (name.chars().count() >= 2).then_some(name)
}

/// Kanji, kana, Hangul.
fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// A company's name without its legal form, width, case and punctuation.
fn company(name: &str) -> String {
    let mut name = name.nfkc().collect::<String>().to_lowercase();
    for form in LEGAL_FORMS.iter().filter(|form| !form.is_ascii() || form.starts_with('(')) {
        name = name.replace(form, " ");
    }
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.filter(|word| !LEGAL_FORMS.contains(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(email: &str, account: &str, said: &[(&str, &str)]) -> v1::Profile {
        let value = |value: &str| v1::AttributeValue { value: value.to_owned(), ..v1::AttributeValue::default() };
        v1::Profile {
            email: email.to_owned(),
            account_id: account.to_owned(),
            attributes: said.iter().map(|(name, it)| ((*name).to_owned(), value(it))).collect(),
            other_emails: Vec::new(),
        }
    }

    /// By which kinds of key two profiles look like one person.
    fn common(one: &v1::Profile, other: &v1::Profile) -> Vec<String> {
        let of = |profile| keys(Uuid::nil(), profile);
        let others = of(other);
        let mut kinds: Vec<String> =
            of(one).into_iter().filter(|key| others.contains(key)).map(|key| key.kind).collect();
        kinds.dedup();
        kinds
    }

    #[test]
    fn one_mailbox_with_and_without_a_tag_is_suggested() {
        let with = |email: &str| profile(email, "", &[]);
        for (one, other, expected) in [
            ("ana+web@acme.example", "ana@acme.example", true),
            ("ana+web@acme.example", "ana+fair@acme.example", true),
            ("a.na@gmail.com", "ana@googlemail.com", true),
            ("a.na@acme.example", "ana@acme.example", false),
            ("ana@acme.example", "ana@acme.jp", false),
            ("+a@acme.example", "+b@acme.example", false),
        ] {
            assert_eq!(common(&with(one), &with(other)) == ["email"], expected, "{one} {other}");
        }
        let merged = v1::Profile { other_emails: vec!["ana@home.example".to_owned()], ..with("ana@acme.example") };
        assert_eq!(common(&merged, &with("ana+x@home.example")), ["email"]);
    }

    #[test]
    fn one_record_in_a_crm_system_is_suggested() {
        let with = |said: &[(&str, &str)]| profile("", "", said);
        for (one, other, expected) in [
            (with(&[("crm_id", "hubspot:123")]), with(&[("crm_id", "hubspot:123")]), true),
            (with(&[("crm_id", "hubspot:123")]), with(&[("crm_id", "mautic:123")]), false),
            // The short form and the long one; which of several ids was said last does not matter.
            (
                with(&[("crm_id", "salesforce:0035g00000ABCde"), ("hs_object_id", "123")]),
                with(&[("crm_id", "hubspot:7"), ("salesforceId", "0035g00000ABCdeAAH")]),
                true,
            ),
            (with(&[("crm_id", "hubspot:7"), ("hs_object_id", "123")]), with(&[("crm_id", "hubspot:123")]), true),
            (with(&[("hubspot_id", "null")]), with(&[("hubspot_id", "null")]), false),
            // Of which system, nobody knows.
            (with(&[("crm_id", "123")]), with(&[("crm_id", "123")]), false),
            (with(&[("crm_id", "")]), with(&[]), false),
        ] {
            assert_eq!(common(&one, &other) == ["crm"], expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn one_name_counts_within_one_account_or_company() {
        let name = |account: &str, name: &str| profile("", account, &[("name", name)]);
        for (one, other, expected) in [
            (name("acme.example", "Ana Blanc"), name("acme.example", "BLANC, Ana"), &["name", "reading"][..]),
            (name("acme.example", "Ana Blanc"), name("other.example", "Ana Blanc"), &[]),
            (name("", "Ana Blanc"), name("", "Ana Blanc"), &[]),
            (name("acme.example", "佐藤 花子"), name("acme.example", "佐藤 花子"), &["name"]),
            (name("acme.example", "サトウ ハナコ"), name("acme.example", "Hanako Satoh"), &["reading"]),
            (name("acme.example", "Satou Hanako"), name("acme.example", "Satō Hanako"), &["reading"]),
            (name("acme.example", "佐藤 花子"), name("acme.example", "Hanako Sato"), &[]),
            (
                profile("", "acme.example", &[("name", "佐藤 花子"), ("name_kana", "さとうはなこ")]),
                name("acme.example", "Hanako Sato"),
                &["reading"],
            ),
            (
                profile("", "", &[("company", "株式会社アクメ"), ("last_name", "佐藤"), ("first_name", "花子")]),
                profile("", "", &[("company", "アクメ（株）"), ("name", "佐藤花子")]),
                &["name"],
            ),
            (
                profile("", "", &[("company", "ACME Co., Ltd."), ("name", "Ana Blanc")]),
                profile("", "", &[("company", "Acme"), ("name", "Ana Blanc")]),
                &["name", "reading"],
            ),
        ] {
            assert_eq!(common(&one, &other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn keys_never_grow_beyond_what_an_index_takes() {
        let long = "あ".repeat(5_000);
        let keys = keys(Uuid::nil(), &profile("", &long, &[("name", &long), ("company", &long)]));
        assert!(keys.iter().all(|key| key.key.chars().count() <= 200), "{}", keys.len());
    }
}
