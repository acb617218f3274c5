//! What an event is, in 16 bytes.

use sha2::{Digest, Sha256};

/// So many bytes of a fingerprint's parts are hashed at once.
const MANY_PARTS: usize = 2 * 1024;

/// SHA-256 over named parts in the order given; adapters give them sorted.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hash: Sha256,
    /// Small parts are hashed together.
    waiting: Vec<u8>,
}

impl Fingerprint {
    /// Adds a part.
    pub fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            if self.waiting.len() + text.len() > MANY_PARTS {
                self.hash.update(&self.waiting);
                self.waiting.clear();
            } else if self.waiting.capacity() == 0 {
                self.waiting.reserve(MANY_PARTS);
            }
            let length = u64::try_from(text.len()).expect("a length fits in 64 bits");
            self.waiting.extend_from_slice(&length.to_be_bytes());
            if text.len() > MANY_PARTS {
                self.hash.update(&self.waiting);
                self.waiting.clear();
                self.hash.update(text.as_bytes());
            } else {
                self.waiting.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The first 16 bytes of the hash.
    pub(crate) fn finish(mut self) -> [u8; 16] {
        self.hash.update(&self.waiting);
        let mut first = [0; 16];
        first.copy_from_slice(&self.hash.finalize()[..16]);
        first
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
