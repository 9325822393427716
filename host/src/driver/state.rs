//! `counters`, `workflow` and `events`: what a guard has counted, where its sessions stand, and what it said.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::protocol::{Refusal, Request};
use super::session::Session;

pub(super) async fn counters(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Counters<'l> {
        guard: String,
        session_id: String,
        #[serde(borrow)]
        set: Option<&'l RawValue>,
    }

    let Counters { guard, session_id, set } = request.fields()?;
    let open = session.guard(&guard)?;
    let set = set.map(|set| format!(r#","set":{}"#, set.get())).unwrap_or_default();
    Ok(open.guard.operate(&session_id, &format!(r#"{{"do":"counters"{set}}}"#)).await?)
}

/// The command goes to the engine as it came; it says what is wrong with it.
pub(super) async fn workflow(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Workflow<'l> {
        guard: String,
        session_id: String,
        #[serde(rename = "do")]
        operation: String,
        stage_id: Option<String>,
        #[serde(borrow)]
        state: Option<&'l RawValue>,
    }
    #[derive(Serialize)]
    struct Command<'l> {
        #[serde(rename = "do")]
        operation: &'l str,
        #[serde(skip_serializing_if = "Option::is_none")]
        stage_id: Option<&'l str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<&'l RawValue>,
    }

    let Workflow { guard, session_id, operation, stage_id, state } = request.fields()?;
    if operation == "counters" {
        return Err(Refusal::bad_request("counters are an operation of their own"));
    }
    let command = Command { operation: &operation, stage_id: stage_id.as_deref(), state };
    let command = serde_json::to_string(&command).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(session.guard(&guard)?.guard.operate(&session_id, &command).await?)
}

pub(super) fn events(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Events {
        guard: String,
    }

    let Events { guard } = request.fields()?;
    let (mut events, dropped) = session.guard(&guard)?.events.take();
    if dropped > 0 {
        events.insert(0, format!(r#"{{"gap":{{"count":{dropped}}}}}"#));
    }
    Ok(format!(r#"{{"events":[{}]}}"#, events.join(",")))
}
