//! What the documents say: examples load, and links lead somewhere.

#![expect(clippy::panic, reason = "a test may fail so")]

use std::fs;
use std::path::{Path, PathBuf};

use edictum_engine::diagnostics::{Diagnostic, Severity};
use edictum_engine::documents::Document;
use edictum_engine::policy;

const PAGES: [&str; 15] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "DIVERGENCES.md",
    "docs/connect.md",
    "docs/driver.md",
    "docs/host.md",
    "docs/libedictum.md",
    "docs/plugins.md",
    "docs/serve.md",
    "docs/storage.md",
    "docs/wit.md",
    "examples/go/README.md",
    "examples/plugin-pii/README.md",
    "examples/plugin-principal/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The code blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

#[test]
fn documents_in_the_readme_load_without_a_finding() {
    let rulesets = blocks("README.md", "yaml");
    assert!(!rulesets.is_empty());
    for text in rulesets {
        let document = Document { name: "README.md".to_owned(), text };
        let findings: Vec<Diagnostic> = if document.text.contains("\nkind: Workflow\n") {
            policy::check(&[], Some(&document), "{}")
        } else {
            policy::check(&[document], None, "{}")
        };
        assert!(findings.iter().all(|finding| finding.severity == Severity::Hint), "{findings:#?}");
    }
}

#[test]
fn local_links_lead_somewhere() {
    let mut links = 0;
    for page in PAGES {
        let text = read(page);
        let folder = root().join(page);
        let folder = folder.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let path = if file.is_empty() { root().join(page) } else { folder.join(file) };
            assert!(path.exists(), "{page}: {target}");
            let there = fs::read_to_string(&path).unwrap();
            let headings = there.lines().filter_map(|line| line.strip_prefix('#'));
            let mut headings =
                headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"));
            assert!(anchor.is_empty() || headings.any(|heading| heading == anchor), "{page}: {target}");
            links += 1;
        }
    }
    assert!(links > 5, "{links}");
}

#[test]
fn every_chore_in_the_readme_exists() {
    let main = read("xtask/src/main.rs");
    let readme = read("README.md");
    let chores = readme.split("`cargo xtask ").skip(1).filter_map(|rest| rest.split([' ', '`']).next());
    for chore in chores {
        let variant: String = chore.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert!(main.contains(&format!("    {variant}")), "{chore}");
    }
}

#[test]
fn every_divergence_is_documented_with_its_section() {
    use edictum_tests::differential::{explain, workflow};
    let text = read("DIVERGENCES.md");
    let rulesets = explain::table::DIVERGENCES.iter().map(|it| (it.id, it.title, it.source, it.restored));
    let workflows = workflow::table::DIVERGENCES.iter().map(|it| (it.id, it.title, it.source, it.restored));
    let divergences: Vec<_> = rulesets.chain(workflows).collect();
    let rows = text.lines().filter(|line| line.starts_with("| D-")).count();
    assert_eq!(rows, divergences.len(), "one row each");
    for (id, title, source, restored) in divergences {
        let row = text.lines().find(|line| line.starts_with(&format!("| {id} |")));
        let row = row.unwrap_or_else(|| panic!("{id} is not in DIVERGENCES.md"));
        let restored = if restored { "| yes |" } else { "| no |" };
        for part in [title, source, restored] {
            assert!(row.contains(part), "{id}: {part}");
        }
    }
}

#[test]
fn deliberate_faults_still_have_their_places() {
    let faults: Vec<std::collections::BTreeMap<String, String>> =
        serde_yaml::from_str(&read("tests/deliberate_faults.yaml")).unwrap();
    assert!(faults.len() >= 20, "{} faults", faults.len());
    for fault in faults {
        let text = read(&fault["file"]);
        assert_eq!(text.matches(&fault["old"]).count(), 1, "{}", fault["name"]);
    }
}
