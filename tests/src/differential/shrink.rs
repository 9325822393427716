//! Makes a case small while it still fails: steps, documents, rules, settings, arguments and parts of conditions go, one
//! after the other, as long as what is left still shows a difference.

use std::sync::Arc;

use super::case::{Case, Opening};
use super::datum::Datum;
use super::ruleset_text;

/// Most attempts: each opens a guard on both sides.
const ATTEMPTS: usize = 600;

/// A smaller case that still fails, or the case itself.
pub fn shrink(case: &Case, fails: &mut impl FnMut(&Case) -> bool) -> Case {
    let mut small = case.clone();
    let mut attempts = 0;
    loop {
        let mut smaller = None;
        for candidate in candidates(&small) {
            attempts += 1;
            if attempts > ATTEMPTS {
                return small;
            }
            if fails(&candidate) {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(candidate) => small = candidate,
            None => return small,
        }
    }
}

/// Cases that lack one thing, the largest things first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    // A call goes as a whole.
    for step in &case.steps {
        let id = step.text("call_id");
        if step.text("op") == "begin" && !id.is_empty() {
            let mut without = case.clone();
            without.steps.retain(|step| step.text("call_id") != id);
            found.push(without);
        }
    }
    for index in 0..case.steps.len() {
        let mut without = case.clone();
        without.steps.remove(index);
        found.push(without);
    }
    let opening = &case.opening;
    for index in 0..opening.documents.len() {
        if opening.documents.len() > 1 {
            found.push(with(case, |opening| drop(opening.documents.remove(index))));
        }
        // A text that is not its content written down must not be written anew.
        let Some(document) =
            opening.documents.get(index).filter(|document| is_written(&document.content, &document.text))
        else {
            continue;
        };
        for content in smaller(&document.content) {
            found.push(with(case, |opening| {
                if let Some(document) = opening.documents.get_mut(index) {
                    document.text = ruleset_text::plainly(&content);
                    document.content = content;
                }
            }));
        }
    }
    if let Some(workflow) = &opening.workflow
        && is_written(&workflow.content, &workflow.text)
    {
        for content in smaller(&workflow.content) {
            found.push(with(case, |opening| {
                if let Some(workflow) = &mut opening.workflow {
                    workflow.text = ruleset_text::plainly(&content);
                    workflow.content = content;
                }
            }));
        }
    }
    for settings in smaller(&opening.settings) {
        found.push(with(case, |opening| opening.settings = settings));
    }
    for (index, step) in case.steps.iter().enumerate() {
        for smaller in smaller(step) {
            let mut with = case.clone();
            if let Some(step) = with.steps.get_mut(index) {
                *step = smaller;
            }
            found.push(with);
        }
    }
    found
}

fn with(case: &Case, change: impl FnOnce(&mut Opening)) -> Case {
    let mut opening = case.opening.as_ref().clone();
    change(&mut opening);
    Case { opening: Arc::new(opening), steps: case.steps.clone() }
}

fn is_written(content: &Datum, text: &str) -> bool {
    let read = serde_yaml::from_str::<serde_json::Value>(text).ok();
    read.is_some() && read == serde_yaml::from_str(&ruleset_text::plainly(content)).ok()
}

/// The value without one of its parts, at any depth; of a long string, half of it.
fn smaller(value: &Datum) -> Vec<Datum> {
    match value {
        Datum::List(items) => {
            let without = (0..items.len()).map(|index| {
                let mut items = items.clone();
                items.remove(index);
                Datum::List(items)
            });
            let mut found: Vec<Datum> = without.collect();
            for (index, item) in items.iter().enumerate() {
                for smaller in smaller(item) {
                    let mut items = items.clone();
                    if let Some(item) = items.get_mut(index) {
                        *item = smaller;
                    }
                    found.push(Datum::List(items));
                }
            }
            found
        }
        Datum::Map(entries) => {
            const NEEDED: &[&str] = &[
                "op",
                "call",
                "tool",
                "args",
                "session_id",
                "call_id",
                "result",
                "apiVersion",
                "kind",
                "id",
                "type",
                "env",
                "do",
                "stage_id",
                "condition",
                "message",
            ];
            let mut found = Vec::new();
            for (index, (key, _)) in entries.iter().enumerate() {
                if !NEEDED.contains(&key.as_str()) {
                    let mut entries = entries.clone();
                    entries.remove(index);
                    found.push(Datum::Map(entries));
                }
            }
            for (index, (_, value)) in entries.iter().enumerate() {
                for smaller in smaller(value) {
                    let mut entries = entries.clone();
                    if let Some((_, value)) = entries.get_mut(index) {
                        *value = smaller;
                    }
                    found.push(Datum::Map(entries));
                }
            }
            // `{"all": [x]}` becomes x.
            if let [(name, Datum::List(items))] = entries.as_slice()
                && matches!(name.as_str(), "all" | "any")
            {
                found.extend(items.iter().cloned());
            }
            found
        }
        Datum::String(text) if text.chars().count() > 40 => {
            let half = text.chars().count() / 2;
            vec![text.chars().take(half).collect::<String>().into(), text.chars().skip(half).collect::<String>().into()]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::case::Document;

    #[test]
    fn what_does_not_matter_goes() {
        let content =
            Datum::parse(r#"{"kind":"Ruleset","rules":[{"id":"a","x":1},{"id":"b","x":2}]}"#).unwrap_or_default();
        let text = ruleset_text::plainly(&content);
        let document = Document { name: "f".to_owned(), content, text };
        let opening = Arc::new(Opening { documents: vec![document], ..Opening::default() });
        let step = |id: &str| Datum::map([("op", "begin".into()), ("call_id", id.into())]);
        let case = Case { opening, steps: vec![step("1"), step("2"), step("3")] };
        let small = shrink(&case, &mut |case| {
            let has = |id: &str| case.steps.iter().any(|step| step.text("call_id") == id);
            let rules = case.opening.documents.first().map_or(&[][..], |document| document.content.list_of("rules"));
            has("2") && rules.iter().any(|rule| rule.get("x") == Some(&Datum::from(2)))
        });
        assert_eq!(small.steps, vec![step("2")]);
        let document = small.opening.documents.first();
        let content = document.map(|document| document.content.to_string());
        assert_eq!(content.as_deref(), Some(r#"{"kind":"Ruleset","rules":[{"id":"b","x":2}]}"#));
    }
}
