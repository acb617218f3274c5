//! Phone numbers, however they are written.

use unicode_normalization::UnicodeNormalization;

/// Country codes of one and of two digits (ITU-T E.164); all others have three.
const ONE_DIGIT: [&str; 2] = ["1", "7"];
const TWO_DIGITS: [&str; 43] = [
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95",
];

/// Fewest digits behind the country code: shorter ones are extensions and typing errors.
const FEWEST: usize = 8;

/// What numbers of one line have in common: the digits behind country code and trunk prefix. Without the country, since
/// at home nobody writes it: that two countries have one number is rarer than a typing error.
pub(super) fn keys(written: &str) -> Option<String> {
    let text: String = written.nfkc().collect::<String>().replace("(0)", "");
    // What follows is an extension.
    let end =
        text.find(|c: char| c.is_alphabetic() || c == '#' || c == '内').filter(|at| *at > 0).unwrap_or(text.len());
    let (text, abroad) = match text[..end].trim().strip_prefix('+') {
        Some(rest) => (rest.to_owned(), true),
        None => (text[..end].to_owned(), false),
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let (digits, abroad) = match (abroad, digits.strip_prefix("00")) {
        (false, Some(rest)) => (rest.to_owned(), true),
        (_, _) => (digits, abroad),
    };
    let national = if abroad { digits.get(code_length(&digits)..).unwrap_or_default() } else { digits.as_str() };
    let national = national.trim_start_matches('0');
    (national.len() >= FEWEST).then(|| national.to_owned())
}

fn code_length(digits: &str) -> usize {
    let begins = |codes: &[&str]| codes.iter().any(|code| digits.starts_with(code));
    if begins(&ONE_DIGIT) {
        1
    } else if begins(&TWO_DIGITS) {
        2
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_has_one_key_however_it_is_written() {
        for (written, key) in [
            ("+81 3-1234-5678", Some("312345678")),
            ("03-1234-5678", Some("312345678")),
            ("03(1234)5678", Some("312345678")),
            ("０３－１２３４－５６７８", Some("312345678")),
            ("0081 3 1234 5678", Some("312345678")),
            ("03-1234-5678 内線 12", Some("312345678")),
            ("090-1234-5678", Some("9012345678")),
            ("+44 (0)20 7946 0018", Some("2079460018")),
            ("020 7946 0018", Some("2079460018")),
            ("+1 (212) 555-0123 ext. 7", Some("2125550123")),
            ("(212) 555-0123", Some("2125550123")),
            ("+353 1 234 56789", Some("123456789")),
            ("12-3456", None),
            ("", None),
            ("ext 7", None),
        ] {
            assert_eq!(keys(written).as_deref(), key, "{written}");
        }
    }
}
