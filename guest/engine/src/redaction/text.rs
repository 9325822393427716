//! A text under the scan: bytes, how far it is redacted, and the runs of characters that patterns are made of. Every
//! stop is an ASCII character, so ranges never split a code point.

/// What is looked at. All that lies before `from` is done; it looks like the end of a mark from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) from: usize,
}

impl<'t> Text<'t> {
    /// The byte at a place; NUL after the end.
    pub(super) fn at(self, place: usize) -> u8 {
        self.bytes.get(place).copied().unwrap_or(0)
    }

    /// The byte before a place. What was replaced reads as the mark that now stands there, so that a second pass over
    /// the result sees the same; NUL at the beginning.
    pub(super) fn before(self, place: usize) -> u8 {
        match place.checked_sub(1) {
            None => 0,
            Some(_) if place <= self.from => b']',
            Some(last) => self.at(last),
        }
    }

    pub(super) fn starts(self, place: usize, prefix: &[u8]) -> bool {
        self.bytes.get(place..).is_some_and(|rest| rest.starts_with(prefix))
    }

    /// The end of a run, at most `most` bytes long.
    pub(super) fn run(self, start: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
        let end = self.bytes.len().min(start.saturating_add(most));
        let run = self.bytes.get(start..end).unwrap_or_default();
        start + run.iter().take_while(|byte| class(**byte)).count()
    }

    /// The start of a run that ends before a place, at most `most` bytes long; it does not reach into what is done.
    pub(super) fn run_back(self, end: usize, most: usize, class: impl Fn(u8) -> bool) -> usize {
        let start = self.from.max(end.saturating_sub(most));
        let run = self.bytes.get(start..end).unwrap_or_default();
        end - run.iter().rev().take_while(|byte| class(**byte)).count()
    }

    /// The end of a line.
    pub(super) fn line_end(self, start: usize) -> usize {
        self.run(start, usize::MAX, |byte| !matches!(byte, b'\n' | b'\r'))
    }

    /// The end of a shell word: a space outside of quotes, or `outer`, the quote that the word itself stands in. A quote
    /// that never ends goes on to the end of its line. Operators within belong to it (a password may hold them, and need
    /// not be a shell's), those at its end do not.
    pub(super) fn word_end(self, start: usize, outer: Option<u8>) -> usize {
        let end = self.word_and_operators_end(start, outer);
        let word = self.bytes.get(start..end).unwrap_or_default();
        end - word.iter().rev().take_while(|byte| matches!(**byte, b';' | b'|' | b'&' | b')')).count()
    }

    fn word_and_operators_end(self, start: usize, outer: Option<u8>) -> usize {
        let mut at = start;
        while at < self.bytes.len() {
            match self.at(at) {
                byte if Some(byte) == outer || is_space(byte) => return at,
                b'\\' => at += 2,
                quote @ (b'"' | b'\'' | b'`') => {
                    at = match self.quoted_end(at + 1, quote, 0) {
                        Some(end) => end + 1,
                        None => return self.line_end(at),
                    };
                }
                _ => at += 1,
            }
        }
        self.bytes.len()
    }

    /// Where the closing quote (or the first of the backslashes before it) of a quoted text stands. `escapes` backslashes
    /// stood before the opening one, and stand before the closing one; more of them make it part of the text.
    pub(super) fn quoted_end(self, start: usize, quote: u8, escapes: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let backslashes = self.run(at, usize::MAX, |byte| byte == b'\\') - at;
            let end = at + backslashes;
            if end >= self.bytes.len() {
                return None;
            }
            if self.at(end) == quote {
                let closes = if escapes == 0 { backslashes.is_multiple_of(2) } else { backslashes <= escapes };
                if closes {
                    return Some(end - backslashes.min(escapes));
                }
            }
            at = end + 1;
        }
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Characters of names of variables, options and headers.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}
