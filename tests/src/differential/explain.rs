//! Predicts our answers from the reference's, where we differ on purpose.
//!
//! The reference's answers say how each rule ended ([`facts`]); a [`model`] of a guard puts the endings together, once
//! as the reference does and once as we do. Where the first does not come out as the reference's own answers, nothing is
//! predicted: a difference then stays unexplained. Each divergence of the [`table`] is a switch of the model, a change of
//! the endings, or a guard that does not open.

mod call;
pub mod facts;
mod loading;
pub mod model;
pub mod policy;
mod reading;
mod redaction;
mod result;
mod sandbox;
pub mod table;

use sha2::{Digest as _, Sha256};

use super::case::{Case, Opening};
use super::compare::difference;
use super::datum::Datum;
use model::{Model, Semantics};
use policy::Policy;
use table::{DIVERGENCES, Divergence, Effect};

/// What we should answer, and which divergences that takes.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// Of the opening, of each step, then the events.
    pub answers: Vec<Datum>,
    /// Ids of the divergences that made a difference.
    pub used: Vec<&'static str>,
    /// Where the model of the reference does not repeat the reference.
    pub unlike: Option<String>,
}

/// Predicts our answers: all divergences that are not restored, together.
#[must_use]
pub fn predict(case: &Case, reference: &[Datum]) -> Prediction {
    let compat = case.opening.compat();
    let active: Vec<&Divergence> = DIVERGENCES.iter().filter(|each| !(compat && each.restored)).collect();
    for each in &active {
        if let Effect::Loading(predict) = each.effect
            && let Some(answers) = predict(case, reference)
        {
            return Prediction { answers, used: vec![each.id], unlike: None };
        }
    }
    let same = Prediction { answers: reference.to_vec(), ..Prediction::default() };
    let Some(scene) = Scene::of(case, reference) else { return same };
    let modelled = scene.run(&[]);
    let unlike = match &modelled {
        None => Some("it takes something that is not known".to_owned()),
        Some(answers) => {
            let differ = reference.iter().zip(answers).enumerate();
            differ.filter_map(|(step, (one, two))| Some(format!("answer {step}{}", difference(one, two)?))).next()
        }
    };
    if unlike.is_some() {
        return Prediction { unlike, ..same };
    }
    let Some(answers) = scene.run(&active) else {
        return Prediction { unlike: Some("ours takes something that is not known".to_owned()), ..same };
    };
    if answers == reference {
        return same;
    }
    let without = |one: &&&Divergence| {
        let others: Vec<&Divergence> = active.iter().copied().filter(|each| each.id != one.id).collect();
        scene.run(&others).is_none_or(|others| others != answers)
    };
    let used = active.iter().filter(without).map(|each| each.id).collect();
    Prediction { answers, used, unlike: None }
}

impl Divergence {
    /// What we should answer if we differed in this alone; none where it makes no difference, or cannot be told.
    #[must_use]
    pub fn predict(&self, case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
        let answers = match self.effect {
            Effect::Loading(predict) => predict(case, reference)?,
            _ => Scene::of(case, reference)?.run(&[self])?,
        };
        (answers != reference).then_some(answers)
    }
}

/// A case on an open guard.
struct Scene<'c> {
    case: &'c Case,
    reference: &'c [Datum],
    policy: Policy,
    facts: facts::Facts,
}

impl<'c> Scene<'c> {
    fn of(case: &'c Case, reference: &'c [Datum]) -> Option<Self> {
        if reference.first()?.flag("refused") {
            return None;
        }
        let policy = Policy::of(&case.opening)?;
        let facts = facts::gather(case, &policy, reference);
        Some(Self { case, reference, policy, facts })
    }

    /// The answers of a guard that differs in these ways.
    fn run(&self, divergences: &[&Divergence]) -> Option<Vec<Datum>> {
        let mut semantics = Semantics::default();
        let mut facts = self.facts.clone();
        for each in divergences {
            match each.effect {
                Effect::Loading(_) => {}
                Effect::Switch(switch) => switch(&mut semantics),
                Effect::Facts(change) => change(self.case, &self.policy, &mut facts),
                Effect::Both(switch, change) => {
                    switch(&mut semantics);
                    change(self.case, &self.policy, &mut facts);
                }
            }
        }
        let mut answers = vec![self.reference.first()?.clone()];
        answers.extend(Model { case: self.case, policy: &self.policy, facts: &facts, semantics }.run()?);
        Some(answers)
    }
}

/// SHA-256 of a text, in hex.
fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The revision of an opening (engine.md §12.3).
fn revision(opening: &Opening) -> String {
    let hashes: Vec<String> = opening.documents.iter().map(|document| hash(&document.text)).collect();
    match hashes.as_slice() {
        [one] => one.clone(),
        hashes => hash(&hashes.join(":")),
    }
}

/// The few constructs of our patterns that Rust spells differently.
pub(super) fn rust_pattern(pattern: &str) -> String {
    pattern.replace(r"\Z", r"\z").replace("[[]", r"[\[]")
}
