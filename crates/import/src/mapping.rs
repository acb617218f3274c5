//! The mapping file: what an import would otherwise guess or be told on the command line.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::column::Field;
use crate::instant::DateOrder;
use crate::plan::Column;

/// What the rows of a file are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Cards collected at a trade show: `EventAttended`.
    TradeShow,
    /// Who was at a seminar or webinar: `EventAttended`; of whom did not come, only who it is.
    Seminar,
    /// Answers to a survey: `SurveyAnswered`.
    Survey,
    /// People, and nothing they did: `LeadIdentified`.
    Contacts,
}

/// What becomes of a row whose phone number a spreadsheet has spoilt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadPhones {
    /// The row is refused.
    #[default]
    Refuse,
    /// The row is taken without it.
    LeaveOut,
}

/// A mapping file. What it leaves out is asked for, or guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What the rows are about.
    pub kind: Option<Kind>,
    /// What the trade show, seminar or survey is called.
    pub name: Option<String>,
    /// When it was, for rows that do not say.
    pub date: Option<String>,
    /// Where dates without an offset are from, for example Asia/Tokyo.
    pub time_zone: Option<String>,
    /// What comes first in 03/04/2026.
    pub date_order: Option<DateOrder>,
    /// The character set.
    pub encoding: Option<String>,
    /// What stands between the cells: one character.
    pub separator: Option<char>,
    /// The line the headers are in, counting from 1.
    pub header_line: Option<u64>,
    /// What becomes of rows with a spoilt phone number.
    pub bad_phones: Option<BadPhones>,
    /// By header: what the column becomes. Columns that are not here are left out.
    pub columns: BTreeMap<String, Field>,
}

/// A mapping file is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the mapping is wrong")]
pub struct InvalidMapping(#[from] toml::de::Error);

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::TradeShow, Self::Seminar, Self::Survey, Self::Contacts];

    /// As options and files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TradeShow => "trade-show",
            Self::Seminar => "seminar",
            Self::Survey => "survey",
            Self::Contacts => "contacts",
        }
    }

    /// The event a row becomes.
    pub const fn event(self) -> &'static str {
        match self {
            Self::TradeShow | Self::Seminar => "EventAttended",
            Self::Survey => "SurveyAnswered",
            Self::Contacts => "LeadIdentified",
        }
    }
}

impl Mapping {
    /// Reads a mapping file (TOML).
    ///
    /// # Errors
    ///
    /// If it is no TOML, or says what no mapping says; with the place.
    pub fn from_toml(text: &str) -> Result<Self, InvalidMapping> {
        Ok(toml::from_str(text)?)
    }

    /// A mapping file that says this, to be edited.
    pub fn to_toml(&self, columns: &[Column]) -> String {
        let mut text = "# What `tasuki import` makes of a file. Columns that are not named are left out.\n".to_owned();
        let mut line = |name: &str, value: Option<String>, example: &str| {
            let written = match value {
                Some(value) => writeln!(text, "{name} = {value}"),
                None => writeln!(text, "# {name} = {example}"),
            };
            written.expect("a text takes what is written to it");
        };
        line(
            "kind",
            self.kind.map(|kind| quoted(kind.name())),
            "\"trade-show\", \"seminar\", \"survey\" or \"contacts\"",
        );
        line("name", self.name.as_deref().map(quoted), "\"what the trade show, seminar or survey is called\"");
        line("date", self.date.as_deref().map(quoted), "\"2026-11-03\"  # for rows without a date of their own");
        line("time_zone", self.time_zone.as_deref().map(quoted), "\"Asia/Tokyo\"  # of dates that do not say theirs");
        let order = self.date_order.map(|order| match order {
            DateOrder::Mdy => quoted("mdy"),
            DateOrder::Dmy => quoted("dmy"),
        });
        line("date_order", order, "\"mdy\" or \"dmy\"  # what comes first in 03/04/2026");
        line("encoding", self.encoding.as_deref().map(quoted), "\"shift_jis\"  # else it is detected");
        line("separator", self.separator.map(|it| quoted(&it.to_string())), "\";\"  # else it is detected");
        line("header_line", self.header_line.map(|line| line.to_string()), "1  # else the first that is not empty");
        let phones = self.bad_phones.filter(|phones| *phones == BadPhones::LeaveOut).map(|_| quoted("leave-out"));
        line("bad_phones", phones, "\"leave-out\"  # else their rows are refused");
        let fields: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
        text.push_str("\n# Each header, and what the column becomes:\n");
        for part in fields.chunks(11) {
            text.push_str(&format!("#   {}\n", part.join(", ")));
        }
        text.push_str("[columns]\n");
        for column in columns {
            text.push_str(&format!("{} = {}\n", quoted(&column.header), quoted(column.field.name())));
        }
        text
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mapping = Mapping {
            kind: Some(Kind::TradeShow),
            name: Some("Expo \"2026\"".to_owned()),
            date: Some("2026-11-03".to_owned()),
            time_zone: Some("Asia/Tokyo".to_owned()),
            date_order: Some(DateOrder::Dmy),
            encoding: Some("shift_jis".to_owned()),
            separator: Some('\t'),
            header_line: Some(3),
            bad_phones: Some(BadPhones::LeaveOut),
            columns: [("メール".to_owned(), Field::Email), ("姓".to_owned(), Field::LastName)].into(),
        };
        let columns: Vec<_> =
            mapping.columns.iter().map(|(header, field)| Column { header: header.clone(), field: *field }).collect();
        assert_eq!(Mapping::from_toml(&mapping.to_toml(&columns)).unwrap(), mapping);
        let nothing = Mapping::default();
        assert_eq!(Mapping::from_toml(&nothing.to_toml(&[])).unwrap(), nothing);
    }

    #[test]
    fn what_no_mapping_says_is_named_with_its_place() {
        for (text, said) in [
            ("kind = \"fair\"\n[columns]", "unknown variant `fair`"),
            ("kinds = \"survey\"\n[columns]", "unknown field `kinds`"),
            ("[columns]\n\"a\" = \"mail\"", "unknown variant `mail`"),
            ("kind = \"survey\"", "missing field `columns`"),
        ] {
            let error = Mapping::from_toml(text).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(said), "{text}: {cause}");
        }
    }
}
