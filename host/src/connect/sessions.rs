//! The state of sessions on a server. Operations of one session go as they come; those of many sessions go together when
//! more come than there are lanes for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::host::Host;
use crate::lanes::{ConnectOptions, Performed, SessionStore};
use crate::store::{Operation, Outcome};

/// Most instances that talk to one server about sessions at the same time.
const MAX_LANES: usize = 8;

/// Most sessions that one of them takes together.
const MAX_TOGETHER: usize = 32;

/// Most times that an operation is submitted; the component gives up earlier.
const MAX_ATTEMPTS: u32 = 8;

/// Sessions of one server. Needs no store of its own.
pub(crate) struct ServerSessions {
    host: Host,
    endpoint: ConnectOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    idle: Vec<SessionStore>,
    at_work: usize,
}

struct Waiting {
    operations: Vec<Operation>,
    attempt: u32,
    reply: oneshot::Sender<Result<Vec<Performed>, String>>,
}

impl ServerSessions {
    pub fn new(host: Host, endpoint: ConnectOptions) -> Self {
        Self { host, endpoint, state: Mutex::default() }
    }

    /// One outcome for each operation of a session. The error: none of them is known to have been carried out.
    pub async fn perform(self: &Arc<Self>, operations: Vec<Operation>) -> Result<Vec<Outcome>, String> {
        let mut outcomes: Vec<Option<Outcome>> = operations.iter().map(|_| None).collect();
        // What is still to be done, by its place.
        let mut left: Vec<(usize, Operation)> = operations.into_iter().enumerate().collect();
        for attempt in 0..MAX_ATTEMPTS {
            let submitted = left.iter().map(|(_, operation)| operation.clone()).collect();
            let performed = self.submit(submitted, attempt).await?;
            let mut put_off = Vec::new();
            let mut again = None;
            for ((place, operation), performed) in left.into_iter().zip(performed) {
                match performed {
                    Performed::Settled(outcome) => outcomes.get_mut(place).into_iter().for_each(|slot| {
                        *slot = Some(outcome.clone());
                    }),
                    Performed::Later(at) => {
                        again = again.max(Some(at));
                        put_off.push((place, operation));
                    }
                }
            }
            left = put_off;
            match again {
                Some(at) => self.host.clock().wait_until(Some(at)).await,
                None => break,
            }
        }
        let unanswered = || Outcome::Failed("the server of sessions gives no answer".to_owned());
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect())
    }

    async fn submit(self: &Arc<Self>, operations: Vec<Operation>, attempt: u32) -> Result<Vec<Performed>, String> {
        let (reply, performed) = oneshot::channel();
        let begins = {
            let mut state = self.state();
            state.waiting.push_back(Waiting { operations, attempt, reply });
            let begins = state.at_work < MAX_LANES;
            state.at_work += usize::from(begins);
            begins
        };
        if begins {
            drop(self.host.runtime().spawn(work(Arc::clone(self))));
        }
        performed.await.unwrap_or_else(|_| Err("a task of the host ended".to_owned()))
    }

    /// What waits with the same attempt; none: this lane is not needed any more.
    fn take(&self, lane: &mut Option<SessionStore>) -> Option<(u32, Vec<Waiting>)> {
        let mut state = self.state();
        let Some(first) = state.waiting.pop_front() else {
            state.at_work -= 1;
            state.idle.extend(lane.take());
            return None;
        };
        let attempt = first.attempt;
        let mut together = vec![first];
        // While lanes are free, everybody gets one alone: nobody waits for another session's slow request.
        while state.at_work == MAX_LANES
            && together.len() < MAX_TOGETHER
            && state.waiting.front().is_some_and(|next| next.attempt == attempt)
        {
            together.extend(state.waiting.pop_front());
        }
        if lane.is_none() {
            *lane = state.idle.pop();
        }
        Some((attempt, together))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane, as long as there is something to do.
async fn work(sessions: Arc<ServerSessions>) {
    let mut lane = None;
    while let Some((attempt, together)) = sessions.take(&mut lane) {
        let now = sessions.host.clock().now();
        let (operations, replies): (Vec<_>, Vec<_>) =
            together.into_iter().map(|waiting| (waiting.operations, waiting.reply)).unzip();
        let performed = match &mut lane {
            Some(lane) => lane.perform(operations, attempt, now).await,
            none => match SessionStore::open(sessions.host.lanes(), &sessions.endpoint, "{}").await {
                Ok(opened) => none.insert(opened).perform(operations, attempt, now).await,
                Err(error) => Err(error),
            },
        };
        match performed {
            Ok(performed) => {
                for (reply, performed) in replies.into_iter().zip(performed) {
                    let _ = reply.send(Ok(performed));
                }
            }
            Err(error) => {
                let error = error.to_string();
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}
