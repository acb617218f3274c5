//! JSON as trackers send it: mended where a known client breaks it, items kept as they were written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) mod document;

/// An object whose values stay as they were written. The last of equal names wins.
pub(crate) type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Nesting that is kept; what lies deeper becomes `null`. Below the limit of 128 that readers of JSON have.
pub(crate) const MAX_DEPTH: usize = 100;

/// Values that a body may have. Read, each takes up to about 72 bytes, however few it has as text.
const MAX_VALUES: usize = 400_000;

/// Whether a body has more events than `max_events` in an array at its top or in a field at its top, or more values
/// than are read. Costs next to nothing for bodies of usual size.
pub(crate) fn has_too_many(body: &[u8], max_events: usize) -> bool {
    let commas = count(body, |byte| byte == b',');
    if body.len() > MAX_VALUES && commas + count(body, |byte| matches!(byte, b'[' | b'{')) > MAX_VALUES {
        return true;
    }
    commas >= max_events && most_elements(body) > max_events
}

/// How many bytes are as wanted. In steps that a byte can count, which is what a processor does many of at once.
fn count(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    let of_step = |step: &[u8]| step.iter().fold(0_u8, |sum, byte| sum + u8::from(wanted(*byte)));
    bytes.chunks(usize::from(u8::MAX)).map(|step| usize::from(of_step(step))).sum()
}

/// A body as text, what is no UTF-8 in it replaced.
pub(crate) fn text(body: &[u8]) -> Cow<'_, str> {
    // Faster than the lossy way where nothing is to be replaced.
    std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

/// A text without white space around it.
pub(crate) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// How many elements the largest array has that is the body or a field of it. Strings may hold what they will.
fn most_elements(body: &[u8]) -> usize {
    let (mut most, mut elements, mut depth, mut in_string) = (0_usize, 0_usize, 0_usize, false);
    let mut array_at = None;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if byte == b'[' && depth <= 2 && array_at.is_none() {
                    (array_at, elements) = (Some(depth), 1);
                }
            }
            b']' | b'}' => {
                if array_at == Some(depth) {
                    most = most.max(elements);
                    array_at = None;
                }
                depth = depth.saturating_sub(1);
            }
            b',' if array_at == Some(depth) => elements += 1,
            _ => {}
        }
    }
    most.max(elements)
}

/// Mends what spoils a whole body: bare `NaN`, `Infinity` and `-Infinity` (Python) become `null`, raw control
/// characters in strings become escapes. `None` when there is nothing to mend.
pub(crate) fn mend_body(text: &str) -> Option<(String, Vec<&'static str>)> {
    let bytes = text.as_bytes();
    let mut rewriter = Rewriter::new(text);
    let mut at = 0;
    let mut in_string = false;
    while let Some(&byte) = bytes.get(at) {
        if in_string {
            match byte {
                b'\\' => at += 1,
                b'"' => in_string = false,
                0..0x20 => rewriter.replace(at..at + 1, &format!("\\u{byte:04x}"), "control-character"),
                _ => {}
            }
            at += 1;
        } else if byte == b'"' {
            in_string = true;
            at += 1;
        } else {
            let found = ["NaN", "Infinity", "-Infinity"].iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
            match found {
                Some(word) => {
                    rewriter.replace(at..at + word.len(), "null", "nan");
                    at += word.len();
                }
                None => at += 1,
            }
        }
    }
    rewriter.finish()
}

/// Mends what spoils one item, which must be JSON by its syntax: lone surrogates become U+FFFD, NUL is taken out (no
/// database takes it), what is nested too deep becomes `null`.
pub(crate) fn mend_item(text: &str) -> (Cow<'_, str>, Vec<&'static str>) {
    let bytes = text.as_bytes();
    let mut rewriter = Rewriter::new(text);
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = mend_string(text, at, &mut rewriter),
            b'{' | b'[' if depth == MAX_DEPTH => {
                let end = end_of_container(bytes, at);
                rewriter.replace(at..end, "null", "depth");
                at = end;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    match rewriter.finish() {
        Some((mended, repairs)) => (Cow::Owned(mended), repairs),
        None => (Cow::Borrowed(text), Vec::new()),
    }
}

/// Goes through the string that starts at `at` and says where it ends.
fn mend_string(text: &str, mut at: usize, rewriter: &mut Rewriter<'_>) -> usize {
    let bytes = text.as_bytes();
    at += 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => match escape(text, at) {
                Some(0) => {
                    rewriter.replace(at..at + 6, "", "nul");
                    at += 6;
                }
                Some(0xd800..=0xdbff) if matches!(escape(text, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
                Some(0xd800..=0xdfff) => {
                    rewriter.replace(at..at + 6, "\\ufffd", "lone-surrogate");
                    at += 6;
                }
                Some(_) => at += 6,
                None => at += 2,
            },
            _ => at += 1,
        }
    }
    at
}

/// The code unit of the `\uXXXX` that starts at `at`, if one does.
fn escape(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

/// Where the container that starts at `at` ends.
fn end_of_container(bytes: &[u8], mut at: usize) -> usize {
    let (mut depth, mut in_string) = (0_usize, false);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// Copies a text with some ranges replaced; copies nothing while there are none.
struct Rewriter<'t> {
    text: &'t str,
    copied: usize,
    out: String,
    repairs: Vec<&'static str>,
}

impl<'t> Rewriter<'t> {
    const fn new(text: &'t str) -> Self {
        Self { text, copied: 0, out: String::new(), repairs: Vec::new() }
    }

    fn replace(&mut self, range: Range<usize>, with: &str, repair: &'static str) {
        self.out.push_str(&self.text[self.copied..range.start]);
        self.out.push_str(with);
        self.copied = range.end;
        if !self.repairs.contains(&repair) {
            self.repairs.push(repair);
        }
    }

    fn finish(mut self) -> Option<(String, Vec<&'static str>)> {
        if self.repairs.is_empty() {
            return None;
        }
        self.out.push_str(&self.text[self.copied..]);
        Some((self.out, self.repairs))
    }
}

/// A scalar as text: a string trimmed, a number as it was written, so that big ones stay exact. `None` for `null`,
/// empty strings and containers: to a tracker they all say "nothing".
pub(crate) fn scalar(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => {
            let string: String = serde_json::from_str(text).ok()?;
            let trimmed = string.trim();
            (!trimmed.is_empty()).then(|| trimmed.to_owned())
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(text.to_owned()),
    }
}

/// A scalar of a parsed value as text, like [`scalar`].
pub(crate) fn scalar_of(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
    }
}

/// The scalar at a path of names.
pub(crate) fn at(value: &Value, path: &[&str]) -> Option<String> {
    path.iter().try_fold(value, |value, name| value.get(name)).and_then(scalar_of)
}

/// Every scalar of an object by its path, joined with dots; arrays as JSON text.
pub(crate) fn flatten(value: &Value) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    flatten_into(value, "", &mut flat);
    flat
}

fn flatten_into(value: &Value, path: &str, flat: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten_into(field, &path, flat);
            }
        }
        Value::Array(items) if !items.is_empty() => flat.push((path.to_owned(), value.to_string())),
        Value::Null | Value::Array(_) => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if let Some(text) = scalar_of(value) {
                flat.push((path.to_owned(), text));
            }
        }
    }
}

/// The same of a value of a document.
pub(crate) fn flat(value: document::Value<'_, '_>) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    flat_into(value, "", &mut flat);
    flat
}

fn flat_into(value: document::Value<'_, '_>, path: &str, flat: &mut Vec<(String, String)>) {
    if value.kind() == document::Kind::Object {
        for (name, field) in value.sorted() {
            let path = if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") };
            flat_into(field, &path, flat);
        }
    } else if let Some(text) = value.property() {
        flat.push((path.to_owned(), text.into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_where_events_stand() {
        for (body, most) in [
            ("", 0),
            ("{}", 0),
            ("[]", 1),
            ("[1,2,3]", 3),
            (r#"{"batch":[{"a":[1,2,3,4,5]},{"b":"],,,\",,"}],"x":1,"y":2}"#, 2),
            (r#"{"a":[1],"b":[1,2,3],"c":[1,2]}"#, 3),
            (r#"[[1,2,3],4]"#, 2),
            (r#"{"a":{"b":[1,2,3]}}"#, 0),
            ("[1,2", 2),
        ] {
            assert_eq!(most_elements(body.as_bytes()), most, "{body}");
        }
    }

    #[test]
    fn too_many_events_or_values_are_noticed_and_a_long_text_is_not() {
        let of = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!([of(100), of(101)].map(|body| has_too_many(body.as_bytes(), 100)), [false, true]);
        let text = format!(r#"{{"batch":[{{"text":"{}"}}]}}"#, ",".repeat(1000));
        assert!(!has_too_many(text.as_bytes(), 100));
        assert!(has_too_many(format!(r#"{{"a":{{"b":{}}}}}"#, of(MAX_VALUES)).as_bytes(), 100));
    }

    #[test]
    fn mends_bare_numbers_that_are_none_but_not_in_strings() {
        assert_eq!(
            mend_body(r#"{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN \" Infinity"}"#),
            Some((r#"{"a":null,"b":[null,null],"c":"NaN \" Infinity"}"#.to_owned(), vec!["nan"]))
        );
        assert_eq!(mend_body(r#"{"a":1}"#), None);
        assert_eq!(
            mend_body("{\"a\":\"x\u{0}y\"}"),
            Some(("{\"a\":\"x\\u0000y\"}".to_owned(), vec!["control-character"]))
        );
    }

    #[test]
    fn mends_lone_surrogates_and_leaves_pairs() {
        assert_eq!(
            mend_item(r#"{"a":"\ud83d\ude00 \ud83d x \ude00 \\ud83d"}"#),
            (Cow::Owned(r#"{"a":"\ud83d\ude00 \ufffd x \ufffd \\ud83d"}"#.to_owned()), vec!["lone-surrogate"])
        );
        let text = r#"{"a":"é \u00e9"}"#;
        assert_eq!(mend_item(text), (Cow::Borrowed(text), vec![]));
    }

    #[test]
    fn takes_out_nul() {
        assert_eq!(mend_item(r#"{"a":"x\u0000y"}"#), (Cow::Owned(r#"{"a":"xy"}"#.to_owned()), vec!["nul"]));
    }

    #[test]
    fn cuts_what_is_nested_too_deep() {
        let deep = format!("{}\"]\"{}", "[".repeat(150), "]".repeat(150));
        let (mended, repairs) = mend_item(&deep);
        assert_eq!(repairs, ["depth"]);
        assert_eq!(mended, format!("{}null{}", "[".repeat(100), "]".repeat(100)));
        assert!(serde_json::from_str::<Value>(&mended).is_ok());
    }

    proptest::proptest! {
        /// Whatever is JSON to begin with stays as it is, and mending never breaks it.
        #[test]
        fn mending_json_gives_json(texts in proptest::collection::vec(".{0,12}", 0..5)) {
            let json = serde_json::json!({ "a": texts, "b": [{ "c": 1.5 }] }).to_string();
            proptest::prop_assert_eq!(mend_body(&json), None);
            let (mended, _) = mend_item(&json);
            let value: Value = serde_json::from_str(&mended).unwrap();
            let without_nul: Vec<String> = texts.iter().map(|text| text.replace('\0', "")).collect();
            proptest::prop_assert_eq!(value["a"].clone(), serde_json::json!(without_nul));
        }
    }

    #[test]
    fn scalars_become_text_and_nothing_is_nothing() {
        let of = |text: &str| scalar(serde_json::from_str::<&RawValue>(text).unwrap());
        assert_eq!(of("12345678901234567890123"), Some("12345678901234567890123".to_owned()));
        assert_eq!(of("\" a \""), Some("a".to_owned()));
        assert_eq!([of("null"), of("\"\""), of("{}"), of("[1]")], [None, None, None, None]);
        assert_eq!(of("true"), Some("true".to_owned()));
    }

    #[test]
    fn flattens_with_dots() {
        let value = serde_json::json!({"company": {"name": "Acme", "size": 12}, "tags": ["a"], "x": null, "y": {}});
        let expected = [("company.name", "Acme"), ("company.size", "12"), ("tags", "[\"a\"]")];
        assert_eq!(flatten(&value), expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }
}
