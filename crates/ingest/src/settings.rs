//! The settings of ingest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tasuki_domain::Region;
use tasuki_service::{Exit, Failure};

use crate::mapping::Mapping;
use crate::privacy::PrivacyPolicy;
use crate::request::IpMode;
use crate::source::Sources;
use crate::spool::Spool;

/// Command line and environment of ingest. The address it listens on and the sources are the program's.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Ingest")]
pub struct IngestArgs {
    /// Largest body as sent, in bytes
    #[arg(long = "ingest-max-body-bytes", env = "TASUKI_INGEST_MAX_BODY_BYTES", default_value_t = Limits::DEFAULT.body_bytes)]
    pub max_body_bytes: usize,
    /// Largest body once decompressed, in bytes
    #[arg(long = "ingest-max-decoded-bytes", env = "TASUKI_INGEST_MAX_DECODED_BYTES", default_value_t = Limits::DEFAULT.decoded_bytes)]
    pub max_decoded_bytes: usize,
    /// Largest event on the log, in bytes; larger ones are kept, cut, as dead letters
    #[arg(long = "ingest-max-event-bytes", env = "TASUKI_INGEST_MAX_EVENT_BYTES", default_value_t = Limits::DEFAULT.event_bytes)]
    pub max_event_bytes: usize,
    /// Most events in one body
    #[arg(long = "ingest-max-events", env = "TASUKI_INGEST_MAX_EVENTS", default_value_t = Limits::DEFAULT.events)]
    pub max_events: usize,
    /// Requests worked on at once; what comes on top is answered 503 before its body is read
    #[arg(long = "ingest-max-requests", env = "TASUKI_INGEST_MAX_REQUESTS", default_value_t = Limits::DEFAULT.requests)]
    pub max_requests: usize,
    /// Bytes of bodies held at once; what comes on top is answered 503. Bodies of up to 64 KiB have 2 MiB more
    #[arg(long = "ingest-max-bytes-in-flight", env = "TASUKI_INGEST_MAX_BYTES_IN_FLIGHT", default_value_t = Limits::DEFAULT.bytes_in_flight)]
    pub max_bytes_in_flight: usize,
    /// Connections open at once; what comes on top waits
    #[arg(long = "ingest-max-connections", env = "TASUKI_INGEST_MAX_CONNECTIONS", default_value_t = Limits::DEFAULT.connections)]
    pub max_connections: usize,
    /// From the first byte of a body until the answer at the latest, in milliseconds. Snowplow's trackers give up at
    /// 5000
    #[arg(long = "ingest-deadline-ms", env = "TASUKI_INGEST_DEADLINE_MS", default_value_t = 4000)]
    pub deadline_ms: u64,
    /// How long a client may take to send a body, and to take something of an answer, in milliseconds
    #[arg(long = "ingest-body-timeout-ms", env = "TASUKI_INGEST_BODY_TIMEOUT_MS", default_value_t = 10_000)]
    pub body_timeout_ms: u64,
    /// How long a client may take to send a request's head, in milliseconds
    #[arg(long = "ingest-header-timeout-ms", env = "TASUKI_INGEST_HEADER_TIMEOUT_MS", default_value_t = 10_000)]
    pub header_timeout_ms: u64,
    /// How long a connection may lie idle, in seconds. Longer than the load balancer's, or it resets a connection as
    /// a client takes it up again
    #[arg(long = "ingest-idle-timeout-s", env = "TASUKI_INGEST_IDLE_TIMEOUT_S", default_value_t = 610)]
    pub idle_timeout_s: u64,
    /// How much of a visitor's IP address is kept
    #[arg(long = "ingest-ip-mode", env = "TASUKI_INGEST_IP_MODE", value_enum, default_value_t = IpMode::Truncated)]
    pub ip_mode: IpMode,
    /// What becomes of events whose visitor asks not to be tracked (Sec-GPC: 1 or DNT: 1), unless the source says otherwise
    #[arg(long = "ingest-privacy-signal", env = "TASUKI_INGEST_PRIVACY_SIGNAL", value_enum, default_value_t = PrivacyPolicy::Ignore)]
    pub privacy_signal: PrivacyPolicy,
    /// How many proxies in front of ingest write X-Forwarded-For; 0: none, the peer is the visitor
    #[arg(long = "ingest-trusted-proxies", env = "TASUKI_INGEST_TRUSTED_PROXIES", default_value_t = 0)]
    pub trusted_proxies: usize,
    /// Folder that keeps, while the log is away, the events of clients that never send again (beacons, pixels, Jitsu);
    /// left out, the folder spool of the data folder
    #[arg(long = "ingest-spool", env = "TASUKI_INGEST_SPOOL", value_name = "FOLDER")]
    pub spool: Option<PathBuf>,
    /// Largest size of that folder, in bytes; when it is full such clients are answered 503 like the others. 0: no spool
    #[arg(long = "ingest-spool-max-bytes", env = "TASUKI_INGEST_SPOOL_MAX_BYTES", default_value_t = 1 << 30)]
    pub spool_max_bytes: u64,
    /// File that says who may send (TOML); left out, the program's own source is the only one
    #[arg(long = "ingest-sources", env = "TASUKI_INGEST_SOURCES", value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// File that says what track names, schemas and traits mean (TOML); left out, a built-in one is used
    #[arg(long = "ingest-mapping", env = "TASUKI_INGEST_MAPPING", value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Country of phone numbers that are written without country code: two letters (ISO 3166-1)
    #[arg(
        long = "ingest-phone-region",
        env = "TASUKI_INGEST_PHONE_REGION",
        default_value = "JP",
        value_name = "COUNTRY"
    )]
    pub phone_region: Region,
}

/// How much is taken, and how long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body as sent.
    pub body_bytes: usize,
    /// Largest body once decompressed.
    pub decoded_bytes: usize,
    /// Largest event on the log.
    pub event_bytes: usize,
    /// Events in one body.
    pub events: usize,
    /// Requests at once.
    pub requests: usize,
    /// Bytes of bodies at once, as sent and decompressed together. Those of up to 64 KiB have a reserve on top.
    pub bytes_in_flight: usize,
    /// Connections at once.
    pub connections: usize,
    /// From the first byte of a body until the answer.
    pub deadline: Duration,
    /// For sending a body, and for taking something of an answer.
    pub body_timeout: Duration,
    /// For sending a head.
    pub header_timeout: Duration,
    /// For lying idle.
    pub idle_timeout: Duration,
    /// Proxies in front that write X-Forwarded-For.
    pub trusted_proxies: usize,
    /// How much of an IP address is kept.
    pub ip_mode: IpMode,
    /// What a privacy signal does, unless the source says otherwise.
    pub privacy: PrivacyPolicy,
}

impl IngestArgs {
    /// The mapping of the settings: of the file they name, else the built-in one.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is wrong.
    pub fn mapping(&self) -> Result<Mapping, Failure> {
        let mapping = match &self.mapping {
            None => Mapping::default(),
            Some(path) => Mapping::from_toml(&read(path, "--ingest-mapping")?).map_err(|error| wrong(path, &error))?,
        };
        Ok(mapping.with_phone_region(self.phone_region))
    }

    /// The sources of the file the settings name; `None` if they name none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is wrong.
    pub fn sources(&self) -> Result<Option<Sources>, Failure> {
        let Some(path) = &self.sources else { return Ok(None) };
        let sources = Sources::from_toml(&read(path, "--ingest-sources")?).map_err(|error| wrong(path, &error))?;
        for (source, hash) in sources.plain_keys() {
            let instead = format!("write_key_sha256 = [\"{hash:x}\"]");
            tracing::warn!(source, instead, "a write key stands in plain in the sources file");
        }
        Ok(Some(sources))
    }

    /// The spool of the settings, in the data folder if they name no other; `None` if they want none.
    ///
    /// # Errors
    ///
    /// If its folder cannot be used.
    pub fn spool(&self, data_dir: &Path) -> Result<Option<Spool>, Failure> {
        if self.spool_max_bytes == 0 {
            return Ok(None);
        }
        let folder = self.spool.clone().unwrap_or_else(|| data_dir.join("spool"));
        Spool::open(&folder, self.spool_max_bytes).map(Some).map_err(|error| {
            let mend = "give --ingest-spool a folder that can be written to, or --ingest-spool-max-bytes 0";
            Failure::new(Exit::CannotCreate, with_causes(&error), mend)
        })
    }

    /// The limits among the settings.
    pub fn limits(&self) -> Limits {
        Limits {
            body_bytes: self.max_body_bytes,
            decoded_bytes: self.max_decoded_bytes,
            event_bytes: self.max_event_bytes,
            events: self.max_events,
            requests: self.max_requests,
            bytes_in_flight: self.max_bytes_in_flight,
            connections: self.max_connections,
            deadline: Duration::from_millis(self.deadline_ms),
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_secs(self.idle_timeout_s),
            trusted_proxies: self.trusted_proxies,
            ip_mode: self.ip_mode,
            privacy: self.privacy_signal,
        }
    }
}

fn read(path: &Path, setting: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("{} cannot be read: {error}", path.display());
        Failure::new(Exit::NoInput, what, format!("give {setting} a file that can be read, or leave it out"))
    })
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> Failure {
    let what = format!("{}: {}", path.display(), with_causes(error));
    Failure::new(Exit::Config, what, "correct the file; the documentation of tasuki-ingest says how it is written")
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    what
}

impl Limits {
    /// What holds when nothing is said.
    pub const DEFAULT: Self = Self {
        body_bytes: 8 << 20,
        decoded_bytes: 8 << 20,
        event_bytes: 900_000,
        events: 10_000,
        requests: 1024,
        bytes_in_flight: 24 << 20,
        connections: 10_000,
        deadline: Duration::from_millis(4000),
        body_timeout: Duration::from_secs(10),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(610),
        trusted_proxies: 0,
        ip_mode: IpMode::Truncated,
        privacy: PrivacyPolicy::Ignore,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        ingest: IngestArgs,
    }

    #[test]
    fn saying_nothing_gives_the_defaults() {
        assert_eq!(Only::parse_from(["ingest"]).ingest.limits(), Limits::DEFAULT);
    }

    #[test]
    fn a_missing_file_is_said_with_the_setting_that_names_it() {
        let args = Only::parse_from(["ingest", "--ingest-mapping", "/nowhere/mapping.toml"]).ingest;
        let failure = args.mapping().unwrap_err();
        assert_eq!(failure.exit, Exit::NoInput);
        assert!(failure.to_string().contains("/nowhere/mapping.toml") && failure.mend.contains("--ingest-mapping"));
        assert!(args.sources().unwrap().is_none());
    }
}
