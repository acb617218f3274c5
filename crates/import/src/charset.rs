//! Which character set a file is in, and its text as the rest of this crate reads it.

use std::fmt;
use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Decoder, Encoding, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};

/// How much of a file that is no UTF-8 is looked at to find what else it is.
const SAMPLE: usize = 1 << 20;

/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// A character set, by the names that browsers know: `utf-8`, `shift_jis` (what Windows calls code page 932), `utf-16le`,
/// `euc-jp`, `windows-1252` ...
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

/// No character set has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no character set; for example utf-8, shift_jis, cp932, utf-16le, euc-jp, windows-1252")]
pub struct UnknownCharset(String);

/// What a file's bytes say about its character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detected {
    /// Which it is.
    pub charset: Charset,
    /// What says so.
    pub by: DetectedBy,
    /// Bytes of the mark at the beginning, which are no text.
    pub mark: usize,
}

/// What says which character set a file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectedBy {
    /// A byte order mark.
    Mark,
    /// All of it is valid UTF-8.
    Validity,
    /// How often which bytes occur.
    Frequency,
    /// Whoever started the import.
    Choice,
}

impl Charset {
    /// UTF-8.
    pub const UTF_8: Self = Self(UTF_8);

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0.name() {
            "Shift_JIS" => "Shift_JIS (CP932)",
            name => name,
        }
    }

    /// Its name as headers have it.
    pub fn label(self) -> &'static str {
        self.0.name()
    }

    /// The text of these bytes; `None` if they are none in this character set.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<String> {
        let text = self.text().0.decode_without_bom_handling_and_without_replacement(bytes)?;
        (!text.contains('\u{fffd}')).then(|| text.into_owned())
    }

    /// The text of these bytes, with a mark where they are none.
    pub fn show(self, bytes: &[u8]) -> String {
        self.text().0.decode_without_bom_handling(bytes).0.into_owned()
    }

    /// The character set of the bytes that [`Text`] gives: UTF-16 has become UTF-8.
    fn text(self) -> Self {
        if self.is_wide() { Self::UTF_8 } else { self }
    }

    fn is_wide(self) -> bool {
        self.0 == UTF_16LE || self.0 == UTF_16BE
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl std::str::FromStr for Charset {
    type Err = UnknownCharset;

    fn from_str(name: &str) -> Result<Self, UnknownCharset> {
        // Windows' own name, which browsers do not know.
        if name.eq_ignore_ascii_case("cp932") {
            return Ok(Self(SHIFT_JIS));
        }
        Encoding::for_label(name.as_bytes()).map(Self).ok_or_else(|| UnknownCharset(name.to_owned()))
    }
}

impl Detected {
    /// What the bytes say. Reads to the end.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn of(mut file: impl Read) -> io::Result<Self> {
        let mut sample = Vec::new();
        file.by_ref().take(u64::try_from(SAMPLE).unwrap_or(u64::MAX)).read_to_end(&mut sample)?;
        if let Some((encoding, mark)) = Encoding::for_bom(&sample) {
            return Ok(Self { charset: Charset(encoding), by: DetectedBy::Mark, mark });
        }
        let mut validity = Validity::default();
        let mut valid = validity.go_on(&sample);
        let mut chunk = vec![0; CHUNK];
        while valid {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            valid = validity.go_on(&chunk[..read]);
        }
        if valid && validity.is_whole() {
            return Ok(Self { charset: Charset::UTF_8, by: DetectedBy::Validity, mark: 0 });
        }
        if is_mostly_utf_8(&sample) {
            return Ok(Self { charset: Charset::UTF_8, by: DetectedBy::Frequency, mark: 0 });
        }
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(&sample, true);
        // Where bytes could be several, they are what Japanese Excel writes.
        let encoding = detector.guess(Some(b"jp"), Utf8Detection::Deny);
        Ok(Self { charset: Charset(encoding), by: DetectedBy::Frequency, mark: 0 })
    }

    /// What somebody says it is; a mark that fits is passed over.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn chosen(charset: Charset, file: impl Read) -> io::Result<Self> {
        let mut start = Vec::new();
        file.take(3).read_to_end(&mut start)?;
        let mark = Encoding::for_bom(&start).filter(|(encoding, _)| *encoding == charset.0).map_or(0, |(_, mark)| mark);
        Ok(Self { charset, by: DetectedBy::Choice, mark })
    }
}

/// Whether bytes are UTF-8 but for a few that are broken: those cost their rows, and not the sense of all others.
fn is_mostly_utf_8(bytes: &[u8]) -> bool {
    let (mut right, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|next| !next.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    right >= broken * 5
}

/// Whether what comes in pieces is UTF-8.
#[derive(Default)]
struct Validity {
    cut: Vec<u8>,
}

impl Validity {
    fn go_on(&mut self, bytes: &[u8]) -> bool {
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        match std::str::from_utf8(&all) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.cut = all.split_off(error.valid_up_to());
                true
            }
            Err(_) => false,
        }
    }

    fn is_whole(&self) -> bool {
        self.cut.is_empty()
    }
}

/// A file's bytes behind its mark, in a character set whose commas, quotes and line ends are those of ASCII: UTF-16 is
/// made UTF-8, everything else comes through as it is.
pub struct Text<R> {
    file: R,
    wide: Option<Wide>,
    mark: usize,
}

struct Wide {
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Text<R> {
    /// The text of a file, read from its beginning.
    pub fn new(file: R, detected: Detected) -> Self {
        let wide = detected.charset.is_wide().then(|| Wide {
            decoder: detected.charset.0.new_decoder_without_bom_handling(),
            input: Vec::new(),
            output: Vec::new(),
            at: 0,
            ended: false,
        });
        Self { file, wide, mark: detected.mark }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.mark > 0 {
            let mut mark = [0; 3];
            let length = self.mark.min(3);
            let read = self.file.read(&mut mark[..length])?;
            self.mark = if read == 0 { 0 } else { self.mark - read };
        }
        let Some(wide) = &mut self.wide else { return self.file.read(into) };
        while wide.at == wide.output.len() && !wide.ended {
            wide.input.resize(CHUNK, 0);
            let read = self.file.read(&mut wide.input)?;
            wide.ended = read == 0;
            // Two bytes of UTF-16 are at most three of UTF-8; room for what was cut before.
            wide.output.resize(CHUNK * 2, 0);
            let (result, _, written, _) =
                wide.decoder.decode_to_utf8(&wide.input[..read], &mut wide.output, wide.ended);
            debug_assert!(matches!(result, CoderResult::InputEmpty));
            wide.output.truncate(written);
            wide.at = 0;
        }
        let length = into.len().min(wide.output.len() - wide.at);
        into[..length].copy_from_slice(&wide.output[wide.at..wide.at + length]);
        wide.at += length;
        Ok(length)
    }
}

impl<R> fmt::Debug for Text<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "メールアドレス,会社名,部署\r\nhanako@acme.example,株式会社アクメ,①営業部 髙橋\r\n";

    fn read(bytes: &[u8]) -> (&'static str, DetectedBy, String) {
        let found = Detected::of(bytes).unwrap();
        let mut text = Vec::new();
        Text::new(bytes, found).read_to_end(&mut text).unwrap();
        (found.charset.label(), found.by, found.charset.decode(&text).unwrap())
    }

    fn wide(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn each_character_set_of_excel_is_recognised_and_reads_the_same() {
        let shift_jis = SHIFT_JIS.encode(TEXT).0.into_owned();
        assert_eq!(read(TEXT.as_bytes()), ("UTF-8", DetectedBy::Validity, TEXT.to_owned()));
        let marked = format!("\u{feff}{TEXT}");
        assert_eq!(read(marked.as_bytes()), ("UTF-8", DetectedBy::Mark, TEXT.to_owned()));
        assert_eq!(read(&wide(&marked, u16::to_le_bytes)), ("UTF-16LE", DetectedBy::Mark, TEXT.to_owned()));
        assert_eq!(read(&wide(&marked, u16::to_be_bytes)), ("UTF-16BE", DetectedBy::Mark, TEXT.to_owned()));
        assert_eq!(read(&shift_jis), ("Shift_JIS", DetectedBy::Frequency, TEXT.to_owned()));
    }

    #[test]
    fn bytes_that_are_no_text_are_not_made_up_for() {
        assert_eq!(Charset::UTF_8.decode(b"abc\xff"), None);
        assert_eq!("cp932".parse::<Charset>().unwrap().decode(b"\x82"), None);
        assert_eq!("klingon".parse::<Charset>(), Err(UnknownCharset("klingon".to_owned())));
    }

    #[test]
    fn a_character_that_two_pieces_share_is_no_fault() {
        let long = format!("{}é", "a".repeat(SAMPLE - 1));
        assert_eq!(Detected::of(long.as_bytes()).unwrap().by, DetectedBy::Validity);
        assert_ne!(Detected::of(&long.as_bytes()[..SAMPLE]).unwrap().by, DetectedBy::Validity, "cut at the end");
    }
}
