//! Numbers as people and trackers write them.

/// The number that a text begins with: `250`, `1,000`, `51-200` (51), `1000+`, `50.5` (50), `約300名`, `1.5k` (1,500),
/// `3万人` (30,000), `５０` (50). `None` if it begins with none, is below zero, or has more than 64 bits.
///
/// Signs and words for "about" may stand before it. A point before exactly three digits (`1.000`) groups digits, as in
/// German; behind a zero it does not.
pub(crate) fn leading_number(text: &str) -> Option<u64> {
    let text: String = text.chars().map(narrow).collect();
    let mut rest = text.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '−'));
    for about in ["about ", "over ", "ca. ", "約", "およそ"] {
        let begins = rest.get(..about.len()).is_some_and(|start| start.eq_ignore_ascii_case(about));
        rest = if begins { rest[about.len()..].trim_start() } else { rest };
    }
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
    let (whole, mut rest) = rest.split_at(end);
    let mut whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    while let Some(digits) = grouped(rest).filter(|_| !whole.is_empty() && whole != "0") {
        whole.push_str(digits);
        rest = &rest[1 + digits.len()..];
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction = rest.strip_prefix('.').map_or("", |rest| &rest[..digits_at(rest).min(6)]);
    if !fraction.is_empty() {
        rest = &rest[1 + digits_at(&rest[1..])..];
    }
    let unit = unit(rest.trim_start())?;
    let places = u32::try_from(fraction.len()).ok()?;
    let part = fraction.parse::<u64>().unwrap_or(0).checked_mul(unit)? / 10_u64.pow(places);
    whole.checked_mul(unit)?.checked_add(part)
}

/// The three digits behind a point that groups digits.
fn grouped(rest: &str) -> Option<&str> {
    let digits = rest.strip_prefix('.')?;
    (digits_at(digits) == 3).then(|| &digits[..3])
}

fn digits_at(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// By how much the words behind a number multiply it; 1 where there are none.
fn unit(text: &str) -> Option<u64> {
    let mut chars = text.chars();
    let (first, next) = (chars.next(), chars.next());
    if next.is_none_or(|c| !c.is_alphanumeric()) {
        match first {
            Some('k' | 'K') => return Some(1_000),
            Some('m' | 'M') => return Some(1_000_000),
            Some(_) | None => {}
        }
    }
    let mut unit = 1_u64;
    for c in text.chars() {
        let times = match c {
            '百' => 100,
            '千' => 1_000,
            '万' => 10_000,
            '億' => 100_000_000,
            _ => break,
        };
        unit = unit.checked_mul(times)?;
    }
    Some(unit)
}

/// Digits and signs of full width as those of ASCII.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_as_people_write_them() {
        for (text, number) in [
            ("250", Some(250)),
            ("1,000", Some(1_000)),
            (" 51-200", Some(51)),
            ("10,001+ employees", Some(10_001)),
            ("1000+", Some(1_000)),
            ("50.5", Some(50)),
            ("1.001-5.000", Some(1_001)),
            ("1.5k", Some(1_500)),
            ("$5M", Some(5_000_000)),
            ("5 min", Some(5)),
            ("0.125", Some(0)),
            ("> 1000", Some(1_000)),
            ("About 300", Some(300)),
            ("約300名", Some(300)),
            ("３，０００人", Some(3_000)),
            ("1千万円", Some(10_000_000)),
            ("3万人", Some(30_000)),
            ("5〜10人", Some(5)),
            ("many", None),
            ("", None),
            (",", None),
            ("-5", None),
            ("99999999999999999999", None),
            ("9999999999999999999億", None),
        ] {
            assert_eq!(leading_number(text), number, "{text}");
        }
    }
}
