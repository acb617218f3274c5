//! Which rules the signals of a lead match: found once for each shape and kept, since comparing patterns is slow.

use tasuki_playbook::Playbook;

use crate::signals::{Signals, index, number};

/// For each shape of signals, the rules of a playbook that match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matching {
    /// Of the rules that were tried; 0 when they have to be tried.
    pub(crate) fingerprint: u32,
    /// Indices of rules, in the order of the playbook, those of one shape behind those of the other.
    rules: Vec<u32>,
    /// For each shape, where its rules end.
    ends: Vec<u32>,
}

impl Matching {
    pub(crate) fn of(signals: &Signals, playbook: &Playbook) -> Self {
        let mut matching = Self::default();
        matching.update(signals, playbook, 1);
        matching
    }

    pub(crate) fn with_capacity(shapes: usize) -> Self {
        let (rules, ends) = (Vec::with_capacity(2 * shapes + 4), Vec::with_capacity(shapes + 1));
        Self { fingerprint: 0, rules, ends }
    }

    /// Tries the rules on the shapes that are new, or on all where other rules were tried.
    pub(crate) fn update(&mut self, signals: &Signals, playbook: &Playbook, fingerprint: u32) {
        if self.fingerprint != fingerprint {
            (self.fingerprint, self.rules, self.ends) = (fingerprint, Vec::new(), Vec::new());
        }
        for fields in signals.fields().skip(self.ends.len()) {
            let own = playbook.rules_for(fields.kind).iter().filter(|&&at| playbook.rules()[at].matches(&fields));
            self.rules.extend(own.map(|&at| number(at)));
            self.end_shape();
        }
    }

    /// Adds a rule to those of the shape that comes next.
    pub(crate) fn add(&mut self, rule: u32) {
        self.rules.push(rule);
    }

    /// These were all of them.
    pub(crate) fn end_shape(&mut self) {
        self.ends.push(number(self.rules.len()));
    }

    /// Of how many shapes it knows the rules.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The rules that match signals of this shape.
    #[inline]
    pub(crate) fn rules_of(&self, shape: u32) -> &[u32] {
        let shape = index(shape);
        let start = shape.checked_sub(1).map_or(0, |before| index(self.ends[before]));
        &self.rules[start..index(self.ends[shape])]
    }
}

/// Tells playbooks apart whose rules differ in anything: what was found by other rules is found anew. Never 0.
pub(crate) fn fingerprint(playbook: &Playbook) -> u32 {
    Playbook::fingerprint(&format!("{:?}", playbook.rules()))
}

#[cfg(test)]
mod tests {
    use tasuki_domain::{EventId, Timestamp};
    use tasuki_playbook::{EventKind, SignalFields};
    use uuid::Uuid;

    use super::*;
    use crate::signals::NewSignal;

    fn view(signals: &mut Signals, id: u128, path: &str) {
        let instant = Timestamp::from_millis(0);
        let fields = SignalFields { kind: EventKind::PageViewed, about: "", path, source: "website", campaign: "" };
        let id = EventId::new(Uuid::from_u128(id));
        assert!(signals.insert(&NewSignal { id, occurred_at: instant, received_at: instant, fields }));
    }

    #[test]
    fn rules_are_tried_on_new_shapes_and_on_all_when_they_are_others() {
        let playbook = Playbook::built_in();
        let other = Playbook::parse(&Playbook::DEFAULT.replace("/pricing*", "/docs*")).unwrap();
        assert_ne!(fingerprint(&playbook), fingerprint(&other));
        let (mut signals, mut matching) = (Signals::default(), Matching::default());
        for (id, path) in [(1, "/pricing"), (2, "/docs"), (3, "/")] {
            view(&mut signals, id, path);
            matching.update(&signals, &playbook, fingerprint(&playbook));
        }
        let of = |matching: &Matching| [0, 1, 2].map(|shape| matching.rules_of(shape).to_vec());
        assert_eq!(of(&matching), [vec![0, 2], vec![0, 1], vec![0]]);
        matching.update(&signals, &other, fingerprint(&other));
        assert_eq!(of(&matching), [vec![0], vec![0, 1, 2], vec![0]]);
    }
}
