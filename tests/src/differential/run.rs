//! Puts generated cases through both sides, in two streams at a time, and adds up what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;

use super::case::{Case, Group};
use super::compare::{canonical, difference};
use super::datum::Datum;
use super::process::Side;
use super::tally::Tally;
use super::{explain, generate, shrink};
use explain::Prediction;

/// Streams of groups that are worked on at the same time. The cases of a seed depend on their number.
pub const STREAMS: u64 = 2;

/// Groups that both sides have in hand.
const AHEAD: usize = 24;

/// So many unexplained differences are enough to stop.
const ENOUGH: usize = 2000;

/// What cases are about: how they are made, levelled and predicted.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The group of a seed at an index; the last is `compat`.
    pub group: fn(u64, u64, bool) -> Group,
    /// The comparable form of a response to a request.
    pub canonical: fn(&Datum, &Datum) -> Datum,
    /// Our answers, from the reference's.
    pub predict: fn(&Case, &[Datum]) -> Prediction,
}

/// Rulesets and calls.
pub const RULESETS: Subject = Subject { group: generate::group, canonical, predict: explain::predict };

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the cases are about.
    pub subject: Subject,
    /// Number of cases.
    pub cases: usize,
    /// Where they come from.
    pub seed: u64,
    /// Whether the guard is opened with `compat: python-0.19`.
    pub compat: bool,
}

/// A difference that no explanation predicts.
#[derive(Clone, Debug)]
pub struct Unexplained {
    /// The kind of group that it is from.
    pub kind: &'static str,
    /// The case.
    pub case: Case,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that were compared.
    pub cases: usize,
    /// Answers that were compared.
    pub answers: usize,
    /// Cases that the model of the reference repeats.
    pub modelled: usize,
    /// Where it does not, a few times.
    pub unlike: Vec<String>,
    /// Cases that took an explanation.
    pub explained: usize,
    /// Cases, and explained cases, of each kind of group.
    pub kinds: BTreeMap<&'static str, (usize, usize)>,
    /// Cases for each divergence.
    pub divergences: BTreeMap<&'static str, usize>,
    /// The first of those that nothing explains.
    pub unexplained: Vec<Unexplained>,
    /// What the cases did.
    pub tally: Tally,
}

/// Both sides.
pub struct Sides {
    /// The SDK.
    pub reference: Box<dyn Side>,
    /// Ours.
    pub ours: Box<dyn Side>,
}

impl fmt::Debug for Sides {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sides")
    }
}

/// Runs the plan. `sides` starts both sides, once for each stream.
///
/// # Errors
/// When a side cannot be started or ends.
pub fn run(plan: Plan, sides: &(impl Fn() -> Result<Sides, String> + Sync)) -> Result<Report, String> {
    let streams: Vec<Result<Report, String>> = thread::scope(|scope| {
        let running: Vec<_> = (0..STREAMS).map(|index| scope.spawn(move || stream(plan, index, sides()?))).collect();
        let ended =
            running.into_iter().map(|stream| stream.join().unwrap_or_else(|_| Err("a stream panicked".to_owned())));
        ended.collect()
    });
    let mut all = Report::default();
    for stream in streams {
        let stream = stream?;
        all.cases += stream.cases;
        all.answers += stream.answers;
        all.modelled += stream.modelled;
        all.explained += stream.explained;
        for (kind, (cases, explained)) in stream.kinds {
            let all = all.kinds.entry(kind).or_default();
            all.0 += cases;
            all.1 += explained;
        }
        for (id, count) in stream.divergences {
            *all.divergences.entry(id).or_default() += count;
        }
        all.unlike.extend(stream.unlike);
        all.unexplained.extend(stream.unexplained);
        all.tally.add(&stream.tally);
    }
    Ok(all)
}

fn stream(plan: Plan, index: u64, mut sides: Sides) -> Result<Report, String> {
    let share = u64::try_from(plan.cases).unwrap_or(u64::MAX);
    let mut rest = usize::try_from(share / STREAMS + u64::from(index < share % STREAMS)).unwrap_or(usize::MAX);
    let mut report = Report::default();
    let mut next = index;
    while rest > 0 && report.unexplained.len() < ENOUGH {
        let mut groups = Vec::new();
        while groups.len() < AHEAD && rest > 0 {
            let mut group = (plan.subject.group)(plan.seed, next, plan.compat);
            group.cases.truncate(rest);
            rest -= group.cases.len();
            next += STREAMS;
            groups.push(group);
        }
        for group in &groups {
            sides.reference.send(group.lines())?;
            sides.ours.send(group.lines())?;
        }
        for group in &groups {
            judge(plan.subject, group, &mut sides, &mut report)?;
        }
    }
    Ok(report)
}

/// Compares the answers to a group.
fn judge(subject: Subject, group: &Group, sides: &mut Sides, report: &mut Report) -> Result<(), String> {
    let lines = group.lines().len();
    let reference = answers(subject, group, &sides.reference.receive(lines)?);
    let ours = answers(subject, group, &sides.ours.receive(lines)?);
    for ((case, reference), ours) in group.cases.iter().zip(reference).zip(ours) {
        report.cases += 1;
        report.answers += ours.len();
        report.tally.count(case, &reference);
        let verdict = verdict(subject, case, reference, ours);
        let prediction = &verdict.prediction;
        report.modelled += usize::from(prediction.unlike.is_none());
        if let Some(unlike) = prediction.unlike.clone().filter(|_| report.unlike.len() < ENOUGH) {
            report.unlike.push(unlike);
        }
        report.explained += usize::from(!prediction.used.is_empty());
        let kind = report.kinds.entry(group.kind).or_default();
        kind.0 += 1;
        kind.1 += usize::from(!prediction.used.is_empty());
        for id in &prediction.used {
            *report.divergences.entry(id).or_default() += 1;
        }
        if verdict.difference.is_some() {
            report.unexplained.push(Unexplained { kind: group.kind, case: case.clone(), verdict });
        }
    }
    Ok(())
}

/// What comes of a case.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What the reference answers.
    pub reference: Vec<Datum>,
    /// What we answer.
    pub ours: Vec<Datum>,
    /// What we should answer.
    pub prediction: Prediction,
    /// Where the last two differ first: the answer, and how.
    pub difference: Option<(usize, String)>,
}

/// Compares our answers with what is predicted from the reference's.
#[must_use]
pub fn verdict(subject: Subject, case: &Case, reference: Vec<Datum>, ours: Vec<Datum>) -> Verdict {
    let prediction = (subject.predict)(case, &reference);
    let differ = prediction.answers.iter().zip(&ours).enumerate();
    let difference =
        differ.filter_map(|(answer, (predicted, ours))| Some((answer, difference(predicted, ours)?))).next();
    Verdict { reference, ours, prediction, difference }
}

/// Puts one case through both sides.
///
/// # Errors
/// When a side ends.
pub fn one(subject: Subject, case: &Case, sides: &mut Sides) -> Result<Verdict, String> {
    let group = Group::of(case);
    sides.reference.send(group.lines())?;
    sides.ours.send(group.lines())?;
    let of = |side: &mut dyn Side| -> Result<Vec<Datum>, String> {
        Ok(answers(subject, &group, &side.receive(group.lines().len())?).into_iter().next().unwrap_or_default())
    };
    let reference = of(sides.reference.as_mut())?;
    let ours = of(sides.ours.as_mut())?;
    Ok(verdict(subject, case, reference, ours))
}

/// The smallest case found that still is not explained, and is as well or as badly understood as it was.
pub fn shrunk(subject: Subject, unexplained: &Unexplained, sides: &mut Sides) -> Case {
    let understood = unexplained.verdict.prediction.unlike.is_none();
    shrink::shrink(&unexplained.case, &mut |case| {
        one(subject, case, sides)
            .is_ok_and(|verdict| verdict.difference.is_some() && verdict.prediction.unlike.is_none() == understood)
    })
}

/// The answers to each case: of opening, of its steps, its events.
#[must_use]
pub fn answers(subject: Subject, group: &Group, responses: &[Datum]) -> Vec<Vec<Datum>> {
    let Some(first) = group.cases.first() else { return Vec::new() };
    let mut responses = responses.iter();
    let mut next =
        |request: &Datum| responses.next().map(|response| (subject.canonical)(request, response)).unwrap_or_default();
    let opened = next(&first.opening.request());
    let events = Datum::map([("op", "events".into())]);
    let cases = group.cases.iter().map(|case| {
        let mut answers = vec![opened.clone()];
        answers.extend(case.steps.iter().map(&mut next));
        answers.push(next(&events));
        answers
    });
    cases.collect()
}
