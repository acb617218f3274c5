//! Bodies: taken from the wire within a budget of bytes, decompressed within a cap.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;
use crate::settings::Limits;

/// A body over the cap is read on to this many times the cap, so that its client hears the answer instead of a reset.
const DRAINED: usize = 8;

/// Bytes of the common budget that one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Reserved {
    pub(crate) fn none(budget: &Arc<Semaphore>) -> Self {
        Self { budget: Arc::clone(budget), held: None }
    }

    /// Holds so many bytes more, if the budget has them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::Overloaded)?;
        let more = Arc::clone(&self.budget).try_acquire_many_owned(bytes).map_err(|_| Refusal::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

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
    let mut wire = Vec::with_capacity(expected.min(64 * 1024));
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
        wire.extend_from_slice(&data[..fits]);
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
pub(crate) fn decode(
    wire: &Bytes,
    headers: &HeaderMap,
    cap: usize,
    reserved: &mut Reserved,
) -> Result<Decoded, Refusal> {
    let encoding = crate::request::header(headers, "content-encoding").unwrap_or_default().to_ascii_lowercase();
    let gzip = wire.starts_with(&[0x1f, 0x8b]);
    match encoding.as_str() {
        _ if gzip => inflate(MultiGzDecoder::new(wire.as_ref()), cap, reserved),
        // Proxies that decompress leave the header now and then; what looks like JSON is taken as it is.
        "deflate" if !looks_like_json(wire) => match wire.first_chunk::<2>() {
            // RFC 1950: method 8, and both bytes together a multiple of 31. Else it is a bare deflate stream.
            Some(&[first, second])
                if first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31) =>
            {
                inflate(ZlibDecoder::new(wire.as_ref()), cap, reserved)
            }
            _ => inflate(DeflateDecoder::new(wire.as_ref()), cap, reserved),
        },
        "" | "identity" => Ok(Decoded::Plain(wire.clone())),
        _ if looks_like_json(wire) || wire.is_empty() => Ok(Decoded::Plain(wire.clone())),
        _ => Ok(Decoded::Broken),
    }
}

fn looks_like_json(wire: &[u8]) -> bool {
    wire.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

fn inflate(mut from: impl Read, cap: usize, reserved: &mut Reserved) -> Result<Decoded, Refusal> {
    let mut plain = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(Decoded::Plain(plain.into())),
            Ok(length) if plain.len() + length > cap => return Ok(Decoded::TooLarge),
            Ok(length) => {
                reserved.grow(length)?;
                plain.extend_from_slice(&chunk[..length]);
            }
            Err(_) => return Ok(Decoded::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn decoded(wire: Vec<u8>, encoding: &'static str, cap: usize, budget: usize) -> Result<Decoded, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static(encoding));
        decode(&wire.into(), &headers, cap, &mut Reserved::none(&Arc::new(Semaphore::new(budget))))
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
        assert_eq!(decoded(b"\x28\xb5\x2f\xfd".to_vec(), "zstd", 100, 100), Ok(Decoded::Broken));
    }
}
