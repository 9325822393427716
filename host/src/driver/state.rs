//! `counters` and `events`: what a guard has counted and said.

use serde::Deserialize;
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
