//! Counts what cases do, as the reference saw them: a test that no rule ever fires in proves nothing.

use std::collections::BTreeMap;

use super::case::Case;
use super::datum::Datum;

/// How often things happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases in which it happened.
    pub cases: BTreeMap<String, usize>,
    /// All cases.
    pub total: usize,
}

impl Tally {
    /// Counts a case by the reference's answers.
    pub fn count(&mut self, case: &Case, answers: &[Datum]) {
        let mut seen: BTreeMap<String, ()> = BTreeMap::new();
        let mut see = |name: String| {
            seen.insert(name, ());
        };
        let mut fired: Vec<String> = Vec::new();
        for answer in answers {
            if answer.flag("refused") {
                see("refused".to_owned());
            }
            for name in ["action", "decision"] {
                if let Some(value) = answer.some(name).and_then(Datum::as_str) {
                    see(format!("{name} {value}"));
                }
            }
            if let Some(source) = answer.some("decision_source").and_then(Datum::as_str) {
                see(format!("source {source}"));
            }
            for flag in ["observed", "policy_error", "redacted", "suppressed"] {
                if answer.flag(flag) {
                    see(flag.to_owned());
                }
            }
            let records = answer.list_of("rules_evaluated").iter().map(|record| (record, "name"));
            let records = records.chain(answer.list_of("rules").iter().map(|record| (record, "id")));
            for (record, name) in records.filter(|(record, _)| !record.flag("passed")) {
                if record.text("type").is_empty() {
                    continue;
                }
                see(format!("fired {}", record.text("type")));
                fired.push(record.text(name).to_owned());
            }
            for event in answer.items() {
                see(format!("event {}", event.text("action")));
            }
        }
        for document in &case.opening.documents {
            for rule in document.content.list_of("rules") {
                let id = rule.text("id");
                if fired.iter().any(|name| name.strip_suffix(":candidate").unwrap_or(name) == id)
                    && let Some(when) = rule.get("when")
                {
                    operators(when, &mut |operator| see(format!("operator {operator}")));
                }
            }
        }
        self.total += 1;
        for (name, ()) in seen {
            *self.cases.entry(name).or_default() += 1;
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.total += other.total;
        for (name, count) in &other.cases {
            *self.cases.entry(name.clone()).or_default() += count;
        }
    }

    /// Of a thousand cases.
    #[must_use]
    pub fn permille(&self, name: &str) -> usize {
        self.cases.get(name).copied().unwrap_or(0) * 1_000 / self.total.max(1)
    }
}

fn operators(when: &Datum, see: &mut impl FnMut(&str)) {
    for (name, below) in when.entries() {
        match name.as_str() {
            "all" | "any" => below.items().iter().for_each(|each| operators(each, see)),
            "not" => operators(below, see),
            _ => below.entries().iter().for_each(|(operator, _)| see(operator)),
        }
    }
}
