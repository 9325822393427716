//! Operators that find personal numbers in values, by their checksums and not by their looks:
//!
//! * `contains_pii: [card, iban]` (or `any`): whether one of these kinds is anywhere in the value;
//! * `pii_above: 5`: whether there are more than so many different ones.
//!
//! This file is the plugin; [`walk`] goes through a value, [`find`] through a text, [`kinds`] knows each kind of number.

mod find;
mod kinds;
mod walk;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "operator-plugin" });
}

use std::collections::BTreeSet;
use std::sync::OnceLock;

use bindings::exports::edictum::plugin;
use plugin::plugin_info::Manifest;
use serde::Deserialize;

use find::Found;
use kinds::Kind;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

/// What the user of this plugin says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Configuration {
    /// Numbers that are nobody's: test cards, the company's own account. Compared without spaces and signs.
    ignore: Vec<String>,
}

/// The ignored numbers, as they are compared.
static IGNORED: OnceLock<BTreeSet<String>> = OnceLock::new();

impl plugin::plugin_info::Guest for Plugin {
    fn describe(configuration: String) -> Result<Manifest, String> {
        let configuration: Option<Configuration> =
            serde_json::from_str(&configuration).map_err(|error| error.to_string())?;
        let ignored = configuration.unwrap_or_default().ignore;
        let ignored = ignored.iter().map(|number| find::bare(number)).collect();
        // This is called once in each instance.
        let _first = IGNORED.set(ignored);
        Ok(Manifest {
            name: "pii".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operators: vec![CONTAINS.to_owned(), ABOVE.to_owned()],
            selectors: Vec::new(),
            hooks: Vec::new(),
        })
    }
}

const CONTAINS: &str = "contains_pii";
const ABOVE: &str = "pii_above";

impl plugin::operators::Guest for Plugin {
    fn apply(name: String, value: String, operand: String) -> Result<bool, String> {
        let empty = BTreeSet::new();
        let ignored = IGNORED.get().unwrap_or(&empty);
        let found = walk::value(&value)?;
        let found = found.iter().filter(|found| !ignored.contains(&found.number));
        match name.as_str() {
            CONTAINS => {
                let wanted = wanted(&operand)?;
                Ok(found.into_iter().any(|found| wanted.contains(&found.kind)))
            }
            ABOVE => {
                let most: usize = serde_json::from_str(&operand)
                    .map_err(|_| format!("`{ABOVE}` takes a count, as in `{ABOVE}: 5`"))?;
                Ok(found.collect::<BTreeSet<&Found>>().len() > most)
            }
            other => Err(format!("there is no operator `{other}`")),
        }
    }
}

/// The kinds that a rule names. A kind that does not exist is an error: a rule that looks for nothing protects nobody.
fn wanted(operand: &str) -> Result<Vec<Kind>, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Operand {
        One(String),
        Several(Vec<String>),
    }

    let names = match serde_json::from_str(operand) {
        Ok(Operand::One(name)) if name == "any" => return Ok(Kind::ALL.to_vec()),
        Ok(Operand::One(name)) => vec![name],
        Ok(Operand::Several(names)) if !names.is_empty() => names,
        _ => return Err(format!("`{CONTAINS}` takes kinds: {}", Kind::names())),
    };
    let kind = |name: &String| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| format!("there is no kind `{name}`: {}", Kind::names()))
    };
    names.iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::operators::Guest as _;

    fn apply(name: &str, value: &str, operand: &str) -> Result<bool, String> {
        Plugin::apply(name.to_owned(), value.to_owned(), operand.to_owned())
    }

    #[test]
    fn only_the_kinds_that_a_rule_names() {
        let card = r#""pay 4111 1111 1111 1111 now""#;
        for (operand, expected) in [
            (r#""any""#, true),
            (r#""card""#, true),
            (r#"["iban","card"]"#, true),
            (r#"["iban"]"#, false),
            (r#""cpf""#, false),
        ] {
            assert_eq!(apply(CONTAINS, card, operand), Ok(expected), "{operand}");
        }
    }

    #[test]
    fn a_rule_that_looks_for_nothing_is_an_error() {
        for operand in ["[]", "null", "true", r#""crad""#, r#"["card","crad"]"#, "3", "{}"] {
            assert!(apply(CONTAINS, r#""x""#, operand).is_err(), "{operand}");
        }
        for operand in ["-1", "1.5", r#""2""#, "null"] {
            assert!(apply(ABOVE, r#""x""#, operand).is_err(), "{operand}");
        }
        assert!(apply("other", r#""x""#, "1").is_err());
        assert!(apply(CONTAINS, "not json", r#""any""#).is_err());
    }

    #[test]
    fn the_same_number_counts_once_however_it_is_written() {
        let value =
            r#"["4111 1111 1111 1111", "4111-1111-1111-1111", 4111111111111111, "GB29 NWBK 6016 1331 9268 19"]"#;
        assert_eq!(apply(ABOVE, value, "1"), Ok(true));
        assert_eq!(apply(ABOVE, value, "2"), Ok(false));
    }
}
