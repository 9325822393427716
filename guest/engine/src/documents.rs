//! Texts → validated documents, with every finding of every document in one go.
//!
//! [`load`] is the front: it reads each file ([`crate::yaml`]), puts its parents before it ([`extends`]), checks the top
//! level (`header`) and rule by rule ([`rule`], `sandbox`, [`expression`], warnings in `lint`), lays the files over each
//! other (`compose`) and merges guards (`merge`). [`ruleset`] and [`composition`] are what later steps work on;
//! [`serialize`] writes them back; [`templates`] are built in. [`workflow`] has a front of its own: one file, one workflow. Patterns, globs and boundaries are not compiled here.

mod check;
mod compose;
pub mod composition;
pub mod expression;
pub mod extends;
mod header;
mod lint;
pub mod load;
mod merge;
mod path;
pub mod rule;
pub mod ruleset;
mod sandbox;
pub mod serialize;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod vocabulary;
pub mod workflow;

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
