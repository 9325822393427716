//! Further guards behind a first one (`from_multiple`, engine.md §12.3): the first to have an id wins.

use std::collections::BTreeSet;

use super::composition::Composition;
use super::ruleset::SessionLimits;
use crate::options::Options;

/// Adds the rules of a further guard. Everything else stays the first guard's; limits become the narrowest.
pub(super) fn merge(first: &mut Composition, further: Composition, options: &Options, its_options: &Options) {
    // Enforced and proposed ids are apart anyway: the latter end in `:candidate`.
    let mut ids: BTreeSet<String> = first.rules.iter().map(|rule| rule.id.clone()).collect();
    for rule in further.rules {
        if ids.insert(rule.id.clone()) {
            first.rules.push(rule);
        }
    }
    if options.reference() {
        return;
    }
    narrow(&mut first.limits, &further.limits);
    narrow(&mut first.limits, &its_options.limits);
    for (name, class) in further.tools {
        if !first.tools.iter().any(|(own, _)| *own == name) {
            first.tools.push((name, class));
        }
    }
}

fn narrow(limits: &mut SessionLimits, other: &SessionLimits) {
    let smaller = |one: Option<u64>, two: Option<u64>| one.into_iter().chain(two).min();
    limits.max_tool_calls = smaller(limits.max_tool_calls, other.max_tool_calls);
    limits.max_attempts = smaller(limits.max_attempts, other.max_attempts);
    for (tool, limit) in &other.max_calls_per_tool {
        let own = limits.max_calls_per_tool.entry(tool.clone()).or_insert(*limit);
        *own = (*own).min(*limit);
    }
}
