//! Names in kana and in Latin letters, made alike: Hepburn, long vowels folded. Characters with a meaning (kanji) have
//! several readings: what has one gives nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Kana as hiragana, each with its sound in Hepburn.
const KANA: &str = "
    きゃ kya  きゅ kyu  きょ kyo  しゃ sha  しゅ shu  しょ sho  しぇ she  ちゃ cha  ちゅ chu  ちょ cho  ちぇ che
    にゃ nya  にゅ nyu  にょ nyo  ひゃ hya  ひゅ hyu  ひょ hyo  みゃ mya  みゅ myu  みょ myo  りゃ rya  りゅ ryu
    りょ ryo  ぎゃ gya  ぎゅ gyu  ぎょ gyo  じゃ ja  じゅ ju  じょ jo  じぇ je  ぢゃ ja  ぢゅ ju  ぢょ jo  びゃ bya
    びゅ byu  びょ byo  ぴゃ pya  ぴゅ pyu  ぴょ pyo  ふぁ fa  ふぃ fi  ふぇ fe  ふぉ fo  ふゅ fyu  てぃ ti  でぃ di
    でゅ dyu  とぅ tu  どぅ du  うぃ wi  うぇ we  うぉ wo  ゔぁ va  ゔぃ vi  ゔぇ ve  ゔぉ vo  あ a  い i  う u
    え e  お o  か ka  き ki  く ku  け ke  こ ko  さ sa  し shi  す su  せ se  そ so  た ta  ち chi
    つ tsu  て te  と to  な na  に ni  ぬ nu  ね ne  の no  は ha  ひ hi  ふ fu  へ he  ほ ho  ま ma
    み mi  む mu  め me  も mo  や ya  ゆ yu  よ yo  ら ra  り ri  る ru  れ re  ろ ro  わ wa  ゐ i  ゑ e
    を o  ん n  が ga  ぎ gi  ぐ gu  げ ge  ご go  ざ za  じ ji  ず zu  ぜ ze  ぞ zo  だ da  ぢ ji  づ zu
    で de  ど do  ば ba  び bi  ぶ bu  べ be  ぼ bo  ゔ vu  ぱ pa  ぴ pi  ぷ pu  ぺ pe  ぽ po  ぁ a  ぃ i
    ぅ u  ぇ e  ぉ o  ゃ ya  ゅ yu  ょ yo  ゎ wa
";

/// [`KANA`] to be looked up.
static SOUNDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let mut parts = KANA.split_whitespace();
    std::iter::from_fn(|| Some((parts.next()?, parts.next()?))).collect()
});

/// Other ways of writing the same (Kunrei and passport spellings), before Hepburn; longer ones first.
const SPELLINGS: [(&str, &str); 22] = [
    ("sya", "sha"),
    ("syu", "shu"),
    ("syo", "sho"),
    ("tya", "cha"),
    ("tyu", "chu"),
    ("tyo", "cho"),
    ("zya", "ja"),
    ("zyu", "ju"),
    ("zyo", "jo"),
    ("jya", "ja"),
    ("jyu", "ju"),
    ("jyo", "jo"),
    ("dzu", "zu"),
    ("cch", "tch"),
    ("si", "shi"),
    ("ti", "chi"),
    ("tu", "tsu"),
    ("zi", "ji"),
    ("mb", "nb"),
    ("mp", "np"),
    ("mm", "nm"),
    ("l", "r"),
];

/// A name's words run together, both ways round where there are two: who writes kana without a space says not where the
/// family name ends. Nothing if it has characters that are neither Latin letters nor kana.
pub(super) fn joined(name: &str) -> Vec<String> {
    let name = name.nfkc().collect::<String>().to_lowercase();
    let Some(words) = words(&name).map(latin).collect::<Option<Vec<String>>>() else { return Vec::new() };
    let mut ways = vec![words.concat()];
    match words.as_slice() {
        [family, given] => ways.push(format!("{given}{family}")),
        [] | [_] => {}
        many => {
            let mut sorted = many.to_vec();
            sorted.sort_unstable();
            ways.push(sorted.concat());
        }
    }
    let mut ways: Vec<String> = ways.iter().map(|way| folded(way)).filter(|way| way.len() >= 2).collect();
    ways.sort_unstable();
    ways.dedup();
    ways
}

/// The words of a name.
pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| c.is_whitespace() || matches!(c, ',' | '、' | '・' | '.')).filter(|word| !word.is_empty())
}

/// A word in Latin letters; `None` if it has others than those and kana.
fn latin(word: &str) -> Option<String> {
    let word: String = word.chars().map(hiragana).collect();
    let (mut rest, mut out, mut doubled) = (word.as_str(), String::new(), false);
    while let Some(first) = rest.chars().next() {
        if first == 'っ' {
            (rest, doubled) = (&rest[first.len_utf8()..], true);
            continue;
        }
        let two = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
        let found = [two, first.len_utf8()].iter().find_map(|end| Some((*end, *SOUNDS.get(&rest[..*end])?)));
        let (end, sound) = match found {
            Some((end, sound)) => (end, sound.to_owned()),
            None => (first.len_utf8(), plain_letter(first)?),
        };
        if std::mem::take(&mut doubled) {
            let consonant = if sound.starts_with("ch") { Some('t') } else { sound.chars().next() };
            out.extend(consonant);
        }
        out.push_str(&sound);
        rest = &rest[end..];
    }
    Some(out)
}

/// Katakana as hiragana.
fn hiragana(c: char) -> char {
    match c {
        'ァ'..='ヴ' => char::from_u32(u32::from(c) - 0x60).unwrap_or(c),
        other => other,
    }
}

/// A Latin letter without its marks; `None` for others.
fn plain_letter(letter: char) -> Option<String> {
    // The first lengthens a vowel; hyphens and apostrophes stand between parts of one name.
    if matches!(letter, 'ー' | '-' | '\'' | '’' | '‐') {
        return Some(String::new());
    }
    let plain: String = letter.nfkd().filter(|c| !is_combining_mark(*c)).collect();
    match letter {
        'ß' => Some("ss".to_owned()),
        'ø' => Some("o".to_owned()),
        'æ' => Some("ae".to_owned()),
        'ł' => Some("l".to_owned()),
        _ => plain.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(plain),
    }
}

/// Spellings made alike, long vowels made short: Satou, Satoh, Sato.
fn folded(name: &str) -> String {
    let mut name = name.to_owned();
    for (from, to) in SPELLINGS {
        name = name.replace(from, to);
    }
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len());
    for (at, letter) in letters.iter().copied().enumerate() {
        let before = out.chars().next_back();
        let next = letters.get(at + 1).copied();
        let is_long = match letter {
            'a' | 'i' | 'e' => before == Some(letter),
            'o' => before == Some('o'),
            'u' => matches!(before, Some('u' | 'o')),
            'h' => before == Some('o') && next.is_none_or(|next| !"aiueoy".contains(next)),
            _ => false,
        };
        // f and h before u are one sound, but not behind s and c.
        let letter =
            if letter == 'h' && next == Some('u') && !matches!(before, Some('s' | 'c')) { 'f' } else { letter };
        if !is_long {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_one_however_it_is_written() {
        for (names, expected) in [
            (&["Sato", "Satou", "Satoh", "Satō", "サトウ", "さとう", "ｻﾄｳ", "SATO"][..], "sato"),
            (&["Ono", "Ohno", "Oono", "Ōno", "おおの", "オーノ"], "ono"),
            (&["Ohara", "オハラ"], "ohara"),
            (&["Shinbashi", "Shimbashi", "Sinbasi", "しんばし"], "shinbashi"),
            (&["Jun'ichi", "Junichi", "Zyuniti", "じゅんいち"], "junichi"),
            (&["Hattori", "はっとり"], "hattori"),
            (&["Fujii", "Huzii", "ふじい"], "fuji"),
            (&["Chuuji", "Chuji", "Tyuzi", "ちゅうじ"], "chuji"),
            (&["Icchi", "Itchi", "いっち"], "itchi"),
            (&["Inoue", "イノウエ"], "inoe"),
            (&["Müller", "Muller"], "murrer"),
        ] {
            for name in names {
                assert_eq!(joined(name), [expected], "{name}");
            }
        }
    }

    #[test]
    fn two_words_are_joined_both_ways_and_kana_may_have_no_space() {
        let hanako = joined("さとう はなこ");
        assert_eq!(hanako, ["hanakosato", "satohanako"]);
        assert_eq!(joined("Hanako  SATO"), hanako);
        assert!(hanako.contains(&joined("サトウハナコ")[0]));
        // Joined, the end of one and the begin of the other may look like a long vowel: everywhere alike.
        assert!(joined("さと うえだ").contains(&joined("さとうえだ")[0]));
    }

    #[test]
    fn kanji_and_other_scripts_give_nothing() {
        for name in ["佐藤", "佐藤 はなこ", "Анна", "김", "", " ・ ", "S"] {
            assert_eq!(joined(name), Vec::<String>::new(), "{name}");
        }
    }
}
