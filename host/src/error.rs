//! Why something did not take place. Never used for a decision: a call that cannot be judged is blocked, and the
//! [`crate::Decision`] says so. An error from `begin` means that nothing was decided, and the call must not run.

use crate::bindings::types::{Diagnostic, Failure, FailureKind};
use crate::store::StoreError;

/// Everything that can go wrong in this library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Documents, options or a command that the engine refuses, with every finding.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Failure),
    /// The caller's mistake.
    #[error("{0}")]
    Argument(String),
    /// No such open call, no such guard.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else was faster, or the call is not in the state that this takes.
    #[error("{0}")]
    Conflict(String),
    /// A signature does not verify.
    #[error("{0}")]
    Unauthorized(String),
    /// The rulesets need something that this guard cannot answer.
    #[error("{0}")]
    Unsupported(String),
    /// The guard has been closed.
    #[error("the guard is closed")]
    Closed,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// There is no component, or it cannot be run.
    #[error("{0}")]
    Component(String),
    /// A plugin cannot be loaded.
    #[error("plugin `{plugin}`: {reason}")]
    Plugin {
        /// Its name or its file.
        plugin: String,
        /// Why not.
        reason: String,
    },
    /// An instance ended abnormally where no decision was asked for.
    #[error("the engine failed: {0}")]
    Abnormal(String),
}

impl Error {
    /// Stable: a code of the engine (`E_UNKNOWN_FIELD`), or one of `bad-request`, `not-found`, `conflict`,
    /// `unauthorized`, `unsupported`, `closed`, `unavailable`, `internal`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(failure) if failure.code.is_empty() => kind(failure.kind),
            Self::Refused(failure) => &failure.code,
            Self::Argument(_) | Self::Plugin { .. } => "bad-request",
            Self::NotFound(_) => "not-found",
            Self::Conflict(_) => "conflict",
            Self::Unauthorized(_) => "unauthorized",
            Self::Unsupported(_) => "unsupported",
            Self::Closed => "closed",
            Self::Store(_) => "unavailable",
            Self::Component(_) | Self::Abnormal(_) => "internal",
        }
    }

    /// The same once more, for the next who has to hear of it.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(failure.clone()),
            Self::Argument(message) => Self::Argument(message.clone()),
            Self::NotFound(message) => Self::NotFound(message.clone()),
            Self::Conflict(message) => Self::Conflict(message.clone()),
            Self::Unauthorized(message) => Self::Unauthorized(message.clone()),
            Self::Unsupported(message) => Self::Unsupported(message.clone()),
            Self::Closed => Self::Closed,
            Self::Store(error) => Self::Store(error.clone()),
            Self::Component(message) => Self::Component(message.clone()),
            Self::Abnormal(message) => Self::Abnormal(message.clone()),
            Self::Plugin { plugin, reason } => Self::Plugin { plugin: plugin.clone(), reason: reason.clone() },
        }
    }

    /// As the component takes it.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Refused(failure) => failure.clone(),
            other => Failure {
                kind: FailureKind::Internal,
                code: other.code().to_owned(),
                message: other.message(),
                diagnostics: Vec::new(),
            },
        }
    }

    /// The findings, when documents are the trouble.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Refused(failure) => &failure.diagnostics,
            _ => &[],
        }
    }

    /// What people should read, without the code.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Refused(failure) => failure.message.clone(),
            other => other.to_string(),
        }
    }
}

fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::InvalidArgument | FailureKind::InvalidDocument => "bad-request",
        FailureKind::Unauthorized => "unauthorized",
        FailureKind::NotFound => "not-found",
        FailureKind::Unavailable | FailureKind::Ambiguous => "unavailable",
        FailureKind::Conflict => "conflict",
        FailureKind::Protocol | FailureKind::Internal => "internal",
    }
}
