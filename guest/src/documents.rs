//! `edictum:guard/documents` and `/signing`.

use edictum_engine::{documents as engine, policy, signing};

use crate::Component;
use crate::bindings::exports::edictum::guard::documents::{Diagnostic, Document, Failure, Guest, Json};
use crate::bindings::exports::edictum::guard::signing as wit;
use crate::inquiry::all;

impl Guest for Component {
    fn check(rulesets: Vec<Document>, workflow: Option<Document>, options: Json) -> Vec<Diagnostic> {
        let (rulesets, workflow) = (all(rulesets), workflow.map(engine::Document::from));
        all(policy::check(&rulesets, workflow.as_ref(), &options))
    }

    fn describe(rulesets: Vec<Document>, workflow: Option<Document>, options: Json) -> Result<Json, Failure> {
        let (rulesets, workflow) = (all(rulesets), workflow.map(engine::Document::from));
        policy::describe(&rulesets, workflow.as_ref(), &options).map_err(Into::into)
    }

    fn compose(rulesets: Vec<Document>, options: Json) -> Result<Json, Failure> {
        policy::compose(&all(rulesets), &options).map_err(Into::into)
    }

    fn templates() -> Vec<Document> {
        all(policy::templates())
    }
}

impl wit::Guest for Component {
    fn verify(text: String, signature: String, trusted_keys: Vec<String>) -> Result<String, wit::SigningError> {
        signing::verify(&text, &signature, &trusted_keys).map_err(|error| match error {
            signing::SigningError::MissingSignature => wit::SigningError::MissingSignature,
            signing::SigningError::MalformedSignature => wit::SigningError::MalformedSignature,
            signing::SigningError::MalformedKey => wit::SigningError::MalformedKey,
            signing::SigningError::NoTrustedKey => wit::SigningError::NoTrustedKey,
            signing::SigningError::Mismatch => wit::SigningError::Mismatch,
        })
    }
}
