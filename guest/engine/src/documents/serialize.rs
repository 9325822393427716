//! A composition written back as ruleset text.

use super::composition::Composition;

/// One ruleset with the composition's enforced rules, each with the mode it has there. Candidates are not in it.
#[must_use]
pub fn ruleset(composition: &Composition) -> String {
    let _ = composition;
    String::new()
}

/// A ruleset with `observe_alongside: true` that adds the candidates to the text of [`ruleset`]; none when there are none.
#[must_use]
pub fn candidates(composition: &Composition) -> Option<String> {
    let _ = composition;
    None
}
