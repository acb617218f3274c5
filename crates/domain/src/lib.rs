//! The words of Tasuki as types: ids, identifiers, instants, points, stages.
//!
//! Nothing here does I/O, reads a clock or draws a random number; those features of the libraries underneath are
//! switched off, so `now()` does not even exist.

mod crm;
mod email;
mod fingerprint;
mod id;
mod identifier;
mod phone;
mod placeholder;
mod points;
mod stage;
mod time;

pub use crm::{CrmId, InvalidCrmId};
pub use email::{EmailAddress, InvalidEmail};
pub use fingerprint::{fingerprint_32, fingerprint_64};
pub use id::{AccountId, CommandId, Cycle, EventId, HandoffId, InvalidId, LeadId, PlaybookVersion, Version};
pub use identifier::{DeploymentSecret, Identifier, InvalidIdentifier, SecretTooShort};
pub use phone::{InvalidPhone, PhoneNumber, Region, UnknownRegion};
pub use placeholder::is_placeholder_id;
pub use points::Millipoints;
pub use stage::{Stage, UnknownStage};
pub use time::{InvalidTimestamp, Millis, Timestamp};
