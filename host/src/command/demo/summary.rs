//! What sessions came to: a table with a column for each, and the rules that fired most.

use std::collections::BTreeMap;

use edictum_host::Action;

use super::transcript::{FAINT, PLAIN, Page, STRONG, counted};
use super::{Counters, Guarded, fired};
use crate::command::outcome::flag;

/// So many rules of a session are listed.
const TOP: usize = 5;

/// Counts of a session.
#[derive(Default)]
pub struct Tally {
    session: &'static str,
    calls: usize,
    allowed: usize,
    approved: usize,
    blocked: usize,
    refused: usize,
    redacted: usize,
    suppressed: usize,
    warned: usize,
    failed: usize,
    observed: usize,
    /// How often each rule fired; of limits, each that was reached.
    rules: BTreeMap<String, usize>,
    pub counters: Counters,
}

impl Tally {
    pub fn new(session: &'static str) -> Self {
        Self { session, ..Self::default() }
    }

    pub fn count(&mut self, guarded: &Guarded<'_>) {
        let (decision, asked) = (&guarded.decision, guarded.asked.is_some());
        self.calls += 1;
        self.allowed += usize::from(decision.is_allowed());
        self.approved += usize::from(decision.is_allowed() && asked);
        self.blocked += usize::from(decision.action == Action::Block);
        self.refused += usize::from(decision.action == Action::Block && asked);
        self.observed += usize::from(decision.observed);

        let mut rules: Vec<_> = fired(decision.detail("rules_evaluated")).into_iter().map(|rule| rule.name).collect();
        if !decision.is_allowed() && !rules.contains(&decision.name) {
            rules.push(decision.name.clone());
        }
        if let Some((conclusion, _)) = &guarded.end {
            let (redacted, suppressed) = (flag(conclusion, "redacted"), flag(conclusion, "suppressed"));
            self.failed += usize::from(!conclusion.success);
            self.suppressed += usize::from(suppressed);
            self.redacted += usize::from(redacted && !suppressed);
            self.warned += usize::from(!redacted && !suppressed && !conclusion.warnings.is_empty());
            rules.extend(fired(conclusion.detail("rules_evaluated")).into_iter().map(|rule| rule.name));
        }
        for rule in rules {
            *self.rules.entry(rule).or_default() += 1;
        }
    }

    /// The rules that fired most, those with equal counts by name.
    fn top(&self) -> Vec<(&str, usize)> {
        let mut rules: Vec<_> = self.rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        rules.truncate(TOP);
        rules
    }
}

/// Rows of the table; a row that is part of the one before is set in.
const ROWS: [(&str, fn(&Tally) -> usize); 10] = [
    ("calls", |tally| tally.calls),
    ("  allowed", |tally| tally.allowed),
    ("    after a person approved", |tally| tally.approved),
    ("  blocked", |tally| tally.blocked),
    ("    after a person was asked", |tally| tally.refused),
    ("outputs redacted", |tally| tally.redacted),
    ("outputs suppressed", |tally| tally.suppressed),
    ("warnings to the agent", |tally| tally.warned),
    ("tools that failed", |tally| tally.failed),
    ("would be blocked (observed)", |tally| tally.observed),
];

/// The table, and below it each session's rules and counters.
pub fn table(page: &Page, tallies: &[Tally]) -> String {
    let mut text = format!("\n{}\n{:<30}", page.heading("Summary"), "");
    for tally in tallies {
        text.push_str(&format!("{STRONG}{:>14}{STRONG:#}", tally.session));
    }
    for (row, of) in ROWS {
        text.push_str(&format!("\n{row:<30}"));
        for tally in tallies {
            let count = of(tally);
            let style = if count == 0 { FAINT } else { PLAIN };
            text.push_str(&format!("{style}{count:>14}{style:#}"));
        }
    }
    for tally in tallies {
        let rules = tally.rules.len();
        text.push_str(&format!("\n\n{STRONG}{}{STRONG:#}: {rules} rules and limits fired, most often", tally.session));
        for (rule, count) in tally.top() {
            text.push_str(&format!("\n{count:>3}  {rule}"));
        }
        text.push_str(&format!("\n{FAINT}     {}{FAINT:#}", counted(&tally.counters)));
    }
    text
}
