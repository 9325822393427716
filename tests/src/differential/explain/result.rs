//! What postconditions whose endings are given do to a result (engine.md §8.7, §8.9), for predictions.

use std::collections::BTreeMap;

use regex_automata::meta::Regex;

use super::facts::Ending;
use super::model::{Model, record};
use super::policy::{Kind, Rule};
use crate::differential::datum::Datum;

const RAN: &str = "Tool already executed — assess before proceeding.";

/// What came of the checks.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The answer to `finish`.
    pub answer: Datum,
    /// Of the event.
    pub policy_error: bool,
}

/// The heuristic of engine.md §8.4.
#[must_use]
pub fn succeeded(output: &Datum) -> bool {
    match output {
        Datum::Map(_) => match output.get("is_error") {
            None | Some(Datum::Null | Datum::Bool(false)) => true,
            Some(Datum::Bool(true)) => false,
            Some(Datum::Int(number)) => number.trim_start_matches('-') == "0",
            Some(Datum::Float(number)) => number.parse() == Ok(0.0),
            Some(Datum::String(text)) => text.is_empty(),
            Some(Datum::List(items)) => items.is_empty(),
            Some(map) => map.entries().is_empty(),
        },
        Datum::String(text) => {
            let start: String = text.chars().take(7).flat_map(char::to_lowercase).collect();
            !start.starts_with("error:") && !start.starts_with("fatal:")
        }
        _ => true,
    }
}

struct Bench<'m, 'c> {
    model: &'m Model<'c>,
    output: &'m Datum,
    safe: bool,
    replacement: Option<Datum>,
    redacted: bool,
    suppressed: bool,
    warnings: Vec<Datum>,
}

/// Checks a result. None: a pattern that this reading cannot apply.
#[must_use]
pub fn check(
    model: &Model<'_>,
    endings: &BTreeMap<String, Ending>,
    side_effect: &str,
    output: &Datum,
    success: bool,
) -> Option<Checked> {
    let safe = matches!(side_effect, "pure" | "read");
    let mut bench =
        Bench { model, output, safe, replacement: None, redacted: false, suppressed: false, warnings: Vec::new() };
    let mut records = Vec::new();
    let mut findings = Vec::new();
    let mut passed = true;
    for candidate in [false, true] {
        for rule in model.policy.of_kind(Kind::Post, candidate) {
            let Some(ending) = endings.get(&rule.id) else { continue };
            let observed = rule.observes(model.semantics.own_mode);
            records.push(record(rule, ending, observed));
            if ending.passed {
                continue;
            }
            let message = ending.message.as_str().unwrap_or("");
            findings.push(finding(rule, ending, message));
            if observed {
                bench.warnings.push(format!("⚠️ [observe] {message}").into());
            } else {
                passed = false;
                bench.act(rule, message)?;
            }
        }
    }
    let kept = bench.replacement.clone().filter(|_| success || model.semantics.redacts_failures);
    let policy_error = records.iter().any(|record| record.at(&["metadata", "policy_error"]) == Some(&true.into()));
    let answer = Datum::map([
        ("success", success.into()),
        ("postconditions_passed", passed.into()),
        ("warnings", bench.warnings.into()),
        ("result", kept.unwrap_or_else(|| output.clone())),
        ("redacted", bench.redacted.into()),
        ("suppressed", bench.suppressed.into()),
        ("rules_evaluated", records.into()),
        ("findings", findings.into()),
    ]);
    Some(Checked { answer, policy_error })
}

impl Bench<'_, '_> {
    fn act(&mut self, rule: &Rule, message: &str) -> Option<()> {
        let effective = self.safe || self.model.semantics.always_acts;
        let mut warning = match rule.action() {
            "redact" if effective => {
                self.redact(rule)?;
                format!("⚠️ Content redacted by {}.", rule.id)
            }
            "block" if effective => {
                if !(self.suppressed && self.model.semantics.stays_suppressed) {
                    self.replacement = Some(format!("[OUTPUT SUPPRESSED] {message}").into());
                }
                self.suppressed = true;
                format!("⚠️ Output suppressed by {}.", rule.id)
            }
            _ if self.safe => format!("⚠️ {message} Consider retrying."),
            _ => format!("⚠️ {message} {RAN}"),
        };
        if !self.safe && !warning.ends_with(RAN) {
            warning = format!("{warning} {RAN}");
        }
        self.warnings.push(warning.into());
        Some(())
    }

    fn redact(&mut self, rule: &Rule) -> Option<()> {
        if self.suppressed && self.model.semantics.stays_suppressed {
            return Some(());
        }
        let source = self.replacement.as_ref().unwrap_or(self.output);
        let text = match source {
            Datum::String(text) => text.clone(),
            Datum::Null => String::new(),
            Datum::Int(number) => number.clone(),
            _ => return None,
        };
        let patterns = patterns(rule.content.get("when")?);
        if patterns.is_empty() && !self.model.semantics.redacts_all {
            // The default patterns of the reference: only what no command is in is known to stay.
            if text.contains("-p") || text.contains("export") || text.contains("://") || text.contains("--password") {
                return None;
            }
        }
        let mut after = text.clone();
        for pattern in patterns {
            let pattern = Regex::new(&super::rust_pattern(&pattern)).ok()?;
            after = replace_all(&pattern, &after);
        }
        let unchanged = after == text;
        self.redacted = true;
        self.replacement = Some(match (unchanged && self.model.semantics.redacts_all, source) {
            (true, Datum::Null) => "".into(),
            (true, _) => "[REDACTED]".into(),
            _ => after.into(),
        });
        Some(())
    }
}

fn replace_all(pattern: &Regex, text: &str) -> String {
    let mut out = String::new();
    let mut last = 0;
    for found in pattern.find_iter(text) {
        out.push_str(text.get(last..found.start()).unwrap_or(""));
        out.push_str("[REDACTED]");
        last = found.end();
    }
    out.push_str(text.get(last..).unwrap_or(""));
    out
}

/// Patterns on `output.text`, in the order of the tree.
fn patterns(when: &Datum) -> Vec<String> {
    let mut found = Vec::new();
    for (name, below) in when.entries() {
        match name.as_str() {
            "all" | "any" => found.extend(below.items().iter().flat_map(patterns)),
            "not" => found.extend(patterns(below)),
            "output.text" => {
                found.extend(below.get("matches").and_then(Datum::as_str).map(str::to_owned));
                found.extend(below.list_of("matches_any").iter().filter_map(Datum::as_str).map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

fn finding(rule: &Rule, ending: &Ending, message: &str) -> Datum {
    let (id, text) = (rule.id.to_lowercase(), message.to_lowercase());
    let any = |words: &[&str]| words.iter().any(|word| id.contains(word) || text.contains(word));
    let kind = if any(&["pii", "ssn", "patient", "name", "dob"]) {
        "pii_detected"
    } else if any(&["secret", "token", "key", "credential", "password"]) {
        "secret_detected"
    } else if any(&["session", "limit", "max_calls", "budget"]) {
        "limit_exceeded"
    } else {
        "policy_violation"
    };
    Datum::map([
        ("type", kind.into()),
        ("rule_id", rule.id.as_str().into()),
        ("field", ending.metadata.get("field").cloned().unwrap_or_else(|| "output".into())),
        ("message", message.into()),
        ("metadata", ending.metadata.clone()),
    ])
}
