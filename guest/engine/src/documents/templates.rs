//! The five built-in rulesets (engine.md §14): a start for a kind of agent each.
//!
//! `templates/vectors.yaml` says what each of them must block, ask about, warn of and let pass.

/// Name and text of each template.
const ALL: &[(&str, &str)] = &[
    ("coding-assistant-base", include_str!("templates/coding-assistant-base.yaml")),
    ("devops-agent", include_str!("templates/devops-agent.yaml")),
    ("file-agent", include_str!("templates/file-agent.yaml")),
    ("nanobot-agent", include_str!("templates/nanobot-agent.yaml")),
    ("research-agent", include_str!("templates/research-agent.yaml")),
];

/// Name and text of each template, by name.
#[must_use]
pub const fn all() -> &'static [(&'static str, &'static str)] {
    ALL
}

/// The text of one template.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::documents::Document;
    use crate::documents::load::Loader;
    use crate::documents::ruleset::Mode;
    use crate::options::Options;
    use crate::yaml::{Node, read};

    #[test]
    fn load_without_a_single_finding() {
        for (name, text) in all() {
            let document = Document { name: (*name).to_owned(), text: (*text).to_owned() };
            let (composition, findings) = Loader::new(vec![document], &Options::default()).finish();
            assert!(findings.is_empty(), "{findings:?}");
            let composition = composition.unwrap();
            assert_eq!(composition.name, *name);
            let observes = *name == "coding-assistant-base";
            assert_eq!(composition.mode == Mode::Observe, observes);
            assert!(composition.rules.iter().all(|rule| (rule.mode == Mode::Observe) == observes));
        }
        assert!(find("file-agent").is_some() && find("../file-agent").is_none());
    }

    #[test]
    fn vectors_name_templates_and_rules_that_exist_and_reach_all_that_judge_calls() {
        let (vectors, findings) = read("vectors.yaml", include_str!("templates/vectors.yaml"));
        assert!(findings.is_empty(), "{findings:?}");
        let rules = |template: &str| -> Vec<(String, String)> {
            let text = find(template).unwrap_or_else(|| panic!("no template {template}"));
            let root = read(template, text).0.unwrap();
            let word = |rule: &Node, key: &str| rule.get(key).unwrap().as_str().unwrap().to_owned();
            let rules = root.get("rules").unwrap().items().unwrap();
            rules.iter().map(|rule| (word(rule, "id"), word(rule, "type"))).collect()
        };
        let mut reached = BTreeSet::new();
        for vector in vectors.unwrap().items().unwrap() {
            let word = |key: &str| vector.get(key).and_then(Node::as_str);
            let template = word("template").unwrap();
            assert!(matches!(word("expected"), Some("allow" | "block" | "ask" | "warn")));
            if let Some(rule) = word("rule") {
                assert!(rules(template).iter().any(|(id, _)| id == rule), "{template} has no {rule}");
                reached.insert((template.to_owned(), rule.to_owned()));
            }
        }
        for (template, _) in all() {
            for (id, kind) in rules(template) {
                let expected = kind == "session" || reached.contains(&((*template).to_owned(), id.clone()));
                assert!(expected, "no vector for {id} of {template}");
            }
        }
    }
}
