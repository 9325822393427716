//! The shared fixtures as far as loading goes: what must be rejected is, with the right words, and everything else loads.
//!
//! The files are in `$EDICTUM_SHARED/conformance`, by default beside the workspace.
#![expect(clippy::disallowed_methods, reason = "a test reads files; the engine does not")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edictum_engine::diagnostics::{Diagnostic, Severity};
use edictum_engine::documents::Document;
use edictum_engine::documents::composition::Composition;
use edictum_engine::documents::load::Loader;
use edictum_engine::documents::workflow;
use edictum_engine::options::Options;
use edictum_engine::yaml::{Node, Reader, write};

/// Fixture files may be larger than policies.
const CAP: usize = 64 * 1024 * 1024;

fn suite(name: &str) -> Vec<(String, Node)> {
    let shared = std::env::var("EDICTUM_SHARED")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("conformance").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("{}: {error}; set EDICTUM_SHARED to the folder that has `conformance`", folder.display())
    });
    let mut suite = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (root, findings) = Reader::with_cap(&name, text, CAP).finish();
        assert!(findings.is_empty(), "{findings:?}");
        suite.push((name, root.unwrap()));
    }
    assert!(!suite.is_empty(), "{} has no fixtures", folder.display());
    suite
}

fn fixtures(root: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let fixtures = root.get("fixtures").and_then(Node::items).unwrap();
    assert!(!fixtures.is_empty());
    fixtures.iter().map(|fixture| (fixture.get("id").unwrap().as_str().unwrap(), fixture))
}

fn load(text: String, options: &Options) -> (Option<Composition>, Vec<Diagnostic>) {
    Loader::new(vec![Document { name: "fixture".to_owned(), text }], options).finish()
}

fn errors(findings: &[Diagnostic]) -> Vec<&Diagnostic> {
    findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
}

#[test]
fn malformed_rulesets_are_rejected_with_words_that_help() {
    for (file, root) in suite("rejection") {
        for (id, fixture) in fixtures(&root) {
            let (_, findings) = load(write(fixture.get("bundle").unwrap()), &Options::default());
            let errors = errors(&findings);
            let expected = fixture.get("expected").unwrap();
            let word = expected.get("error_contains").and_then(Node::as_str).unwrap().to_lowercase();
            assert!(!errors.is_empty(), "{file} {id} loads");
            let says = errors.iter().any(|error| error.message.to_lowercase().contains(&word));
            assert!(says, "{file} {id}: no `{word}` in {errors:?}");
            for error in errors {
                assert!(error.span.line > 0 && error.span.column > 0, "{file} {id}: {error:?}");
            }
        }
    }
}

#[test]
fn rulesets_of_all_suites_load() {
    for name in ["behavioral", "adversarial"] {
        for (file, root) in suite(name) {
            for (id, fixture) in fixtures(&root) {
                let contract = fixture.get("contract").unwrap();
                let (composition, findings) = load(write(contract), &Options::default());
                assert!(errors(&findings).is_empty(), "{file} {id}: {findings:?}");
                let rules = contract.get("rules").and_then(Node::items).unwrap();
                let disabled =
                    |rule: &&Node| matches!(rule.get("enabled").map(|on| on.to_json()), Some(on) if on == false);
                let enabled = rules.len() - rules.iter().filter(disabled).count();
                assert_eq!(composition.unwrap().rules.len(), enabled, "{file} {id}");
            }
        }
    }
}

#[test]
fn rulesets_that_extend_others_load() {
    let mut seen = 0;
    for (file, root) in suite("workflow-v0.18") {
        let Some(rulesets) = root.get("rulesets") else { continue };
        let registry: BTreeMap<String, String> = rulesets
            .entries()
            .unwrap()
            .iter()
            .map(|(name, ruleset)| (name.as_str().unwrap().to_owned(), write(ruleset)))
            .collect();
        for (id, fixture) in fixtures(&root) {
            let contract = fixture.get("contract").unwrap();
            let text = contract.as_str().map_or_else(|| write(contract), |name| registry[name].clone());
            let options = Options { registry: registry.clone(), ..Options::default() };
            let (composition, findings) = load(text, &options);
            assert!(errors(&findings).is_empty(), "{file} {id}: {findings:?}");
            assert!(composition.is_some_and(|composition| !composition.rules.is_empty()), "{file} {id}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no suite has a `rulesets` registry");
}

#[test]
fn every_workflow_of_the_suites_loads() {
    let mut loaded = 0;
    for name in ["workflow", "workflow-adapter-conformance", "workflow-coding-guard", "workflow-v0.18"] {
        for (file, root) in suite(name) {
            for (key, node) in root.get("workflows").and_then(Node::entries).unwrap_or_default() {
                let key = key.as_str().unwrap();
                let workflow = workflow::load(key, &write(node), false).unwrap_or_else(|findings| {
                    panic!("{file} {key}: {findings:?}");
                });
                assert_eq!(Some(workflow.0.name.as_str()), node.get("metadata").unwrap().get("name").unwrap().as_str());
                let stages = node.get("stages").and_then(Node::items).unwrap();
                assert_eq!(workflow.0.stages.len(), stages.len(), "{file} {key}");
                loaded += 1;
            }
        }
    }
    assert!(loaded >= 10, "only {loaded} workflows");
}
