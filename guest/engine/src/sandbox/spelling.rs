//! Every way in which a tool may read a text as a path (engine.md §6.2): as it is, percent-decoded up to three times, with
//! backslashes for slashes, as a `file:` URL. All of them must be inside. Nothing is resolved here.

use std::borrow::Cow;

/// Longest path that is looked at, in bytes: what Linux takes at once.
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// So often may a path be percent-encoded.
const MAX_DECODINGS: usize = 3;

/// Nobody can say beforehand what the text leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknowable;

/// Gives every spelling of a text to `found`; the text itself without a copy.
///
/// # Errors
/// Control characters, a text that is too long, encodings of encodings of encodings, bytes that are not UTF-8, a file on
/// another machine.
pub(super) fn spellings<'t>(text: &'t str, mut found: impl FnMut(Cow<'t, str>)) -> Result<(), Unknowable> {
    if text.len() > MAX_PATH_BYTES {
        return Err(Unknowable);
    }
    let mut current = Cow::Borrowed(text);
    for _ in 0..MAX_DECODINGS {
        let next = decoded(&current)?;
        readings(current, &mut found)?;
        match next {
            Some(text) => current = Cow::Owned(text),
            None => return Ok(()),
        }
    }
    if decoded(&current)?.is_some() {
        return Err(Unknowable);
    }
    readings(current, &mut found)
}

fn readings<'t>(text: Cow<'t, str>, found: &mut impl FnMut(Cow<'t, str>)) -> Result<(), Unknowable> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(Unknowable);
    }
    if text.contains('\\') {
        reading(Cow::Owned(text.replace('\\', "/")), found)?;
    }
    reading(text, found)
}

fn reading<'t>(text: Cow<'t, str>, found: &mut impl FnMut(Cow<'t, str>)) -> Result<(), Unknowable> {
    let Some(rest) = file_url(&text) else {
        found(text);
        return Ok(());
    };
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(Unknowable);
            }
            path
        }
    };
    // Some readers keep what looks like a query, others cut it off.
    let cut = path.split(['?', '#']).next().unwrap_or(path);
    for path in [path, cut] {
        // `file:x` is `/x` to browsers and relative to others.
        if !path.starts_with('/') {
            found(Cow::Owned(format!("/{path}")));
        }
        found(Cow::Owned(path.to_owned()));
        if cut.len() == path.len() {
            break;
        }
    }
    // A tool that knows no URLs would take it for a relative path; only with `..` can that lead out.
    if climbs(&text) {
        found(text);
    }
    Ok(())
}

/// Whether `..` is one of its components.
pub(super) fn climbs(path: &str) -> bool {
    path.split(['/', '\\']).any(|component| component == "..")
}

/// What follows the scheme of a `file:` or `…+file:` URL.
pub(super) fn file_url(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at(scheme_length(text)?);
    let tail = scheme.rsplit('+').next().unwrap_or(scheme);
    if tail.eq_ignore_ascii_case("file") { rest.strip_prefix(':') } else { None }
}

/// What a URL begins with: the length of `scheme://`. One letter is a drive, not a scheme.
pub(super) fn url_scheme(text: &str) -> Option<usize> {
    let end = scheme_length(text)?;
    let scheme = end >= 2 && text.starts_with(|first: char| first.is_ascii_alphabetic());
    (scheme && text.get(end..)?.starts_with("://")).then_some(end + 3)
}

/// Where the characters end that a scheme may have; looks no further.
fn scheme_length(text: &str) -> Option<usize> {
    text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
}

/// Percent-decoded once; none when there is nothing to decode.
///
/// # Errors
/// Bytes that are not UTF-8: lenient readers make `..` of some.
pub(super) fn decoded(text: &str) -> Result<Option<String>, Unknowable> {
    let Some(first) = text.find('%') else { return Ok(None) };
    let bytes = text.as_bytes();
    let mut out = bytes.get(..first).unwrap_or(bytes).to_vec();
    let mut at = first;
    let mut any = false;
    while let Some(&byte) = bytes.get(at) {
        let pair = (bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex));
        if let (b'%', (Some(high), Some(low))) = (byte, pair) {
            out.push(high << 4 | low);
            at += 3;
            any = true;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    if !any {
        return Ok(None);
    }
    String::from_utf8(out).map(Some).map_err(|_| Unknowable)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<String>, Unknowable> {
        let mut list = Vec::new();
        spellings(text, |spelling| list.push(spelling.into_owned()))?;
        Ok(list)
    }

    #[test]
    fn gives_every_reading_of_an_encoded_path() {
        for (text, expected) in [
            ("a/b", &["a/b"][..]),
            ("100%", &["100%"]),
            ("%zz%2", &["%zz%2"]),
            ("%2e%2e/x", &["%2e%2e/x", "../x"]),
            ("%252e%252E/x", &["%252e%252E/x", "%2e%2E/x", "../x"]),
            ("%25252e", &["%25252e", "%252e", "%2e", "."]),
            (r"..\x", &["../x", r"..\x"]),
            ("..%5cx", &["..%5cx", "../x", r"..\x"]),
            ("file:///etc/x", &["/etc/x"]),
            ("FILE://localhost/etc/x", &["/etc/x", "/etc/x"]),
            ("git+file:/etc/x", &["/etc/x"]),
            ("file:x", &["/x", "x"]),
            ("file:/a?b/../c", &["/a?b/../c", "/a", "file:/a?b/../c"]),
            (r"file:\\\etc", &["/etc", r"/\\\etc", r"\\\etc"]),
        ] {
            let mut found = all(text).unwrap();
            found.dedup();
            let mut expected = expected.to_vec();
            expected.dedup();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        let long = "a".repeat(MAX_PATH_BYTES + 1);
        for text in [
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a%00b",
            "a%250ab",
            "%2525252e",
            "%c0%ae%c0%ae/x",
            "%ff",
            "file://host/x",
            "%66ile://host/x",
            &long,
        ] {
            assert_eq!(all(text), Err(Unknowable), "{text:?}");
        }
    }

    #[test]
    fn knows_a_scheme_from_a_drive() {
        assert_eq!(url_scheme("https://a"), Some(8));
        assert_eq!(url_scheme("git+ssh://a"), Some(10));
        for text in ["c://x", "1a://x", "a b://x", "https:/x", "https", "://x", ""] {
            assert_eq!(url_scheme(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_the_text(text in any::<String>()) {
            if let Ok(list) = all(&text) {
                prop_assert!(file_url(&text.replace('\\', "/")).is_some() || list.contains(&text));
            }
        }

        #[test]
        fn decoding_ends(text in "(%(25)*(2e|2f|5c)|[a./]){0,12}") {
            if let Ok(list) = all(&text) {
                // The last one cannot be decoded further.
                let last = list.last().unwrap();
                prop_assert_eq!(decoded(last), Ok(None));
            }
        }
    }
}
