//! What stands in a stage: gates with their conditions, checks of commands, globs of tools.

use std::ops::Range;

use super::{Sheet, full_text, optional, required, text};
use crate::call::MAX_NAME;
use crate::diagnostics::{Code, did_you_mean};
use crate::documents::check::{Check as Findings, Field, Fields};
use crate::documents::lint;
use crate::documents::path::Path;
use crate::program::glob::Glob;
use crate::program::pattern::{PatternError, Use};
use crate::program::{MAX_PROGRAMS, Pattern};
use crate::workflow::condition::Condition;
use crate::workflow::definition::{Check, Gate, Tool};
use crate::yaml::shown;

impl Sheet<'_> {
    /// Counts a pattern: all of them together have a bound.
    fn afford(&mut self, pattern: &Pattern) -> Result<(), PatternError> {
        self.cost = self.cost.saturating_add(pattern.cost());
        if self.cost > MAX_PROGRAMS { Err(PatternError::too_many()) } else { Ok(()) }
    }
}

/// The gates of an `entry` or `exit` list of the stage at `index`. Those with errors are left out.
pub(super) fn gates<'t>(
    field: Field<'t>,
    index: usize,
    path: &Path<'_>,
    sheet: &mut Sheet<'t>,
    check: &mut Findings<'_>,
) -> Vec<Gate> {
    let nodes = check.list(field, path, 0);
    nodes
        .iter()
        .enumerate()
        .filter_map(|(place, node)| gate(field.item(node), index, &path.item(place), sheet, check))
        .collect()
}

fn gate<'t>(
    field: Field<'t>,
    index: usize,
    path: &Path<'_>,
    sheet: &mut Sheet<'t>,
    check: &mut Findings<'_>,
) -> Option<Gate> {
    let fields = Fields::open(field, path, &["condition", "message"], check)?;
    let message = optional(&fields, "message").map(|field| text(field, &path.key("message"), check));
    let field = required(&fields, "condition", path, check)?;
    let path = path.key("condition");
    let written = full_text(field, &path, check);
    if written.is_empty() {
        return None;
    }
    let condition = match Condition::parse(written) {
        Ok(condition) => condition,
        Err(wrong) => {
            let span = fault(written).map_or_else(|| field.blame(), |range| sheet.places.within(field.node, range));
            let finding = check.error(Code::WfCondition, span, &path, &wrong.message);
            if let Some(help) = wrong.help {
                finding.help(help);
            }
            return None;
        }
    };
    names(&condition, field, index, &path, sheet, check);
    let message = message.unwrap_or_default().to_owned();
    Some(Gate { text: written.to_owned(), condition, message })
}

/// What a condition names must be there.
fn names<'t>(
    condition: &Condition,
    field: Field<'t>,
    index: usize,
    path: &Path<'_>,
    sheet: &mut Sheet<'t>,
    check: &mut Findings<'_>,
) {
    match condition {
        Condition::StageComplete(id) | Condition::Approval(Some(id)) => {
            let span = || sheet.places.within(field.node, argument(field.node.as_str().unwrap_or_default()));
            match sheet.ids.get(id.as_str()) {
                None => {
                    let what = format!("there is no stage {}", shown(id));
                    let known = sheet.ids.keys().copied();
                    let help = if check.is_full() { None } else { did_you_mean(id, known) };
                    let finding = check.error(Code::WfUnknownStage, span(), path, &what);
                    if let Some(help) = help {
                        finding.help(help);
                    }
                }
                Some(other) if *other >= index && matches!(condition, Condition::StageComplete(_)) => {
                    let what = format!("never holds here: {} is not completed before this stage", shown(id));
                    check.warning(Code::LintWorkflow, span(), path, &what).help("name a stage that comes before");
                }
                Some(_) => {}
            }
        }
        Condition::Exec { .. } if !sheet.exec_enabled => {
            let span = sheet.places.within(field.node, 0.."exec".len());
            check
                .error(Code::WfExecDisabled, span, path, "`exec` runs a command, which is not enabled")
                .help("set the option `exec_enabled`, if you trust this file with commands");
        }
        Condition::CommandMatches(pattern) | Condition::CommandNotMatches(pattern) => {
            if let Err(wrong) = sheet.afford(pattern) {
                let finding = check.error(Code::WfCondition, field.blame(), path, &wrong.message);
                if let Some(help) = wrong.help {
                    finding.help(help);
                }
            }
        }
        _ => {}
    }
}

/// Which code points of a text that is no condition are wrong; none: the whole does not hang together.
fn fault(text: &str) -> Option<Range<usize>> {
    let (name, _) = text.split_once('(')?;
    if !crate::workflow::condition::NAMES.contains(&name) {
        return Some(0..name.chars().count());
    }
    if !matches!(name, "command_matches" | "command_not_matches") {
        return None;
    }
    let (argument, places) = first_string(text)?;
    let wrong = Pattern::compile(&argument, Use::Search).err()?;
    let at = *places.get(wrong.position).or_else(|| places.last())?;
    Some(at..at + 1)
}

/// The code points of the first quoted string; all of the text when there is none.
fn argument(text: &str) -> Range<usize> {
    let places = first_string(text).map(|(_, places)| places).unwrap_or_default();
    match places.as_slice() {
        [first, .., last] if first < last => *first..*last,
        _ => 0..text.chars().count(),
    }
}

/// The first quoted string as a condition reads it, where each code point of it stands, and where its end quote stands.
fn first_string(text: &str) -> Option<(String, Vec<usize>)> {
    let (mut string, mut places) = (String::new(), Vec::new());
    let mut characters = text.chars().enumerate().skip_while(|(_, character)| *character != '"').skip(1);
    while let Some((at, character)) = characters.next() {
        places.push(at);
        match character {
            '"' => return Some((string, places)),
            '\\' => match characters.next()? {
                (_, escaped @ ('\\' | '"')) => string.push(escaped),
                (next, other) => {
                    places.push(next);
                    string.extend(['\\', other]);
                }
            },
            plain => string.push(plain),
        }
    }
    None
}

/// The checks of a stage. Those with errors are left out.
pub(super) fn checks<'t>(
    field: Field<'t>,
    path: &Path<'_>,
    sheet: &mut Sheet<'t>,
    check: &mut Findings<'_>,
) -> Vec<Check> {
    let nodes = check.list(field, path, 0);
    nodes
        .iter()
        .enumerate()
        .filter_map(|(place, node)| one_check(field.item(node), &path.item(place), sheet, check))
        .collect()
}

fn one_check<'t>(field: Field<'t>, path: &Path<'_>, sheet: &mut Sheet<'t>, check: &mut Findings<'_>) -> Option<Check> {
    let fields = Fields::open(field, path, &["command_matches", "command_not_matches", "message"], check)?;
    let message = required(&fields, "message", path, check);
    let message = message.map(|field| full_text(field, &path.key("message"), check).to_owned());
    let (positive, negative) = (optional(&fields, "command_matches"), optional(&fields, "command_not_matches"));
    let (key, field) = match (positive, negative) {
        (Some(field), None) => ("command_matches", field),
        (None, Some(field)) => ("command_not_matches", field),
        (Some(_), Some(second)) => {
            check
                .error(
                    Code::ExprShape,
                    second.key,
                    path,
                    "must have exactly one of command_matches, command_not_matches",
                )
                .help("write two checks");
            return None;
        }
        (None, None) => {
            let what = "is required, or command_not_matches";
            check.error(Code::MissingField, fields.place(), &path.key("command_matches"), what);
            return None;
        }
    };
    let path = path.key(key);
    let source = full_text(field, &path, check);
    if source.is_empty() {
        return None;
    }
    lint::doubled_backslash(field.node, &path, check);
    let compiled = if sheet.cost > MAX_PROGRAMS {
        // What is too much already is not looked at further.
        Err(PatternError::too_many())
    } else {
        Pattern::compile(source, Use::Search).and_then(|pattern| sheet.afford(&pattern).map(|()| pattern))
    };
    match compiled {
        Ok(pattern) => {
            Some(Check { text: source.to_owned(), pattern, must_match: positive.is_some(), message: message? })
        }
        Err(wrong) => {
            let span = sheet.places.within(field.node, wrong.position..wrong.position + 1);
            let finding = check.error(wrong.code, span, &path, &format!("regex {}: {}", shown(source), wrong.message));
            if let Some(help) = wrong.help {
                finding.help(help);
            }
            None
        }
    }
}

/// The globs of a stage's tools. Those with errors are left out.
pub(super) fn tools(field: Field<'_>, path: &Path<'_>, check: &mut Findings<'_>) -> Vec<Tool> {
    let nodes = check.list(field, path, 0);
    nodes.iter().enumerate().filter_map(|(place, node)| tool(field.item(node), &path.item(place), check)).collect()
}

/// A glob that some tool name can match (engine.md §2.1).
fn tool(field: Field<'_>, path: &Path<'_>, check: &mut Findings<'_>) -> Option<Tool> {
    let before = check.errors();
    let name = full_text(field, path, check);
    let span = field.blame();
    let glob = Glob::compile(name);
    if name.contains(['/', '\\']) {
        check.error(Code::Pattern, span, path, &format!("{} is no tool name: it has a path separator", shown(name)));
    } else if name.chars().any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')) {
        let what = format!("{} is no tool name: it has a control character or a line separator", shown(name));
        check.error(Code::Pattern, span, path, &what);
    } else if name.chars().nth(MAX_NAME).is_some() {
        check.error(Code::TooLong, span, path, &format!("is longer than the {MAX_NAME} characters of a tool name"));
    } else if glob.has_open_bracket() {
        check
            .error(Code::Pattern, span, path, &format!("{} has a bracket that is not closed", shown(name)))
            .help("close it, or write `[[]` for a bracket");
    }
    if check.errors() > before {
        return None;
    }
    lint::tool_glob(name, span, path, check);
    Some(Tool { text: name.to_owned(), glob })
}
