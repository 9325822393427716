//! A lock per session, so that its steps run in order: first come, first served. It is held for one step, never while a
//! tool runs or a person thinks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// A store (by its address) and a session in it.
type Key = (usize, Arc<str>);

/// The sessions that have a step running or waiting.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    sessions: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to do a step.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: Key,
    lock: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until it is this caller's turn.
    pub async fn take(self: &Arc<Self>, store: usize, session: &str) -> Turn {
        let key: Key = (store, session.into());
        let lock = Arc::clone(self.sessions().entry(key.clone()).or_default());
        // Made before the wait: a caller that gives up cleans up as well.
        let mut turn = Turn { turns: Arc::clone(self), key, lock: None };
        turn.lock = Some(lock.lock_owned().await);
        turn
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Key, Arc<tokio::sync::Mutex<()>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut sessions = self.turns.sessions();
        drop(self.lock.take());
        // Clones are made under this lock only: a count of one is nobody but the table.
        if sessions.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            sessions.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_session_go_one_after_another_and_leave_nothing_behind() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let turns = Arc::new(Turns::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            let first = turns.take(1, "s").await;
            let mut tasks = Vec::new();
            for number in 0..8 {
                let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
                let (queued, is_queued) = tokio::sync::oneshot::channel();
                tasks.push(tokio::spawn(async move {
                    let mut turn = Box::pin(turns.take(1, "s"));
                    std::future::poll_fn(|context| {
                        assert!(turn.as_mut().poll(context).is_pending());
                        std::task::Poll::Ready(())
                    })
                    .await;
                    queued.send(()).unwrap();
                    let _turn = turn.await;
                    order.lock().unwrap().push(number);
                }));
                is_queued.await.unwrap();
            }
            drop(turns.take(1, "t").await);
            drop(turns.take(2, "s").await);
            assert!(order.lock().unwrap().is_empty(), "another session and another store need not wait");
            drop(first);
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(turns.sessions().is_empty());
    }

    #[test]
    fn who_gives_up_waiting_leaves_nothing_behind() {
        let turns = Arc::new(Turns::default());
        pollster::block_on(async {
            let first = turns.take(1, "s").await;
            let mut second = Box::pin(turns.take(1, "s"));
            std::future::poll_fn(|context| {
                assert!(second.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(first);
            drop(second);
        });
        assert!(turns.sessions().is_empty());
    }
}
