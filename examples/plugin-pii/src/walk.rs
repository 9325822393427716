//! Goes through a JSON value: texts, keys and numbers, however deep.

use serde_json::Value;

use crate::find::{self, Found};

/// All personal numbers in a value, given as JSON text.
pub fn value(json: &str) -> Result<Vec<Found>, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    walk(&value, &mut found);
    Ok(found)
}

fn walk(value: &Value, found: &mut Vec<Found>) {
    match value {
        Value::String(text) => found.extend(find::text(text)),
        // A card number is often an integer.
        Value::Number(number) => found.extend(find::text(&number.to_string())),
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(members) => {
            for (key, member) in members {
                found.extend(find::text(key));
                walk(member, found);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_wherever_they_are() {
        for json in [
            r#""4111111111111111""#,
            "4111111111111111",
            r#"{"a":[{"b":"x 4111111111111111"}]}"#,
            r#"{"4111111111111111":true}"#,
            r#"[[[[4111111111111111]]]]"#,
            r#""\u0034111111111111111""#,
        ] {
            assert_eq!(value(json).unwrap().len(), 1, "{json}");
        }
        for json in ["null", "true", "0", "1e400", "4111111111111112", r#""""#, "{}", "[4111,1111,1111,1111]"] {
            assert!(value(json).map_or(true, |found| found.is_empty()), "{json}");
        }
    }
}
