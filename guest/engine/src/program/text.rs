//! Values as text.

use std::borrow::Cow;

use crate::json::Value;

/// Appends a value the way Python's `str` writes it (engine.md §9).
pub fn python(_out: &mut String, _value: Value<'_>) {}

/// `output.text`: a string as it is, other values as JSON with `", "` and `": "` (engine.md §8.8).
#[must_use]
pub fn output(value: Value<'_>) -> Cow<'_, str> {
    Cow::Borrowed(value.as_str().unwrap_or_default())
}
