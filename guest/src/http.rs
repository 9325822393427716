//! Requests over wasi:http, several at the same time: [`Flights`] starts them and gives the answers as they come. Each is
//! made as `edictum_server_protocol::request` asks for: everything within its deadline, and no more of a body than it may
//! have. One [`Flight`] is one request; which of its failures are certain is in [`fault`].

mod fault;
mod flight;

use edictum_server_protocol::request::Request;
use edictum_server_protocol::response::Answer;

use self::flight::Flight;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::{Pollable, poll};

/// Nanoseconds of a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// The caller's time, going on while requests are made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    now: u64,
    since: u64,
}

impl Stopwatch {
    /// It is `now`, milliseconds since 1970.
    pub fn start(now: u64) -> Self {
        Self { now, since: monotonic_clock::now() }
    }

    /// What the caller's clock would say.
    pub fn now(self) -> u64 {
        self.now.saturating_add(monotonic_clock::now().saturating_sub(self.since) / MILLISECOND)
    }
}

/// Makes one request, and waits for its answer.
pub fn send(request: Request) -> Answer {
    let mut flights = Flights::default();
    flights.start(0, request);
    flights.land().map_or(Err(fault::none()), |(_, answer)| answer)
}

/// Requests on their way, each with a number.
#[derive(Default)]
pub struct Flights(Vec<(u64, Flight)>);

impl Flights {
    /// Begins one. Nothing waits here.
    pub fn start(&mut self, id: u64, request: Request) {
        self.0.push((id, Flight::start(request)));
    }

    /// The next answer, whichever comes first; none: nothing is on its way.
    pub fn land(&mut self) -> Option<(u64, Answer)> {
        while !self.0.is_empty() {
            for place in 0..self.0.len() {
                let Some(answer) = self.0.get_mut(place).and_then(|(_, flight)| flight.advance()) else { continue };
                return Some((self.0.swap_remove(place).0, answer));
            }
            self.wait();
        }
        None
    }

    /// Until something can go on, or the first deadline is there.
    fn wait(&self) {
        let deadline = self.0.iter().map(|(_, flight)| flight.deadline).min().unwrap_or(0);
        let mut pollables = vec![monotonic_clock::subscribe_instant(deadline)];
        pollables.extend(self.0.iter().flat_map(|(_, flight)| flight.subscribe()));
        poll(&pollables.iter().collect::<Vec<&Pollable>>());
    }
}
