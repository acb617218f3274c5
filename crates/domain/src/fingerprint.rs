//! Short fingerprints of bytes, the same on every machine and in every release: FNV-1a, by Fowler, Noll and Vo. They tell apart
//! what somebody changed, and are no protection against somebody who wants two to be the same.

/// Of 32 bits.
pub fn fingerprint_32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    bytes.into_iter().fold(0x811c_9dc5, add)
}

/// Of 64 bits.
pub fn fingerprint_64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What its authors publish.
    #[test]
    fn gives_the_published_values() {
        let both = |text: &str| (fingerprint_32(text.bytes()), fingerprint_64(text.bytes()));
        assert_eq!(both(""), (0x811c_9dc5, 0xcbf2_9ce4_8422_2325));
        assert_eq!(both("a"), (0xe40c_292c, 0xaf63_dc4c_8601_ec8c));
        assert_eq!(both("foobar"), (0xbf9c_f968, 0x8594_4171_f739_67e8));
    }
}
