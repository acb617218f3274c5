//! Jitsu's routes: bodies as Segment's, other paths, another answer. Its clients never retry.

use super::segment::{self, MANNERS};
use super::{Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, Success};
use crate::observed::BadRecord;
use crate::request::RawRequest;
use crate::source::Sources;

/// See the module.
#[derive(Debug)]
pub(super) struct Jitsu;

const JITSU: Manners = Manners { success: Success::OkJson, refused: Refused::Lost, ..MANNERS };

impl Adapter for Jitsu {
    fn name(&self) -> &'static str {
        "jitsu"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let name = path.strip_prefix("/api/s/")?;
        let name = name.strip_prefix("s2s/").unwrap_or(name);
        let operation = segment::operation(name)?;
        Some(Endpoint { operation, get: false, post: true, purpose: Purpose::Events, manners: JITSU })
    }

    fn credentials(&self, _: &str, _: &str, body: &[u8]) -> Credentials {
        segment::body_key(body)
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        segment::read(request, self.name())
    }
}
