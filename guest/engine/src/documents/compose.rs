//! Several files into one list of rules: later ones win, and `observe_alongside` ones only watch (engine.md §12.1–12.3).

use std::sync::Arc;

use super::composition::{Composition, EffectiveRule, Observed, Override, Report};
use super::ruleset::{Mode, PostAction, PreAction, Rule, RuleBody, Ruleset, SessionLimits};
use crate::diagnostics::{Code, Diagnostic, Findings};
use crate::options::Options;

/// A rule of the layers so far.
struct Layered {
    rule: Arc<Rule>,
    mode: Mode,
    candidate: bool,
    source: Arc<str>,
}

/// Composes validated rulesets from left to right; none when there are none.
pub(super) fn compose(rulesets: &[Ruleset], options: &Options) -> (Option<Composition>, Vec<Diagnostic>) {
    let Some((first, later)) = rulesets.split_first() else { return (None, Vec::new()) };
    let mut warnings = Vec::new();
    let mut layered: Vec<Layered> = first.rules.iter().map(|rule| layer(rule, first)).collect();
    let mut composition = Composition {
        name: first.name.clone(),
        policy_version: version(rulesets.iter().map(|ruleset| ruleset.hash.as_str())),
        mode: first.mode,
        rules: Vec::new(),
        tools: first.tools.clone(),
        limits: SessionLimits::default(),
        observability: first.observability.clone(),
        report: Report::default(),
    };
    for ruleset in later {
        if ruleset.observe_alongside {
            propose(ruleset, &mut layered, &mut composition.report);
            // In the reference a file that only watches also changes classes of tools.
            if options.reference() {
                lay_tools(&mut composition, ruleset);
            }
            continue;
        }
        overlay(ruleset, &mut layered, &mut composition, &mut warnings);
    }
    let mode = composition.mode;
    composition.rules = layered
        .into_iter()
        .filter(|layered| layered.rule.enabled)
        .map(|layered| effective(layered, mode, options))
        .collect();
    (Some(composition), warnings)
}

fn layer(rule: &Arc<Rule>, ruleset: &Ruleset) -> Layered {
    Layered {
        rule: Arc::clone(rule),
        mode: rule.mode.unwrap_or(ruleset.mode),
        candidate: false,
        source: Arc::clone(&ruleset.document),
    }
}

fn effective(layered: Layered, guard_mode: Mode, options: &Options) -> EffectiveRule {
    let Layered { rule, mode, candidate, .. } = layered;
    let mode = if candidate {
        Mode::Observe
    } else if options.force_mode {
        options.mode.unwrap_or(guard_mode)
    } else if options.reference() {
        // The reference stamps after merging: the last file's default reaches back to all files.
        rule.mode.unwrap_or(guard_mode)
    } else {
        mode
    };
    let id = if candidate { format!("{}:candidate", rule.id) } else { rule.id.clone() };
    EffectiveRule { id, mode, candidate, rule }
}

fn overlay(
    ruleset: &Ruleset,
    layered: &mut Vec<Layered>,
    composition: &mut Composition,
    warnings: &mut Vec<Diagnostic>,
) {
    let mut findings = Findings::of(&ruleset.document);
    if composition.mode != ruleset.mode {
        let message = format!(
            "defaults.mode: the guard's mode becomes {}; rules of earlier files keep their own",
            ruleset.mode.as_str()
        );
        findings.warning(Code::LintMode, crate::diagnostics::Span::default(), message);
    }
    composition.mode = ruleset.mode;
    composition.name.clone_from(&ruleset.name);
    if ruleset.observability.is_some() {
        composition.observability.clone_from(&ruleset.observability);
    }
    lay_tools(composition, ruleset);
    for rule in &ruleset.rules {
        let new = layer(rule, ruleset);
        let Some(old) = layered.iter_mut().find(|old| !old.candidate && old.rule.id == rule.id) else {
            layered.push(new);
            continue;
        };
        composition.report.overridden.push(Override {
            rule_id: rule.id.clone(),
            overridden_by: ruleset.document.to_string(),
            original_source: old.source.to_string(),
        });
        if let Some(how) = weakened(old, &new) {
            let message = format!("rule `{}` replaces the one of `{}` and {how}", rule.id, old.source);
            findings.warning(Code::LintWeakened, rule.span, message);
        }
        *old = new;
    }
    warnings.extend(findings.into_list());
}

/// How a later rule does less than the one it replaces.
fn weakened(old: &Layered, new: &Layered) -> Option<&'static str> {
    if old.rule.enabled && !new.rule.enabled {
        return Some("is disabled");
    }
    if old.mode == Mode::Enforce && new.mode == Mode::Observe {
        return Some("only observes");
    }
    match (&old.rule.body, &new.rule.body) {
        (RuleBody::Pre(old), RuleBody::Pre(new)) if old.action == PreAction::Block && new.action == PreAction::Ask => {
            Some("asks instead of blocking")
        }
        (RuleBody::Post(old), RuleBody::Post(new))
            if old.action != PostAction::Warn && new.action == PostAction::Warn =>
        {
            Some("only warns")
        }
        (RuleBody::Sandbox(old), RuleBody::Sandbox(new))
            if old.outside == PreAction::Block && new.outside == PreAction::Ask =>
        {
            Some("asks instead of blocking")
        }
        (old, new) if std::mem::discriminant(old) != std::mem::discriminant(new) => Some("is of another type"),
        _ => None,
    }
}

/// Rules that stand beside the enforced ones.
fn propose(ruleset: &Ruleset, layered: &mut Vec<Layered>, report: &mut Report) {
    for rule in &ruleset.rules {
        let owner = layered.iter().find(|old| !old.candidate && old.rule.id == rule.id);
        report.observed.push(Observed {
            rule_id: rule.id.clone(),
            enforced_source: owner.map(|owner| owner.source.to_string()).unwrap_or_default(),
            observed_source: ruleset.document.to_string(),
        });
        layered.push(Layered { candidate: true, ..layer(rule, ruleset) });
    }
}

fn lay_tools(composition: &mut Composition, ruleset: &Ruleset) {
    for (name, class) in &ruleset.tools {
        match composition.tools.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = *class,
            None => composition.tools.push((name.clone(), *class)),
        }
    }
}

/// One file: its hash. Several: the hash of their hashes with colons between.
fn version<'h>(hashes: impl Iterator<Item = &'h str>) -> String {
    let hashes: Vec<&str> = hashes.collect();
    match hashes.as_slice() {
        [one] => (*one).to_owned(),
        several => super::hash(several.join(":").as_bytes()),
    }
}
