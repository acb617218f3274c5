//! A JSON text that is read once: where each of its values begins and ends. Values are looked at where they stand, and
//! only those that are asked for become anything else.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value as Tree};

use super::trimmed;

/// The text is no JSON. Who wants to know where and why asks `serde_json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// A JSON text and its values, in the order of the text: of objects each name, and after it what belongs to it.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    text: &'t str,
    entries: Vec<Entry>,
    /// Characters written as `\uXXXX`, or nesting deeper than so many levels: what mending an item may concern.
    unusual: bool,
}

/// A value or a name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    end: u32,
    /// The entry after this one and all that is in it.
    next: u32,
    kind: Kind,
    /// A string with escapes in it.
    escaped: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'d, 't> {
    document: &'d Document<'t>,
    at: usize,
}

impl<'t> Document<'t> {
    /// Reads a text. What is nested deeper than `usual_depth` makes it unusual.
    pub(crate) fn read(text: &'t str, usual_depth: usize) -> Result<Self, NotJson> {
        // Positions are kept in 32 bits.
        u32::try_from(text.len()).map_err(|_| NotJson)?;
        let entries = Vec::with_capacity(text.len() / 12 + 8);
        let mut reader =
            Reader { bytes: text.as_bytes(), at: 0, entries, open: Vec::new(), unusual: false, usual_depth };
        reader.all()?;
        Ok(Self { text, entries: reader.entries, unusual: reader.unusual })
    }

    /// The whole.
    pub(crate) const fn root(&self) -> Value<'_, 't> {
        Value { document: self, at: 0 }
    }

    /// Whether anything in it may have to be mended.
    pub(crate) const fn is_unusual(&self) -> bool {
        self.unusual
    }

    fn entry(&self, at: usize) -> Entry {
        self.entries[at]
    }
}

impl<'d, 't> Value<'d, 't> {
    fn entry(self) -> Entry {
        self.document.entry(self.at)
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        self.entry().kind
    }

    /// As it is written.
    pub(crate) fn raw(self) -> &'t str {
        let Entry { start, end, .. } = self.entry();
        &self.document.text[index(start)..index(end)]
    }

    /// The values in an array, or names and values in turn in an object.
    fn inside(self) -> impl Iterator<Item = Value<'d, 't>> {
        let Self { document, at } = self;
        let (end, mut next) = (index(self.entry().next), at + 1);
        std::iter::from_fn(move || {
            let value = (next < end).then_some(Value { document, at: next })?;
            next = index(document.entry(next).next);
            Some(value)
        })
    }

    /// The values of an array; none if it is none.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'d, 't>> {
        self.inside().take_while(move |_| self.kind() == Kind::Array)
    }

    /// Names and values of an object, as they stand there; none if it is none.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'d, 't>, Value<'d, 't>)> {
        let Self { document, at } = self;
        let Entry { kind, next, .. } = self.entry();
        let (end, mut next) = (if kind == Kind::Object { index(next) } else { at }, at + 1);
        // An object's entries are a name and a value in turn, and a name holds nothing.
        std::iter::from_fn(move || {
            let (name, value) =
                (next < end).then_some((Value { document, at: next }, Value { document, at: next + 1 }))?;
            debug_assert_eq!(index(document.entry(name.at).next), value.at, "a name is followed by its value");
            next = index(document.entry(value.at).next);
            Some((name, value))
        })
    }

    /// The value of this name; the last of several.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.members().filter(|(found, _)| found.is_string(name)).map(|(_, value)| value).last()
    }

    /// Whether it is this string.
    fn is_string(self, text: &str) -> bool {
        let entry = self.entry();
        if entry.escaped { self.string() == text } else { self.written() == text }
    }

    /// What stands between the quotes.
    fn written(self) -> &'t str {
        let Entry { start, end, .. } = self.entry();
        &self.document.text[index(start) + 1..index(end) - 1]
    }

    /// A string or a name; empty if it is none, or none that can be written in UTF-8.
    pub(crate) fn string(self) -> Cow<'t, str> {
        let entry = self.entry();
        match entry.kind {
            Kind::String if entry.escaped => Cow::Owned(serde_json::from_str(self.raw()).unwrap_or_default()),
            Kind::String => Cow::Borrowed(self.written()),
            Kind::Object | Kind::Array | Kind::Number | Kind::True | Kind::False | Kind::Null => Cow::Borrowed(""),
        }
    }

    /// A scalar as text: a string trimmed, a number as it is written, so that big ones stay exact. `None` for `null`,
    /// empty strings and containers: to a tracker they all say "nothing".
    pub(crate) fn scalar(self) -> Option<Cow<'t, str>> {
        match self.kind() {
            Kind::String => Some(trimmed(self.string())).filter(|text| !text.is_empty()),
            Kind::Object | Kind::Array | Kind::Null => None,
            Kind::Number | Kind::True | Kind::False => Some(Cow::Borrowed(self.raw())),
        }
    }

    /// A scalar as text like [`scalar`](Self::scalar), but numbers in one way of writing: 1e3 as 1000.0.
    pub(crate) fn plain_scalar(self) -> Option<Cow<'t, str>> {
        match self.kind() {
            Kind::Number => {
                let number = serde_json::from_str::<Number>(self.raw()).map(|number| number.to_string());
                Some(number.map_or(Cow::Borrowed(self.raw()), Cow::Owned))
            }
            Kind::Object | Kind::Array | Kind::String | Kind::True | Kind::False | Kind::Null => self.scalar(),
        }
    }

    /// What it is as a property: a plain scalar, or an array that holds something as JSON text.
    pub(crate) fn property(self) -> Option<Cow<'t, str>> {
        match self.kind() {
            Kind::Array if self.inside().next().is_some() => Some(Cow::Owned(self.tree().to_string())),
            Kind::Array | Kind::Object | Kind::String | Kind::Number | Kind::True | Kind::False | Kind::Null => {
                self.plain_scalar()
            }
        }
    }

    /// Everything in it, as a tree.
    pub(crate) fn tree(self) -> Tree {
        serde_json::from_str(self.raw()).unwrap_or(Tree::Null)
    }

    /// Names and values of an object, sorted by name, of equal names the last.
    pub(crate) fn sorted(self) -> Vec<(Cow<'t, str>, Self)> {
        let mut members: Vec<(Cow<'t, str>, Self)> = Vec::with_capacity(16);
        members.extend(self.members().map(|(name, value)| (name.string(), value)));
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        // The sort is stable: of equal names the last stays.
        members.dedup_by(|later, earlier| {
            let same = later.0.cmp(&earlier.0) == Ordering::Equal;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        members
    }
}

/// Positions are below 2^32, and `usize` has no less.
fn index(position: u32) -> usize {
    usize::try_from(position).expect("a position fits")
}

/// Reads a text from front to back, without recursion: bodies may be nested as deep as they are long.
struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    entries: Vec<Entry>,
    /// Containers that are not closed yet.
    open: Vec<usize>,
    unusual: bool,
    usual_depth: usize,
}

impl Reader<'_> {
    fn all(&mut self) -> Result<(), NotJson> {
        self.value()?;
        while let Some(&container) = self.open.last() {
            let is_object = self.entries[container].kind == Kind::Object;
            let is_empty = self.entries.len() == container + 1;
            match (self.token()?, is_object) {
                (b'}', true) | (b']', false) => {
                    self.at += 1;
                    self.close(container);
                    self.open.pop();
                    continue;
                }
                (b',', _) if !is_empty => {
                    self.at += 1;
                    self.token()?;
                }
                _ if is_empty => {}
                _ => return Err(NotJson),
            }
            if is_object {
                self.string()?;
                if self.token()? != b':' {
                    return Err(NotJson);
                }
                self.at += 1;
                self.token()?;
            }
            self.value()?;
        }
        if self.token().is_ok() { Err(NotJson) } else { Ok(()) }
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Result<u8, NotJson> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(NotJson),
            }
        }
    }

    /// One scalar, or the beginning of a container.
    fn value(&mut self) -> Result<(), NotJson> {
        match self.token()? {
            b'"' => self.string(),
            b'{' => self.begin(Kind::Object),
            b'[' => self.begin(Kind::Array),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            _ => self.number(),
        }
    }

    fn push(&mut self, start: usize, kind: Kind, escaped: bool) -> Result<(), NotJson> {
        let position = |at: usize| u32::try_from(at).map_err(|_| NotJson);
        let next = position(self.entries.len() + 1)?;
        self.entries.push(Entry { start: position(start)?, end: position(self.at)?, next, kind, escaped });
        Ok(())
    }

    fn begin(&mut self, kind: Kind) -> Result<(), NotJson> {
        self.open.push(self.entries.len());
        self.unusual |= self.open.len() > self.usual_depth;
        self.at += 1;
        self.push(self.at - 1, kind, false)
    }

    fn close(&mut self, container: usize) {
        let (end, next) = (u32::try_from(self.at), u32::try_from(self.entries.len()));
        if let (Ok(end), Ok(next), Some(entry)) = (end, next, self.entries.get_mut(container)) {
            (entry.end, entry.next) = (end, next);
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        self.push(self.at - word.len(), kind, false)
    }

    fn number(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        self.push(start, Kind::Number, false)
    }

    /// The byte at hand; 0, which is no part of JSON, at the end.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(NotJson) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        if self.peek() != b'"' {
            return Err(NotJson);
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += ordinary(&self.bytes[self.at..]);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(NotJson),
            }
        }
        self.at += 1;
        self.push(start, Kind::String, escaped)
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).ok_or(NotJson)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(NotJson);
                }
                self.unusual = true;
                self.at += 6;
            }
            Some(_) | None => return Err(NotJson),
        }
        Ok(())
    }
}

/// How many bytes come before the first that means something in a string: a quote, a backslash, a control character.
/// Eight at a time.
fn ordinary(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte that is zero, or below 0x20, gets its highest bit; those after it may, too, those before it never.
        let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        let quotes = quote.wrapping_sub(ONES) & !quote;
        let backslashes = backslash.wrapping_sub(ONES) & !backslash;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quotes | backslashes | controls) & HIGH;
        if found != 0 {
            return index * 8 + usize::try_from(found.trailing_zeros() / 8).expect("below 8");
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn is_json(text: &str) -> bool {
        Document::read(text, 100).is_ok()
    }

    #[test]
    fn takes_what_is_json_and_nothing_else() {
        for text in [
            "1",
            "-0",
            "0.5",
            "1e3",
            "-12.25E-7",
            "true",
            "false",
            "null",
            "\"\"",
            " [ ] ",
            "{}",
            "[1,[2,{\"a\":[]}]]",
            r#"{"a" : 1 , "a":"\u00e9\"\\\/\b\f\n\r\t","b":{"c":null}}"#,
            "\"é\u{7f}\"",
            "\t\r\n1\n",
        ] {
            assert!(is_json(text), "{text}");
            assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "nullx",
            "True",
            "NaN",
            "[",
            "]",
            "[1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1]",
            "[1}",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\u{0}\"",
            "1 2",
            "{} {}",
            "[]]",
            "{1:2}",
            "{\"a\":1 \"b\":2}",
            "\"abcdefgh\u{1f}\"",
        ] {
            assert!(!is_json(text), "{text}");
            assert!(serde_json::from_str::<&RawValue>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let document = Document::read(r#" {"b":[1, {"x":"y"} ,"z"],"a":" t ","b":null,"n":1e3} "#, 100).unwrap();
        let root = document.root();
        assert_eq!(root.get("a").and_then(Value::scalar).as_deref(), Some("t"));
        assert_eq!(root.get("b").map(Value::kind), Some(Kind::Null), "the last of equal names");
        assert!(root.get("x").is_none());
        let (_, first) = root.members().next().unwrap();
        assert_eq!(first.elements().map(Value::raw).collect::<Vec<_>>(), ["1", r#"{"x":"y"}"#, "\"z\""]);
        assert_eq!(first.members().count(), 0);
        let sorted: Vec<_> = root.sorted().into_iter().map(|(name, value)| (name, value.raw())).collect();
        let expected = [("a", "\" t \""), ("b", "null"), ("n", "1e3")];
        assert_eq!(sorted, expected.map(|(name, raw)| (Cow::Borrowed(name), raw)));
        let number = root.get("n").unwrap();
        assert_eq!((number.scalar().unwrap(), number.plain_scalar().unwrap()), ("1e3".into(), "1000.0".into()));
    }

    #[test]
    fn what_may_have_to_be_mended_is_noticed() {
        let unusual = |text: &str| Document::read(text, 2).unwrap().is_unusual();
        assert_eq!(["[[1]]", "[[[1]]]", "\"\\n\"", "\"\\u0041\""].map(unusual), [false, true, false, true]);
    }

    #[test]
    fn depth_costs_no_stack() {
        let text = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(is_json(&text));
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            any::<i64>().prop_map(Tree::from),
            any::<i32>().prop_map(|number| Tree::from(f64::from(number) / 4.0)),
            ".{0,20}".prop_map(Tree::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::from),
                prop::collection::vec((".{0,10}", inner), 0..6)
                    .prop_map(|fields| Tree::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// What a document says of itself, put together again.
    fn rebuilt(value: Value<'_, '_>) -> Tree {
        match value.kind() {
            Kind::Object => Tree::Object(
                value.members().map(|(name, value)| (name.string().into_owned(), rebuilt(value))).collect(),
            ),
            Kind::Array => Tree::Array(value.elements().map(rebuilt).collect()),
            Kind::String => Tree::String(value.string().into_owned()),
            Kind::Number | Kind::True | Kind::False | Kind::Null => value.tree(),
        }
    }

    proptest! {
        #[test]
        fn every_tree_is_read_as_it_is(tree in tree(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
            let document = Document::read(&text, 100).unwrap();
            prop_assert_eq!(rebuilt(document.root()), tree);
            prop_assert_eq!(document.root().raw(), text.as_str());
        }

        /// Damaged JSON is taken exactly when `serde_json` takes it.
        #[test]
        fn damage_is_noticed_as_others_notice_it(tree in tree(), at: prop::sample::Index, byte in 0_u8..0x80) {
            let mut bytes = serde_json::to_vec(&tree).unwrap();
            let at = at.index(bytes.len());
            if bytes[at].is_ascii() {
                bytes[at] = byte;
            }
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(is_json(&text), serde_json::from_str::<&RawValue>(&text).is_ok(), "{}", text);
        }
    }
}
