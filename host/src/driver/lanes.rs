//! Requests of one session in the order in which they came, also when they run at the same time. A place is taken while
//! lines are read; the turn comes when the requests before it are done with their step.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::turns::{Turn, Turns};

/// A place in the order of a session.
pub(super) enum Place {
    /// Nothing comes before it.
    Any,
    /// The turn is there already.
    First(Turn),
    /// Others come before it.
    Behind(Pin<Box<dyn Future<Output = Turn> + Send>>),
}

/// The orders of all sessions.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    turns: Arc<Turns>,
}

impl Lanes {
    /// Takes the next place in the order of this name.
    pub fn place(&self, name: &str) -> Place {
        let (turns, name) = (Arc::clone(&self.turns), name.to_owned());
        let mut turn: Pin<Box<dyn Future<Output = Turn> + Send>> = Box::pin(async move { turns.take(0, &name).await });
        // The first look puts it into the queue; who waits for it later looks again.
        match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Place::First(turn),
            Poll::Pending => Place::Behind(turn),
        }
    }
}

impl Place {
    /// Waits for its turn, which ends when the result is dropped.
    pub async fn wait(self) -> Option<Turn> {
        match self {
            Self::Any => None,
            Self::First(turn) => Some(turn),
            Self::Behind(turn) => Some(turn.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_the_order_in_which_places_were_taken() {
        let lanes = Lanes::default();
        let first = lanes.place("s");
        let (second, third) = (lanes.place("s"), lanes.place("s"));
        assert!(matches!(lanes.place("t"), Place::First(_)));
        let (Place::First(first), Place::Behind(mut second), Place::Behind(mut third)) = (first, second, third) else {
            panic!("places are not in order");
        };
        let mut context = Context::from_waker(Waker::noop());
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(third.as_mut().poll(&mut context).is_pending(), "looking first does not help");
        let Poll::Ready(turn) = second.as_mut().poll(&mut context) else { panic!("its turn has come") };
        drop(turn);
        assert!(third.as_mut().poll(&mut context).is_ready());
    }
}
