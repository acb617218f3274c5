//! What the playbook says about handoffs.

use std::collections::BTreeMap;

use tasuki_domain::Millis;
use tasuki_playbook::{Playbook, Urgency};

/// How soon sales is to accept or reject: wall-clock time, counted from the receipt of what qualified the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffPolicy {
    /// For each urgency.
    pub accept_within: AcceptWithin,
    /// For routes that have a limit of their own, by name.
    pub routes: BTreeMap<String, Millis>,
}

/// A limit for each urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptWithin {
    /// For "urgent".
    pub urgent: Millis,
    /// For "high".
    pub high: Millis,
    /// For "normal".
    pub normal: Millis,
}

impl AcceptWithin {
    /// The limit for an urgency.
    pub fn of(&self, urgency: Urgency) -> Millis {
        match urgency {
            Urgency::Urgent => self.urgent,
            Urgency::High => self.high,
            Urgency::Normal => self.normal,
        }
    }
}

impl HandoffPolicy {
    /// The limit for a lead that came by this route. `None` for an urgency, as it stands on the event, that is not known,
    /// if the route has no limit of its own.
    pub fn limit(&self, route: &str, urgency: &str) -> Option<Millis> {
        let by_urgency = || Urgency::from_name(urgency).map(|urgency| self.accept_within.of(urgency));
        self.routes.get(route).copied().or_else(by_urgency)
    }
}

impl From<&Playbook> for HandoffPolicy {
    fn from(playbook: &Playbook) -> Self {
        let limits = |route: &str| AcceptWithin {
            urgent: playbook.accept_within(route, Urgency::Urgent),
            high: playbook.accept_within(route, Urgency::High),
            normal: playbook.accept_within(route, Urgency::Normal),
        };
        // No route has an empty name: these are the limits that depend on the urgency alone.
        let accept_within = limits("");
        let own = playbook.routes().iter().map(|route| (route.name.clone(), limits(&route.name)));
        let routes = own.filter(|(_, own)| *own != accept_within).map(|(route, own)| (route, own.normal)).collect();
        Self { accept_within, routes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playbook_gives_limits_by_urgency_and_by_route() {
        let text =
            Playbook::DEFAULT.replacen("urgency = \"normal\"", "urgency = \"normal\"\naccept_within = \"30m\"", 1);
        let policy = HandoffPolicy::from(&Playbook::parse(&text).unwrap());
        let hours = Millis::from_hours;
        let accept_within = AcceptWithin { urgent: hours(4), high: hours(8), normal: hours(24) };
        let routes = BTreeMap::from([("score".to_owned(), Millis::from_seconds(30 * 60))]);
        assert_eq!(policy, HandoffPolicy { accept_within, routes });
        assert_eq!(policy.limit("score", "normal"), Some(Millis::from_seconds(30 * 60)));
        assert_eq!(policy.limit("hand-raise", "urgent"), Some(hours(4)));
        assert_eq!(policy.limit("gone", "high"), Some(hours(8)));
        assert_eq!(policy.limit("gone", "whenever"), None);
    }
}
