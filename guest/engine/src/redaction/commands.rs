//! Where commands, configurations and URLs put secrets (engine.md §10.4): assignments, options, headers, members of
//! quoted maps, user information. What goes by a name goes by the policy for keys.

use std::ops::Range;

use super::keys::Keys;
use super::programs::Programs;
use super::text::{Text, is_name, is_quote, is_space};

/// Longest name that is looked at, in bytes.
const MAX_NAME: usize = 128;

/// Most spaces between a name, its operator and its value.
const MAX_GAP: usize = 8;

/// Parts of names of variables that the reference looks for, in capitals.
const VARIABLES: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// Last words of options that say where a secret is, or what it is like, and not what it is.
const ABOUT: [&str; 12] =
    ["file", "path", "stdin", "env", "fd", "name", "type", "size", "length", "dir", "format", "algorithm"];

/// Options that take `user:password`.
const PAIR_OPTIONS: [&str; 2] = ["--user", "--proxy-user"];

/// Headers whose name has no dash.
const HEADERS: [&str; 2] = ["authorization", "cookie"];

/// Finds what commands give away. Remembers what would make it look at the same text twice.
#[derive(Debug, Default)]
pub(super) struct Commands {
    programs: Programs,
    /// A run without spaces and quotes: its end, and the last `@` in it.
    run: (usize, Option<usize>),
}

impl Commands {
    /// The secret that an anchor leads to. It begins at the anchor or after it.
    pub(super) fn at(&mut self, text: Text<'_>, keys: &Keys, anchor: usize) -> Option<Range<usize>> {
        let found = match text.at(anchor) {
            b'=' => assignment(text, keys, anchor),
            b':' if text.starts(anchor, b"://") => self.user_information(text, anchor + 3),
            b':' => member(text, keys, anchor),
            b'-' => self.option(text, keys, anchor),
            _ => None,
        };
        found.filter(|found| found.start < found.end)
    }

    /// To be told of everything that is replaced.
    pub(super) fn replaced(&mut self, text: Text<'_>, found: &Range<usize>) {
        self.programs.skip(text, found);
    }

    /// The password of `://user:password@`. The authority ends at the first `/`; its last `@` counts, as it does for
    /// those who read URLs. A password with a `/` in it is found too, unless what is before the `/` can be a port.
    fn user_information(&mut self, text: Text<'_>, start: usize) -> Option<Range<usize>> {
        let stop = |byte: u8| is_space(byte) || is_quote(byte) || matches!(byte, b'<' | b'>');
        let end = text.run(start, usize::MAX, |byte| !stop(byte) && !matches!(byte, b'/' | b'?' | b'#' | b'\\'));
        let authority = text.bytes.get(start..end)?;
        let colon = start + authority.iter().position(|byte| *byte == b':')?;
        if let Some(at) = authority.iter().rposition(|byte| *byte == b'@') {
            return (colon < start + at).then_some(colon + 1..start + at);
        }
        let port = text.bytes.get(colon + 1..end)?;
        if (!port.is_empty() && port.iter().all(u8::is_ascii_digit)) || text.at(start) == b'[' {
            return None;
        }
        if self.run.0 < end {
            let run_end = text.run(end, usize::MAX, |byte| !stop(byte));
            let run = text.bytes.get(end..run_end)?;
            self.run = (run_end, run.iter().rposition(|byte| *byte == b'@').map(|at| end + at));
        }
        self.run.1.filter(|at| *at > colon).map(|at| colon + 1..at)
    }

    fn option(&mut self, text: Text<'_>, keys: &Keys, dash: usize) -> Option<Range<usize>> {
        let last = text.before(dash);
        let long = text.at(dash + 1) == b'-';
        if is_name(last) || !(long || last == 0 || is_space(last) || is_quote(last)) {
            return None;
        }
        let outer = is_quote(last).then_some(last);
        let name_end = match text.at(dash + 1) {
            b'-' => text.run(dash, MAX_NAME, is_name),
            b'u' | b'U' => return pair(text, value_after(text, dash + 2, outer, true)?),
            letter if self.programs.take_secret(text, dash, letter) => {
                return value_after(text, dash + 2, outer, true);
            }
            _ => return None,
        };
        let name = name(text, dash, name_end)?;
        if PAIR_OPTIONS.contains(&name) {
            let joined = text.at(name_end) == b'=';
            return pair(text, value_after(text, name_end + usize::from(joined), outer, joined)?);
        }
        if takes_secret(keys, name) { value_after(text, name_end, outer, false) } else { None }
    }
}

/// Whether a long option is followed by a secret.
pub(super) fn takes_secret(keys: &Keys, option: &str) -> bool {
    option.starts_with("--") && option.len() <= MAX_NAME && option.bytes().all(is_name) && names_secret(keys, option)
}

/// Whether an option is followed by `user:password`.
pub(super) fn takes_pair(option: &str) -> bool {
    PAIR_OPTIONS.contains(&option) || matches!(option, "-u" | "-U")
}

/// The password in a pair; none in `user`, `two words: x`, `https://host` and `1000:1000`.
pub(super) fn password_of_pair(pair: &str) -> Option<usize> {
    let (user, password) = pair.split_once(':').filter(|(user, _)| !user.contains(char::is_whitespace))?;
    let numbers =
        [user, password].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    (!password.is_empty() && !password.starts_with("//") && !numbers).then_some(user.len() + 1)
}

fn pair(text: Text<'_>, word: Range<usize>) -> Option<Range<usize>> {
    let quote = text.at(word.start);
    let closing = text.quoted_end(word.start + 1, quote, 0).filter(|_| is_quote(quote));
    let inside = if closing == word.end.checked_sub(1) { word.start + 1..word.end - 1 } else { word.clone() };
    let pair = std::str::from_utf8(text.bytes.get(inside.clone())?).ok()?;
    let password = password_of_pair(pair)?;
    // Half a quoted text would make a quote of what follows.
    let whole = pair.bytes().take(password).any(is_quote);
    Some(if whole { word } else { inside.start + password..inside.end })
}

/// The word after an option that ends at a place, or, with `attached`, the rest of its own word. In a list
/// (`"--password", "x"`) the text in the next quotes.
fn value_after(text: Text<'_>, end: usize, outer: Option<u8>, attached: bool) -> Option<Range<usize>> {
    let quote = text.run(end, MAX_GAP, |byte| byte == b'\\');
    let closed = outer.is_some_and(|outer| text.at(quote) == outer);
    let gap = if closed { quote + 1 } else { end };
    let mut start = text.run(gap, usize::MAX, |byte| is_space(byte) || (closed && byte == b','));
    while text.at(start) == b'\\' && matches!(text.at(start + 1), b'\n' | b'\r') {
        start = text.run(start + 1, usize::MAX, is_space);
    }
    if start == gap {
        return (attached && !closed).then(|| end..text.word_end(end, outer));
    }
    if closed || text.at(start) == b'\\' {
        let quoted = quoted(text, start);
        if closed || quoted.is_some() {
            return quoted;
        }
    }
    Some(start..text.word_end(start, outer))
}

/// `NAME=value`, `?name=value&`, `name = "value"`.
fn assignment(text: Text<'_>, keys: &Keys, equals: usize) -> Option<Range<usize>> {
    let compound = matches!(text.before(equals), b'+' | b'?' | b':');
    let operator = equals - usize::from(compound);
    let name_end = text.run_back(operator, MAX_GAP, |byte| matches!(byte, b' ' | b'\t'));
    if is_quote(text.before(name_end)) {
        return quoted_name(text, keys, name_end).and_then(|()| quoted_value(text, equals + 1));
    }
    let name_start = text.run_back(name_end, MAX_NAME, is_name);
    if !names_secret(keys, name(text, name_start, name_end)?) {
        return None;
    }
    let value = equals + 1;
    if name_end < operator || is_space(text.at(value)) {
        return quoted_value(text, value);
    }
    let opened = text.before(name_start);
    if matches!(opened, b'?' | b'&') {
        let stop = |byte: u8| is_space(byte) || is_quote(byte) || matches!(byte, b'&' | b'#');
        return Some(value..text.run(value, usize::MAX, |byte| !stop(byte)));
    }
    Some(value..enclosing_end(text, name_start, value).unwrap_or_else(|| text.word_end(value, None)))
}

/// `"name": "value"`, `name: "value"`, `X-Name: value`.
fn member(text: Text<'_>, keys: &Keys, colon: usize) -> Option<Range<usize>> {
    if text.at(colon + 1) == b'=' {
        // Half of `:=`.
        return None;
    }
    if is_quote(text.before(colon)) {
        quoted_name(text, keys, colon)?;
        return quoted_value(text, colon + 1).or_else(|| number(text, colon + 1));
    }
    let name_start = text.run_back(colon, MAX_NAME, is_name);
    let name = name(text, name_start, colon)?;
    if !names_secret(keys, name) {
        return None;
    }
    if let Some(value) = quoted_value(text, colon + 1) {
        return Some(value);
    }
    let opened = text.before(name_start);
    let begins = opened == 0 || is_space(opened) || is_quote(opened) || matches!(opened, b'=' | b'{' | b'(' | b',');
    let header = name.contains('-') || HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header));
    if !begins || !header {
        return None;
    }
    let start = text.run(colon + 1, usize::MAX, |byte| matches!(byte, b' ' | b'\t'));
    let unquoted = || if start > colon + 1 { text.line_end(start) } else { text.word_end(start, None) };
    Some(start..enclosing_end(text, name_start, start).unwrap_or_else(unquoted))
}

/// The end of a value whose name is the first thing in its quotes, as in `"TOKEN=a b"`; none without quotes.
fn enclosing_end(text: Text<'_>, name_start: usize, value: usize) -> Option<usize> {
    let quote = text.before(name_start);
    if !is_quote(quote) {
        return None;
    }
    let escapes = name_start - 1 - text.run_back(name_start - 1, MAX_GAP, |byte| byte == b'\\');
    Some(text.quoted_end(value, quote, escapes).unwrap_or_else(|| text.line_end(value)))
}

/// Whether the quoted name that ends before a place is that of a secret.
fn quoted_name(text: Text<'_>, keys: &Keys, end: usize) -> Option<()> {
    let quote = end.checked_sub(1)?;
    let name_end = text.run_back(quote, MAX_GAP, |byte| byte == b'\\');
    let name_start = text.run_back(name_end, MAX_NAME, |byte| is_name(byte) || byte == b' ');
    keys.is_sensitive(name(text, name_start, name_end)?).then_some(())
}

/// The text in the quotes that follow an operator.
fn quoted_value(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let arrow = start + usize::from(matches!(text.at(start), b'>' | b'='));
    quoted(text, text.run(arrow, MAX_GAP, is_space))
}

/// The text in quotes, which may be escaped; to the end of the line when they are not closed.
fn quoted(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let quote = text.run(start, MAX_GAP, |byte| byte == b'\\');
    if !is_quote(text.at(quote)) {
        return None;
    }
    let inside = quote + 1;
    let end = text.quoted_end(inside, text.at(quote), quote - start).unwrap_or_else(|| text.line_end(inside));
    Some(inside..end)
}

fn number(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let start = text.run(start, MAX_GAP, is_space);
    let end = text.run(start, usize::MAX, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'));
    text.at(start).is_ascii_digit().then_some(start..end)
}

fn name(text: Text<'_>, start: usize, end: usize) -> Option<&str> {
    text.bytes.get(start..end).and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty())
}

/// Whether what is assigned to a name is a secret. The name of an option comes with its dashes.
fn names_secret(keys: &Keys, name: &str) -> bool {
    let bare = name.trim_start_matches('-');
    // Without a capital, the names of the reference's variables cannot be in it.
    let variable =
        || bare.bytes().any(|byte| byte.is_ascii_uppercase()) && VARIABLES.iter().any(|part| bare.contains(part));
    // A short option with its value, as in `-Dpassword=` and `-eTOKEN=`.
    let glued = || bare.len() + 1 == name.len() && bare.get(1..).is_some_and(|rest| keys.is_sensitive(rest));
    if !keys.is_sensitive(bare) && !variable() && !glued() {
        return false;
    }
    let about = |word: &str| ABOUT.iter().any(|about| word.eq_ignore_ascii_case(about));
    !name.starts_with("--") || !(bare.starts_with("no-") || bare.rsplit(['-', '_']).next().is_some_and(about))
}
