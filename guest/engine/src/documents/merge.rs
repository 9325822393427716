//! Several guards made into one: `from_multiple` of the SDKs (engine.md §12.3).

use std::collections::BTreeSet;

use super::composition::Composition;
use super::ruleset::SessionLimits;
use crate::diagnostics::{Code, Findings};

/// Appends the rules of further guards. The first to have an id wins, whatever its type; candidates have ids of their own.
/// Mode, name, version, tools and observability are the first guard's; limits are the narrowest, but for the reference,
/// which forgets those of the others.
pub(super) fn merge(
    mut first: Composition,
    others: Vec<(Composition, SessionLimits)>,
    reference: bool,
    findings: &mut Findings,
) -> Composition {
    let mut ids: BTreeSet<(bool, String)> =
        first.rules.iter().map(|rule| (rule.candidate, rule.rule.id.clone())).collect();
    for (other, limits) in others {
        if !reference {
            narrow(&mut first.limits, &limits);
            narrow(&mut first.limits, &other.limits);
        }
        // Ids of one guard are its own affair: two files may propose the same candidate.
        let mut added = Vec::new();
        for rule in other.rules {
            let id = (rule.candidate, rule.rule.id.clone());
            if ids.contains(&id) {
                findings.enter(&rule.rule.document);
                findings
                    .warning(
                        Code::LintWeakened,
                        rule.rule.span,
                        format!("rule `{}` is left out: an earlier guard has one of that id", rule.rule.id),
                    )
                    .help("give it another id when both are meant to hold");
            } else {
                added.push(id);
                first.rules.push(rule);
            }
        }
        ids.extend(added);
    }
    first
}

/// Takes the smaller of two limits each.
pub(super) fn narrow(limits: &mut SessionLimits, other: &SessionLimits) {
    let least = |one: &mut Option<u64>, two: Option<u64>| *one = [*one, two].into_iter().flatten().min();
    least(&mut limits.max_tool_calls, other.max_tool_calls);
    least(&mut limits.max_attempts, other.max_attempts);
    for (tool, most) in &other.max_calls_per_tool {
        let known = limits.max_calls_per_tool.entry(tool.clone()).or_insert(*most);
        *known = (*known).min(*most);
    }
}
