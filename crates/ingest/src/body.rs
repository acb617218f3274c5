//! Bodies: taken from the wire within a budget of bytes, decompressed within a cap.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use brotli_decompressor::Decompressor as BrotliDecoder;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::body::Body as _;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::answer::Refusal;
use crate::budget::Reserved;
use crate::settings::Limits;

/// A body over the cap is read on to this many times the cap, so that its client hears the answer instead of a reset.
const DRAINED: usize = 8;

/// Largest window of zstd: what RFC 9659 lets a content encoding use.
const ZSTD_WINDOW: usize = 8 << 20;

/// Buffers that hold more than this grow by this much, not to twice their size: what they hold is all they take.
const STEP: usize = 1 << 20;

/// What is decompressed at once.
const CHUNK: usize = 64 * 1024;

/// What came from the wire.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The body as sent; cut when it was too large.
    pub(crate) wire: Bytes,
    /// Its whole length, as far as it was read.
    pub(crate) length: usize,
    /// When the first byte came.
    pub(crate) began: Instant,
}

impl Arrived {
    pub(crate) fn too_large(&self) -> bool {
        self.length > self.wire.len()
    }
}

/// Takes a body from the wire.
pub(crate) async fn receive(
    mut body: Body,
    headers: &HeaderMap,
    limits: &Limits,
    reserved: &mut Reserved,
) -> Result<Arrived, Refusal> {
    let announced = crate::request::header(headers, "content-length").and_then(|text| text.parse::<usize>().ok());
    let expected = announced.map_or(0, |length| length.min(limits.body_bytes));
    reserved.grow(expected)?;
    let mut wire = Vec::with_capacity(expected.min(STEP));
    let (mut length, mut held, mut began) = (0_usize, expected, None);
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        began.get_or_insert_with(Instant::now);
        let data = match frame {
            None => break,
            Some(Err(_)) => return Err(Refusal::BodyBroken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
        };
        length += data.len();
        let fits = limits.body_bytes.saturating_sub(wire.len()).min(data.len());
        if wire.len() + fits > held {
            let more = wire.len() + fits - held;
            reserved.grow(more)?;
            held += more;
        }
        append(&mut wire, &data[..fits]);
        if length > limits.body_bytes.saturating_mul(DRAINED) {
            break;
        }
    }
    Ok(Arrived { wire: wire.into(), length, began: began.unwrap_or_else(Instant::now) })
}

/// A body as its sender meant it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// It was not compressed, or is no more.
    Plain(Bytes),
    /// It grew over the cap.
    TooLarge,
    /// It is not what its header says, or the header says what is not understood.
    Broken,
}

/// Decompresses a body, by its header or by how it begins.
///
/// Proxies that decompress leave the header now and then: what looks like JSON and is not compressed is taken as it is.
pub(crate) fn decode(
    wire: &Bytes,
    headers: &HeaderMap,
    cap: usize,
    reserved: &mut Reserved,
) -> Result<Decoded, Refusal> {
    let encoding = crate::request::header(headers, "content-encoding").unwrap_or_default().to_ascii_lowercase();
    let mut window = reserved.beside();
    let from: Box<dyn Read + '_> = if wire.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(wire.as_ref()))
    } else if is_zstd(wire) {
        window.grow(ZSTD_WINDOW)?;
        Box::new(ZstdDecoder::new(wire))
    } else {
        match encoding.as_str() {
            "" | "identity" => return Ok(Decoded::Plain(wire.clone())),
            _ if wire.is_empty() => return Ok(Decoded::Plain(wire.clone())),
            "br" => {
                window.grow(brotli_window(wire))?;
                Box::new(BrotliDecoder::new(wire.as_ref(), CHUNK))
            }
            _ if looks_like_json(wire) => return Ok(Decoded::Plain(wire.clone())),
            "deflate" if is_zlib(wire) => Box::new(ZlibDecoder::new(wire.as_ref())),
            "deflate" => Box::new(DeflateDecoder::new(wire.as_ref())),
            _ => return Ok(Decoded::Broken),
        }
    };
    // A defect in a decoder must not make a body that its client sends again and again.
    let inflated = catch_unwind(AssertUnwindSafe(|| inflate(from, cap, reserved))).unwrap_or(Ok(Decoded::Broken))?;
    match inflated {
        Decoded::Broken if looks_like_json(wire) => Ok(Decoded::Plain(wire.clone())),
        decoded @ (Decoded::Plain(_) | Decoded::TooLarge | Decoded::Broken) => Ok(decoded),
    }
}

fn looks_like_json(wire: &[u8]) -> bool {
    wire.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

/// RFC 1950: method 8, and the first two bytes together a multiple of 31. Else it is a bare deflate stream.
fn is_zlib(wire: &[u8]) -> bool {
    wire.first_chunk::<2>().is_some_and(|&[first, second]| {
        first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
    })
}

/// RFC 8878: a frame, or one to be skipped.
fn is_zstd(wire: &[u8]) -> bool {
    matches!(wire.first_chunk(), Some([0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]))
}

/// RFC 7932, section 9.1: the window that the first bits ask for, in bytes.
fn brotli_window(wire: &[u8]) -> usize {
    let first = wire.first().copied().unwrap_or_default();
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, more) => 8 + more,
        (_, some, _) => 17 + some,
    };
    1 << bits
}

/// All frames of a zstd body, one after the other.
struct ZstdDecoder<'a> {
    left: &'a [u8],
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<'a> ZstdDecoder<'a> {
    fn new(wire: &'a [u8]) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(u64::try_from(ZSTD_WINDOW).unwrap_or(u64::MAX));
        Self { left: wire, decoder, in_frame: false }
    }

    /// Begins the next frame; skips one that is to be skipped. False at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.left.is_empty() {
            match self.decoder.reset(&mut self.left) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = usize::try_from(length).ok().and_then(|length| self.left.get(length..));
                    self.left = skipped.ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl Read for ZstdDecoder<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            self.in_frame = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.left, one).map_err(io::Error::other)?;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            let said = self.decoder.get_checksum_from_data();
            if said.is_some() && said != self.decoder.get_calculated_checksum() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.in_frame = false;
        }
    }
}

fn inflate(mut from: impl Read, cap: usize, reserved: &mut Reserved) -> Result<Decoded, Refusal> {
    let mut plain = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(Decoded::Plain(plain.into())),
            Ok(length) if plain.len() + length > cap => return Ok(Decoded::TooLarge),
            Ok(length) => {
                reserved.grow(length)?;
                append(&mut plain, &chunk[..length]);
            }
            Err(_) => return Ok(Decoded::Broken),
        }
    }
}

/// Appends; a large buffer grows in steps.
fn append(to: &mut Vec<u8>, bytes: &[u8]) {
    if to.capacity() - to.len() < bytes.len() {
        to.reserve_exact(bytes.len().max(to.len().min(STEP)));
    }
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn decoded(wire: Vec<u8>, encoding: &'static str, cap: usize, budget: usize) -> Result<Decoded, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static(encoding));
        decode(&wire.into(), &headers, cap, &mut Reserved::none(&Budget::new(budget)))
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn understands_gzip_by_header_or_beginning_and_both_kinds_of_deflate() {
        let plain = || Ok(Decoded::Plain(Bytes::from_static(b"{\"a\":1}")));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"{\"a\":1}").unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(b"{\"a\":1}").unwrap();
        assert_eq!(decoded(gzip(b"{\"a\":1}"), "gzip", 100, 100), plain());
        assert_eq!(decoded(gzip(b"{\"a\":1}"), "", 100, 100), plain());
        assert_eq!(decoded(zlib.finish().unwrap(), "deflate", 100, 100), plain());
        assert_eq!(decoded(bare.finish().unwrap(), "deflate", 100, 100), plain());
        assert_eq!(decoded(b"{\"a\":1}".to_vec(), "gzip", 100, 100), plain(), "decompressed by a proxy");
    }

    /// `{"a":1}` by `brotli` and `zstd`, as their own programs write it.
    const BROTLI: &[u8] = b"\x0b\x03\x80{\"a\":1}\x03";
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\x39\x00\x00{\"a\":1}\x48\x8b\xfc\x32";

    /// 40 MiB of spaces in 67 bytes.
    const BROTLI_BOMB: [u8; 67] = [
        0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x25, 0x40, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0,
        0x4b, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff, 0xe0, 0x97, 0x00, 0x88, 0xc3, 0x02,
        0x00, 0xdd, 0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x2f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xf9,
        0xff, 0xff, 0x87, 0x5f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0x00,
    ];

    fn zstd(plain: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn understands_brotli_and_zstd_with_several_frames_and_some_to_be_skipped() {
        let plain = |text: &'static str| Ok(Decoded::Plain(Bytes::from_static(text.as_bytes())));
        let room = 64 << 20;
        assert_eq!(decoded(BROTLI.to_vec(), "br", 100, room), plain(r#"{"a":1}"#));
        assert_eq!(decoded(ZSTD.to_vec(), "zstd", 100, room), plain(r#"{"a":1}"#));
        assert_eq!(decoded(ZSTD.to_vec(), "", 100, room), plain(r#"{"a":1}"#), "by how it begins");
        let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let several = [skipped.clone(), zstd(b"{\"a\""), skipped.clone(), zstd(b""), zstd(b":2}"), skipped].concat();
        assert_eq!(decoded(several, "zstd", 100, room), plain(r#"{"a":2}"#));
        for encoding in ["br", "zstd", "deflate", "x-own"] {
            let sent = b" {\"a\":3}".to_vec();
            assert_eq!(decoded(sent, encoding, 100, room), plain(" {\"a\":3}"), "decompressed by a proxy");
        }
    }

    #[test]
    fn bombs_of_every_kind_stop_at_the_cap_and_windows_count() {
        let bomb = zstd(&vec![b' '; 40 << 20]);
        assert!(bomb.len() < 40_000, "invalid: no bomb with {}", bomb.len());
        let cap = 1 << 20;
        assert_eq!(decoded(BROTLI_BOMB.to_vec(), "br", cap, 64 << 20), Ok(Decoded::TooLarge));
        assert_eq!(decoded(bomb.clone(), "zstd", cap, 64 << 20), Ok(Decoded::TooLarge));
        assert_eq!(decoded(bomb, "zstd", cap, 1 << 20), Err(Refusal::Overloaded));
        assert_eq!(decoded(BROTLI_BOMB.to_vec(), "br", cap, 1 << 20), Err(Refusal::Overloaded));
        assert_eq!(
            [0x0c_u8, 0x0b, 0x01, 0x21].map(|first| brotli_window(&[first])),
            [1 << 16, 1 << 22, 1 << 17, 1 << 10]
        );
        let huge_window = b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00".to_vec();
        assert_eq!(decoded(huge_window, "zstd", cap, 64 << 20), Ok(Decoded::Broken));
    }

    #[test]
    fn a_buffer_that_grows_takes_little_more_than_it_holds() {
        let mut buffer = Vec::new();
        for _ in 0..160 {
            append(&mut buffer, &[0; CHUNK]);
        }
        assert!(buffer.capacity() <= buffer.len() + STEP, "{} for {}", buffer.capacity(), buffer.len());
    }

    proptest::proptest! {
        /// Whatever comes is decoded, too large or broken: nothing panics, nothing grows over the cap.
        #[test]
        fn any_bytes_end_somehow(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            which in 0_usize..4, at in proptest::prelude::any::<proptest::sample::Index>(), flip: u8,
        ) {
            let text = bytes.repeat(3);
            let (mut wire, encoding) = match which {
                0 => (gzip(&text), "gzip"),
                1 => (zstd(&text), "zstd"),
                2 => ([BROTLI_BOMB.as_slice(), &bytes].concat(), "br"),
                _ => (bytes, "br"),
            };
            if !wire.is_empty() {
                let at = at.index(wire.len());
                wire[at] ^= flip;
            }
            match decoded(wire, encoding, 2000, 64 << 20).unwrap() {
                Decoded::Plain(plain) => proptest::prop_assert!(plain.len() <= 2000),
                Decoded::TooLarge | Decoded::Broken => {}
            }
        }
    }

    #[test]
    fn stops_at_the_cap_and_at_the_budget() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decoded(bomb.clone(), "gzip", 1 << 20, 64 << 20), Ok(Decoded::TooLarge));
        assert_eq!(decoded(bomb, "gzip", 64 << 20, 1 << 20), Err(Refusal::Overloaded));
    }

    #[test]
    fn says_when_a_body_is_not_what_its_header_says() {
        let mut cut = gzip(b"{\"a\":1}");
        cut.truncate(12);
        assert_eq!(decoded(cut, "gzip", 100, 100), Ok(Decoded::Broken));
        for cut in [ZSTD, BROTLI].iter().flat_map(|whole| (1..whole.len()).map(|at| whole[..at].to_vec())) {
            assert_eq!(decoded(cut.clone(), "br", 100, 64 << 20), Ok(Decoded::Broken), "{cut:x?}");
        }
        let mut changed = ZSTD.to_vec();
        changed[12] ^= 1;
        assert_eq!(decoded(changed, "zstd", 100, 64 << 20), Ok(Decoded::Broken), "its checksum says so");
        assert_eq!(decoded(b"abc".to_vec(), "x-own", 100, 100), Ok(Decoded::Broken));
    }
}
