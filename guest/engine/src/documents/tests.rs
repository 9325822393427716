//! Rulesets that must not load, and how those that do come out.

mod composing;
mod rejecting;
mod writing;

use super::Document;
use super::composition::Composition;
use super::load::Loader;
use crate::diagnostics::{Diagnostic, Severity};
use crate::options::Options;

const HEAD: &str = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: t}\ndefaults: {mode: enforce}\n";

/// A ruleset with these rules, each a flow map.
fn with_rules(rules: &[&str]) -> String {
    format!("{HEAD}rules:\n{}", rules.iter().map(|rule| format!("- {rule}\n")).collect::<String>())
}

/// A pre rule with this condition.
fn when(condition: &str) -> String {
    with_rules(&[&format!("{{id: r, type: pre, tool: Bash, when: {condition}, then: {{action: block, message: m}}}}")])
}

fn load_all(texts: &[(&str, &str)], options: &Options) -> (Option<Composition>, Vec<Diagnostic>) {
    let document = |(name, text): &(&str, &str)| Document { name: (*name).to_owned(), text: (*text).to_owned() };
    Loader::new(texts.iter().map(document).collect(), options).finish()
}

fn load(text: &str) -> (Option<Composition>, Vec<Diagnostic>) {
    load_all(&[("t.yaml", text)], &Options::default())
}

fn codes(findings: &[Diagnostic]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn fine(text: &str) -> Composition {
    let (composition, findings) = load(text);
    assert!(findings.is_empty(), "{text}\n{findings:?}");
    composition.unwrap()
}

fn has_errors(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
