//! What secrets look like by themselves (engine.md §10.3): a prefix that their issuer gives them, and enough characters
//! after it. Found anywhere in a text, where a word begins.

use std::ops::Range;

use super::text::Text;

/// One kind of secret.
struct Family {
    /// How it begins; `?` is any small letter.
    prefix: &'static str,
    /// Place in the prefix of the byte at which the scan stops to look.
    anchor: usize,
    /// The byte before that one.
    last: u8,
    /// What follows, greedily.
    alphabet: fn(u8) -> bool,
    /// At least so many of these.
    least: usize,
}

#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn family(prefix: &'static str, anchor: usize, alphabet: fn(u8) -> bool, least: usize) -> Family {
    Family { prefix, anchor, last: prefix.as_bytes()[anchor - 1], alphabet, least }
}

/// Looked for at a `-`.
const WITH_DASH: [Family; 13] = [
    family("sk-proj-", 2, word, API_KEY_LENGTH),
    family("sk-ant-", 2, word, API_KEY_LENGTH),
    family("sk-svcacct-", 2, word, API_KEY_LENGTH),
    family("sk-admin-", 2, word, API_KEY_LENGTH),
    family(API_KEY, 2, word, API_KEY_LENGTH),
    family("xox?-", 4, word, 10),
    family("xapp-", 4, word, 10),
    family("glpat-", 5, dotted, 16),
    family("glptt-", 5, dotted, 16),
    family("gldt-", 4, dotted, 16),
    family("glrt-", 4, dotted, 16),
    family("pypi-", 4, word, 50),
    family("AGE-SECRET-KEY-1", 3, upper, 50),
];

/// Looked for at a `_`.
const WITH_LINE: [Family; 11] = [
    family("gh?_", 3, alphanumeric, 20),
    family("github_pat_", 6, word, 20),
    family("sk_live_", 2, alphanumeric, 10),
    family("sk_test_", 2, alphanumeric, 10),
    family("rk_live_", 2, alphanumeric, 10),
    family("rk_test_", 2, alphanumeric, 10),
    family("npm_", 3, alphanumeric, 20),
    family("hf_", 2, alphanumeric, 20),
    family("whsec_", 5, alphanumeric, 20),
    family("dckr_pat_", 4, word, 20),
    family("dop_v1_", 3, alphanumeric, 32),
];

/// Looked for at an `I`.
const WITH_I: [Family; 3] = [family("AKIA", 2, upper, 16), family("ASIA", 2, upper, 16), family("AIza", 1, word, 30)];

/// Needs more than its prefix: `sk-` also begins names of styles and tasks.
const API_KEY: &str = "sk-";
const API_KEY_LENGTH: usize = 20;

/// So far a digit or a capital is looked for in an `sk-` key.
const API_KEY_SAMPLE: usize = 64;

/// A JSON web token: the base64 of `{"`.
const TOKEN: &[u8] = b"eyJ";

/// Header of a token: so long with any second part, or shorter when the second part is JSON too.
const TOKEN_HEADER: usize = 20;
const TOKEN_SHORT_HEADER: usize = 8;

const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";
const PEM_DASHES: &[u8] = b"-----";

/// Longest label of a PEM block, as in `RSA PRIVATE KEY`.
const PEM_LABEL: usize = 64;

const BEARER: &[u8] = b"bearer";

/// A bearer token of any letters, and one that has a digit.
const BEARER_LENGTH: usize = 20;
const BEARER_LENGTH_WITH_DIGIT: usize = 8;

/// Finds secrets by their look. Remembers what would make it look at the same run twice.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// No token begins before this place.
    no_token_before: usize,
}

impl Families {
    /// The secret whose anchor is at a place.
    pub(super) fn at(&mut self, text: Text<'_>, anchor: usize) -> Option<Range<usize>> {
        match text.at(anchor) {
            b'-' if text.starts(anchor, PEM_BEGIN) => pem(text, anchor),
            b'-' => listed(&WITH_DASH, text, anchor),
            b'_' => listed(&WITH_LINE, text, anchor),
            b'I' => listed(&WITH_I, text, anchor),
            b'J' => self.token(text, anchor.checked_sub(2)?),
            b'b' | b'B' => bearer(text, anchor),
            _ => None,
        }
    }

    fn token(&mut self, text: Text<'_>, start: usize) -> Option<Range<usize>> {
        if start < self.no_token_before || !begins(text, start) || !text.starts(start, TOKEN) {
            return None;
        }
        let header = start + TOKEN.len();
        let end = text.run(header, usize::MAX, word);
        let length = end - header;
        let second = text.at(end) == b'.'
            && (length >= TOKEN_HEADER || (length >= TOKEN_SHORT_HEADER && text.starts(end + 1, TOKEN)));
        if !second {
            self.no_token_before = end;
            return None;
        }
        Some(start..text.run(end, usize::MAX, dotted))
    }
}

/// Whether a text begins with a secret.
pub(super) fn begin(text: &str) -> bool {
    let text = Text { bytes: text.as_bytes(), from: 0 };
    // Every anchor is within the first few bytes.
    (0..8).any(|anchor| Families::default().at(text, anchor).is_some_and(|found| found.start == 0))
}

/// Whether a word begins at a place: after anything that is no letter or digit, and after an escape (`\n`, `\x0a`,
/// `%3D`), whose last character looks like one.
fn begins(text: Text<'_>, start: usize) -> bool {
    if start < text.from {
        return false;
    }
    let last = text.before(start);
    if !last.is_ascii_alphanumeric() {
        return true;
    }
    let back = |steps: usize| start.checked_sub(steps).map_or(0, |place| text.before(place));
    let hex = |steps: std::ops::RangeInclusive<usize>| steps.clone().all(|step| back(step).is_ascii_hexdigit());
    (matches!(last, b'n' | b'r' | b't' | b'b' | b'f' | b'v') && back(1) == b'\\')
        || (hex(0..=1) && (back(2) == b'%' || (back(2) == b'x' && back(3) == b'\\')))
        || (hex(0..=3) && back(4) == b'u' && back(5) == b'\\')
}

fn listed(families: &[Family], text: Text<'_>, anchor: usize) -> Option<Range<usize>> {
    let last = text.at(anchor.wrapping_sub(1));
    if !last.is_ascii_alphabetic() {
        return None;
    }
    let matches = |byte: u8, expected: u8| byte == expected || (expected == b'?' && byte.is_ascii_lowercase());
    families.iter().filter(|family| matches(last, family.last)).find_map(|family| {
        let start = anchor.checked_sub(family.anchor)?;
        let prefix = text.bytes.get(start..start + family.prefix.len())?;
        let whole = prefix.iter().zip(family.prefix.bytes()).all(|(byte, expected)| matches(*byte, expected));
        if !whole || !begins(text, start) {
            return None;
        }
        let body = start + prefix.len();
        if text.run(body, family.least, family.alphabet) < body + family.least {
            return None;
        }
        if family.prefix == API_KEY && !is_api_key(text, body) {
            return None;
        }
        Some(start..text.run(body, usize::MAX, family.alphabet))
    })
}

/// Letters and digits without a break, or a digit or a capital somewhere; not `sk-folding-cube-container`.
fn is_api_key(text: Text<'_>, body: usize) -> bool {
    text.run(body, API_KEY_LENGTH, alphanumeric) == body + API_KEY_LENGTH || {
        let sample = text.run(body, API_KEY_SAMPLE, word);
        let sample = text.bytes.get(body..sample).unwrap_or_default();
        sample.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    }
}

/// The whole block; to the end of the text when its end is missing.
fn pem(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let label = start + PEM_BEGIN.len();
    let label_end = text.run(label, PEM_LABEL, |byte| byte.is_ascii_alphanumeric() || byte == b' ');
    if !text.starts(label_end, PEM_DASHES) {
        return None;
    }
    let rest = text.bytes.get(label_end..).unwrap_or_default();
    let found = rest.windows(PEM_END.len()).position(|window| window == PEM_END);
    let end = found.map_or(text.bytes.len(), |at| {
        let label = label_end + at + PEM_END.len();
        let label_end = text.run(label, PEM_LABEL, |byte| byte.is_ascii_alphanumeric() || byte == b' ');
        text.run(label_end, PEM_DASHES.len(), |byte| byte == b'-')
    });
    Some(start..end)
}

/// What follows the word `Bearer`, which stays.
fn bearer(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let word = text.bytes.get(start..start + BEARER.len())?;
    if !word.eq_ignore_ascii_case(BEARER) || !begins(text, start) {
        return None;
    }
    let space = start + BEARER.len();
    let token = text.run(space, 8, |byte| matches!(byte, b' ' | b'\t'));
    let end = text.run(token, usize::MAX, |byte| dotted(byte) || matches!(byte, b'~' | b'+' | b'/' | b'='));
    let found = text.bytes.get(token..end).unwrap_or_default();
    let least = if found.iter().any(u8::is_ascii_digit) { BEARER_LENGTH_WITH_DIGIT } else { BEARER_LENGTH };
    (token > space && found.len() >= least).then_some(token..end)
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn dotted(byte: u8) -> bool {
    word(byte) || byte == b'.'
}
