//! The operations of the driver without its lines: for programs that hold a guard in their hand and want the rest by the
//! same documents. Whatever the driver learns is learned here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::protocol::{Refusal, Request};
use super::session::{Open, Session};
use super::{Reply, open, perform, server};
use crate::guard::{Guard, GuardBuilder};
use crate::host::Host;

/// Performs operations (docs/driver.md), each by its name and the JSON of its fields. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    session: Arc<Session>,
    /// Of the next guard.
    next: Arc<AtomicU64>,
}

/// A guard that was opened by its document.
pub struct ServedGuard {
    /// The guard itself.
    pub guard: Guard,
    /// What `open` answers (JSON).
    pub opened: String,
    service: Service,
    key: String,
}

/// What became of an operation.
pub enum Served {
    /// Its result, JSON.
    Now(String),
    /// It waits for a person. Who drops it stops to wait; the call goes on waiting.
    Later(Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>),
}

impl From<Reply> for Served {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Now(result) => Self::Now(result),
            Reply::Later(later) => Self::Later(later),
        }
    }
}

impl Service {
    /// Nothing is open in it.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        Self { session: Arc::new(Session::new(host.clone())), next: Arc::default() }
    }

    /// Opens a guard by the fields (JSON object) of `open` or `open_server`. Guards may have the same name; none is closed
    /// for another. `prepare` adds callbacks, a sink, a session: what no document can say.
    ///
    /// # Errors
    /// As the operation.
    pub async fn open(
        &self,
        op: &str,
        fields: &str,
        prepare: impl FnOnce(GuardBuilder) -> GuardBuilder,
    ) -> Result<ServedGuard, Refusal> {
        let request = Request::new(op, fields.to_owned());
        let (opened, open) = match op {
            "open" => open::make(&self.session, &request, prepare).await?,
            "open_server" => server::make(&self.session, &request, prepare).await?,
            other => return Err(Refusal::unsupported(format!("this host has no operation `{other}` yet"))),
        };
        Ok(self.serve(opened, open))
    }

    /// Lets all its guards see this time from now on, and does what is due then: for tests.
    pub async fn set_time(&self, now_ms: u64) {
        self.session.host.clock().set(now_ms);
        self.session.run_due().await;
    }

    /// An operation that is about no guard: `check`, `templates`, …
    ///
    /// # Errors
    /// As the operation.
    pub async fn perform(&self, op: &str, fields: &str) -> Result<Served, Refusal> {
        perform(&self.session, &Request::new(op, fields.to_owned())).await.map(Served::from)
    }

    fn serve(&self, opened: String, open: Open) -> ServedGuard {
        let key = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let guard = open.guard.clone();
        self.session.insert(&key, open);
        ServedGuard { guard, opened, service: self.clone(), key }
    }
}

impl ServedGuard {
    /// How many bytes of events wait for `events`, at most; older ones give way.
    pub fn limit_events(&self, max_bytes: usize) {
        if let Ok(open) = self.service.session.guard(&self.key) {
            open.events.limit(max_bytes);
        }
    }

    /// An operation about this guard; `fields` without `guard`.
    ///
    /// # Errors
    /// As the operation.
    pub async fn perform(&self, op: &str, fields: &str) -> Result<Served, Refusal> {
        let fields = with_guard(&self.key, fields)?;
        perform(&self.service.session, &Request::new(op, fields)).await.map(Served::from)
    }
}

/// A guard that nobody holds any more is let go; it is not closed, for somebody may have a clone.
impl Drop for ServedGuard {
    fn drop(&mut self) {
        drop(self.service.session.remove(&self.key));
    }
}

/// The fields, which name this guard now. What they are is the operation's to judge.
fn with_guard(key: &str, fields: &str) -> Result<String, Refusal> {
    let members = fields.trim().strip_prefix('{').and_then(|fields| fields.strip_suffix('}'));
    let members = members.ok_or_else(|| Refusal::bad_request("the fields must be a JSON object"))?;
    let comma = if members.trim().is_empty() { "" } else { "," };
    Ok(format!("{{\"guard\":{}{comma}{members}}}", Value::from(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "apiVersion: edictum/v1\\nkind: Ruleset\\nmetadata: {name: r}\\ndefaults: {mode: enforce}\\nrules:\\n\
        - {id: r, type: pre, tool: Bash, when: {args.command: {contains: rm}}, then: {action: block, message: never}}\\n";

    fn served(result: Result<Served, Refusal>) -> Result<String, String> {
        match result {
            Ok(Served::Now(result)) => Ok(result),
            Ok(Served::Later(later)) => pollster::block_on(later).map_err(|refusal| refusal.code),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn guards_of_one_name_live_side_by_side_and_operations_find_theirs() {
        let service = Service::new(&Host::new().unwrap());
        let fields = format!(r#"{{"guard":"g","rulesets":[{{"name":"r","yaml":"{RULES}"}}]}}"#);
        pollster::block_on(async {
            let one = service.open("open", &fields, |builder| builder).await.unwrap();
            let two = service.open("open", &fields, |builder| builder).await.unwrap();
            assert!(one.opened.contains(r#""rules":["r"]"#), "{}", one.opened);
            one.guard.begin(r#"{"tool":"Bash","args":{"command":"ls"}}"#).await.unwrap();
            let events =
                |guard: &ServedGuard| pollster::block_on(async { served(guard.perform("events", "{}").await) });
            assert_eq!(events(&two).unwrap(), r#"{"events":[]}"#);
            assert!(events(&one).unwrap().contains(r#""tool_name":"Bash""#));

            let counters = r#" {"session_id":"s","set":{"attempts":3}} "#;
            let counted = served(one.perform("counters", counters).await).unwrap();
            assert!(counted.contains(r#""attempts":3"#), "{counted}");
            assert_eq!(served(one.perform("counters", "[]").await).unwrap_err(), "bad-request");
            assert_eq!(
                served(one.perform("counters", r#"{"guard":"1","session_id":"s"}"#).await).unwrap_err(),
                "bad-request"
            );

            served(one.perform("close", "{}").await).unwrap();
            assert_eq!(served(one.perform("events", "{}").await).unwrap_err(), "not-found");
            assert!(served(service.perform("templates", "{}").await).unwrap().contains("coding-assistant"));
        });
    }
}
