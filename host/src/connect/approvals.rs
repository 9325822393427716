//! People who are asked through a server: one task for each server, which submits requests, looks after them as the
//! component says, and settles the calls that wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::bindings::decide::ApprovalVerdict;
use crate::callback::{ApprovalOutcome, nobody_says};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::guard::Shared;
use crate::host::Host;
use crate::lanes::{ApprovalQueue, ApprovalStep, ConnectOptions};
use crate::store::Store;

/// Under this owner a store has what the server gave to keep with a call.
const OWNER: &str = "edictum-approval";

/// A call that waits for a server has so many milliseconds more than its deadline: the last look is asked at the deadline,
/// and its answer takes time. The queue ends it; this is for when there is no queue any more.
pub(crate) const GRACE_MS: Timestamp = 120_000;

/// Until a step is tried again whose instance ended abnormally.
const RETRY: Duration = Duration::from_secs(1);

/// Requests of one server. The task ends with the last guard that uses it.
pub(crate) struct Approvals {
    commands: mpsc::UnboundedSender<Command>,
    task: AbortHandle,
}

impl Drop for Approvals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Command {
    Submit { reference: String, asker: Asker },
    Wake(Vec<String>),
    Forget(String),
}

/// A call that waits.
struct Asker {
    guard: Weak<Shared>,
    call_id: String,
    /// What people are asked (JSON), redacted.
    approval: String,
    store: Arc<dyn Store>,
}

impl Approvals {
    pub fn start(host: &Host, endpoint: ConnectOptions) -> Arc<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let task = host.runtime().spawn(run(host.clone(), endpoint, received)).abort_handle();
        Arc::new(Self { commands, task })
    }

    /// Asks people about a call of a guard. A second time changes nothing.
    pub fn submit(&self, guard: &Arc<Shared>, call_id: &str, approval: &str) {
        let reference = reference(guard.name(), call_id, approval);
        let asker = Asker {
            guard: Arc::downgrade(guard),
            call_id: call_id.to_owned(),
            approval: approval.to_owned(),
            store: Arc::clone(guard.store()),
        };
        let _ = self.commands.send(Command::Submit { reference, asker });
    }

    /// These were decided, the server says.
    pub fn wake(&self, approval_ids: Vec<String>) {
        let _ = self.commands.send(Command::Wake(approval_ids));
    }

    /// The call does not wait any more.
    pub fn forget(&self, guard: &Shared, call_id: &str, approval: &str) {
        let _ = self.commands.send(Command::Forget(reference(guard.name(), call_id, approval)));
    }
}

/// The same for the same question about the same call, also after a restart: the server knows it again. A call that is
/// asked about a second time is another question. Visible ASCII, whatever the call is called.
fn reference(guard: &str, call_id: &str, approval: &str) -> String {
    let mut hash = Sha256::new();
    for text in [guard, call_id, approval] {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

async fn run(host: Host, endpoint: ConnectOptions, mut commands: mpsc::UnboundedReceiver<Command>) {
    let lane = loop {
        match ApprovalQueue::open(host.lanes(), &endpoint, "{}").await {
            Ok(lane) => break lane,
            Err(error) => {
                tracing::error!(%error, "nobody can be asked for an approval");
                tokio::select! {
                    command = commands.recv() => match command {
                        None => return,
                        Some(Command::Submit { asker, .. }) => unreachable(&host, asker),
                        Some(_) => {}
                    },
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    };
    let mut askers: HashMap<String, Asker> = HashMap::new();
    loop {
        let now = host.clock().now();
        let next = match lane.step(now).await {
            Ok(step) => take(&host, step, &mut askers),
            Err(error) => {
                tracing::error!(%error, "approvals cannot be looked after");
                tokio::time::sleep(RETRY).await;
                Some(now)
            }
        };
        let command = tokio::select! {
            command = commands.recv() => command,
            () = host.clock().wait_until(next) => continue,
        };
        let Some(command) = command else { return };
        let mut command = Some(command);
        while let Some(one) = command {
            obey(&host, &lane, &mut askers, one).await;
            command = commands.try_recv().ok();
        }
    }
}

async fn obey(host: &Host, lane: &ApprovalQueue, askers: &mut HashMap<String, Asker>, command: Command) {
    let now = host.clock().now();
    match command {
        Command::Submit { reference, asker } => {
            let memory = recall(&asker.store, &reference).await;
            if let Err(error) = lane.submit(&reference, &asker.approval, memory, now).await {
                tracing::warn!(%error, call_id = asker.call_id, "an approval is asked for a little later");
            }
            askers.insert(reference, asker);
        }
        Command::Wake(approval_ids) => {
            if let Err(error) = lane.wake(approval_ids, now).await {
                tracing::warn!(%error, "decided approvals are looked at in their turn");
            }
        }
        Command::Forget(reference) => {
            if let Some(asker) = askers.remove(&reference) {
                keep(asker.store, reference.clone(), None);
                if let Err(error) = lane.forget(&reference).await {
                    tracing::warn!(%error, "an approval is looked after although nobody waits for it");
                }
            }
        }
    }
}

fn take(host: &Host, step: ApprovalStep, askers: &mut HashMap<String, Asker>) -> Option<Timestamp> {
    for created in step.created {
        if let Some(asker) = askers.get(&created.reference) {
            keep(Arc::clone(&asker.store), created.reference, Some(created.memory));
        }
    }
    for settled in step.settled {
        let Some(asker) = askers.remove(&settled.reference) else { continue };
        keep(Arc::clone(&asker.store), settled.reference, None);
        match outcome(&settled.outcome) {
            Some(outcome) => settle(host, asker, outcome, settled.at),
            None => unreachable(host, asker),
        }
    }
    step.next
}

fn unreachable(host: &Host, asker: Asker) {
    let outcome = nobody_says(ApprovalVerdict::Unreachable);
    settle(host, asker, outcome, host.clock().now());
}

/// What the component says of the end of a request (JSON).
fn outcome(text: &str) -> Option<ApprovalOutcome> {
    #[derive(serde::Deserialize)]
    struct Outcome {
        verdict: Verdict,
        approval_id: Option<String>,
        approver: Option<String>,
        reason: Option<String>,
        decided_at: Option<String>,
        decided_via: Option<String>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Verdict {
        Approved,
        Rejected,
        TimedOut,
        Unreachable,
    }
    let outcome: Outcome = serde_json::from_str(text).ok()?;
    let verdict = match outcome.verdict {
        Verdict::Approved => ApprovalVerdict::Approved,
        Verdict::Rejected => ApprovalVerdict::Rejected,
        Verdict::TimedOut => ApprovalVerdict::TimedOut,
        Verdict::Unreachable => ApprovalVerdict::Unreachable,
    };
    let Outcome { approval_id, approver, reason, decided_at, decided_via, .. } = outcome;
    Some(ApprovalOutcome { verdict, approval_id, approver, reason, decided_at, decided_via })
}

/// In a task of its own: a guard that is slow to take its answer holds up no other.
fn settle(host: &Host, asker: Asker, outcome: ApprovalOutcome, at: Timestamp) {
    drop(host.runtime().spawn(async move {
        let Some(guard) = asker.guard.upgrade() else { return };
        match guard.settle_at(&asker.call_id, outcome, at).await {
            // Somebody else was faster, or the guard was closed: the call is in the store, and its deadline is watched.
            Ok(_) | Err(Error::NotFound(_) | Error::Conflict(_) | Error::Closed) => {}
            Err(error) => tracing::error!(%error, call_id = asker.call_id, "a decided call cannot be settled"),
        }
    }));
}

async fn recall(store: &Arc<dyn Store>, reference: &str) -> Option<String> {
    let (store, reference) = (Arc::clone(store), reference.to_owned());
    let memory = tokio::task::spawn_blocking(move || store.memory(OWNER, &reference)).await;
    memory.ok()?.inspect_err(|error| tracing::warn!(%error, "what is known of an approval cannot be read")).ok()?
}

/// Without it a request is made once more after a restart; the server knows it by its reference.
fn keep(store: Arc<dyn Store>, reference: String, memory: Option<String>) {
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = store.remember(OWNER, &reference, memory.as_deref()) {
            tracing::warn!(%error, "what is known of an approval cannot be kept");
        }
    }));
}
