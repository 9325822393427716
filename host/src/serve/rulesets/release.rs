//! A published version of a ruleset, and how it looks on the wire.

use std::sync::OnceLock;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::serve::hub::frame;
use crate::serve::moment::{self, Moment};
use crate::serve::settings::Dialect;

/// One version, for one environment or for all.
pub struct Release {
    /// As the ruleset calls itself.
    pub name: String,
    /// From 1 on, one more each time.
    pub version: i64,
    /// SHA-256 of the text, hex.
    pub revision: String,
    /// The text, byte for byte.
    pub yaml: String,
    /// Ed25519, of the text.
    pub signature: Option<[u8; 64]>,
    /// The server's key that made the signature.
    pub public_key: Option<String>,
    /// Empty: for all.
    pub environment: String,
    /// Since when.
    pub deployed: Moment,
    /// Who published it.
    pub by: String,
    /// Frames of the stream, made once for all who listen.
    superset: OnceLock<Bytes>,
    canonical: OnceLock<Bytes>,
    console: OnceLock<Bytes>,
}

impl Release {
    #[expect(clippy::too_many_arguments, reason = "a row of the database")]
    pub fn new(
        name: String,
        version: i64,
        revision: String,
        yaml: String,
        signature: Option<[u8; 64]>,
        public_key: Option<String>,
        environment: String,
        deployed: Moment,
        by: String,
    ) -> Self {
        let (superset, canonical, console) = Default::default();
        Self {
            name,
            version,
            revision,
            yaml,
            signature,
            public_key,
            environment,
            deployed,
            by,
            superset,
            canonical,
            console,
        }
    }

    /// The body of `GET …/current`.
    pub fn document(&self, dialect: Dialect, environment: &str) -> Value {
        let mut members = self.summary();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("deployed_env", environment.into());
        add("signature", self.signature.map(|signature| STANDARD.encode(signature)).into());
        if dialect != Dialect::Console {
            add("yaml", self.yaml.as_str().into());
        }
        if dialect != Dialect::Canonical {
            add("yaml_bytes", STANDARD.encode(&self.yaml).into());
            add("signature_hex", self.signature.map(hex::encode).into());
            add("public_key", self.public_key.clone().into());
        }
        if dialect == Dialect::Console {
            members.remove("signature");
        }
        Value::Object(members)
    }

    /// What it is, without the text.
    pub fn summary(&self) -> Map<String, Value> {
        let members = [
            ("name", self.name.as_str().into()),
            ("version", self.version.into()),
            ("revision_hash", self.revision.as_str().into()),
            ("deployed_at", moment::text(self.deployed).into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What is told to who follows it: in the words of the dialect, without an id. `inline`: also the text itself, to
    /// clients of the retired protocol.
    pub fn frames(&self, dialect: Dialect, inline: bool) -> Bytes {
        let pointer = || self.canonical.get_or_init(|| frame(Some("ruleset_updated"), None, &self.pointer())).clone();
        match (dialect, inline) {
            (Dialect::Superset, true) => self
                .superset
                .get_or_init(|| {
                    let text = self.signature.map(|signature| STANDARD.encode(signature));
                    [pointer(), self.update(text)].concat().into()
                })
                .clone(),
            (Dialect::Console, true) => {
                self.console.get_or_init(|| self.update(self.signature.map(hex::encode))).clone()
            }
            (Dialect::Console, false) => Bytes::new(),
            (Dialect::Superset | Dialect::Canonical, _) => pointer(),
        }
    }

    fn pointer(&self) -> String {
        json!({ "name": self.name, "version": self.version, "revision_hash": self.revision }).to_string()
    }

    fn update(&self, signature: Option<String>) -> Bytes {
        let data = json!({
            "type": "contract_update",
            "bundle_name": self.name,
            "version": self.version,
            "revision_hash": self.revision,
            "signature": signature,
            "public_key": self.public_key,
            "yaml_bytes": STANDARD.encode(&self.yaml),
        });
        frame(Some("contract_update"), None, &data.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_text_are_the_same_bytes_and_each_dialect_says_only_its_own() {
        let yaml = "a: 'é\u{2028}'\r\nb: \"\\u0000\"\n".to_owned();
        let release = Release::new(
            "n".to_owned(),
            3,
            "ab".to_owned(),
            yaml.clone(),
            Some([7; 64]),
            Some("cd".to_owned()),
            String::new(),
            0,
            "me".to_owned(),
        );
        let wire =
            |dialect| -> Value { serde_json::from_str(&release.document(dialect, "production").to_string()).unwrap() };
        let superset = wire(Dialect::Superset);
        assert_eq!(superset["yaml"], yaml);
        assert_eq!(STANDARD.decode(superset["yaml_bytes"].as_str().unwrap()).unwrap(), yaml.as_bytes());
        assert_eq!(STANDARD.decode(superset["signature"].as_str().unwrap()).unwrap(), [7; 64]);
        let (canonical, console) = (wire(Dialect::Canonical), wire(Dialect::Console));
        assert!(canonical.get("yaml_bytes").is_none() && canonical.get("signature_hex").is_none());
        assert!(console.get("yaml").is_none() && console.get("signature").is_none());
        assert_eq!(console["signature_hex"], "07".repeat(64));

        let frames = |dialect, inline| String::from_utf8(release.frames(dialect, inline).to_vec()).unwrap();
        assert_eq!(frames(Dialect::Superset, true).matches("event: ").count(), 2);
        for dialect in [Dialect::Superset, Dialect::Canonical] {
            assert!(frames(dialect, false).starts_with("event: ruleset_updated\n"));
        }
        assert!(frames(Dialect::Canonical, true).matches("event: ").count() == 1);
        assert!(frames(Dialect::Console, true).starts_with("event: contract_update\n"));
        assert_eq!(frames(Dialect::Console, false), "");
    }
}
