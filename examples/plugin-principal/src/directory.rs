//! The configuration: keys, and who is who.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::token::Grant;

/// A secret with fewer bytes can be guessed.
const SHORTEST_SECRET: usize = 32;

/// Keys and people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// The argument that holds the token.
    #[serde(default = "default_argument")]
    pub argument: String,
    /// The longest time that a token may be valid from now on, in seconds.
    #[serde(default = "default_longest")]
    pub longest_s: u64,
    /// Secrets by name, hex.
    keys: BTreeMap<String, Secret>,
    /// People by name.
    people: BTreeMap<String, Person>,
    /// What a call without a token is.
    #[serde(default)]
    without_token: WithoutToken,
}

fn default_argument() -> String {
    "auth_token".to_owned()
}

fn default_longest() -> u64 {
    3600
}

/// Who somebody is, as the principal of a call says it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Person {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_ref: Option<String>,
    claims: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// The call is blocked.
    #[default]
    Refuse,
    /// The call is nobody's.
    Nobody,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WithoutToken {
    Word(Word),
    Somebody(Person),
}

impl Default for WithoutToken {
    fn default() -> Self {
        Self::Word(Word::Refuse)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Secret(Vec<u8>);

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match hex::decode(&text) {
            Ok(secret) if secret.len() >= SHORTEST_SECRET => Ok(Self(secret)),
            _ => Err(format!("a key is not {SHORTEST_SECRET} bytes of hex or more")),
        }
    }
}

/// Without secrets.
impl fmt::Debug for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Directory").field("people", &self.people.keys()).finish_non_exhaustive()
    }
}

impl Directory {
    /// From the configuration (JSON).
    ///
    /// # Errors
    /// It is none. Errors quote no secret.
    pub fn read(configuration: &str) -> Result<Self, String> {
        if configuration.trim() == "null" {
            return Err("it needs a configuration with `keys` and `people`".to_owned());
        }
        let directory: Self =
            serde_json::from_str(configuration).map_err(|error| format!("the configuration: {error}"))?;
        if directory.keys.is_empty() {
            return Err("the configuration: there is no key".to_owned());
        }
        Ok(directory)
    }

    /// The secret of a key.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&[u8]> {
        self.keys.get(name).map(|secret| secret.0.as_slice())
    }

    /// What a call without a token is.
    pub(crate) fn nobody(&self) -> Result<Option<String>, String> {
        match &self.without_token {
            WithoutToken::Word(Word::Refuse) => Err(format!("the call has no token in `{}`", self.argument)),
            WithoutToken::Word(Word::Nobody) => Ok(None),
            WithoutToken::Somebody(person) => written(person).map(Some),
        }
    }

    /// The principal that a token stands for.
    pub(crate) fn principal(&self, grant: &Grant) -> Result<String, String> {
        let person = self.people.get(&grant.sub);
        let mut person = person.cloned().ok_or_else(|| format!("nobody is called `{}`", grant.sub))?;
        person.user_id.get_or_insert_with(|| grant.sub.clone());
        written(&person)
    }
}

fn written(person: &Person) -> Result<String, String> {
    serde_json::to_string(person).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_protects_nothing_is_refused() {
        let key = "00".repeat(32);
        let cases = [
            "null".to_owned(),
            "{}".to_owned(),
            r#"{"keys": {}, "people": {}}"#.to_owned(),
            r#"{"keys": {"a": "0011"}, "people": {}}"#.to_owned(),
            r#"{"keys": {"a": "not hex"}, "people": {}}"#.to_owned(),
            format!(r#"{{"keys": {{"a": "{key}"}}}}"#),
            format!(r#"{{"keys": {{"a": "{key}"}}, "people": {{}}, "without_token": "allow"}}"#),
            format!(r#"{{"keys": {{"a": "{key}"}}, "people": {{"x": {{"rol": "sre"}}}}}}"#),
        ];
        for configuration in cases {
            let error = Directory::read(&configuration).unwrap_err();
            assert!(!error.contains("0011") && !error.contains(&key), "{error}");
        }
        assert!(Directory::read(&format!(r#"{{"keys": {{"a": "{key}"}}, "people": {{}}}}"#)).is_ok());
    }
}
