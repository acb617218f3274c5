//! Which partition a key belongs to: the same everywhere, and the same as Java clients compute.

use std::fmt;
use std::num::NonZeroU16;

/// A partition of a topic, counting from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

/// How many partitions every keyed topic has. Chosen when the topics are made, fixed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCount(NonZeroU16);

impl Partition {
    /// Partition number `number`.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// As a plain number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl PartitionCount {
    /// What is used when nothing is said: 16.
    pub const DEFAULT: Self = Self(NonZeroU16::new(16).expect("16 is not zero"));

    /// So many partitions; `None` for 0.
    pub const fn new(count: u16) -> Option<Self> {
        match NonZeroU16::new(count) {
            Some(count) => Some(Self(count)),
            None => None,
        }
    }

    /// As a plain number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Every partition.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.get()).map(Partition)
    }

    /// A key that belongs to a partition, for what is written to each of them; always the same one. `None` for a partition
    /// that there is not.
    pub fn key_of(self, partition: Partition) -> Option<String> {
        if partition.get() >= self.get() {
            return None;
        }
        (0_u32..).map(|number| format!("partition-{number}")).find(|key| self.of_key(key.as_bytes()) == partition)
    }

    /// The partition of a key: murmur2 as Kafka's Java clients have it (librdkafka: `murmur2_random`), made positive,
    /// modulo the count.
    pub fn of_key(self, key: &[u8]) -> Partition {
        let positive = murmur2(key) & 0x7fff_ffff;
        let partition = positive % u32::from(self.get());
        Partition(u16::try_from(partition).expect("less than a 16-bit count"))
    }
}

/// MurmurHash2, 32 bits, with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    #[allow(clippy::cast_possible_truncation, reason = "keys are far shorter than 4 GiB; Java's length is 32 bits too")]
    let mut hash = SEED ^ data.len() as u32;
    let mut blocks = data.chunks_exact(4);
    for block in &mut blocks {
        let mut k = u32::from_le_bytes([block[0], block[1], block[2], block[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = blocks.remainder();
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Kafka's own UtilsTest.testMurmur2.
    #[test]
    fn hashes_as_kafka_does() {
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn every_partition_has_a_key_and_no_other_number_has() {
        for count in [1, 16, 300].map(|count| PartitionCount::new(count).unwrap()) {
            for partition in count.all() {
                assert_eq!(count.of_key(count.key_of(partition).unwrap().as_bytes()), partition);
            }
            assert_eq!(count.key_of(Partition::new(count.get())), None);
        }
    }

    #[test]
    fn every_partition_is_in_range_and_used() {
        let count = PartitionCount::DEFAULT;
        let mut seen = vec![0; usize::from(count.get())];
        for n in 0..10_000 {
            seen[usize::from(count.of_key(format!("lead-{n}").as_bytes()).get())] += 1;
        }
        assert!(seen.iter().all(|&keys| keys > 400), "{seen:?}");
    }
}
