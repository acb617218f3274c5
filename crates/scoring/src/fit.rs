//! How well a lead fits: which rules of the playbook its profile matches.

use tasuki_playbook::{EMAIL_DOMAIN, FitRule, Playbook};
use tasuki_wire::v1;

/// The fit rules that a profile matches, a bit for each rule of the playbook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) words: Vec<u64>,
}

impl Fit {
    pub(crate) fn of(profile: &v1::Profile, playbook: &Playbook) -> Self {
        let mut words = vec![0; playbook.fit_rules().len().div_ceil(64)];
        for (number, rule) in playbook.fit_rules().iter().enumerate() {
            words[number / 64] |= u64::from(matches(rule, profile)) << (number % 64);
        }
        Self { words }
    }

    /// The rules, in the order of the playbook.
    pub(crate) fn rules<'p>(&self, playbook: &'p Playbook) -> impl Iterator<Item = &'p FitRule> {
        self.of_rules(playbook.fit_rules())
    }

    /// Out of what stands for the rules of the playbook, in their order, what stands for those that match.
    pub(crate) fn of_rules<'r, R>(&self, all: &'r [R]) -> impl Iterator<Item = &'r R> {
        let matches = |number: usize| self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1);
        all.iter().enumerate().filter(move |&(number, _)| matches(number)).map(|(_, rule)| rule)
    }
}

fn matches(rule: &FitRule, profile: &v1::Profile) -> bool {
    let value = if rule.attribute == EMAIL_DOMAIN {
        profile.email.rsplit_once('@').map(|(_, domain)| domain)
    } else {
        profile.attributes.get(&rule.attribute).map(|attribute| attribute.value.as_str())
    };
    rule.matches(value)
}
