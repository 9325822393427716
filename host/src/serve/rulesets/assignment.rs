//! Which agents follow which ruleset, when they name none themselves: rules over agent ids, environments and tags, the one
//! with the lowest priority first.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::serve::request::is_identifier;

/// The file in the folder of rulesets.
pub const FILE_NAME: &str = "assignments.yaml";

/// Rules, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments(Vec<Rule>);

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Document {
    assignments: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// What is assigned.
    ruleset: String,
    /// A pattern of agent ids: `*` any characters, `?` one.
    #[serde(default = "anybody")]
    agent: String,
    /// None: in all of them.
    environment: Option<String>,
    /// All of these, with these values.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Lower ones are tried first; equal ones in the order of the file.
    #[serde(default = "middle")]
    priority: i64,
}

fn anybody() -> String {
    "*".to_owned()
}

fn middle() -> i64 {
    100
}

/// What an agent is assigned, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned<'a> {
    /// The ruleset.
    pub ruleset: &'a str,
    /// `explicit` when the rule names this agent, else `rule`.
    pub source: &'static str,
}

impl Assignments {
    /// Reads such a file. An empty one has no rules.
    pub fn read(text: &str) -> Result<Self, String> {
        let document: Option<Document> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let mut rules = document.map(|document| document.assignments).unwrap_or_default();
        for rule in &rules {
            if !is_identifier(&rule.ruleset) {
                return Err(format!("`{}` cannot be the name of a ruleset", rule.ruleset));
            }
        }
        rules.sort_by_key(|rule| rule.priority);
        Ok(Self(rules))
    }

    /// What this agent is assigned, among the rulesets that are there.
    pub fn resolve(
        &self,
        agent: &str,
        environment: &str,
        tags: &BTreeMap<String, String>,
        is_there: impl Fn(&str) -> bool,
    ) -> Option<Assigned<'_>> {
        let rule = self.0.iter().find(|rule| {
            rule.environment.as_deref().is_none_or(|wanted| wanted == environment)
                && matches(&rule.agent, agent)
                && rule.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
                && is_there(&rule.ruleset)
        })?;
        let source = if rule.agent == agent { "explicit" } else { "rule" };
        Some(Assigned { ruleset: &rule.ruleset, source })
    }
}

/// `*` and `?`, in time linear in the product of both lengths at most.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // The last star, and how much it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(from) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, from) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
assignments:
  - {ruleset: fallback, priority: 900}
  - {ruleset: gone, agent: 'ci-*', priority: 1}
  - {ruleset: ci, agent: 'ci-*', environment: staging}
  - {ruleset: data, tags: {team: data, tier: '1'}}
  - {ruleset: mine, agent: alice}
";

    #[test]
    fn the_first_rule_that_fits_and_whose_ruleset_is_there_decides() {
        let assignments = Assignments::read(RULES).unwrap();
        let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let resolve = |agent: &str, environment: &str, pairs: &[(&str, &str)]| {
            assignments
                .resolve(agent, environment, &tags(pairs), |name| name != "gone")
                .map(|assigned| (assigned.ruleset.to_owned(), assigned.source))
                .unwrap()
        };
        assert_eq!(resolve("ci-1", "staging", &[]), ("ci".to_owned(), "rule"));
        assert_eq!(resolve("ci-1", "production", &[]), ("fallback".to_owned(), "rule"));
        assert_eq!(resolve("x", "p", &[("team", "data"), ("tier", "1"), ("more", "")]).0, "data");
        assert_eq!(resolve("x", "p", &[("team", "data")]).0, "fallback");
        assert_eq!(resolve("alice", "p", &[]), ("mine".to_owned(), "explicit"));
        assert!(Assignments::default().resolve("x", "p", &tags(&[]), |_| true).is_none());
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("a*b*c", "aXbXbYc"), ("??", "é1"), ("**a", "a")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a*c", "ab"), ("?", ""), ("A", "a"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        // One that makes naive matchers try for ever.
        assert!(!matches(&"*a".repeat(60), &"a".repeat(59)));
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(Assignments::read("").unwrap(), Assignments::default());
        for wrong in ["assignments: 3", "assignments: [{agent: a}]", "assignments: [{ruleset: a, x: 1}]", "[]", "a: ["]
        {
            assert!(Assignments::read(wrong).is_err(), "{wrong}");
        }
        assert!(Assignments::read("assignments: [{ruleset: ../a}]").unwrap_err().contains("`../a`"));
    }
}
