//! A workflow document → a compiled workflow, with every finding of the file in one go (engine.md §1.6).
//!
//! This file has the document and its stages, `gate` what stands in them: gates, checks, tools. `lint` warns of what loads
//! and does not hold what it promises, `within` finds places inside a text of the document. How a workflow is walked is not
//! here but in [`crate::workflow`].

mod gate;
mod lint;
#[cfg(test)]
mod tests;
mod within;

use std::collections::BTreeMap;

use super::check::{Check, Dialect, Field, Fields};
use super::header::is_name;
use super::load::usable;
use super::path::Path;
use crate::diagnostics::{Code, Diagnostic, Findings, Severity, Span};
use crate::workflow::definition::{Stage, Workflow};
use crate::yaml::{self, Node, Value, shown};

/// Most stages of a workflow. Look-ahead goes from stage to stage, so that their number must have a bound.
pub const MAX_STAGES: usize = 256;

const KEYS: &[&str] = &["apiVersion", "kind", "metadata", "stages"];

const STAGE_KEYS: &[&str] = &["id", "description", "entry", "exit", "tools", "checks", "approval", "terminal"];

/// A file being read.
#[derive(Debug)]
struct Sheet<'t> {
    places: within::Places<'t>,
    /// Ids of all stages, as written, with the index of the first that has it.
    ids: BTreeMap<&'t str, usize>,
    exec_enabled: bool,
    /// Roughly the states of all patterns together.
    cost: u64,
}

/// Reads a workflow of at most [`yaml::MAX_BYTES`]. `exec_enabled` is the opt-in to `exec(...)`; without it such a gate is
/// an error.
///
/// ```
/// let text = "\
/// apiVersion: edictum/v1
/// kind: Workflow
/// metadata: {name: small}
/// stages:
///   - {id: read, tools: [Read], exit: [{condition: 'file_read(\"plan.md\")', message: read the plan first}]}
///   - {id: done, terminal: true}
/// ";
/// let (workflow, warnings) = edictum_engine::documents::workflow::load("small.yaml", text, false).unwrap();
/// assert_eq!((workflow.stages.len(), warnings.len()), (2, 0));
/// ```
///
/// # Errors
/// Everything that is wrong with it, and warnings, by place. All messages begin with `workflow: `.
pub fn load(name: &str, text: &str, exec_enabled: bool) -> Result<(Workflow, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::of(name);
    let (root, found) = yaml::read(name, text);
    let root = usable(root, found, &mut findings);
    let workflow = root.and_then(|root| {
        let ids = stage_ids(&root);
        let mut sheet = Sheet { places: within::Places::new(text), ids, exec_enabled, cost: 0 };
        document(&root, &mut sheet, &mut Check::new(&Dialect::workflow(), &mut findings))
    });
    let mut findings = findings.into_list();
    for finding in &mut findings {
        finding.message.insert_str(0, "workflow: ");
    }
    let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
    match workflow {
        Some(workflow) if !broken => Ok((workflow, findings)),
        _ => Err(findings),
    }
}

/// What conditions may name, also in stages that come before.
fn stage_ids(root: &Node) -> BTreeMap<&str, usize> {
    let mut ids = BTreeMap::new();
    let stages = root.get("stages").and_then(Node::items).unwrap_or_default();
    for (index, stage) in stages.iter().enumerate() {
        if let Some(id) = stage.get("id").and_then(scalar) {
            ids.entry(id).or_insert(index);
        }
    }
    ids
}

fn document<'t>(root: &'t Node, sheet: &mut Sheet<'t>, check: &mut Check<'_>) -> Option<Workflow> {
    let path = &Path::Root;
    let fields = Fields::root(root.entries().unwrap_or_default(), &[], KEYS, check);
    if let Some(field) = required(&fields, "apiVersion", path, check) {
        check.one_of(field, &path.key("apiVersion"), &[("edictum/v1", ())]);
    }
    if let Some(field) = required(&fields, "kind", path, check) {
        kind(field, &path.key("kind"), check);
    }
    let metadata = required(&fields, "metadata", path, check);
    let (name, version) = metadata.map(|field| self::metadata(field, check)).unwrap_or_default();
    let list = path.key("stages");
    let field = required(&fields, "stages", path, check)?;
    let nodes = check.list(field, &list, 1);
    if nodes.len() > MAX_STAGES {
        let what = format!("has {} stages, and at most {MAX_STAGES} are permitted", nodes.len());
        check.error(Code::TooLong, field.key, &list, &what).help("a workflow is a handful of stages; split it");
        return None;
    }
    let mut firsts = BTreeMap::new();
    let mut stages = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let stage = stage(field.item(node), index, &list.item(index), &mut firsts, sheet, check);
        stages.extend(stage);
    }
    if stages.len() < nodes.len() {
        return None;
    }
    lint::order(&stages, &list, check);
    Some(Workflow { name, version, stages: stages.into_iter().map(|(stage, _)| stage).collect() })
}

fn kind(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) {
    if matches!(field.node.as_str(), Some("Ruleset" | "ContractBundle")) {
        let what = format!("must be one of Workflow, not {}", shown(field.node.as_str().unwrap_or("")));
        check
            .error(Code::Enum, field.blame(), path, &what)
            .help("a ruleset is given to the guard among its rulesets, not as its workflow");
    } else {
        check.one_of(field, path, &[("Workflow", ())]);
    }
}

/// Name and version.
fn metadata(field: Field<'_>, check: &mut Check<'_>) -> (String, String) {
    let path = Path::Root.key("metadata");
    let Some(fields) = Fields::open(field, &path, &["name", "version", "description"], check) else {
        return Default::default();
    };
    let name = required(&fields, "name", &path, check).map(|field| name(field, &path.key("name"), check));
    let version = optional(&fields, "version").map(|field| text(field, &path.key("version"), check));
    if let Some(field) = optional(&fields, "description") {
        text(field, &path.key("description"), check);
    }
    (name.unwrap_or_default().to_owned(), version.unwrap_or_default().to_owned())
}

/// The name of a workflow or a stage.
fn name<'n>(field: Field<'n>, path: &Path<'_>, check: &mut Check<'_>) -> &'n str {
    let name = text(field, path, check);
    if scalar(field.node).is_some() && !is_name(name) {
        let what = format!(
            "{} must be lower-case letters, digits, `.`, `-` and `_`, and begin with a letter or digit",
            shown(name)
        );
        check.error(Code::Pattern, field.blame(), path, &what);
    }
    name
}

/// A stage and where its id stands; none when there is any error in it.
fn stage<'t>(
    field: Field<'t>,
    index: usize,
    path: &Path<'_>,
    firsts: &mut BTreeMap<&'t str, Span>,
    sheet: &mut Sheet<'t>,
    check: &mut Check<'_>,
) -> Option<(Stage, Span)> {
    let before = check.errors();
    let fields = Fields::open(Field { key: field.node.span, ..field }, path, STAGE_KEYS, check)?;
    let id = required(&fields, "id", path, check);
    let span = id.map_or_else(|| fields.place(), |field| field.blame());
    let id = id.map(|field| name(field, &path.key("id"), check)).unwrap_or_default();
    if let Some(first) = firsts.get(id) {
        check
            .error(Code::WfDupStage, span, &path.key("id"), &format!("another stage is called {} too", shown(id)))
            .help(format!("the first one is on line {}", first.line));
    } else if !id.is_empty() {
        firsts.insert(id, span);
    }
    let description = optional(&fields, "description").map(|field| text(field, &path.key("description"), check));
    let entry = optional(&fields, "entry");
    let exit = optional(&fields, "exit");
    let gates = |field: Option<Field<'t>>, key: &str, sheet: &mut Sheet<'t>, check: &mut Check<'_>| {
        field.map(|field| gate::gates(field, index, &path.key(key), sheet, check)).unwrap_or_default()
    };
    let stage = Stage {
        id: id.to_owned(),
        description: description.unwrap_or_default().to_owned(),
        entry: gates(entry, "entry", sheet, check),
        exit: gates(exit, "exit", sheet, check),
        tools: optional(&fields, "tools")
            .map(|field| gate::tools(field, &path.key("tools"), check))
            .unwrap_or_default(),
        checks: optional(&fields, "checks")
            .map(|field| gate::checks(field, &path.key("checks"), sheet, check))
            .unwrap_or_default(),
        approval: optional(&fields, "approval").and_then(|field| approval(field, &path.key("approval"), check)),
        terminal: optional(&fields, "terminal").is_some_and(|field| check.boolean(field, &path.key("terminal"))),
    };
    if let Some(field) = entry.filter(|_| index == 0 && !stage.entry.is_empty()) {
        lint::first_entry(field, &path.key("entry"), check);
    }
    if check.errors() > before {
        return None;
    }
    if let Some(field) = optional(&fields, "tools") {
        lint::tools(field, &stage, &path.key("tools"), check);
    }
    Some((stage, span))
}

/// The question to a person.
fn approval(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Option<String> {
    let fields = Fields::open(field, path, &["message"], check)?;
    let message = required(&fields, "message", path, check)?;
    Some(full_text(message, &path.key("message"), check).to_owned())
}

/// The value of a key that is there and not null: a key without a value is no key.
fn optional<'n>(fields: &Fields<'n>, name: &str) -> Option<Field<'n>> {
    fields.get(name).filter(|field| !matches!(field.node.value, Value::Null))
}

fn required<'n>(fields: &Fields<'n>, name: &str, path: &Path<'_>, check: &mut Check<'_>) -> Option<Field<'n>> {
    let field = fields.require(name, path, check)?;
    if matches!(field.node.value, Value::Null) {
        check.error(Code::MissingField, field.blame(), &path.key(name), "is required").help("give it a value");
        return None;
    }
    Some(field)
}

/// Characters of a string, an integer or a date. What else YAML makes of a plain word would not be what was written.
fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) | Value::Int(text) | Value::Date(text) => Some(text),
        _ => None,
    }
}

/// A text, "" after an error.
fn text<'n>(field: Field<'n>, path: &Path<'_>, check: &mut Check<'_>) -> &'n str {
    scalar(field.node).unwrap_or_else(|| {
        check.wrong_type(field, path, "a string");
        ""
    })
}

/// A text of at least one character.
fn full_text<'n>(field: Field<'n>, path: &Path<'_>, check: &mut Check<'_>) -> &'n str {
    if scalar(field.node) == Some("") {
        check.empty(field, path);
    }
    text(field, path, check)
}
