//! `edictum:server/api`: five resources, each in a file of its own, as thin skins over `edictum_server_protocol`. All are
//! driven alike: ask for requests, make them, bring the answers, take the step.

mod approval_queue;
mod decision_log;
mod endpoint;
mod ruleset_source;
mod session_store;

use edictum_server_protocol::error::{Error, Kind};
use edictum_server_protocol::notice::Notice;

use crate::Component;
use crate::bindings::exports::edictum::guard::types::FailureKind;
use crate::bindings::exports::edictum::server::api::{Failure, Guest, Json};

impl Guest for Component {
    type Endpoint = endpoint::Endpoint;
    type RulesetSource = ruleset_source::RulesetSource;
    type SessionStore = session_store::SessionStore;
    type ApprovalQueue = approval_queue::ApprovalQueue;
    type DecisionLog = decision_log::DecisionLog;
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::InvalidArgument => FailureKind::InvalidArgument,
            Kind::InvalidDocument => FailureKind::InvalidDocument,
            Kind::Unauthorized => FailureKind::Unauthorized,
            Kind::NotFound => FailureKind::NotFound,
            Kind::Unavailable => FailureKind::Unavailable,
            Kind::Ambiguous => FailureKind::Ambiguous,
            Kind::Protocol => FailureKind::Protocol,
            Kind::Conflict => FailureKind::Conflict,
        };
        Self { kind, code: error.code.as_str().to_owned(), message: error.message, diagnostics: Vec::new() }
    }
}

/// Things for the host's log.
fn notices(notices: &[Notice]) -> Vec<Json> {
    notices.iter().map(Notice::to_json).collect()
}
