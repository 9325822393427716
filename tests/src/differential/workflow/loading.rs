//! Workflow documents that only the reference loads (engine.md §1.6): told by what stands in them.

use super::definition;
use crate::differential::case::Case;
use crate::differential::compare::refused;
use crate::differential::datum::Datum;

/// Every answer of a guard that was not opened, when the reference's was.
fn all_refused(applies: bool, reference: &[Datum]) -> Option<Vec<Datum>> {
    let opened = reference.first().is_some_and(|opened| !opened.flag("refused"));
    (applies && opened).then(|| vec![refused(); reference.len()])
}

fn content(case: &Case) -> Option<&Datum> {
    Some(&case.opening.workflow.as_ref()?.content)
}

fn stages(case: &Case) -> &[Datum] {
    content(case).map_or(&[], |content| content.list_of("stages"))
}

fn conditions(case: &Case) -> impl Iterator<Item = &str> {
    let gates = stages(case).iter().flat_map(|stage| stage.list_of("entry").iter().chain(stage.list_of("exit")));
    gates.map(|gate| gate.text("condition"))
}

/// A truth value or a float where text belongs, a text where a truth value belongs.
pub fn scalars(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let metadata = content(case)?.get("metadata")?;
    let odd = metadata.entries().iter().any(|(_, value)| matches!(value, Datum::Bool(_) | Datum::Float(_)));
    let terminal = |stage: &Datum| stage.get("terminal").is_some_and(|flag| !matches!(flag, Datum::Bool(_)));
    all_refused(odd || stages(case).iter().any(terminal), reference)
}

/// `tools: Read`.
pub fn lists(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let text = |stage: &Datum| stage.get("tools").is_some_and(|tools| matches!(tools, Datum::String(_)));
    all_refused(stages(case).iter().any(text), reference)
}

/// A gate names a stage that the workflow does not have.
pub fn unknown_stages(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let unknown = |condition: &str| {
        let rest = condition.strip_prefix("stage_complete(\"").or_else(|| condition.strip_prefix("approval(\""));
        let id = rest.and_then(|rest| rest.strip_suffix("\")")).unwrap_or("");
        !id.is_empty() && !stages(case).iter().any(|stage| stage.text("id") == id)
    };
    all_refused(conditions(case).any(unknown), reference)
}

/// A pattern or an argument that is empty, a bracket that stays open.
pub fn empty(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let argument = conditions(case).any(|text| text.ends_with("(\"\")") && !text.starts_with("approval("));
    let check = |check: &Datum| {
        ["command_matches", "command_not_matches"]
            .iter()
            .any(|name| check.get(name).is_some_and(|pattern| pattern.as_str() == Some("")))
    };
    let tool = |tool: &Datum| tool.as_str().is_some_and(|tool| tool.contains('[') && !tool.contains(']'));
    let stage = |stage: &Datum| stage.list_of("checks").iter().any(check) || stage.list_of("tools").iter().any(tool);
    all_refused(argument || stages(case).iter().any(stage), reference)
}

/// A key twice.
pub fn keys(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let text = &case.opening.workflow.as_ref()?.text;
    all_refused(text.lines().filter(|line| line.starts_with("kind:")).count() > 1, reference)
}

/// A pattern that needs backtracking.
pub fn backtracking(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let needs = |text: &str| ["(?=", "(?!", "(?<", r"\1"].iter().any(|construct| text.contains(construct));
    all_refused(conditions(case).any(needs), reference)
}

/// Whether a condition has an escape that only ours reads.
#[must_use]
pub fn has_own_escape(case: &Case) -> bool {
    conditions(case).any(definition::has_own_escape)
}
