//! The reference host: the decider component in wasmtime, and all that it asks for.
//!
//! The engine decides; it is a component that imports nothing and cannot do anything else. A host answers what the engine
//! asks (session state, links, callbacks, commands), keeps the time, and keeps what must survive an instance: sessions and
//! open calls, in a [`store`].
//!
//! | open next | for |
//! |---|---|
//! | [`Host`] | what a process has one of: component, deciders, clock |
//! | [`Guard`], [`GuardBuilder`] | what judges calls |
//! | [`store`] | where state lives: memory, SQLite, or your own |
//! | [`outbox`] | the decision log's events until a server has them |
//! | [`callback`] | what a program answers for itself |
//! | [`lanes`] | edictum-api, as five parts that can be used alone |
//! | [`plugin`] | components of others that answer for it |
//! | [`driver`] | the same as lines of JSON, for other languages and for tests |
//!
//! ```
//! use edictum_host::{Host, Ran, Ruleset, ToolOutcome};
//!
//! const RULES: &str = "
//! apiVersion: edictum/v1
//! kind: Ruleset
//! metadata: {name: example}
//! defaults: {mode: enforce}
//! rules:
//!   - id: no-force-push
//!     type: pre
//!     tool: Bash
//!     when: {args.command: {contains: push --force}}
//!     then: {action: block, message: 'Push without force, please.'}
//!   - id: no-keys
//!     type: post
//!     tool: '*'
//!     when: {output.text: {matches: 'sk-[a-z0-9]+'}}
//!     then: {action: redact, message: The output holds a key.}
//! ";
//!
//! # async fn example() -> Result<(), edictum_host::Error> {
//! let host = Host::new()?;
//! let guard = host.guard("example").ruleset(Ruleset::new("rules.yaml", RULES)).build().await?;
//!
//! let call = r#"{"tool": "Bash", "args": {"command": "git push --force"}}"#;
//! let Ran::Blocked(decision) = guard.run(call, |_| async { unreachable!("it must not run") }).await? else {
//!     unreachable!("the rule blocks it")
//! };
//! assert_eq!(decision.reason, "Push without force, please.");
//!
//! // The same, step by step, and not async.
//! let call = r#"{"tool": "Bash", "args": {"command": "env"}}"#;
//! let decision = guard.blocking().begin(call)?;
//! assert!(decision.is_allowed());
//! let end = guard.blocking().finish(&decision.call_id, ToolOutcome::new(r#""KEY=sk-123""#))?;
//! assert_eq!(end.replacement.as_deref(), Some(r#""KEY=[REDACTED]""#));
//! # Ok(())
//! # }
//! # pollster::block_on(example()).unwrap();
//! ```

#![deny(unsafe_code)]

mod answers;
mod bindings;
mod blocking;
mod call;
pub mod callback;
mod clock;
mod component;
mod connect;
mod decider;
mod decision;
pub mod driver;
mod error;
mod events;
mod guard;
mod host;
pub mod lanes;
mod links;
#[doc(hidden)]
pub mod measure;
pub mod outbox;
pub mod plugin;
mod policy;
mod pool;
mod process;
pub mod serve;
pub mod store;
mod timers;
mod turns;
mod workflow;

pub use bindings::types::{Diagnostic, Document, Failure, FailureKind, Severity};
pub use blocking::Blocking;
pub use call::{CallRequest, HOST_MEMBERS};
pub use clock::{Clock, Timestamp};
pub use component::{COMPONENT_VARIABLE, ComponentSource, GUARD_COMPONENT_VARIABLE};
pub use connect::{Backend, Health, LogState, ServerOptions, StreamState};
pub use decision::{Action, Conclusion, Decision, ToolOutcome};
pub use error::Error;
pub use events::{EventBuffer, EventSink, Kept};
pub use guard::{Guard, GuardBuilder, HookPlace, Listener, MAX_CALL_ID, Ran, Ruleset};
pub use host::{Host, HostBuilder};
pub use workflow::Workflow;
