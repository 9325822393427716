//! `edictum:guard/types` and `/session`: documents, findings, failures, steps of a session's store.

use edictum_engine::{diagnostics as engine, documents, inquiry};

use crate::bindings::exports::edictum::guard::session as store;
use crate::bindings::exports::edictum::guard::types as wit;

impl From<wit::Document> for documents::Document {
    fn from(wit::Document { name, text }: wit::Document) -> Self {
        Self { name, text }
    }
}

impl From<documents::Document> for wit::Document {
    fn from(documents::Document { name, text }: documents::Document) -> Self {
        Self { name, text }
    }
}

impl From<engine::Diagnostic> for wit::Diagnostic {
    fn from(finding: engine::Diagnostic) -> Self {
        let engine::Diagnostic { severity, code, message, document, span, help } = finding;
        Self {
            severity: match severity {
                engine::Severity::Error => wit::Severity::Error,
                engine::Severity::Warning => wit::Severity::Warning,
                engine::Severity::Hint => wit::Severity::Hint,
            },
            code: code.as_str().to_owned(),
            message,
            document,
            line: span.line,
            column: span.column,
            end_line: span.end_line,
            end_column: span.end_column,
            help,
        }
    }
}

impl From<engine::Failure> for wit::Failure {
    fn from(engine::Failure { kind, code, message, diagnostics }: engine::Failure) -> Self {
        let kind = match kind {
            engine::FailureKind::InvalidArgument => wit::FailureKind::InvalidArgument,
            engine::FailureKind::InvalidDocument => wit::FailureKind::InvalidDocument,
            engine::FailureKind::Unauthorized => wit::FailureKind::Unauthorized,
            engine::FailureKind::NotFound => wit::FailureKind::NotFound,
            engine::FailureKind::Unavailable => wit::FailureKind::Unavailable,
            engine::FailureKind::Conflict => wit::FailureKind::Conflict,
            engine::FailureKind::Internal => wit::FailureKind::Internal,
        };
        Self { kind, code, message, diagnostics: diagnostics.into_iter().map(Into::into).collect() }
    }
}

impl From<inquiry::Operation> for store::Operation {
    fn from(operation: inquiry::Operation) -> Self {
        match operation {
            inquiry::Operation::Get(key) => Self::Get(key),
            inquiry::Operation::Increment { key, amount } => Self::Increment(store::Increment { key, amount }),
            inquiry::Operation::Put { key, value, expected } => Self::Put(store::Put { key, value, expected }),
            inquiry::Operation::Delete(key) => Self::Delete(key),
            inquiry::Operation::Scan(prefix) => Self::Scan(prefix),
        }
    }
}

impl From<store::Outcome> for inquiry::Outcome {
    fn from(outcome: store::Outcome) -> Self {
        match outcome {
            store::Outcome::Done(entry) => Self::Done(entry.into()),
            store::Outcome::Conflict(entry) => Self::Conflict(entry.into()),
            store::Outcome::Found(entries) => Self::Found(entries),
            store::Outcome::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<store::Entry> for inquiry::Entry {
    fn from(store::Entry { value, version }: store::Entry) -> Self {
        Self { value, version }
    }
}
