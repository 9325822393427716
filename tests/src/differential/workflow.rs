//! The differential test of workflows: generated workflows and sessions that walk through them, for the published Python
//! SDK and for our driver.
//!
//! [`definition`] reads a workflow, [`session`] is where a session stands in it, [`walk`] judges one call, [`guard`] plays
//! a whole case: together a model of the guard, written from engine.md §13 and sharing nothing with the engine. It repeats
//! the reference's answers; with the switches of [`table`] thrown it predicts ours. [`generate`] makes the cases and uses
//! the model to find calls that lead on; [`territory`] goes where the two differ on purpose. [`compare`] levels form.

pub mod compare;
pub mod definition;
pub mod generate;
pub mod guard;
mod loading;
pub mod session;
pub mod table;
pub mod territory;
mod vocabulary;
pub mod walk;

use super::case::Case;
use super::compare::difference;
use super::datum::Datum;
use super::explain::Prediction;
use super::run::Subject;
use guard::Semantics;
use table::{DIVERGENCES, Divergence, Effect};

/// What a run of workflow cases takes.
pub const SUBJECT: Subject = Subject { group: generate::group, canonical: compare::canonical, predict };

/// Predicts our answers: all divergences together.
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
    let switched = |of: &[&Divergence]| {
        let mut semantics = Semantics::default();
        for each in of {
            if let Effect::Switch(switch) = each.effect {
                switch(&mut semantics);
            }
        }
        guard::answers(case, semantics)
    };
    if reference.first().is_none_or(|opened| opened.flag("refused")) {
        // The only documents that we alone load.
        return match switched(&active).filter(|_| loading::has_own_escape(case)) {
            Some(answers) => Prediction { answers, used: vec!["D-054"], unlike: None },
            None => same,
        };
    }
    let modelled = guard::answers(case, Semantics::default());
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
    let Some(answers) = switched(&active) else {
        return Prediction { unlike: Some("ours takes something that is not known".to_owned()), ..same };
    };
    if answers == reference {
        return same;
    }
    let without = |one: &&&Divergence| {
        let others: Vec<&Divergence> = active.iter().copied().filter(|each| each.id != one.id).collect();
        switched(&others).is_none_or(|others| others != answers)
    };
    let used = active.iter().filter(without).map(|each| each.id).collect();
    Prediction { answers, used, unlike: None }
}
