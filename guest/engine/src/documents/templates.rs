//! The five built-in rulesets (engine.md §14), by name.

/// Name and text of each template.
#[must_use]
pub const fn all() -> &'static [(&'static str, &'static str)] {
    &[]
}
