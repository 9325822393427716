//! The divergences: each with its place in the specification, and what it does to the reference's answers. One entry of
//! DIVERGENCES.md and at least one fixture belong to each.

use super::facts::{Ending, Facts};
use super::model::Semantics;
use super::policy::{Kind, Policy, Rule};
use super::reading::{CUT, Scene, Truth};
use super::{call, loading, redaction, sandbox};
use crate::differential::case::Case;
use crate::differential::datum::Datum;

/// A way in which we differ on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// `D-001` and so on; never given twice.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where engine.md asks for it.
    pub source: &'static str,
    /// Whether `compat: python-0.19` brings the reference's behaviour back.
    pub restored: bool,
    /// What it does.
    pub effect: Effect,
}

/// What a divergence does to the reference's answers.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Only one of the two opens the guard.
    Loading(fn(&Case, &[Datum]) -> Option<Vec<Datum>>),
    /// The guard goes on differently from the same endings of the same rules.
    Switch(fn(&mut Semantics)),
    /// Rules end differently, or calls are seen differently.
    Facts(fn(&Case, &Policy, &mut Facts)),
    /// Both.
    Both(fn(&mut Semantics), fn(&Case, &Policy, &mut Facts)),
}

use Effect::{Both, Facts as Changed, Loading, Switch};

macro_rules! divergences {
    ($($id:literal $restored:literal $title:literal $source:literal $effect:expr;)*) => {
        /// All of them.
        pub const DIVERGENCES: &[Divergence] = &[$(Divergence {
            id: $id,
            title: $title,
            source: $source,
            restored: $restored,
            effect: $effect,
        },)*];
    };
}

divergences! {
    "D-001" true "a block outweighs an ask, and all asks are one" "§8.1, §16 row 3" Switch(|ours| ours.block_beats_ask = true);
    "D-002" false "a granted call is logged as allowed" "§8.10, §16 row 57" Switch(|ours| ours.allowed_after_ask = true);
    "D-003" true "redact and block act on every tool" "§8.7 (a), §16 row 6" Switch(|ours| ours.always_acts = true);
    "D-004" true "a redaction that changes nothing leaves nothing" "§8.7 (d), §16 row 8" Switch(|ours| ours.redacts_all = true);
    "D-005" false "suppressed output stays suppressed" "§8.7 (c)" Switch(|ours| ours.stays_suppressed = true);
    "D-006" true "session rules can observe" "§7.4, §16 row 21" Switch(|ours| ours.session_observes = true);
    "D-007" true "proposed rules have limits of their own and show in dry runs" "§7.4, §11, §16 row 32"
        Both(|ours| ours.shows_proposed = true, proposed);
    "D-008" true "a rule has the mode of its own file" "§12.1, §16 row 13" Switch(|ours| ours.own_mode = true);
    "D-009" false "the output of a failed tool is redacted too" "§8.4, §16 row 5" Switch(|ours| ours.redacts_failures = true);
    "D-010" true "results that are no strings are JSON to rules" "§8.8, §16 row 41" Changed(json_text);
    "D-011" false "patterns see the whole text" "§3.3, §16 row 2" Changed(long_texts);
    "D-012" false "rules see into structured results" "§8.8, §16 row 20" Changed(results);
    "D-013" false "a sandbox sees every path of a call" "§6.1, §6.2, §16 row 9" Changed(paths);
    "D-014" false "a sandbox sees every host of a call" "§6.5, §16 row 10" Changed(hosts);
    "D-015" false "suppressed output does not come back in its message" "§8.7 (b), §16 row 7" Changed(closed_messages);
    "D-016" false "messages show no secrets and no control characters" "§9, §16 row 48" Changed(secret_messages);
    "D-017" false "variables are numbers only in ASCII" "§3.2, §16 row 28" Changed(variables);
    "D-018" false "case is ignored as Unicode says, without the Turkish i" "§4.4" Changed(letters);
    "D-019" false "a bad tool name is a block" "§2.1, §16 row 23" Changed(call::tool_names);
    "D-020" false "a command that is no string is a block" "§2.3, §16 row 18" Changed(call::commands);
    "D-021" false "a call that is not plain JSON is a block" "§2.2" Changed(call::texts);
    "D-022" false "a dry run knows the guard's principal" "§2.6, §16 row 45" Changed(principals);
    "D-023" false "the log knows more secrets and fewer that are none" "§10, §16 row 48" Changed(redacted);
    "D-024" false "commands that change something are not read-only" "§2.4, §16 row 15" Changed(call::classes);
    "D-025" true "a proposed file does not classify tools" "§12.2" Changed(call::proposed_classes);
    "D-026" false "a call goes by the counters it was judged by" "§8.10, design.md §6" Switch(|ours| ours.own_counts = true);
    "D-030" false "patterns that need backtracking are refused" "§4.2, §16 row 1" Loading(loading::backtracking);
    "D-031" false "keys that are twice there, or no strings, are refused" "§1.7, §16 row 17" Loading(loading::keys);
    "D-032" false "operands and blocks that mean nothing are refused" "§1.2, §1.3, §4.4, §16 row 53" Loading(loading::empty);
    "D-033" false "selectors that do not exist are refused" "§1.3, §16 row 54" Loading(loading::selectors);
    "D-034" false "metadata may not pose as the decision's own" "§1.4 #20, §16 row 50" Loading(loading::metadata);
    "D-035" false "names end where they end" "§1.4, §16 row 55" Loading(loading::names);
    "D-036" false "`timeout_effect` and `outside: approve` are understood" "§1.2, §16 row 19" Loading(loading::synonyms);
}

/// Goes through all endings that the reference's answers show, with what the rule saw.
fn each_ending(
    case: &Case,
    policy: &Policy,
    facts: &mut Facts,
    change: &mut impl FnMut(&Rule, &Scene<'_>, &Datum, &mut Ending),
) {
    for (step, call) in &mut facts.calls {
        let Some(request) = case.steps.get(*step) else { continue };
        let Some(seen) = request.get("call") else { continue };
        let id = request.text("call_id");
        let finish = case.steps.iter().find(|step| step.text("op") == "finish" && step.text("call_id") == id);
        let mut scene =
            Scene { opening: &case.opening, call: seen, output: None, dry_run: false, json: false, ours: true };
        for (id, ending) in &mut call.before {
            if let Some(rule) = policy.rule(id) {
                change(rule, &scene, seen, ending);
            }
        }
        scene.output = finish.and_then(|finish| finish.get("result"));
        for (id, ending) in call.after.iter_mut().flatten() {
            if let Some(rule) = policy.rule(id) {
                change(rule, &scene, seen, ending);
            }
        }
    }
    for (step, dry_run) in &mut facts.dry_runs {
        let Some(request) = case.steps.get(*step) else { continue };
        let Some(seen) = request.get("call") else { continue };
        let mut scene =
            Scene { opening: &case.opening, call: seen, output: None, dry_run: true, json: false, ours: true };
        for (id, ending) in &mut dry_run.before {
            if let Some(rule) = policy.rule(id) {
                change(rule, &scene, seen, ending);
            }
        }
        scene.output = request.get("output");
        for (id, ending) in &mut dry_run.after {
            if let Some(rule) = policy.rule(id) {
                change(rule, &scene, seen, ending);
            }
        }
    }
}

/// Reads a rule anew, where it can be read.
fn reread(rule: &Rule, scene: &Scene<'_>, ending: &mut Ending) {
    let Some(when) = rule.content.get("when") else { return };
    let (Some(truth), Some(message)) = (scene.condition(when), scene.message(rule)) else { return };
    *ending = match truth {
        Truth::False => Ending::passed(),
        truth => {
            Ending { passed: false, message: message.into(), metadata: rule.record_metadata(truth == Truth::Error) }
        }
    };
}

/// Only the message of a rule that fired anew.
fn refill(rule: &Rule, scene: &Scene<'_>, ending: &mut Ending) {
    if let (false, Some(message)) = (ending.passed, scene.message(rule)) {
        ending.message = message.into();
    }
}

fn text(rule: &Rule) -> String {
    format!("{} {}", rule.content.get("when").cloned().unwrap_or_default(), rule.message())
}

fn json_text(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, _, ending| {
        let plain = matches!(scene.output, None | Some(Datum::String(_) | Datum::Null | Datum::Int(_)));
        if rule.kind == Kind::Post && !plain && text(rule).contains("output.text") {
            reread(rule, &Scene { json: true, ..*scene }, ending);
        }
    });
}

fn long_texts(case: &Case, policy: &Policy, facts: &mut Facts) {
    fn long(value: &Datum) -> bool {
        match value {
            Datum::String(text) => text.chars().nth(CUT).is_some(),
            Datum::List(items) => items.iter().any(long),
            Datum::Map(entries) => entries.iter().any(|(_, value)| long(value)),
            _ => false,
        }
    }
    each_ending(case, policy, facts, &mut |rule, scene, call, ending| {
        if (long(call) || scene.output.is_some_and(long)) && text(rule).contains("\"matches") {
            reread(rule, scene, ending);
        }
    });
}

fn results(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, _, ending| {
        if rule.kind == Kind::Post && text(rule).contains("result.") {
            reread(rule, scene, ending);
        }
    });
}

fn outside(case: &Case, policy: &Policy, facts: &mut Facts, key: &str) {
    each_ending(case, policy, facts, &mut |rule, scene, call, ending| {
        let watched = rule.kind == Kind::Sandbox && rule.content.at(&key.split('.').collect::<Vec<_>>()).is_some();
        let Some(args) = call.get("args").filter(|_| watched) else { return };
        let outside = sandbox::outside(rule, args);
        if ending.passed && outside {
            let message = scene.message(rule).unwrap_or_else(|| rule.message().to_owned());
            *ending = Ending { passed: false, message: message.into(), metadata: Datum::map([]) };
        } else if !ending.passed && !outside && sandbox::has_dotted_host(args) {
            *ending = Ending::passed();
        } else if watched && ending.policy_error() {
            refill(rule, scene, ending);
            ending.metadata = Datum::map([]);
        }
    });
}

fn paths(case: &Case, policy: &Policy, facts: &mut Facts) {
    outside(case, policy, facts, "within");
}

fn hosts(case: &Case, policy: &Policy, facts: &mut Facts) {
    outside(case, policy, facts, "allows.domains");
}

fn closed_messages(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, _, ending| {
        if rule.kind == Kind::Post && rule.action() != "warn" && rule.message().contains("{output.text}") {
            refill(rule, scene, ending);
        }
    });
}

fn secret_messages(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, _, ending| {
        let scene = &Scene { json: !case.opening.compat(), ..*scene };
        let reference = Scene { ours: false, ..*scene }.message(rule);
        if reference.is_some() && reference != scene.message(rule) {
            refill(rule, scene, ending);
        }
    });
}

fn variables(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, _, ending| {
        let odd = |(name, value): &(String, Datum)| {
            let value = value.as_str().unwrap_or("").trim();
            let foreign = !value.is_empty() && value.chars().all(|char| !char.is_ascii() && char.is_numeric());
            (foreign || value.eq_ignore_ascii_case("nan")) && text(rule).contains(&format!("env.{name}"))
        };
        if case.opening.settings.get("env").map_or(&[][..], Datum::entries).iter().any(odd) {
            reread(rule, scene, ending);
        }
    });
}

/// Only Python takes them for an `i` of the other case.
fn letters(case: &Case, policy: &Policy, facts: &mut Facts) {
    each_ending(case, policy, facts, &mut |rule, scene, call, ending| {
        if call.to_string().contains(['\u{130}', '\u{131}']) && text(rule).contains("(?i)") {
            reread(rule, scene, ending);
        }
    });
}

/// Proposed rules in dry runs.
fn proposed(case: &Case, policy: &Policy, facts: &mut Facts) {
    for (step, dry_run) in &mut facts.dry_runs {
        let Some(request) = case.steps.get(*step) else { continue };
        let Some(call) = request.get("call") else { continue };
        let output = request.get("output");
        for rule in policy.rules.iter().filter(|rule| rule.candidate && matches!(rule.kind, Kind::Pre | Kind::Post)) {
            let tool = rule.content.text("tool");
            if (tool != "*" && tool != call.text("tool")) || (rule.kind == Kind::Post && output.is_none()) {
                continue;
            }
            let output = output.filter(|_| rule.kind == Kind::Post);
            let scene = Scene { opening: &case.opening, call, output, dry_run: true, json: false, ours: true };
            let mut ending = Ending::passed();
            reread(rule, &scene, &mut ending);
            let endings = if rule.kind == Kind::Post { &mut dry_run.after } else { &mut dry_run.before };
            endings.insert(rule.id.clone(), ending);
        }
    }
}

fn principals(case: &Case, policy: &Policy, facts: &mut Facts) {
    if case.opening.settings.some("principal").is_none() {
        return;
    }
    each_ending(case, policy, facts, &mut |rule, scene, call, ending| {
        if scene.dry_run && call.get("principal").is_none() && text(rule).contains("principal.") {
            reread(rule, scene, ending);
        }
    });
}

fn redacted(case: &Case, _: &Policy, facts: &mut Facts) {
    for (step, call) in &mut facts.calls {
        let args = case.steps.get(*step).and_then(|request| request.at(&["call", "args"]));
        // Of a text that cannot be read nothing is logged but whose it is.
        let nothing = Datum::map([]);
        let unread = |event: &Datum| event.text("tool_name").is_empty() && event.get("tool_args") == Some(&nothing);
        let readable = call.event.as_ref().is_some_and(|event| !unread(event));
        if let (Some(event), Some(args), true) = (&mut call.event, args, readable) {
            let logged = event.get("tool_args").cloned().unwrap_or_default();
            event.set("tool_args", redaction::arguments(args, &logged));
            if let Some(principal) = event.some("principal").cloned() {
                event.set("principal", redaction::arguments(&principal, &principal));
            }
        }
    }
}
