//! The rows of a file, each with its bytes as they stand there. Quotes may hold line ends; one that is never closed costs
//! its own line, not the rest of the file.

use std::fmt;
use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// The largest row. A quote that is not closed within it is none.
const LARGEST: usize = 256 * 1024;

/// What may stand between the cells.
pub const SEPARATORS: [u8; 3] = [b',', b'\t', b';'];

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line it begins at, counting from 1.
    pub line: u64,
    /// As it stands in the file, without its line end. Of a file in UTF-16: as UTF-8.
    pub raw: Vec<u8>,
    /// Its cells; `None` if a quote in it is never closed.
    pub cells: Option<Vec<Vec<u8>>>,
}

impl Row {
    /// Whether it says nothing.
    pub fn is_blank(&self) -> bool {
        self.cells.as_ref().is_some_and(|cells| cells.iter().all(|cell| cell.trim_ascii().is_empty()))
    }
}

/// The rows of a file, one after another.
pub struct Rows<R> {
    text: R,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    line: u64,
    separator: u8,
    cells: Reader,
}

enum Found {
    End { row: usize, with_line_end: usize },
    More,
    OpenQuote,
}

impl<R: Read> Rows<R> {
    /// The rows of this text. What stands between the cells is what the line `sep=` says, else what is chosen, else what
    /// the first line has most of.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn new(text: R, chosen: Option<u8>) -> io::Result<Self> {
        let cells = Reader::new();
        let mut rows = Self { text, buffer: Vec::new(), at: 0, ended: false, line: 1, separator: b',', cells };
        rows.fill()?;
        let first = rows.buffer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let said = match first {
            [b's', b'e', b'p', b'=', separator] | [b'"', b's', b'e', b'p', b'=', separator, b'"'] => Some(*separator),
            _ => None,
        };
        let start = &rows.buffer[..rows.buffer.len().min(CHUNK)];
        rows.separator = chosen.or(said).unwrap_or_else(|| most_frequent(start));
        rows.cells = ReaderBuilder::new().delimiter(rows.separator).build();
        if said.is_some() {
            rows.next_row()?;
        }
        Ok(rows)
    }

    /// What stands between the cells.
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
        loop {
            let pending = &self.buffer[self.at..];
            if pending.is_empty() && self.ended {
                return Ok(None);
            }
            match self.find(pending) {
                Found::More => self.fill()?,
                Found::End { row, with_line_end } => {
                    let raw = pending[..row].to_vec();
                    return Ok(Some(self.take(raw, with_line_end, true)));
                }
                Found::OpenQuote => {
                    let row = pending.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(pending.len());
                    let raw = pending[..row].to_vec();
                    let with_line_end = row + line_end(&pending[row..]);
                    return Ok(Some(self.take(raw, with_line_end, false)));
                }
            }
        }
    }

    fn take(&mut self, raw: Vec<u8>, with_line_end: usize, closed: bool) -> Row {
        let line = self.line;
        self.line += lines(&self.buffer[self.at..self.at + with_line_end]);
        self.at += with_line_end;
        let cells = closed.then(|| self.cells_of(&raw));
        Row { line, raw, cells }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let mut filled = before;
        while filled < self.buffer.len() && !self.ended {
            let read = self.text.read(&mut self.buffer[filled..])?;
            self.ended = read == 0;
            filled += read;
        }
        self.buffer.truncate(filled);
        Ok(())
    }

    /// Where the row ends that begins here.
    fn find(&self, pending: &[u8]) -> Found {
        let (mut quoted, mut may_quote) = (false, true);
        for (index, byte) in pending.iter().enumerate() {
            if quoted {
                // A second quote behind it opens it again.
                if *byte == b'"' {
                    (quoted, may_quote) = (false, true);
                }
                continue;
            }
            match byte {
                b'"' if may_quote => quoted = true,
                b'\r' if index + 1 == pending.len() && !self.ended => return Found::More,
                b'\r' | b'\n' => {
                    return Found::End { row: index, with_line_end: index + line_end(&pending[index..]) };
                }
                _ => {}
            }
            may_quote = *byte == self.separator;
        }
        match (self.ended, quoted) {
            (true, false) => Found::End { row: pending.len(), with_line_end: pending.len() },
            (true, true) => Found::OpenQuote,
            (false, _) if pending.len() > LARGEST => Found::OpenQuote,
            (false, _) => Found::More,
        }
    }

    fn cells_of(&mut self, raw: &[u8]) -> Vec<Vec<u8>> {
        if raw.is_empty() {
            return Vec::new();
        }
        self.cells.reset();
        // A row has at most as many cells as bytes and one more, and they are no longer than it is.
        let (mut text, mut ends) = (vec![0; raw.len() + 1], vec![0; raw.len() + 2]);
        let (mut read, mut written, mut cells) = (0, 0, 0);
        loop {
            let (result, input, output, ended) =
                self.cells.read_record(&raw[read..], &mut text[written..], &mut ends[cells..]);
            (read, written, cells) = (read + input, written + output, cells + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => break,
            }
        }
        let mut from = 0;
        let cell = |end: &usize| {
            let cell = text[from..*end].to_vec();
            from = *end;
            cell
        };
        ends[..cells].iter().map(cell).collect()
    }
}

impl<R> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("line", &self.line).field("separator", &self.separator).finish_non_exhaustive()
    }
}

/// Bytes of the line end that stands here.
fn line_end(at: &[u8]) -> usize {
    match at {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

fn lines(bytes: &[u8]) -> u64 {
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(index, byte)| **byte == b'\n' || (**byte == b'\r' && bytes.get(index + 1) != Some(&b'\n')));
    u64::try_from(ends.count()).unwrap_or(u64::MAX)
}

/// What the first line that says something has most of, outside quotes.
fn most_frequent(start: &[u8]) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted && counts.iter().any(|count| *count > 0) => break,
            byte if !quoted => {
                if let Some(index) = SEPARATORS.iter().position(|separator| separator == byte) {
                    counts[index] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    counts.iter().position(|count| *count == most).map_or(b',', |index| SEPARATORS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u64, Option<Vec<String>>)> {
        let mut rows = Rows::new(text.as_bytes(), None).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            let cells = row
                .cells
                .map(|cells| cells.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect::<Vec<_>>());
            all.push((row.line, cells));
        }
        all
    }

    fn cells(cells: &[&str]) -> Option<Vec<String>> {
        Some(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn quotes_hold_separators_quotes_and_line_ends() {
        assert_eq!(
            rows("a,b\r\n\"x, \"\"y\"\"\r\nz\",2\r\n,\r\n\r\nlast,1"),
            [
                (1, cells(&["a", "b"])),
                (2, cells(&["x, \"y\"\r\nz", "2"])),
                (4, cells(&["", ""])),
                (5, cells(&[])),
                (6, cells(&["last", "1"])),
            ]
        );
    }

    #[test]
    fn all_separators_and_line_ends_of_spreadsheets_are_known() {
        for text in ["a;b\n1;2\n", "a\tb\r1\t2\r", "a,b\r\n1,2", "sep=;\r\na;b\r\n1;2\r\n", "\"sep=;\"\na;b\n1;2"] {
            let cells_only: Vec<_> = rows(text).into_iter().map(|(_, cells)| cells).collect();
            assert_eq!(cells_only, [cells(&["a", "b"]), cells(&["1", "2"])], "{text:?}");
        }
        assert_eq!(rows("sep=;\r\na;b")[0].0, 2, "the line of sep= is counted");
        assert_eq!(rows("\"a;a;a\",b\n1,2")[0].1, cells(&["a;a;a", "b"]));
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_own_line_only() {
        assert_eq!(rows("a,b\n\"open,1\nnext,2\n"), [(1, cells(&["a", "b"])), (2, None), (3, cells(&["next", "2"]))]);
        let long = format!("a,b\n\"open,1\n{}", "next,2\n".repeat(LARGEST));
        let found = rows(&long);
        assert_eq!((found.len(), &found[1], &found[2]), (LARGEST + 2, &(2, None), &(3, cells(&["next", "2"]))));
    }

    #[test]
    fn a_row_keeps_its_bytes() {
        let mut rows = Rows::new(&b"a,b\r\n\"x\",\xff\r\n"[..], None).unwrap();
        rows.next_row().unwrap();
        assert_eq!(rows.next_row().unwrap().unwrap().raw, b"\"x\",\xff");
    }
}
