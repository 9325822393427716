//! Messages for the agent: templates with placeholders that are selectors (engine.md §9).

use std::borrow::Cow;

use super::selector::{Resolved, Selector, Vocabulary};
use super::{Needs, text};
use crate::call::Subject;

/// Longest message, in code points; a longer one ends in `...`.
pub const MAX_MESSAGE: usize = 500;

/// Longest value in a message, in code points; a longer one ends in `...`.
pub const MAX_VALUE: usize = 200;

/// So many bytes of a value are looked at: enough to see a secret as one that begins in what is shown and goes on.
const LOOKED_AT: usize = 16 * 1024;

/// What messages must not show. Given by the redaction policy.
pub trait MessageRedaction {
    /// Whether what stands under such a key is a secret, whatever it is (engine.md §10.2).
    fn is_sensitive_key(&self, key: &str) -> bool;
    /// The text without secrets, wherever they stand in it (engine.md §10.3).
    fn secrets<'t>(&self, text: &'t str) -> Cow<'t, str>;
}

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Message {
    template: String,
    /// Empty when there is nothing to fill in.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Bytes `start..end` of the template, taken as they are.
    Text(usize, usize),
    /// The same, braces included, with what stands between them.
    Placeholder(usize, usize, Box<Selector>),
}

/// A message for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// At most [`MAX_MESSAGE`] code points.
    pub text: String,
    /// A custom selector failed: its error. `text` is then the template itself, and the decision is a policy error.
    pub error: Option<String>,
}

impl Message {
    /// Reads a template. Placeholders that are no selectors stay text, and so do those that must not be shown.
    pub(super) fn new(template: &str, vocabulary: &Vocabulary, shown: impl Fn(&Selector) -> bool) -> Self {
        let mut parts = Vec::new();
        let mut copied = 0;
        let mut from = 0;
        while let Some(open) = find(template, from, '{') {
            // At least one character, of which the first may be anything but the closing brace.
            let Some(close) = find(template, open, '}') else { break };
            from = close + 1;
            let Some(name) = template.get(open + 1..close).filter(|name| !name.is_empty()) else { continue };
            let selector = vocabulary.read(name);
            if matches!(selector, Selector::Nothing) || !shown(&selector) {
                continue;
            }
            if copied < open {
                parts.push(Part::Text(copied, open));
            }
            parts.push(Part::Placeholder(open, close + 1, Box::new(selector)));
            copied = close + 1;
        }
        if !parts.is_empty() && copied < template.len() {
            parts.push(Part::Text(copied, template.len()));
        }
        Self { template: template.to_owned(), parts }
    }

    /// A message that is never filled in.
    pub(super) fn verbatim(text: &str) -> Self {
        Self { template: text.to_owned(), parts: Vec::new() }
    }

    /// The template as written.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Fills the placeholders from a call. What is missing or null stays a placeholder; values are written as Python
    /// writes them, without secrets and control characters, and cut to [`MAX_VALUE`].
    #[must_use]
    pub fn expand(&self, subject: &Subject<'_>, redaction: &dyn MessageRedaction) -> Expanded {
        if self.parts.is_empty() {
            return Expanded { text: cut(&self.template, MAX_MESSAGE).into_owned(), error: None };
        }
        let mut out = String::with_capacity(self.template.len() + 64);
        for part in &self.parts {
            match part {
                Part::Text(start, end) => out.push_str(self.template.get(*start..*end).unwrap_or_default()),
                Part::Placeholder(start, end, selector) => match selector.resolve(subject) {
                    Resolved::Failed(error) => {
                        let text = cut(&self.template, MAX_MESSAGE).into_owned();
                        return Expanded { text, error: Some(error.to_owned()) };
                    }
                    Resolved::Missing => out.push_str(self.template.get(*start..*end).unwrap_or_default()),
                    Resolved::Value(value) => {
                        let name = self.template.get(start + 1..end - 1).unwrap_or_default();
                        let secret = |key: &str| redaction.is_sensitive_key(key);
                        if name.split('.').any(secret) {
                            out.push_str(text::REDACTED);
                            continue;
                        }
                        let mut shown = String::new();
                        text::python_without(&mut shown, value, LOOKED_AT, &secret);
                        // Before the search for secrets, which a control character could hide.
                        shown.retain(|character| character == '\n' || !character.is_control());
                        out.push_str(&cut(&redaction.secrets(&shown), MAX_VALUE));
                    }
                },
            }
        }
        let text = match cut(&out, MAX_MESSAGE) {
            Cow::Owned(short) => short,
            Cow::Borrowed(_) => out,
        };
        Expanded { text, error: None }
    }

    /// Adds what the placeholders need.
    pub(super) fn needs(&self, needs: &mut Needs) {
        for part in &self.parts {
            if let Part::Placeholder(start, end, selector) = part {
                selector.needs(self.template.get(start + 1..end - 1).unwrap_or_default(), needs);
            }
        }
    }
}

fn find(text: &str, from: usize, character: char) -> Option<usize> {
    text.get(from..)?.find(character).map(|place| from + place)
}

/// Cuts to so many code points, of which the last three are points when something was cut off.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    // No text has more code points than bytes.
    if text.len() <= limit || text.chars().nth(limit).is_none() {
        return Cow::Borrowed(text);
    }
    let end = text.char_indices().nth(limit - 3).map_or(text.len(), |(end, _)| end);
    Cow::Owned(format!("{}...", text.get(..end).unwrap_or_default()))
}
