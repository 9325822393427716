//! What a ruleset source keeps over a restart: the highest versions seen, what was assigned, and the last ruleset that was
//! taken, for a start without the server. A text with a version; the host keeps it and looks into it for nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::body::{Body, revision};
use crate::endpoint::Endpoint;

/// The layout.
const LAYOUT: u32 = 1;

/// So many names are remembered; the first in the alphabet gives way.
const MAX_NAMES: usize = 256;

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    layout: u32,
    /// Where its rulesets come from, and for which environment.
    address: String,
    env: String,
    /// Highest version seen of each name.
    highest: BTreeMap<String, u64>,
    /// What the server assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) assignment: Option<String>,
    /// The last ruleset that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<Kept>,
    /// The one before it, until the last one is known to load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fallback: Option<Kept>,
}

/// A ruleset as it was fetched; verified again when it is read back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) signatures: Vec<String>,
    /// Milliseconds since 1970.
    pub(super) fetched_at: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}`, version {:?}, fetched at {}", self.name, self.version, self.fetched_at)
    }
}

impl Kept {
    pub(super) fn new(name: &str, body: &Body, fetched_at: u64) -> Self {
        Self {
            name: name.to_owned(),
            text: body.text.clone(),
            version: body.version,
            signatures: body.signatures.clone(),
            fetched_at,
        }
    }

    pub(super) fn body(&self) -> Body {
        Body {
            revision: revision(&self.text),
            text: self.text.clone(),
            name: None,
            version: self.version,
            signatures: self.signatures.clone(),
            other_hash: false,
        }
    }
}

impl Memory {
    /// A new one.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let (address, env) = (endpoint.address().to_string(), endpoint.env().to_owned());
        Self { layout: LAYOUT, address, env, ..Self::default() }
    }

    /// Reads one back.
    ///
    /// # Errors
    /// Why it is of no use: it is no memory, of a later layout, or of another server or environment.
    pub(super) fn read(endpoint: &Endpoint, text: &str) -> Result<Self, &'static str> {
        let memory: Self = serde_json::from_str(text).map_err(|_| "it cannot be read")?;
        if memory.layout != LAYOUT {
            return Err("it was written by a later version");
        }
        if memory.address != endpoint.address().to_string() || memory.env != endpoint.env() {
            return Err("it is of another server or environment");
        }
        Ok(memory)
    }

    pub(super) fn write(&self) -> String {
        // Texts and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The highest version that was seen of a name.
    pub(super) fn highest(&self, name: &str) -> Option<u64> {
        self.highest.get(name).copied()
    }

    /// Notes a version; whether it is a new highest one.
    pub(super) fn saw(&mut self, name: &str, version: Option<u64>) -> bool {
        let Some(version) = version else { return false };
        if self.highest(name).is_some_and(|highest| highest >= version) {
            return false;
        }
        if self.highest.len() >= MAX_NAMES && !self.highest.contains_key(name) {
            self.highest.pop_first();
        }
        self.highest.insert(name.to_owned(), version);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::{console, endpoint};

    #[test]
    fn comes_back_as_it_was() {
        let mut memory = Memory::new(&endpoint());
        assert!(memory.saw("t", Some(3)) && !memory.saw("t", Some(2)) && !memory.saw("t", None));
        memory.assignment = Some("t".to_owned());
        let body = Body {
            version: Some(3),
            ..Kept {
                name: "t".into(),
                text: "a: 1\n".into(),
                version: None,
                signatures: vec!["s".into()],
                fetched_at: 5,
            }
            .body()
        };
        memory.release = Some(Kept::new("t", &body, 5));
        let read = Memory::read(&endpoint(), &memory.write()).unwrap();
        assert_eq!((read.highest("t"), read.highest("u")), (Some(3), None));
        assert_eq!((read.assignment.as_deref(), &read.release), (Some("t"), &memory.release));
        assert_eq!(read.release.unwrap().body(), body);
    }

    #[test]
    fn what_is_of_no_use_is_not_used() {
        let good = Memory::new(&endpoint()).write();
        assert!(Memory::read(&console(), &good).is_ok());
        for bad in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            good.replace("\"layout\":1", "\"layout\":2"),
            good.replace("api.example.com", "evil.example.com"),
            good.replace("production", "staging"),
            good[..good.len() - 1].to_owned(),
        ] {
            assert!(Memory::read(&endpoint(), &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_do_not_pile_up() {
        let mut memory = Memory::new(&endpoint());
        for number in 0..1000 {
            memory.saw(&format!("n-{number}"), Some(1));
        }
        assert_eq!(memory.highest.len(), MAX_NAMES);
    }
}
