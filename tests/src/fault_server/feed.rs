//! What a connection says, given while it is open: a stream of events, say.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::act;

/// How often it is looked whether there is something to say, and whether anybody still listens.
const LOOK: Duration = Duration::from_millis(5);

/// One connection's. Whoever has a clone feeds it.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    to_say: VecDeque<Vec<u8>>,
    end: Option<End>,
    left: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
}

impl Feed {
    /// Says this, in one piece.
    pub fn say(&self, bytes: impl Into<Vec<u8>>) {
        self.state().to_say.push_back(bytes.into());
    }

    /// Closes, when all is said.
    pub fn close(&self) {
        self.state().end = Some(End::Close);
    }

    /// Resets, when all is said.
    pub fn reset(&self) {
        self.state().end = Some(End::Reset);
    }

    /// Whether the connection is there, and all was said.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        !state.left && state.to_say.is_empty()
    }

    /// Whether the connection is over, whoever has ended it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().left
    }

    pub(super) fn is_left(&self) {
        self.state().left = true;
    }

    /// Until it is ended, or the other side goes away.
    pub(super) fn follow(&self, mut socket: &TcpStream) {
        let _may_fail = socket.set_read_timeout(Some(LOOK));
        loop {
            let (next, end) = {
                let mut state = self.state();
                (state.to_say.pop_front(), state.end)
            };
            match (next, end) {
                (Some(bytes), _) if socket.write_all(&bytes).is_err() => return,
                (Some(_), _) => {}
                (None, Some(End::Close)) => {
                    let _closed = socket.shutdown(Shutdown::Both);
                    return;
                }
                (None, Some(End::Reset)) => {
                    // What was said shall arrive before the reset overtakes it.
                    std::thread::sleep(Duration::from_millis(50));
                    return act::reset(socket);
                }
                (None, None) => {
                    if matches!(socket.peek(&mut [0]), Ok(0)) {
                        return;
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
