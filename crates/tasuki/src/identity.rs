//! The settings of identity: which identifiers are believed, and the bounds of what is remembered.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tasuki_domain::Millis;
use tasuki_identity::{Blocked, IdentitySettings, PhoneNumbers, Required};
use tasuki_service::{Exit, Failure};

use crate::settings::{Faults, read};

/// Options of identity.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct IdentityArgs {
    /// Identifiers that are never believed, with a comma between: kind, ":" and the identifier, with "*" at its beginning or
    /// end for anything. For example user:shop-terminal,email:*@mailinator.com,visitor:kiosk-*
    #[arg(long, env = "TASUKI_BLOCK", value_delimiter = ',', value_name = "IDENTIFIERS")]
    block: Vec<String>,
    /// File of such identifiers, one a line; "#" begins a remark.
    #[arg(long, env = "TASUKI_BLOCKED_FILE", value_name = "FILE")]
    blocked_file: Option<PathBuf>,
    /// Whether an address that several people read (info@, sales@) is taken for a person.
    #[arg(long, env = "TASUKI_ROLE_ADDRESSES", value_enum, default_value_t = RoleAddresses::Allow, value_name = "WHAT")]
    role_addresses: RoleAddresses,
    /// Whom a phone number stands for, where an event names nobody by anything else.
    #[arg(long, env = "TASUKI_PHONE_NUMBERS", value_enum, default_value_t = PhoneNumbersArg::Linked, value_name = "WHAT")]
    phone_numbers: PhoneNumbersArg,
    /// Purposes for which nothing is allowed until the person has said so, with a comma between; by default what nobody has
    /// said anything about is allowed.
    #[arg(long, env = "TASUKI_CONSENT_REQUIRED", value_enum, value_delimiter = ',', value_name = "PURPOSES")]
    consent_required: Vec<PurposeArg>,
    /// Devices, user ids, CRM ids, addresses and phone numbers that one lead may be known by, 1 to 500.
    #[arg(long, env = "TASUKI_IDENTIFIERS_PER_LEAD", default_value_t = 200, value_name = "NUMBER")]
    identifiers_per_lead: usize,
    /// Devices of a user id that are told when its address changes, 1 to 10000.
    #[arg(long, env = "TASUKI_VISITORS_PER_USER", default_value_t = 100, value_name = "NUMBER")]
    visitors_per_user: usize,
    /// Identifications remembered of a device when their events are forgotten, 1 to 1000.
    #[arg(long, env = "TASUKI_IDENTIFICATIONS_PER_VISITOR", default_value_t = 50, value_name = "NUMBER")]
    identifications_per_visitor: usize,
    /// Events kept of a device or identifier until it is known whose they are, 1 to 10000.
    #[arg(long, env = "TASUKI_EVENTS_PER_IDENTIFIER", default_value_t = 200, value_name = "NUMBER")]
    events_per_identifier: usize,
    /// Bytes of these events, 1024 to 16777216.
    #[arg(long, env = "TASUKI_BYTES_PER_IDENTIFIER", default_value_t = 262_144, value_name = "BYTES")]
    bytes_per_identifier: usize,
    /// Days that they are kept, 1 to 3650.
    #[arg(long, env = "TASUKI_KEEP_EVENTS_DAYS", default_value_t = 90, value_name = "DAYS")]
    keep_events_days: usize,
    /// Seconds that a user id waits for an e-mail address before it becomes a lead of its own, 1 to 3600.
    #[arg(long, env = "TASUKI_SETTLE_SECONDS", default_value_t = 3, value_name = "SECONDS")]
    settle_seconds: usize,
    /// Events of a lead that can still be corrected, 500 to 10000; scoring counts 500.
    #[arg(long, env = "TASUKI_EVENTS_PER_LEAD", default_value_t = 500, value_name = "NUMBER")]
    events_per_lead: usize,
    /// Attributes of a profile, 10 to 1000.
    #[arg(long, env = "TASUKI_ATTRIBUTES_PER_LEAD", default_value_t = 100, value_name = "NUMBER")]
    attributes_per_lead: usize,
}

/// What consent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum PurposeArg {
    /// To observe.
    Tracking,
    /// To rate.
    Scoring,
    /// To be called on by sales.
    Contact,
}

/// Whom a phone number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PhoneNumbersArg {
    /// For the lead that it was named beside, if that is one; else for a lead of its own.
    Linked,
    /// For a lead of its own.
    Alone,
    /// For nobody.
    Nobody,
}

/// What becomes of addresses that several people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleAddresses {
    /// It is a lead like any other.
    Allow,
    /// It names nobody.
    Refuse,
}

impl IdentityArgs {
    /// The settings; what is wrong goes to `faults`.
    pub(crate) fn settings(&self, faults: &mut Faults) -> IdentitySettings {
        let mut within = |option: &str, value: usize, from: usize, to: usize| {
            let fault = || {
                Failure::new(
                    Exit::Config,
                    format!("{option}: {value} is out of bounds"),
                    format!("give a number from {from} to {to}"),
                )
            };
            if !(from..=to).contains(&value) {
                faults.check::<()>(Err(fault()));
            }
            value
        };
        let defaults = IdentitySettings::default();
        let days = within("--keep-events-days", self.keep_events_days, 1, 3_650);
        let seconds = within("--settle-seconds", self.settle_seconds, 1, 3_600);
        IdentitySettings {
            identifiers_per_lead: within("--identifiers-per-lead", self.identifiers_per_lead, 1, 500),
            visitors_per_user: within("--visitors-per-user", self.visitors_per_user, 1, 10_000),
            identifications_per_visitor: within(
                "--identifications-per-visitor",
                self.identifications_per_visitor,
                1,
                1_000,
            ),
            events_per_identifier: within("--events-per-identifier", self.events_per_identifier, 1, 10_000),
            bytes_per_identifier: within(
                "--bytes-per-identifier",
                self.bytes_per_identifier,
                1_024,
                16 * 1_024 * 1_024,
            ),
            events_per_lead: within("--events-per-lead", self.events_per_lead, 500, 10_000),
            attributes_per_lead: within("--attributes-per-lead", self.attributes_per_lead, 10, 1_000),
            keep_events_for: i64::try_from(days).map_or(defaults.keep_events_for, Millis::from_days),
            settle_within: i64::try_from(seconds).map_or(defaults.settle_within, Millis::from_seconds),
            refuse_role_addresses: self.role_addresses == RoleAddresses::Refuse,
            phone_numbers: match self.phone_numbers {
                PhoneNumbersArg::Linked => PhoneNumbers::Linked,
                PhoneNumbersArg::Alone => PhoneNumbers::Alone,
                PhoneNumbersArg::Nobody => PhoneNumbers::Nobody,
            },
            consent_required: Required {
                tracking: self.consent_required.contains(&PurposeArg::Tracking),
                scoring: self.consent_required.contains(&PurposeArg::Scoring),
                contact: self.consent_required.contains(&PurposeArg::Contact),
            },
            blocked: self.blocked(faults),
            ..defaults
        }
    }

    fn blocked(&self, faults: &mut Faults) -> Vec<Blocked> {
        let mut blocked = Vec::new();
        for text in self.block.iter().filter(|text| !text.trim().is_empty()) {
            blocked.extend(faults.check(parse(text, || "--block".to_owned())));
        }
        if let Some(file) = self.blocked_file.as_deref()
            && let Some(text) = faults.check(read("--blocked-file", file))
        {
            for (line, text) in (1..).zip(text.lines()) {
                let text = text.split('#').next().unwrap_or_default().trim();
                if !text.is_empty() {
                    blocked.extend(faults.check(parse(text, || place(file, line))));
                }
            }
        }
        blocked
    }
}

fn place(file: &Path, line: usize) -> String {
    format!("{}:{line}", file.display())
}

fn parse(text: &str, place: impl Fn() -> String) -> Result<Blocked, Failure> {
    text.parse().map_err(|error| {
        Failure::new(Exit::Config, format!("{}: \"{text}\": {error}", place()), "for example user:shop-terminal")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        identity: IdentityArgs,
    }

    fn settings(arguments: &[&str]) -> (IdentitySettings, Faults) {
        let mut faults = Faults::default();
        let cli = Cli::parse_from([&["tasuki"], arguments].concat());
        (cli.identity.settings(&mut faults), faults)
    }

    #[test]
    fn what_is_not_set_is_as_identity_has_it() {
        let (settings, faults) = settings(&[]);
        assert_eq!(settings, IdentitySettings::default());
        assert!(faults.is_empty());
    }

    #[test]
    fn every_fault_is_reported_and_the_line_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blocked.txt");
        std::fs::write(&file, "# ours\nuser:shop-* # terminals\n\nuser:*\n").unwrap();
        let file = file.to_str().unwrap();
        let (settings, faults) = settings(&[
            "--blocked-file",
            file,
            "--block",
            "email:*@mailinator.com,fax:1",
            "--events-per-lead",
            "10",
            "--identifiers-per-lead",
            "0",
        ]);
        let blocked = ["email:*@mailinator.com", "user:shop-*"].map(|text| text.parse().unwrap());
        assert_eq!(settings.blocked, blocked);
        let text = faults.to_string();
        for part in [
            "--block: \"fax:1\": expected \"visitor:\"",
            "blocked.txt:4: \"user:*\": it would refuse every identifier",
            "--events-per-lead: 10 is out of bounds",
            "--identifiers-per-lead: 0 is out of bounds",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
