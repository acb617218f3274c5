//! What is wrong with a file that a person wrote, and where.

use std::fmt;
use std::ops::Range;

/// One thing wrong with a playbook file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What was found and what is allowed.
    pub problem: String,
}

/// The text is no playbook. Names every fault that could be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// In the order of the file; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

/// A place in a file; both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Collects faults while a text is read.
#[derive(Debug)]
pub(crate) struct Reading<'t> {
    pub(crate) text: &'t str,
    faults: Vec<Fault>,
}

impl<'t> Reading<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Notes a fault at the start of this range of bytes.
    pub(crate) fn fault(&mut self, span: &Range<usize>, problem: impl Into<String>) {
        let Spot { line, column } = self.spot(span);
        self.faults.push(Fault { line, column, problem: problem.into() });
    }

    /// Where this range of bytes starts.
    pub(crate) fn spot(&self, span: &Range<usize>) -> Spot {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Spot { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    /// Notes what the TOML reader says.
    pub(crate) fn toml(&mut self, error: &toml::de::Error) {
        self.fault(&error.span().unwrap_or(0..0), error.message());
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The faults found, in the order of the file, each once.
    pub(crate) fn into_faults(mut self) -> Faults {
        self.faults.sort();
        self.faults.dedup();
        Faults(self.faults)
    }
}
