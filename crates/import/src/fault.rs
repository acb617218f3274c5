//! Why a row cannot be used.

use crate::plan::Column;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What kind of fault; short and stable, for filters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As dead letters have it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// A quote is never closed.
    OpenQuote = "row-open-quote";
    /// More cells than headers.
    Cells = "row-cells";
    /// Bytes that are no text in the file's character set.
    Undecodable = "row-undecodable";
    /// A NUL character.
    Nul = "row-nul";
    /// An error of a spreadsheet stands where a value should.
    ExcelError = "row-excel-error";
    /// No e-mail address, user id, CRM id or phone number.
    NoPerson = "row-no-person";
    /// No e-mail address.
    Email = "row-email";
    /// No id of a CRM system.
    CrmId = "row-crm-id";
    /// A phone number that a spreadsheet has spoilt.
    Phone = "row-phone";
    /// No date.
    Date = "row-date";
    /// Could be two dates.
    DateOrder = "row-date-order";
    /// A date without offset, and no time zone is chosen.
    NoZone = "row-no-zone";
    /// The row has no date.
    NoDate = "row-no-date";
    /// The date lies in the future.
    Future = "row-future";
    /// Nothing says which trade show, seminar or survey.
    NoName = "row-no-name";
    /// Not known whether the person came.
    Status = "row-status";
}

/// Why a row cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault.
    pub code: Code,
    /// The header of the column it is in, if it is in one.
    pub column: Option<String>,
    /// What was found there. May be personal: for the screen of whoever has the file, not for logs.
    pub found: String,
    /// What is wrong and what is allowed, without what was found.
    pub problem: String,
}

/// Longest text that is shown of a cell, in characters.
const SHOWN: usize = 40;

impl Fault {
    pub(crate) fn new(code: Code, column: Option<&Column>, found: &str, problem: impl Into<String>) -> Self {
        let mut shown: String = found.chars().filter(|next| !next.is_control()).take(SHOWN).collect();
        if found.chars().count() > SHOWN {
            shown.push('…');
        }
        Self { code, column: column.map(|column| column.header.clone()), found: shown, problem: problem.into() }
    }
}
