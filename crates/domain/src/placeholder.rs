//! Identifiers that stand for nobody: what broken programs send, and mailboxes that are no person's.

use crate::EmailAddress;

/// Ids that are placeholders of broken programs, compared without case. Most are PostHog's list.
const IDS: [&str; 31] = [
    "0",
    "-1",
    "null",
    "nil",
    "none",
    "(null)",
    "undefined",
    "nan",
    "n/a",
    "na",
    "true",
    "false",
    "unknown",
    "anonymous",
    "anon",
    "guest",
    "user",
    "id",
    "userid",
    "user_id",
    "anonymousid",
    "anonymous_id",
    "distinctid",
    "distinct_id",
    "email",
    "test",
    "not_authenticated",
    "[object object]",
    "[object]",
    "00000000-0000-0000-0000-000000000000",
    "{{user_id}}",
];

/// What stands before the `@` of addresses that nobody reads, or that a person typed to be let through.
const LOCAL_PARTS_OF_NOBODY: [&str; 16] = [
    "test",
    "testing",
    "null",
    "undefined",
    "none",
    "nobody",
    "anonymous",
    "noreply",
    "no-reply",
    "no_reply",
    "no.reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "mailer-daemon",
    "postmaster",
];

/// What stands before the `@` of mailboxes that several people read: RFC 2142, and what companies use.
const LOCAL_PARTS_OF_ROLES: [&str; 33] = [
    "info",
    "information",
    "contact",
    "hello",
    "mail",
    "office",
    "sales",
    "marketing",
    "support",
    "help",
    "helpdesk",
    "service",
    "team",
    "admin",
    "administrator",
    "webmaster",
    "hostmaster",
    "abuse",
    "security",
    "billing",
    "accounting",
    "hr",
    "jobs",
    "recruit",
    "press",
    "pr",
    "soumu",
    "jinji",
    "keiri",
    "eigyo",
    "koho",
    "toiawase",
    "otoiawase",
];

/// Whether an id of a visitor or a user is a placeholder.
pub fn is_placeholder_id(id: &str) -> bool {
    IDS.iter().any(|placeholder| id.eq_ignore_ascii_case(placeholder))
}

impl EmailAddress {
    /// What stands before the `@` of addresses that several people read.
    pub const ROLES: &'static [&'static str] = &LOCAL_PARTS_OF_ROLES;

    /// Whether nobody is behind the address: `test@...`, `noreply@...`.
    pub fn is_placeholder(&self) -> bool {
        LOCAL_PARTS_OF_NOBODY.contains(&self.local_part())
    }

    /// Whether several people read it: `info@...`, `sales@...`. A tag (`sales+web@...`) makes no other mailbox of it.
    pub fn is_role(&self) -> bool {
        let untagged = self.local_part().split('+').next().unwrap_or_default();
        LOCAL_PARTS_OF_ROLES.contains(&untagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_whatever_their_case_and_others_are_not() {
        for (id, placeholder) in
            [("NULL", true), ("[object Object]", true), ("0", true), ("00", false), ("4711", false)]
        {
            assert_eq!(is_placeholder_id(id), placeholder, "{id}");
        }
    }

    #[test]
    fn addresses_of_nobody_and_of_several_are_told_by_what_stands_before_the_at() {
        for (address, placeholder, role) in [
            ("Test@acme.example", true, false),
            ("no-reply@acme.example", true, false),
            ("info@acme.example", false, true),
            ("Sales+web@acme.example", false, true),
            ("ana+info@acme.example", false, false),
            ("testa@acme.example", false, false),
            ("ana@test.example", false, false),
        ] {
            let address: EmailAddress = address.parse().unwrap();
            assert_eq!((address.is_placeholder(), address.is_role()), (placeholder, role), "{}", address.as_str());
        }
    }
}
