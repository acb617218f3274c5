//! The file to be imported, and all that is known about it before its rows are read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use tasuki_domain::{Millis, Timestamp};
use tasuki_import::{
    BadPhones, Charset, Column, DateOrder, Detected, Field, Kind, Mapping, Plan, Reading, Row, Rows, Text, TimeZone,
    guess_all, headers,
};
use tasuki_service::{Clock, SystemClock};

use super::{Options, Stopped};

/// What was said about the file: on the command line, else in the mapping.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: PathBuf,
    mapping: Option<Mapping>,
    kind: Kind,
    name: Option<String>,
    date: Option<String>,
    time_zone: Option<String>,
    date_order: Option<DateOrder>,
    encoding: Option<Charset>,
    separator: Option<char>,
    header_line: Option<u64>,
    bad_phones: BadPhones,
    not_after: Timestamp,
}

/// The file, its headers read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) detected: Detected,
    pub(super) header_line: u64,
    /// The row of the headers as it stands in the file.
    pub(super) header: Vec<u8>,
    pub(super) plan: Plan,
    /// The time zone's name, if one is chosen.
    pub(super) zone: Option<String>,
    /// Its size.
    pub(super) bytes: u64,
    rows: Rows<Text<Counted>>,
    read: Rc<Cell<u64>>,
}

/// A file that counts what was read of it.
#[derive(Debug)]
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.read.set(self.read.get() + u64::try_from(read).unwrap_or_default());
        Ok(read)
    }
}

impl Wanted {
    pub(super) fn of(options: &Options) -> anyhow::Result<Self> {
        let mapping = options.mapping.as_deref().map(mapping).transpose()?;
        let said = mapping.clone().unwrap_or_default();
        let kind = options.kind.or(said.kind).ok_or_else(|| {
            Stopped::before("--kind is missing: trade-show, seminar, survey or contacts; or say kind in the mapping")
        })?;
        let encoding = match (options.reading.encoding, said.encoding) {
            (Some(charset), _) => Some(charset),
            (None, Some(name)) => Some(name.parse().context("encoding, in the mapping")?),
            (None, None) => None,
        };
        Ok(Self {
            file: options.file.clone(),
            mapping,
            kind,
            name: options.name.clone().or(said.name),
            date: options.date.clone().or(said.date),
            time_zone: options.time_zone.clone().or(said.time_zone),
            date_order: options.date_order.or(said.date_order),
            encoding,
            separator: options.reading.separator.or(said.separator),
            header_line: options.reading.header_line.or(said.header_line),
            bad_phones: options.reading.bad_phones.or(said.bad_phones).unwrap_or_default(),
            // Whoever is a day ahead of our clock's zone has not lived in the future.
            not_after: SystemClock.now() + Millis::from_days(1),
        })
    }

    /// All of it as a mapping file.
    pub(super) fn described(&self, opened: &Opened) -> String {
        let mapping = Mapping {
            kind: Some(self.kind),
            name: self.name.clone(),
            date: self.date.clone(),
            time_zone: self.time_zone.clone(),
            date_order: self.date_order,
            encoding: self.encoding.map(|charset| charset.label().to_lowercase()),
            separator: self.separator,
            header_line: self.header_line,
            bad_phones: Some(self.bad_phones),
            columns: Default::default(),
        };
        mapping.to_toml(&opened.plan.columns)
    }

    fn reading(&self) -> anyhow::Result<Reading> {
        let zone = match &self.time_zone {
            None => None,
            Some(name) => Some(TimeZone::get(name).map_err(|_| {
                Stopped::before(format!(
                    "--time-zone: {name:?} is no time zone; expected a name like Asia/Tokyo or UTC"
                ))
            })?),
        };
        Ok(Reading { zone, order: self.date_order })
    }

    fn columns(&self, found: &[String]) -> anyhow::Result<Vec<Column>> {
        let Some(mapping) = &self.mapping else {
            let fields = guess_all(found);
            return Ok(found.iter().cloned().zip(fields).map(|(header, field)| Column { header, field }).collect());
        };
        let missing: Vec<_> = mapping.columns.keys().filter(|header| !found.contains(header)).collect();
        if !missing.is_empty() {
            let what = format!("the mapping names columns that the file has not: {missing:?}; it has {found:?}");
            return Err(Stopped::before(what).into());
        }
        let field = |header: &String| mapping.columns.get(header).copied().unwrap_or(Field::Ignore);
        Ok(found.iter().map(|header| Column { header: header.clone(), field: field(header) }).collect())
    }
}

impl Opened {
    pub(super) fn new(wanted: &Wanted) -> anyhow::Result<Self> {
        let path = wanted.file.display();
        let unreadable = || format!("cannot read {path}");
        let mut file = File::open(&wanted.file).with_context(unreadable)?;
        let bytes = file.metadata().with_context(unreadable)?.len();
        let detected = match wanted.encoding {
            Some(charset) => Detected::chosen(charset, &file),
            None => Detected::of(&file),
        };
        let detected = detected.with_context(unreadable)?;
        file.rewind().with_context(|| format!("{path} can only be read once; write it to a file first"))?;
        let read = Rc::new(Cell::new(0));
        let text = Text::new(Counted { file, read: Rc::clone(&read) }, detected);
        let separator = wanted.separator.and_then(|one| u8::try_from(one).ok());
        let mut rows = Rows::new(text, separator).with_context(unreadable)?;
        let header = header(&mut rows, wanted)?;
        let names = headers(&header, detected.charset).filter(|names| !names.is_empty()).ok_or_else(|| {
            let charset = detected.charset.name();
            let line = header.line;
            Stopped::before(format!("line {line} of {path} cannot be read as headers in {charset}; --encoding and --header-line choose others"))
        })?;
        let reading = wanted.reading()?;
        let date = match &wanted.date {
            None => None,
            Some(date) => Some(
                reading.instant(date, None).map_err(|error| Stopped::before(format!("--date: {date:?} {error}")))?,
            ),
        };
        Ok(Self {
            name: wanted.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            detected,
            header_line: header.line,
            header: header.raw,
            plan: Plan {
                kind: wanted.kind,
                name: wanted.name.clone(),
                columns: wanted.columns(&names)?,
                reading,
                date,
                not_after: wanted.not_after,
                charset: detected.charset,
                bad_phones: wanted.bad_phones,
            },
            zone: wanted.time_zone.clone(),
            bytes,
            rows,
            read,
        })
    }

    pub(super) fn next_row(&mut self) -> anyhow::Result<Option<Row>> {
        self.rows.next_row().with_context(|| format!("cannot read {} to its end", self.name))
    }

    pub(super) fn read_so_far(&self) -> u64 {
        self.read.get()
    }

    pub(super) fn separator(&self) -> &'static str {
        match self.rows.separator() {
            b',' => "commas",
            b'\t' => "tabs",
            b';' => "semicolons",
            _ => "the character chosen",
        }
    }

    /// What a file begins with that holds rows of this one.
    pub(super) fn mark(&self) -> &'static [u8] {
        // Rows of UTF-16 are kept as UTF-8, which Excel only knows by its mark.
        if self.detected.mark > 0 { "\u{feff}".as_bytes() } else { b"" }
    }
}

fn header(rows: &mut Rows<Text<Counted>>, wanted: &Wanted) -> anyhow::Result<Row> {
    while let Some(row) = rows.next_row()? {
        match wanted.header_line {
            Some(line) if row.line < line => {}
            None if row.is_blank() => {}
            Some(_) | None => return Ok(row),
        }
    }
    let what = match wanted.header_line {
        Some(line) => format!("{} has no line {line}", wanted.file.display()),
        None => format!("{} is empty", wanted.file.display()),
    };
    Err(Stopped::before(what).into())
}

fn mapping(path: &Path) -> anyhow::Result<Mapping> {
    let place = || format!("--mapping: {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    Mapping::from_toml(&text).with_context(place)
}
