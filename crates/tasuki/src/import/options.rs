//! The command line of `tasuki import`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tasuki_import::{BadPhones, Charset, DateOrder, Kind};

/// Options of `tasuki import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all rows were taken; 1 some rows are bad, all others were taken; 2 nothing could be \
                        done; 75 ingest stopped answering in the middle: run it once more, nothing is taken twice."
)]
pub(crate) struct Options {
    /// The file: comma, tab or semicolon separated, in UTF-8, UTF-16 or Shift_JIS.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What its rows are about.
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub(crate) kind: Option<Kind>,
    /// What the trade show, seminar or survey is called, unless a column says it.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// When it was, for rows without a date of their own: 2026-11-03, or with a time.
    #[arg(long, value_name = "DATE")]
    pub(crate) date: Option<String>,
    /// Where dates without an offset are from, for example Asia/Tokyo. Nothing is assumed.
    #[arg(long, env = "TASUKI_IMPORT_TIME_ZONE", value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// What comes first in 03/04/2026. Nothing is assumed.
    #[arg(long, value_name = "ORDER", value_parser = orders())]
    pub(crate) date_order: Option<DateOrder>,
    /// Send it. Otherwise what the columns become is shown, and asked about.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Read all of it, say what would become of it, and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object on standard output in the end; everything else on standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the bad rows, as they are, under the headers to this file: correct them there and import it.
    #[arg(long, value_name = "FILE")]
    pub(crate) bad_rows: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: HowRead,
    #[command(flatten)]
    pub(crate) place: Place,
    /// What the columns are, from this file (TOML), instead of a guess.
    #[arg(long, value_name = "FILE", help_heading = "Columns")]
    pub(crate) mapping: Option<PathBuf>,
    /// Write what the columns become to this file, to be edited, and send nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "yes"], help_heading = "Columns")]
    pub(crate) write_mapping: Option<PathBuf>,
}

/// How the file is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct HowRead {
    /// Its character set, instead of what its bytes say: utf-8, cp932, utf-16le, euc-jp, windows-1252 ...
    #[arg(long, value_name = "NAME")]
    pub(crate) encoding: Option<Charset>,
    /// What stands between its cells: one character, or "tab".
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub(crate) separator: Option<char>,
    /// The line its headers are in; the first that is not empty if not given.
    #[arg(long, value_name = "LINE", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) header_line: Option<u64>,
    /// What becomes of a row whose phone number a spreadsheet has spoilt.
    #[arg(long, value_name = "WHAT", value_parser = phones())]
    pub(crate) bad_phones: Option<BadPhones>,
}

/// Where it is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub(crate) struct Place {
    /// Where ingest is.
    #[arg(long, env = "TASUKI_INGEST_URL", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub(crate) to: String,
    /// Write key of the source the rows belong to; that of the source `website` if this is its installation.
    #[arg(long, env = "TASUKI_WRITE_KEY", value_name = "KEY")]
    pub(crate) write_key: Option<String>,
    /// Folder of the installation, if it is here.
    #[arg(long, env = "TASUKI_DATA_DIR", default_value = ".tasuki", value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,
    /// The secret of the installation, if it is not in the data folder.
    #[arg(long, env = "TASUKI_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// How long ingest may be away before the import gives up, in seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) patience_s: u64,
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    let kind = |name: String| Kind::ALL.into_iter().find(|kind| kind.name() == name);
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .map(move |name| kind(name).expect("one of the possible values"))
}

fn orders() -> impl TypedValueParser<Value = DateOrder> {
    let order = |name: String| if name == "mdy" { DateOrder::Mdy } else { DateOrder::Dmy };
    PossibleValuesParser::new(["mdy", "dmy"]).map(order)
}

fn phones() -> impl TypedValueParser<Value = BadPhones> {
    let what = |name: String| if name == "refuse" { BadPhones::Refuse } else { BadPhones::LeaveOut };
    PossibleValuesParser::new(["refuse", "leave-out"]).map(what)
}

fn separator(text: &str) -> Result<char, String> {
    match text {
        "tab" | "\\t" => Ok('\t'),
        _ => {
            let one =
                text.parse::<char>().ok().filter(|one| one.is_ascii() && !one.is_ascii_alphanumeric() && *one != '"');
            one.ok_or_else(|| "one character of ASCII that is no letter, digit or quote, or \"tab\"".to_owned())
        }
    }
}
