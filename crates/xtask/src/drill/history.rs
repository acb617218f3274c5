//! What stands on the log, topic by topic and partition by partition.

use std::collections::BTreeMap;

use tasuki_wire::Topic;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// Committed records in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History(BTreeMap<(Topic, u16), Vec<Entry>>);

impl History {
    /// Adds a record at the end of its partition.
    pub(crate) fn push(&mut self, topic: Topic, partition: u16, entry: Entry) {
        self.0.entry((topic, partition)).or_default().push(entry);
    }

    /// The partitions that hold something, and what.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (Topic, u16, &[Entry])> {
        self.0.iter().map(|((topic, partition), entries)| (*topic, *partition, entries.as_slice()))
    }

    /// One partition.
    pub(crate) fn partition(&self, topic: Topic, partition: u16) -> &[Entry] {
        self.0.get(&(topic, partition)).map_or(&[], Vec::as_slice)
    }

    /// All records of a topic with their partition, partition by partition.
    pub(crate) fn of(&self, topic: Topic) -> impl Iterator<Item = (u16, &Entry)> {
        let partitions = self.0.range((topic, 0)..=(topic, u16::MAX));
        partitions.flat_map(|((_, partition), entries)| entries.iter().map(|entry| (*partition, entry)))
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The same, to be doctored by tests.
    #[cfg(test)]
    pub(crate) fn partition_mut(&mut self, topic: Topic, partition: u16) -> &mut Vec<Entry> {
        self.0.entry((topic, partition)).or_default()
    }
}
