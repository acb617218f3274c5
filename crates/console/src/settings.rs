//! What the person who runs the console may set.

use std::fmt;
use std::str::FromStr;

/// The console's settings, for the command line and the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsoleSettings {
    /// Address for pages and API.
    #[arg(long, env = "TASUKI_CONSOLE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8471")]
    pub console_listen: String,

    /// Zone in which pages show times, for example Asia/Tokyo. The API always answers in UTC.
    #[arg(long, env = "TASUKI_CONSOLE_TIME_ZONE", value_name = "ZONE", default_value = "UTC")]
    pub console_time_zone: Zone,
}

/// A time zone of the IANA database, which comes with the program.
#[derive(Clone)]
pub struct Zone {
    name: String,
    zone: jiff::tz::TimeZone,
}

/// The text names no time zone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such time zone: {0:?}; allowed are the names of the IANA database, for example UTC, Asia/Tokyo, Europe/Berlin"
)]
pub struct UnknownZone(String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }

    /// As written in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tz(&self) -> jiff::tz::TimeZone {
        self.zone.clone()
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let zone = jiff::tz::TimeZone::get(name).map_err(|_| UnknownZone(name.to_owned()))?;
        Ok(Self { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_without_files_of_the_machine() {
        assert_eq!("Asia/Tokyo".parse::<Zone>().unwrap().name(), "Asia/Tokyo");
    }

    #[test]
    fn an_unknown_zone_is_refused_with_what_is_allowed() {
        assert_eq!(
            "Tokio".parse::<Zone>().unwrap_err().to_string(),
            "no such time zone: \"Tokio\"; allowed are the names of the IANA database, for example UTC, Asia/Tokyo, \
             Europe/Berlin"
        );
    }
}
