//! From the parser's markers to places in the text as its author sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use saphyr_parser::Marker;

use crate::diagnostics::Span;

/// Columns by which a repaired line is shifted to the right; see `repair`.
pub(super) const PAD: usize = 256;

/// Follows the parser through the text.
#[derive(Debug)]
pub(super) struct Places {
    text: Arc<str>,
    /// Character and byte offset of one and the same place: where the last question led.
    character: usize,
    byte: usize,
    /// Lines that begin with [`PAD`] spaces more than their author wrote.
    padded: BTreeSet<usize>,
}

impl Places {
    pub(super) fn new(text: Arc<str>, padded: BTreeSet<usize>) -> Self {
        Self { text, character: 0, byte: 0, padded }
    }

    /// Byte offset of a marker. Questions come in nearly ascending order, so that this costs what lies between.
    pub(super) fn byte(&mut self, marker: Marker) -> usize {
        while self.character < marker.index() {
            let Some(next) = self.text.get(self.byte..).and_then(|rest| rest.chars().next()) else { break };
            self.byte += next.len_utf8();
            self.character += 1;
        }
        while self.character > marker.index() {
            let Some(last) = self.text.get(..self.byte).and_then(|before| before.chars().next_back()) else { break };
            self.byte -= last.len_utf8();
            self.character -= 1;
        }
        self.byte
    }

    /// The text between two markers.
    pub(super) fn between(&mut self, start: Marker, end: Marker) -> String {
        let (start, end) = (self.byte(start), self.byte(end));
        self.text.get(start..end).unwrap_or("").to_owned()
    }

    /// The text from a byte on.
    pub(super) fn rest(&self, byte: usize) -> &str {
        self.text.get(byte..).unwrap_or("")
    }

    /// The blanks right before a byte.
    pub(super) fn blanks_before(&self, byte: usize) -> &str {
        let before = self.text.get(..byte).unwrap_or("");
        before.get(before.trim_end_matches([' ', '\t']).len()..).unwrap_or("")
    }

    /// A place as the author counts it.
    pub(super) fn place(&self, marker: Marker) -> (u32, u32) {
        let shift = if self.padded.contains(&marker.line()) { PAD } else { 0 };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(marker.line()), number(marker.col().saturating_sub(shift) + 1))
    }

    /// From one marker to another.
    pub(super) fn span(&self, start: Marker, end: Marker) -> Span {
        let ((line, column), (end_line, end_column)) = (self.place(start), self.place(end));
        Span { line, column, end_line, end_column }
    }

    /// From a marker over so much text after it.
    pub(super) fn span_of(&self, start: Marker, text: &str) -> Span {
        let (line, column) = self.place(start);
        let (mut end_line, mut end_column) = (line, column);
        let mut before = ' ';
        for character in text.chars() {
            match character {
                '\n' if before == '\r' => {}
                '\n' | '\r' => {
                    end_line += 1;
                    end_column = 1;
                }
                _ => end_column += 1,
            }
            before = character;
        }
        if end_line > line && self.padded.contains(&usize::try_from(end_line).unwrap_or(0)) {
            end_column = end_column.saturating_sub(PAD as u32).max(1);
        }
        Span { line, column, end_line, end_column }
    }
}
