//! From a character of a value to the place where its author wrote it.

use std::ops::Range;

use crate::diagnostics::Span;
use crate::yaml::Node;

/// Longer lines are not searched: a document may be one line, and have a finding at each word of it.
const MAX_LINE: usize = 4096;

/// The lines of a document.
#[derive(Debug)]
pub(super) struct Places<'t> {
    lines: Vec<&'t str>,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for line in text.split('\n') {
            lines.extend(line.strip_suffix('\r').unwrap_or(line).split('\r'));
        }
        Self { lines }
    }

    /// The place of some code points of a string. All of the string, when that cannot be told: it has several lines, or
    /// escapes that stand for something else.
    pub(super) fn within(&self, node: &Node, range: Range<usize>) -> Span {
        self.columns(node, &range).unwrap_or(node.span)
    }

    fn columns(&self, node: &Node, range: &Range<usize>) -> Option<Span> {
        let span = node.span;
        let number = |place: u32| usize::try_from(place).ok()?.checked_sub(1);
        let line = *self.lines.get(number(span.line)?)?;
        if span.line != span.end_line || line.len() > MAX_LINE {
            return None;
        }
        let (start, end) = (number(span.column)?, number(span.end_column)?);
        let written: Vec<char> = line.chars().skip(start).take(end.checked_sub(start)?).collect();
        let value = node.as_str()?;
        let places = offsets(&written, value)?;
        let first = *places.get(range.start)?;
        // The end of the last one, which may be an escape.
        let last = *places.get(range.end.min(places.len() - 1))?;
        let column = |offset: usize| span.column.checked_add(u32::try_from(offset).ok()?);
        (first < last).then(|| Some(Span { column: column(first)?, end_column: column(last)?, ..span })).flatten()
    }
}

/// Where each code point of the value stands in the written text, and where the text behind it begins.
fn offsets(written: &[char], value: &str) -> Option<Vec<usize>> {
    let (inner, shift, quote) = match written {
        [quote @ ('"' | '\''), inner @ .., last] if quote == last => (inner, 1, *quote),
        _ => (written, 0, ' '),
    };
    let mut places = Vec::with_capacity(inner.len() + 1);
    let mut rest = inner.iter().copied().enumerate();
    let mut expected = value.chars();
    while let Some((at, character)) = rest.next() {
        places.push(at + shift);
        let meant = match (quote, character) {
            ('\'', '\'') => rest.next()?.1,
            ('"', '\\') => match rest.next()?.1 {
                plain @ ('"' | '\\' | '/' | ' ') => plain,
                _ => return None,
            },
            _ => character,
        };
        if expected.next() != Some(meant) {
            return None;
        }
    }
    places.push(inner.len() + shift);
    expected.next().is_none().then_some(places)
}
