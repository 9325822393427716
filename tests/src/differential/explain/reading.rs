//! Reads simple conditions and templates the way ours should, where the reference's answer does not say how: on texts it
//! cut, results it does not look into, messages it fills differently. What is not simple is not read: no prediction.

use regex_automata::meta::Regex;

use super::policy::Rule;
use crate::differential::case::Opening;
use crate::differential::datum::Datum;

/// What selectors see.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'s> {
    /// How the guard was opened.
    pub opening: &'s Opening,
    /// `call` of the request.
    pub call: &'s Datum,
    /// What the tool returned.
    pub output: Option<&'s Datum>,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// Whether results that are no strings are JSON text.
    pub json: bool,
    /// Ours, or the reference.
    pub ours: bool,
}

/// What a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does not fire.
    False,
    /// It fires.
    True,
    /// It fires, because it cannot be evaluated.
    Error,
}

/// The reference looks no further in a text.
pub const CUT: usize = 10_000;

impl Scene<'_> {
    /// The value of a selector; `Some(None)` when it is missing, `None` when it is not read here.
    #[must_use]
    pub fn value(&self, selector: &str) -> Option<Option<Datum>> {
        let below = |root: Option<&Datum>, path: &str| root?.at(&path.split('.').collect::<Vec<_>>()).cloned();
        let (first, rest) = selector.split_once('.').unwrap_or((selector, ""));
        Some(match (first, rest) {
            ("tool", "name") => self.call.get("tool").cloned(),
            ("args", path) => below(self.call.get("args"), path),
            ("metadata", path) => below(self.call.get("metadata"), path),
            ("output", "text") => match self.output {
                None | Some(Datum::Null) => None,
                Some(Datum::String(text)) => Some(text.as_str().into()),
                Some(other) => Some(output_text(other, self.json)?.into()),
            },
            ("result", _) if !self.ours => None,
            ("result", path) => match self.output {
                Some(map @ Datum::Map(_)) => below(Some(map), path),
                Some(Datum::String(text)) if path == "output" => Some(text.as_str().into()),
                _ => None,
            },
            ("principal", path) => {
                let fixed = self.opening.settings.get("principal").filter(|_| self.ours || !self.dry_run);
                below(self.call.get("principal").or(fixed), path)
            }
            ("env", name) => match self.opening.settings.at(&["env", name]) {
                None => None,
                Some(Datum::String(text)) => Some(variable(text, self.ours)?),
                Some(_) => return None,
            },
            _ => return None,
        })
    }

    /// A condition.
    #[must_use]
    pub fn condition(&self, when: &Datum) -> Option<Truth> {
        let [(name, below)] = when.entries() else { return None };
        match name.as_str() {
            "all" | "any" => {
                let stop = if name == "all" { Truth::False } else { Truth::True };
                for each in below.items() {
                    let truth = self.condition(each)?;
                    if truth == Truth::Error || truth == stop {
                        return Some(truth);
                    }
                }
                Some(if name == "all" { Truth::True } else { Truth::False })
            }
            "not" => Some(match self.condition(below)? {
                Truth::False => Truth::True,
                Truth::True => Truth::False,
                Truth::Error => Truth::Error,
            }),
            selector => {
                let [(operator, operand)] = below.entries() else { return None };
                leaf(operator, self.value(selector)?.filter(|value| !value.is_null()), operand, self.ours)
            }
        }
    }

    /// A template, filled.
    #[must_use]
    pub fn message(&self, rule: &Rule) -> Option<String> {
        let mut text = String::new();
        let mut rest = rule.message();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, behind)) = after.split_once('}').filter(|(name, _)| !name.is_empty()) else {
                text.push('{');
                rest = after;
                continue;
            };
            let closed = self.ours && rule.action() != "warn" && (name == "output.text" || name.starts_with("result."));
            match self.value(name)?.filter(|value| !value.is_null() && !closed) {
                None => text.push_str(&format!("{{{name}}}")),
                Some(value) => text.push_str(&self.placeholder(name, &value)?),
            }
            rest = behind;
        }
        text.push_str(rest);
        Some(shortened(&text, 500))
    }

    fn placeholder(&self, name: &str, value: &Datum) -> Option<String> {
        let mut text = match value {
            Datum::String(text) => text.clone(),
            Datum::Int(number) => number.clone(),
            Datum::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
            _ => return None,
        };
        if self.ours {
            let secret_key = name.split('.').skip(1).any(|part| super::redaction::sensitive(part, true));
            if secret_key {
                return Some("[REDACTED]".to_owned());
            }
            text = super::redaction::without_secrets(&text);
            text.retain(|char| char == '\n' || !char.is_control());
        } else if super::redaction::begins_secret(&text) {
            return Some("[REDACTED]".to_owned());
        }
        Some(shortened(&text, 200))
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 3).chain("...".chars()).collect()
}

/// `output.text` of what is no string.
fn output_text(value: &Datum, json: bool) -> Option<String> {
    Some(match value {
        Datum::Null => if json { "null" } else { "None" }.to_owned(),
        Datum::Bool(flag) => match (flag, json) {
            (flag, true) => flag.to_string(),
            (true, false) => "True".to_owned(),
            (false, false) => "False".to_owned(),
        },
        Datum::Int(number) => number.clone(),
        Datum::Float(number) if json => number.clone(),
        Datum::Float(_) => return None,
        Datum::String(text) if json => Datum::from(text.as_str()).to_string(),
        Datum::String(text) if text.chars().all(|char| char.is_ascii_alphanumeric() || char == ' ') => format!("'{text}'"),
        Datum::String(_) => return None,
        Datum::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| output_text(item, json)).collect();
            format!("[{}]", items?.join(", "))
        }
        Datum::Map(entries) => {
            let entry = |(key, value): &(String, Datum)| {
                Some(format!("{}: {}", output_text(&key.as_str().into(), json)?, output_text(value, json)?))
            };
            let entries: Option<Vec<String>> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries?.join(", "))
        }
    })
}

/// What a variable of the environment is to operators. Only what the divergence is about.
fn variable(text: &str, ours: bool) -> Option<Datum> {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("nan") {
        return Some(if ours { text.into() } else { Datum::Float("NaN".to_owned()) });
    }
    let foreign = |char: char| !char.is_ascii() && char.is_numeric();
    if !trimmed.is_empty() && trimmed.chars().all(foreign) {
        let digits: Option<String> = trimmed.chars().map(|char| arabic(char)).collect();
        return Some(if ours { text.into() } else { Datum::Int(digits?) });
    }
    None
}

/// Arabic-Indic digits.
fn arabic(char: char) -> Option<char> {
    char::from_digit(u32::from(char).checked_sub(0x660)?, 10)
}

fn leaf(operator: &str, value: Option<Datum>, operand: &Datum, ours: bool) -> Option<Truth> {
    let truth = |flag: bool| Some(if flag { Truth::True } else { Truth::False });
    if operator == "exists" {
        return truth(value.is_some() == (*operand == Datum::Bool(true)));
    }
    let Some(value) = value else { return Some(Truth::False) };
    let any = |test: &dyn Fn(&str) -> Option<bool>| {
        let Datum::List(items) = operand else { return None };
        items.iter().try_fold(false, |found, item| Some(found || test(item.as_str()?)?))
    };
    match (operator, value.as_str()) {
        ("equals", _) => truth(equal(&value, operand)?),
        ("not_equals", _) => truth(!equal(&value, operand)?),
        ("contains" | "contains_any" | "starts_with" | "ends_with" | "matches" | "matches_any", None) => Some(Truth::Error),
        ("contains", Some(text)) => truth(text.contains(operand.as_str()?)),
        ("contains_any", Some(text)) => truth(any(&|part| Some(text.contains(part)))?),
        ("starts_with", Some(text)) => truth(text.starts_with(operand.as_str()?)),
        ("ends_with", Some(text)) => truth(text.ends_with(operand.as_str()?)),
        ("matches", Some(text)) => truth(matches(operand.as_str()?, text, ours)?),
        ("matches_any", Some(text)) => truth(any(&|pattern| matches(pattern, text, ours))?),
        ("gt" | "gte" | "lt" | "lte", None) => {
            let (Some(one), Some(two)) = (number(&value), number(operand)) else { return Some(Truth::Error) };
            truth(match operator {
                "gt" => one > two,
                "gte" => one >= two,
                "lt" => one < two,
                _ => one <= two,
            })
        }
        ("gt" | "gte" | "lt" | "lte", Some(_)) => Some(Truth::Error),
        _ => None,
    }
}

/// Numbers and flags; enough for small ones.
fn number(value: &Datum) -> Option<f64> {
    match value {
        Datum::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Datum::Int(text) | Datum::Float(text) => text.parse().ok(),
        _ => None,
    }
}

fn equal(one: &Datum, two: &Datum) -> Option<bool> {
    match (number(one), number(two)) {
        (Some(one), Some(two)) => Some(one == two),
        (None, None) if matches!((one, two), (Datum::String(_), Datum::String(_))) => Some(one == two),
        (None, None) if matches!((one, two), (Datum::List(_), Datum::List(_)) | (Datum::Map(_), Datum::Map(_))) => None,
        _ => Some(false),
    }
}

fn matches(pattern: &str, text: &str, ours: bool) -> Option<bool> {
    let pattern = Regex::new(&super::rust_pattern(pattern)).ok()?;
    let cut = text.char_indices().nth(CUT).map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    Some(pattern.is_match(if ours { text } else { cut }))
}
