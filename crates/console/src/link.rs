//! Addresses of pages, with what stands in them encoded.

use std::fmt::Write;

/// A path with a query of these pairs, leaving out those without a value.
pub(crate) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut link = path.to_owned();
    let mut mark = '?';
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        link.push(mark);
        link.push_str(name);
        link.push('=');
        encode_into(&mut link, value);
        mark = '&';
    }
    link
}

/// The page of an account.
pub(crate) fn to_account(id: &str) -> String {
    let mut link = "/accounts/".to_owned();
    encode_into(&mut link, id);
    link
}

/// The same page with `?lang=`, whatever else its query holds.
pub(crate) fn in_language(target: &str, code: &str) -> String {
    let plain = without_language(target);
    let mark = if plain.contains('?') { '&' } else { '?' };
    format!("{plain}{mark}lang={code}")
}

/// Path and query without `lang=`.
pub(crate) fn without_language(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("lang=") && !pair.is_empty()).collect();
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) }
}

/// Where to go after signing in: only a path of our own, else the list.
pub(crate) fn own_path(target: &str) -> &str {
    let ours = target.starts_with('/')
        && !target.starts_with("//")
        && !target.starts_with("/sign-")
        && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if ours { target } else { "/leads" }
}

/// A value out of a query. What is not properly encoded gives nothing.
pub(crate) fn decode(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let hex = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = hex else { return String::new() };
                bytes.push(byte);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn encode_into(link: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            write!(link, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_and_empty_ones_left_out() {
        assert_eq!(
            with_query("/leads", &[("search", "a&b 田"), ("stage", ""), ("after", "w.1")]),
            "/leads?search=a%26b%20%E7%94%B0&after=w.1"
        );
    }

    #[test]
    fn an_encoded_value_reads_back() {
        let link = with_query("", &[("next", "/leads?search=a&b 田+%")]);
        assert_eq!(decode(link.strip_prefix("?next=").unwrap()), "/leads?search=a&b 田+%");
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(broken), "", "{broken:?}");
        }
    }

    #[test]
    fn the_language_replaces_an_earlier_one() {
        assert_eq!(in_language("/leads?lang=en&stage=MQL", "ja"), "/leads?stage=MQL&lang=ja");
        assert_eq!(without_language("/leads?lang=en"), "/leads");
    }

    #[test]
    fn nobody_is_led_to_another_site_after_signing_in() {
        assert_eq!(own_path("/leads/1?a=b"), "/leads/1?a=b");
        for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "", "/a\r\nb", "/sign-in"] {
            assert_eq!(own_path(elsewhere), "/leads", "{elsewhere:?}");
        }
    }
}
