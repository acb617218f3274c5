//! Who is one person with whom: what follows from a set of merges and splits, whatever the order they came in.

use std::collections::{BTreeMap, BTreeSet};

use tasuki_domain::LeadId;
use tasuki_stream::Poison;
use tasuki_wire::v1::{self, lead_command};
use tasuki_wire::{Head, InvalidHead};

use crate::history::Order;

/// A command, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) head: Head,
    /// The lead that stays.
    pub(crate) into: LeadId,
    pub(crate) from: LeadId,
    pub(crate) by: String,
    pub(crate) kind: Kind,
}

/// What it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Merge,
    Split,
}

impl Command {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// If it names no leads or asks for nothing that this release knows.
    pub(crate) fn read(record: &v1::LeadCommand) -> Result<Self, Poison> {
        let head = Head::read(record.meta.as_ref())?;
        let into = head.lead.ok_or(InvalidHead::NoLead)?;
        let from =
            LeadId::from_slice(&record.from).map_err(|error| Poison::new("invalid-id", format!("from: {error}")))?;
        let kind = match &record.command {
            Some(lead_command::Command::Merge(_)) => Kind::Merge,
            Some(lead_command::Command::Split(_)) => Kind::Split,
            None => return Err(Poison::new("no-command", "found no command; allowed are merge and split")),
        };
        Ok(Self { head, into, from, by: record.by.clone(), kind })
    }

    /// As it stands on the log.
    pub(crate) fn to_record(&self) -> v1::LeadCommand {
        v1::LeadCommand {
            meta: Some(self.head.to_meta()),
            from: self.from.as_bytes().to_vec(),
            by: self.by.clone(),
            command: Some(match self.kind {
                Kind::Merge => lead_command::Command::Merge(v1::MergeLead {}),
                Kind::Split => lead_command::Command::Split(v1::SplitLead {}),
            }),
        }
    }

    pub(crate) fn order(&self) -> Order<'_> {
        (self.head.occurred_at.as_millis(), self.head.event_id.as_bytes())
    }

    fn names(&self, lead: LeadId) -> bool {
        self.into == lead || self.from == lead
    }
}

/// The leads that a command names beside this one: who is told what this one learns.
pub(crate) fn neighbours(commands: &[Command], of: LeadId) -> BTreeSet<LeadId> {
    let named = commands.iter().filter(|command| command.names(of)).flat_map(|command| [command.into, command.from]);
    named.filter(|lead| *lead != of).collect()
}

/// Under whom each merged lead stands.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    above: BTreeMap<LeadId, Above>,
}

/// Under whom, the two leads that the merge named, and its place among the commands.
#[derive(Debug)]
struct Above {
    lead: LeadId,
    named: [LeadId; 2],
    place: usize,
}

impl Groups {
    /// What follows from these commands, which stand in their order.
    pub(crate) fn of(commands: &[Command]) -> Self {
        let mut groups = Self::default();
        for (place, Command { into, from, kind, .. }) in commands.iter().enumerate() {
            match kind {
                Kind::Merge => groups.merge(*into, *from, place),
                Kind::Split => groups.split(*into, *from),
            }
        }
        groups
    }

    /// The lead that has the events of this one: the top of its group, or itself.
    pub(crate) fn top(&self, mut lead: LeadId) -> LeadId {
        while let Some(above) = self.above.get(&lead) {
            lead = above.lead;
        }
        lead
    }

    /// The leads below this one at any depth, if it is the top of its group.
    pub(crate) fn below(&self, top: LeadId) -> Vec<LeadId> {
        self.above.keys().copied().filter(|lead| self.top(*lead) == top).collect()
    }

    fn merge(&mut self, into: LeadId, from: LeadId, place: usize) {
        let top = self.top(from);
        if top != self.top(into) {
            self.above.insert(top, Above { lead: into, named: [into, from], place });
        }
    }

    fn split(&mut self, into: LeadId, from: LeadId) {
        if into == from || self.top(into) != self.top(from) {
            return;
        }
        let made = |above: &Above| above.named == [into, from] || above.named == [from, into];
        // The same two may have been named before, for others who are in the group still: the last merge counts.
        let merges = self.above.iter().filter(|(_, above)| made(above));
        let merged = merges.max_by_key(|(_, above)| above.place).map(|(lead, _)| *lead);
        let lower = merged.unwrap_or(if self.is_below(into, from) { into } else { from });
        self.above.remove(&lower);
    }

    fn is_below(&self, mut lead: LeadId, upper: LeadId) -> bool {
        while let Some(above) = self.above.get(&lead) {
            lead = above.lead;
            if lead == upper {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use tasuki_domain::{EventId, Timestamp, Version};

    use super::*;

    fn lead(n: u8) -> LeadId {
        LeadId::from_slice(&[n; 16]).unwrap()
    }

    fn command(n: u8, kind: Kind, into: u8, from: u8) -> Command {
        let head = Head {
            event_id: EventId::from_slice(&[n; 16]).unwrap(),
            occurred_at: Timestamp::from_millis(i64::from(n)),
            received_at: Timestamp::from_millis(i64::from(n)),
            cause: None,
            lead: Some(lead(into)),
            version: Version::default(),
        };
        Command { head, into: lead(into), from: lead(from), by: "sato".to_owned(), kind }
    }

    fn tops(commands: &[(Kind, u8, u8)]) -> Vec<u8> {
        let commands: Vec<Command> =
            (1..).zip(commands).map(|(n, (kind, into, from))| command(n, *kind, *into, *from)).collect();
        let groups = Groups::of(&commands);
        (1..=4).map(|n| groups.top(lead(n)).as_bytes()[0]).collect()
    }

    #[test]
    fn the_lead_at_the_top_has_all_and_a_split_takes_its_merge_back() {
        use Kind::{Merge, Split};
        for (commands, expected) in [
            (&[(Merge, 1, 2)][..], [1, 1, 3, 4]),
            (&[(Merge, 1, 2), (Merge, 2, 1)], [1, 1, 3, 4]),
            (&[(Merge, 1, 2), (Merge, 2, 1), (Split, 2, 1)], [1, 2, 3, 4]),
            (&[(Merge, 1, 1), (Split, 1, 1), (Split, 1, 2)], [1, 2, 3, 4]),
            // A chain, from either end.
            (&[(Merge, 1, 2), (Merge, 2, 3)], [1, 1, 1, 4]),
            (&[(Merge, 2, 3), (Merge, 1, 2)], [1, 1, 1, 4]),
            // Three may close a ring: the last merge says nothing new.
            (&[(Merge, 1, 2), (Merge, 2, 3), (Merge, 3, 1)], [1, 1, 1, 4]),
            // A lead that is merged stands for its group, and comes back with it.
            (&[(Merge, 1, 2), (Merge, 3, 2)], [3, 3, 3, 4]),
            (&[(Merge, 1, 2), (Merge, 3, 2), (Split, 3, 2)], [1, 1, 3, 4]),
            // Merged twice, in between split from the one it came with.
            (&[(Merge, 1, 2), (Merge, 3, 2), (Split, 1, 2), (Merge, 3, 2), (Split, 3, 2)], [3, 2, 3, 4]),
            // Split from the top, with those below; from the bottom, alone.
            (&[(Merge, 1, 2), (Merge, 2, 3), (Split, 1, 2)], [1, 2, 2, 4]),
            (&[(Merge, 1, 2), (Merge, 2, 3), (Split, 1, 3)], [1, 1, 3, 4]),
            (&[(Merge, 1, 2), (Merge, 2, 3), (Split, 3, 1)], [1, 1, 3, 4]),
            // Beside each other: the other one goes.
            (&[(Merge, 1, 2), (Merge, 1, 3), (Split, 2, 3)], [1, 1, 3, 4]),
        ] {
            assert_eq!(tops(commands), expected, "{commands:?}");
        }
    }

    #[test]
    fn the_leads_that_are_told_are_those_named_beside_it() {
        let commands = [command(1, Kind::Merge, 1, 2), command(2, Kind::Split, 3, 1), command(3, Kind::Merge, 4, 3)];
        assert_eq!(neighbours(&commands, lead(1)), [lead(2), lead(3)].into());
        assert_eq!(Groups::of(&commands).below(lead(4)), [lead(3)]);
    }

    #[test]
    fn a_command_reads_back() {
        let merge = command(1, Kind::Merge, 1, 2);
        assert_eq!(Command::read(&merge.to_record()), Ok(merge.clone()));
        let code = |record: &v1::LeadCommand| Command::read(record).unwrap_err().code;
        assert_eq!(code(&v1::LeadCommand { command: None, ..merge.to_record() }), "no-command");
        assert_eq!(code(&v1::LeadCommand { from: vec![0; 3], ..merge.to_record() }), "invalid-id");
        let mut nobody = merge.to_record();
        nobody.meta.as_mut().unwrap().lead_id.clear();
        assert_eq!(code(&nobody), "invalid-head");
    }
}
