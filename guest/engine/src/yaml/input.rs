//! The parser's view of a text: an owned one, so that a reader can stop between two events and go on later, and one
//! that can always be peeked at, so that no lookahead of the parser's can panic.

use std::sync::Arc;

use saphyr_parser::Input;

/// What the parser may look ahead; nothing is buffered, so this is only a number it wants to hear.
const LOOKAHEAD: usize = 16;

/// A text and how far it is read.
#[derive(Clone, Debug)]
pub(super) struct Text {
    text: Arc<str>,
    at: usize,
}

impl Text {
    pub(super) fn new(text: Arc<str>) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    fn char_at(&self, at: usize) -> Option<char> {
        match self.text.as_bytes().get(at) {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            _ => self.text.get(at..).and_then(|rest| rest.chars().next()),
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        at + self.char_at(at).map_or(0, char::len_utf8)
    }
}

impl Input for Text {
    fn lookahead(&mut self, _count: usize) {}

    fn buflen(&self) -> usize {
        LOOKAHEAD
    }

    fn bufmaxlen(&self) -> usize {
        LOOKAHEAD
    }

    fn raw_read_ch(&mut self) -> char {
        let next = self.peek();
        self.skip();
        next
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        let next = self.peek_opt().filter(|next| !matches!(next, '\0' | '\n' | '\r' | '\u{feff}'))?;
        self.skip();
        Some(next)
    }

    #[inline]
    fn skip(&mut self) {
        self.at = self.after(self.at);
    }

    fn skip_n(&mut self, count: usize) {
        for _ in 0..count {
            self.skip();
        }
    }

    #[inline]
    fn peek(&self) -> char {
        self.char_at(self.at).unwrap_or('\0')
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        let at = (0..n).fold(self.at, |at, _| self.after(at));
        self.char_at(at).unwrap_or('\0')
    }

    fn peek_opt(&self) -> Option<char> {
        self.char_at(self.at)
    }
}
