//! The collector: trackers send over HTTP, behavior events go to the log, and the answer follows once they are durable.
//!
//! A request passes the same stations whatever its protocol: `edge` admits it (limits, decompression, CORS, write
//! key), its [`adapter`] turns it into behavior records and bad records by pure functions, `publish` writes all of
//! them in one call, and the edge answers in the words its client understands.
//!
//! To add a tracker protocol, add `src/adapter/<name>.rs` and one line in `adapter/mod.rs`. What a track name, form or
//! schema means is not code: it stands in `mapping.toml` ([`Mapping`]).

pub mod adapter;
mod answer;
mod body;
mod budget;
mod circumstances;
mod cors;
mod edge;
mod fingerprint;
mod json;
mod lasting;
mod mapping;
pub mod metrics;
mod observed;
mod patience;
mod policy;
mod privacy;
mod publish;
mod redrive;
mod request;
mod server;
mod settings;
mod source;
mod spool;
mod state;
mod time;
mod webhook;

pub use fingerprint::Fingerprint;
pub use mapping::{InvalidMapping, Mapping};
pub use observed::{BadRecord, Observed, Record};
pub use privacy::PrivacyPolicy;
pub use redrive::{NotRedriven, Redriven, redrive};
pub use request::{IpMode, RawRequest, Visitor};
pub use server::serve;
pub use settings::{IngestArgs, Limits};
pub use source::{InvalidSources, Source, Sources, WriteKeyHash};
pub use spool::{Spool, SpoolError};
pub use state::{State, router};
pub use time::{Reported, Times};
pub use webhook::{Sender, Webhook};
