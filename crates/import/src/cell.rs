//! What Excel and people do to a cell, undone where it can be undone without guessing.

use unicode_normalization::UnicodeNormalization;

/// A cell without the marks of spreadsheets and without space around it: `'090...` (text, says Excel), `="090..."`.
pub(crate) fn clean(cell: &str) -> &str {
    let trimmed = trim(cell);
    let unmarked = trimmed.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or(trimmed);
    match unmarked.strip_prefix('\'') {
        Some(rest) if rest.starts_with(|next: char| next.is_numeric() || "=+-@".contains(next)) => trim(rest),
        _ => trim(unmarked),
    }
}

/// Without space of any kind around it, and without characters that nobody sees.
fn trim(text: &str) -> &str {
    text.trim_matches(|edge: char| edge.is_whitespace() || "\u{200b}\u{feff}\u{2060}".contains(edge))
}

/// Letters and digits of full width as ordinary ones, half-width katakana as ordinary ones.
pub(crate) fn plain(cell: &str) -> String {
    if cell.is_ascii() { cell.to_owned() } else { trim(&cell.nfkc().collect::<String>()).to_owned() }
}

/// What Excel writes where a formula failed.
pub(crate) fn is_excel_error(cell: &str) -> bool {
    let errors = ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"];
    errors.contains(&cell) || (cell.len() > 3 && cell.bytes().all(|byte| byte == b'#'))
}

/// Why a phone number is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPhone {
    #[error("is a number that Excel has rounded: its digits are lost; take it from the original file, as text")]
    Rounded,
    #[error("has neither a leading 0 nor a +: Excel drops leading zeros; write it with 0 or +, as text")]
    NoLeadingZero,
    #[error("is no phone number")]
    Form,
}

/// A phone number in its plain form. A number that a spreadsheet has taken for a quantity is refused.
pub(crate) fn phone(cell: &str) -> Result<String, NoPhone> {
    let text = plain(cell).replace(['‐', '‑', '−', '–', '—', '―', 'ー'], "-");
    let is_quantity = text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if is_quantity && text.contains(['e', 'E', '.']) && text.parse::<f64>().is_ok() && text.matches('.').count() <= 1 {
        return Err(NoPhone::Rounded);
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let known = text.chars().all(|next| next.is_ascii_digit() || " +-()./*#,;:".contains(next) || next.is_alphabetic());
    if !(3..=24).contains(&digits) || !known {
        return Err(NoPhone::Form);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && (9..=10).contains(&digits) {
        return Err(NoPhone::NoLeadingZero);
    }
    Ok(text)
}

/// Whether somebody came, as lists of participants say it.
pub(crate) fn attended(cell: &str) -> Option<bool> {
    let text = plain(cell).to_lowercase();
    let yes = [
        "○",
        "〇",
        "◯",
        "◎",
        "✓",
        "✔",
        "1",
        "yes",
        "y",
        "true",
        "attended",
        "present",
        "joined",
        "checked in",
        "checked-in",
        "show",
        "出席",
        "参加",
        "来場",
        "受講",
        "済",
        "来場済",
        "来場済み",
        "参加済",
        "参加済み",
        "出席済",
        "受講済",
        "受講済み",
        "視聴",
        "視聴済",
        "あり",
        "有",
        "はい",
    ];
    let no = [
        "×",
        "✕",
        "x",
        "-",
        "0",
        "no",
        "n",
        "false",
        "absent",
        "no show",
        "no-show",
        "noshow",
        "not attended",
        "did not attend",
        "cancelled",
        "canceled",
        "registered",
        "欠席",
        "不参加",
        "未参加",
        "未来場",
        "未受講",
        "未視聴",
        "キャンセル",
        "辞退",
        "申込",
        "申込のみ",
        "なし",
        "無",
        "いいえ",
    ];
    match (yes.contains(&text.as_str()), no.contains(&text.as_str())) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_spreadsheets_are_taken_off() {
        for (cell, text) in
            [("'0901234", "0901234"), ("=\"0901234\"", "0901234"), ("\u{3000} a b\u{200b} ", "a b"), ("'tis", "'tis")]
        {
            assert_eq!(clean(cell), text, "{cell}");
        }
        assert_eq!(plain("ｈａｎａｋｏ＠ａｃｍｅ．ｅｘａｍｐｌｅ"), "hanako@acme.example");
        assert!(is_excel_error("#N/A") && is_excel_error("########") && !is_excel_error("#1"));
    }

    #[test]
    fn a_phone_number_that_excel_has_spoilt_is_not_guessed() {
        for (cell, phone_or_not) in [
            ("090-1234-5678", Ok("090-1234-5678")),
            ("０９０ー１２３４ー５６７８", Ok("090-1234-5678")),
            ("+81 90 1234 5678", Ok("+81 90 1234 5678")),
            ("(415) 555-0123", Ok("(415) 555-0123")),
            ("03-1234-5678 内線12", Ok("03-1234-5678 内線12")),
            ("110", Ok("110")),
            ("9012345678", Err(NoPhone::NoLeadingZero)),
            ("312345678", Err(NoPhone::NoLeadingZero)),
            ("8.19E+10", Err(NoPhone::Rounded)),
            ("8.19012E+11", Err(NoPhone::Rounded)),
            ("9012345678.0", Err(NoPhone::Rounded)),
            ("なし", Err(NoPhone::Form)),
        ] {
            assert_eq!(phone(cell), phone_or_not.map(str::to_owned), "{cell}");
        }
    }

    #[test]
    fn whether_somebody_came_is_read_and_not_guessed() {
        assert_eq!(
            ["○", "参加", "Yes", "欠席", "No-Show", "×", "多分"].map(attended),
            [Some(true), Some(true), Some(true), Some(false), Some(false), Some(false), None]
        );
    }
}
