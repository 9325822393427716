//! What a ruleset source gives to whoever drives it.

use crate::error::Error;
use crate::notice::Notice;
use crate::request::Request;
use crate::stream::connection::Order;

/// A verified ruleset, to be loaded by every deciding instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Release {
    /// Of the ruleset.
    pub name: String,
    /// YAML, exactly as it was signed.
    pub text: String,
    /// SHA-256 of the text, lower-case hex.
    pub revision: String,
    /// The server's number, where it has one.
    pub version: Option<u64>,
    /// The trusted key that vouches for it, where signatures are verified.
    pub key_id: Option<String>,
}

/// Without the text.
impl std::fmt::Debug for Release {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}`, version {:?}, revision {}", self.name, self.version, self.revision)
    }
}

/// The request that opens the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Its deadline is for the head of the answer; the body has no end and no cap.
    pub request: Request,
    /// Milliseconds without a byte after which the host closes the stream.
    pub idle_timeout_ms: u64,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceStep {
    /// To load everywhere; report with [`crate::ruleset::source::RulesetSource::enforced`] or `rejected`.
    pub release: Option<Release>,
    /// What to do with the stream.
    pub connection: Order,
    /// To keep durably before the release is used.
    pub memory: Option<String>,
    /// Approvals that were decided, it is said: for [`crate::approval::queue::ApprovalQueue::wake`].
    pub wake_approvals: Vec<String>,
    /// The start has failed. Never after the first `enforced`.
    pub failed: Option<Error>,
    /// For the host's log.
    pub notices: Vec<Notice>,
    /// When the next step is due at the latest; none: only after something has happened.
    pub next: Option<u64>,
}
