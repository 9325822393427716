//! Predicts our answers from the reference's, where we differ on purpose.
//!
//! The reference's answers say how each rule ended ([`facts`]); a [`model`] of a guard puts the endings together, once
//! as the reference does and once as we do. Where the first does not come out as the reference's own answers, nothing is
//! predicted: a difference then stays unexplained. Each divergence is a switch of the model or a function of its own.

pub mod facts;
pub mod model;
pub mod policy;
pub mod result;

use super::case::Case;
use super::datum::Datum;
use model::{Model, Semantics};
use policy::Policy;

/// What we should answer, and which divergences that takes.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// Of the opening, of each step, then the events.
    pub answers: Vec<Datum>,
    /// Ids of the divergences that made a difference.
    pub used: Vec<&'static str>,
    /// Whether the model repeats the reference.
    pub modelled: bool,
    pub debug: Option<String>,
}

/// Predicts our answers.
#[must_use]
pub fn predict(case: &Case, reference: &[Datum]) -> Prediction {
    let mut prediction = Prediction { answers: reference.to_vec(), ..Prediction::default() };
    if reference.first().is_some_and(|opened| opened.flag("refused")) {
        prediction.modelled = true;
        return prediction;
    }
    let Some(policy) = Policy::of(&case.opening) else { return prediction };
    let facts = facts::gather(case, &policy, reference);
    let run = |semantics| {
        let mut answers = vec![reference.first().cloned().unwrap_or_default()];
        answers.extend(Model { case, policy: &policy, facts: &facts, semantics }.run()?);
        Some(answers)
    };
    let modelled = run(Semantics::default());
    prediction.modelled = modelled.as_ref().is_some_and(|answers| answers == reference);
    if !prediction.modelled {
        let why = match modelled { None => "unknown".to_owned(), Some(m) => m.iter().zip(reference).enumerate().find_map(|(i,(a,b))| super::compare::difference(b,a).map(|d| format!("{i} {d}"))).unwrap_or_default() };
        prediction.debug = Some(format!("{why}\n   {:?}", case.steps.iter().map(|s| s.to_string()).collect::<Vec<_>>()));
    }
    prediction
}
