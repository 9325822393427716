//! Several files of one guard, the later ones over the earlier ones (engine.md §12.1–12.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::composition::{Composition, EffectiveRule, Observed, Override, Report};
use super::header::Header;
use super::ruleset::{Mode, PostAction, PreAction, Rule, RuleBody, SessionLimits, TimeoutAction};
use crate::diagnostics::{Code, Findings};

/// A rule and what layering knows of it.
#[derive(Debug)]
struct Layered {
    rule: Arc<Rule>,
    mode: Mode,
    /// The file it is from, as reports name it.
    source: Arc<str>,
    candidate: bool,
}

/// All rules so far.
#[derive(Debug, Default)]
struct Layers {
    list: Vec<Layered>,
    /// Where the rule of an id is; candidates are not in it.
    places: BTreeMap<String, usize>,
}

/// Lays files over each other. Needs at least one; with `reference`, as the Python SDK does it.
pub(super) fn compose(headers: &[Header], reference: bool, findings: &mut Findings) -> Option<Composition> {
    let first = headers.first()?;
    let mut rules = Layers::default();
    let mut tools: BTreeMap<&str, usize> = BTreeMap::new();
    let mut report = Report::default();
    let mut composition = Composition {
        name: String::new(),
        policy_version: policy_version(headers),
        mode: first.ruleset.mode,
        rules: Vec::new(),
        tools: Vec::new(),
        limits: SessionLimits::default(),
        observability: None,
        report: Report::default(),
    };
    for (at, header) in headers.iter().enumerate() {
        let ruleset = &header.ruleset;
        let beside = at > 0 && ruleset.observe_alongside;
        composition.name.clone_from(&ruleset.name);
        if beside {
            propose(header, &mut rules, &mut report);
        } else {
            warn_of_mode(header, composition.mode, at, reference, findings);
            // The reference lets the last file decide. Then one late `observe` would switch everything off: here a guard
            // only observes when all of its files do.
            let enforce = !reference && at > 0 && composition.mode == Mode::Enforce;
            composition.mode = if enforce { Mode::Enforce } else { ruleset.mode };
            replace(header, &mut rules, &mut report, findings);
            if let Some(block) = &ruleset.observability {
                composition.observability = Some(block.clone());
            }
        }
        // What a tool does is a fact; a file that only proposes must not change it.
        if !beside || reference {
            for (name, class) in &ruleset.tools {
                let at = *tools.entry(name).or_insert(composition.tools.len());
                match composition.tools.get_mut(at) {
                    Some((_, known)) => *known = *class,
                    None => composition.tools.push((name.clone(), *class)),
                }
            }
        }
    }
    let guard = composition.mode;
    let effective = |layered: Layered| EffectiveRule {
        id: if layered.candidate { format!("{}:candidate", layered.rule.id) } else { layered.rule.id.clone() },
        mode: match layered.rule.mode {
            _ if layered.candidate => Mode::Observe,
            Some(own) => own,
            None if reference => guard,
            None => layered.mode,
        },
        candidate: layered.candidate,
        rule: layered.rule,
    };
    composition.rules = rules.list.into_iter().filter(|layered| layered.rule.enabled).map(effective).collect();
    composition.report = report;
    Some(composition)
}

/// One file: its own hash. Several: the hash of their hashes (engine.md §12.3).
fn policy_version(headers: &[Header]) -> String {
    if let [only] = headers {
        return only.ruleset.hash.clone();
    }
    let hashes: Vec<&str> = headers.iter().map(|header| header.ruleset.hash.as_str()).collect();
    hex::encode(Sha256::digest(hashes.join(":")))
}

fn propose(header: &Header, rules: &mut Layers, report: &mut Report) {
    let source = &header.ruleset.document;
    for rule in &header.ruleset.rules {
        let owner = rules.places.get(&rule.id).and_then(|at| rules.list.get(*at));
        report.observed.push(Observed {
            rule_id: rule.id.clone(),
            enforced_source: owner.map(|layered| layered.source.to_string()).unwrap_or_default(),
            observed_source: source.to_string(),
        });
        rules.list.push(Layered {
            rule: Arc::clone(rule),
            mode: Mode::Observe,
            source: Arc::clone(source),
            candidate: true,
        });
    }
}

fn replace(header: &Header, rules: &mut Layers, report: &mut Report, findings: &mut Findings) {
    let (source, mode) = (&header.ruleset.document, header.ruleset.mode);
    for rule in &header.ruleset.rules {
        let new = Layered { rule: Arc::clone(rule), mode, source: Arc::clone(source), candidate: false };
        let at = *rules.places.entry(rule.id.clone()).or_insert(rules.list.len());
        let Some(old) = rules.list.get_mut(at) else {
            rules.list.push(new);
            continue;
        };
        report.overridden.push(Override {
            rule_id: rule.id.clone(),
            overridden_by: source.to_string(),
            original_source: old.source.to_string(),
        });
        if let Some(how) = weaker(old, &new) {
            findings.enter(&rule.document);
            findings
                .warning(
                    Code::LintWeakened,
                    rule.span,
                    format!("rule `{}` replaces the one of `{}`, and {how}", rule.id, old.source),
                )
                .help("give it another id when both are meant to hold");
        }
        *old = new;
    }
}

fn warn_of_mode(header: &Header, before: Mode, at: usize, reference: bool, findings: &mut Findings) {
    let mode = header.ruleset.mode;
    if at == 0 || mode == before {
        return;
    }
    let (document, span) = &header.mode;
    let what = match (reference, mode) {
        (true, _) => "switches earlier files' rules without a mode of their own too",
        (false, Mode::Observe) => "holds for this file's rules only; earlier ones stay enforced",
        (false, Mode::Enforce) => "holds for this file's rules only; earlier ones stay observed",
    };
    findings.enter(document);
    findings.warning(Code::LintMode, *span, format!("defaults.mode: `{}` {what}", mode.as_str()));
}

/// How a rule lets through what its predecessor did not. Conditions are not compared: nobody could.
fn weaker(old: &Layered, new: &Layered) -> Option<&'static str> {
    if !old.rule.enabled {
        return None;
    }
    if !new.rule.enabled {
        return Some("is disabled");
    }
    let mode = |layered: &Layered| layered.rule.mode.unwrap_or(layered.mode);
    if mode(old) == Mode::Enforce && mode(new) == Mode::Observe {
        return Some("only observes");
    }
    match (&old.rule.body, &new.rule.body) {
        (RuleBody::Pre(old), RuleBody::Pre(new)) => {
            asks_instead((old.action, old.approval.timeout_action), (new.action, new.approval.timeout_action))
        }
        (RuleBody::Sandbox(old), RuleBody::Sandbox(new)) => {
            asks_instead((old.outside, old.approval.timeout_action), (new.outside, new.approval.timeout_action))
        }
        (RuleBody::Post(old), RuleBody::Post(new)) => {
            let strength = |action| match action {
                PostAction::Warn => 0,
                PostAction::Redact => 1,
                PostAction::Block => 2,
            };
            (strength(new.action) < strength(old.action)).then_some("has a weaker action")
        }
        (RuleBody::Session(old), RuleBody::Session(new)) => {
            raised(&old.limits, &new.limits).then_some("raises or drops a limit")
        }
        _ => Some("is of another type"),
    }
}

fn asks_instead(old: (PreAction, TimeoutAction), new: (PreAction, TimeoutAction)) -> Option<&'static str> {
    match (old, new) {
        ((PreAction::Block, _), (PreAction::Ask, _)) => Some("asks instead of blocking"),
        ((PreAction::Ask, TimeoutAction::Block), (PreAction::Ask, TimeoutAction::Allow)) => {
            Some("lets the call run when nobody answers")
        }
        _ => None,
    }
}

fn raised(old: &SessionLimits, new: &SessionLimits) -> bool {
    let higher = |old: Option<u64>, new: Option<u64>| old.is_some_and(|old| new.is_none_or(|new| new > old));
    higher(old.max_tool_calls, new.max_tool_calls)
        || higher(old.max_attempts, new.max_attempts)
        || old
            .max_calls_per_tool
            .iter()
            .any(|(tool, most)| higher(Some(*most), new.max_calls_per_tool.get(tool).copied()))
}
