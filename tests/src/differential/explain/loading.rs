//! Documents that only one of the two loads (engine.md §1, §4, REC). What ours refuses is told by what stands in the
//! ruleset; what only ours accepts loads under the hash of its text.

use super::policy::Policy;
use crate::differential::case::Case;
use crate::differential::compare::refused;
use crate::differential::datum::Datum;

/// Every answer of a guard that was not opened.
fn all_refused(reference: &[Datum]) -> Option<Vec<Datum>> {
    let opened = reference.first().is_some_and(|opened| !opened.flag("refused"));
    opened.then(|| {
        let mut answers = vec![refused(); reference.len().saturating_sub(1)];
        answers.push(refused());
        answers
    })
}

/// Conditions of all rules, leaf by leaf: the rule, the selector, the operator, the operand.
fn leaves(case: &Case) -> Vec<(&Datum, &str, &str, &Datum)> {
    fn walk<'c>(rule: &'c Datum, when: &'c Datum, found: &mut Vec<(&'c Datum, &'c str, &'c str, &'c Datum)>) {
        for (name, below) in when.entries() {
            match name.as_str() {
                "all" | "any" => below.items().iter().for_each(|each| walk(rule, each, found)),
                "not" => walk(rule, below, found),
                selector => {
                    let operators = below.entries().iter();
                    found.extend(operators.map(|(operator, operand)| (rule, selector, operator.as_str(), operand)));
                }
            }
        }
    }
    let mut found = Vec::new();
    for document in &case.opening.documents {
        for rule in document.content.list_of("rules") {
            rule.get("when").into_iter().for_each(|when| walk(rule, when, &mut found));
        }
    }
    found
}

fn patterns(case: &Case) -> Vec<String> {
    let of = |operator: &str, operand: &Datum| match operator {
        "matches" => operand.as_str().map(str::to_owned).into_iter().collect(),
        "matches_any" => operand.items().iter().filter_map(Datum::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    leaves(case).into_iter().flat_map(|(_, _, operator, operand)| of(operator, operand)).collect()
}

/// Patterns that need backtracking.
pub fn backtracking(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    const CONSTRUCTS: &[&str] = &["(?<=", "(?<!", "(?=", "(?!", r"\1", "(?P=", "(?(1)", "(?>", "*+", "++", "?+", "}+"];
    let needs = |pattern: &str| {
        let leading = pattern.strip_prefix('^').unwrap_or(pattern);
        let rest = leading.strip_prefix("(?!").or_else(|| leading.strip_prefix("(?=")).unwrap_or(pattern);
        // A leading look-ahead can be told without one.
        CONSTRUCTS.iter().any(|construct| rest.contains(construct))
    };
    patterns(case).iter().any(|pattern| needs(pattern)).then(|| all_refused(reference)).flatten()
}

/// The same key twice, or a key that is no string.
pub fn keys(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let twice = |text: &str| {
        let mut last: Vec<(usize, &str)> = Vec::new();
        text.lines().any(|line| {
            let Some((key, _)) = line.split_once(':') else { return false };
            let depth = key.len() - key.trim_start_matches([' ', '-']).len();
            if line.trim_start().starts_with('-') {
                last.retain(|(there, _)| *there < depth);
            }
            last.retain(|(there, _)| *there <= depth);
            let key = key.trim_start_matches([' ', '-']);
            let again = last.contains(&(depth, key));
            last.push((depth, key));
            again || matches!(key, "on" | "yes" | "1" | "true")
        })
    };
    case.opening.documents.iter().any(|document| twice(&document.text)).then(|| all_refused(reference)).flatten()
}

/// Operands and blocks that can only be mistakes.
pub fn empty(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let text = |operand: &Datum| operand.as_str() == Some("");
    let empty = leaves(case).into_iter().any(|(rule, selector, operator, operand)| match operator {
        "contains" | "starts_with" | "ends_with" => text(operand),
        "contains_any" => operand.items().iter().any(text),
        "gt" | "gte" | "lt" | "lte" => matches!(operand, Datum::Float(number) if number == "NaN"),
        "matches" => {
            let redacts = selector == "output.text" && rule.at(&["then", "action"]) == Some(&"redact".into());
            redacts && operand.as_str().is_some_and(|pattern| matches!(pattern, "x*" | "a?" | "(b|)"))
        }
        _ => false,
    });
    let rules = case.opening.documents.iter().flat_map(|document| document.content.list_of("rules"));
    let nothing = rules.into_iter().any(|rule| rule.get("allows").is_some_and(|allows| allows.entries().is_empty()));
    (empty || nothing).then(|| all_refused(reference)).flatten()
}

/// Selectors that do not exist.
pub fn selectors(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    const KNOWN: &[&str] = &["args", "metadata", "env"];
    const FIELDS: &[&str] = &["user_id", "service_id", "org_id", "role", "ticket_ref"];
    let known = |rule: &Datum, selector: &str| match selector.split_once('.') {
        _ if matches!(selector, "environment" | "tool.name" | "output.text") => true,
        Some(("principal", field)) => FIELDS.contains(&field) || field.starts_with("claims."),
        Some(("result", _)) => rule.text("type") == "post",
        Some((first, _)) => KNOWN.contains(&first),
        None => false,
    };
    let unknown = leaves(case).into_iter().any(|(rule, selector, _, _)| !known(rule, selector));
    unknown.then(|| all_refused(reference)).flatten()
}

/// Metadata of a rule that the decision uses itself.
pub fn metadata(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    const RESERVED: &[&str] = &["tags", "message", "cls", "policy_error", "error_detail"];
    let rules = case.opening.documents.iter().flat_map(|document| document.content.list_of("rules"));
    let reserved = rules.into_iter().any(|rule| {
        let metadata = rule.at(&["then", "metadata"]).map_or(&[][..], Datum::entries);
        metadata.iter().any(|(key, _)| RESERVED.contains(&key.as_str()))
    });
    reserved.then(|| all_refused(reference)).flatten()
}

/// A name that ends in a line break.
pub fn names(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let broken = |name: &Datum| name.as_str().is_some_and(|name| name.ends_with('\n'));
    let bad = case.opening.documents.iter().any(|document| {
        document.content.at(&["metadata", "name"]).is_some_and(broken)
            || document.content.list_of("rules").iter().any(|rule| rule.get("id").is_some_and(broken))
    });
    bad.then(|| all_refused(reference)).flatten()
}

/// Spellings that only ours accepts. Only the opening can be told: the reference has no guard to ask.
pub fn synonyms(case: &Case, reference: &[Datum]) -> Option<Vec<Datum>> {
    let [document] = case.opening.documents.as_slice() else { return None };
    let rules = document.content.list_of("rules").iter();
    let spelled = rules.into_iter().any(|rule| {
        rule.get("outside") == Some(&"approve".into())
            || rule.get("timeout_effect").is_some()
            || rule.at(&["then", "timeout_effect"]).is_some()
    });
    if !spelled || !case.steps.is_empty() || !reference.first()?.flag("refused") {
        return None;
    }
    let policy = Policy::of(&case.opening)?;
    let mut rules: Vec<&str> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
    rules.sort_unstable();
    let nothing = Datum::map([("overridden", Vec::new().into()), ("observed", Vec::new().into())]);
    let opened = Datum::map([
        ("policy_version", super::hash(&document.text).into()),
        ("rules", Datum::list(rules.into_iter().map(Datum::from))),
        ("report", nothing),
    ]);
    Some(vec![opened, Datum::list([])])
}
