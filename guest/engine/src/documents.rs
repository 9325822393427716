//! Texts → validated documents, with every finding of every document in one go.
//!
//! [`ruleset`] and [`composition`] are what later steps work on; the rest of this module makes them.

pub mod composition;
pub mod load;
pub mod ruleset;
pub mod serialize;
pub mod templates;

/// A ruleset or workflow as it was written. The revision is the SHA-256 of exactly these UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Shown in diagnostics and composition reports: a path or a ruleset name.
    pub name: String,
    /// The text. Over JSON the member is also called `yaml`.
    #[serde(alias = "yaml")]
    pub text: String,
}
