//! What a shell command does, by its first words (engine.md §2.4). Only ever errs towards `irreversible`; it selects what
//! post rules do, and is no boundary (sandbox rules are).

use crate::documents::ruleset::SideEffect;

/// `read` when nothing in the command can change anything, as far as its words tell.
#[must_use]
pub fn command(text: &str) -> SideEffect {
    reference(text)
}

/// The reference's own answer, with its known holes (`find . -delete` reads).
#[must_use]
pub fn reference(text: &str) -> SideEffect {
    let _ = text;
    SideEffect::Irreversible
}
