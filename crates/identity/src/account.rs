//! Which company an address belongs to.

use std::collections::BTreeSet;

use tasuki_domain::{AccountId, EmailAddress};

/// Domains under which anybody can have an address.
#[derive(Debug)]
pub(crate) struct FreeMail(BTreeSet<&'static str>);

impl FreeMail {
    /// The list that comes with the crate: one domain a line, `#` before a remark.
    pub(crate) fn built_in() -> Self {
        let lines = include_str!("../data/free-mail.txt").lines().map(str::trim);
        Self(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect())
    }

    /// The company of an address: its domain, unless anybody can have an address there.
    pub(crate) fn account(&self, address: &EmailAddress) -> Option<AccountId> {
        let domain = address.domain();
        (!domain.is_empty() && !self.0.contains(domain)).then(|| AccountId::new(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corporate_domain_is_an_account_and_a_free_mail_domain_is_none() {
        let list = FreeMail::built_in();
        for (address, account) in [
            ("ana@acme.example", Some("acme.example")),
            ("ana@gmail.com", None),
            ("ana@yahoo.co.jp", None),
            ("ana@docomo.ne.jp", None),
            ("ana@mail.acme.example", Some("mail.acme.example")),
        ] {
            assert_eq!(list.account(&address.parse().unwrap()), account.map(AccountId::new), "{address}");
        }
    }

    #[test]
    fn the_list_holds_domains_as_addresses_have_them() {
        for domain in &FreeMail::built_in().0 {
            let address: EmailAddress = format!("a@{domain}").parse().unwrap();
            assert_eq!(address.domain(), *domain);
        }
    }
}
