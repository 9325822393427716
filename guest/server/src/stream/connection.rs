//! When the stream is opened, given up and opened again (wire.md §5.5, §5.7). The host owns the socket; here are its times.
//! Clients that are dropped at the same moment come back spread over at least a second.
//!
//! Times are steady ones ([`crate::clock::Steady`]).

use crate::endpoint::Endpoint;
use crate::error::{Code, Error};
use crate::jitter::Jitter;
use crate::outcome;
use crate::response::Response;
use crate::retry::{Safety, Trouble, ceiling};

/// Shortest wait before the stream is opened again, unless the server says otherwise; waits grow up to [`MAX_WAIT_MS`].
pub const MIN_WAIT_MS: u64 = 1_000;

/// Longest wait after a failure that may pass.
pub const MAX_WAIT_MS: u64 = 60_000;

/// Clients are spread over at least so much time.
pub const SPREAD_MS: u64 = 1_000;

/// A stream that lived so long was a good one: waits are short again.
pub const STEADY_AFTER_MS: u64 = 30_000;

/// Wait after a failure that somebody must mend: a refused credential, a redirect.
pub const SLOW_WAIT_MS: (u64, u64) = (60_000, 300_000);

/// After so long a stream is opened anew, whatever it looks like: servers forget connections without closing them (T77). The
/// same wait follows when the server says that it has no stream.
pub const RECYCLE_MS: (u64, u64) = (36 * 60_000, 54 * 60_000);

/// Without a byte for so long, a stream is dead (T75). The time for a stream with comments in a known rhythm is in between.
pub const IDLE_MS: (u64, u64) = (45_000, 120_000);

/// So many rhythms of comments may pass in silence.
const SILENT_RHYTHMS: u64 = 3;

/// Longest wait for the answer to the request.
pub const ANSWER_MS: u64 = 30_000;

/// After so many failures in a row something is wrong, and not only restarting.
const DEGRADED_AFTER: u32 = 3;

/// What the host shall do with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Keep,
    /// Open it; when one is open, close that one first.
    Open,
    /// Close it.
    Close,
}

/// How the stream is, for `health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not wanted.
    Off,
    /// Being opened, for the first time or again.
    Connecting,
    /// Open.
    Live,
    /// It does not come about; what it would bring is polled for.
    Degraded,
}

impl Status {
    /// As in `health`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Degraded => "degraded",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Waiting {
        until: u64,
    },
    /// The host was told to open it and has not asked for the request.
    Ordered {
        since: u64,
    },
    Connecting {
        since: u64,
    },
    Live {
        since: u64,
        last_byte: u64,
        last_comment: Option<u64>,
        has_events: bool,
        recycle_at: u64,
    },
}

/// The life of the stream.
#[derive(Debug)]
pub struct Connection {
    state: State,
    jitter: Jitter,
    /// Failures in a row.
    failures: u32,
    /// Nobody expects the next attempt to work.
    slow: bool,
    /// The host has one open that it shall close.
    close: bool,
    /// Shortest wait.
    least: u64,
    /// Longest time between two comments.
    rhythm: Option<u64>,
}

impl Connection {
    /// Not wanted yet.
    #[must_use]
    pub const fn new(jitter: Jitter) -> Self {
        Self { state: State::Off, jitter, failures: 0, slow: false, close: false, least: MIN_WAIT_MS, rhythm: None }
    }

    /// From now on the stream is wanted. A second time changes nothing.
    pub fn want(&mut self, now: u64) {
        if self.state == State::Off {
            self.state = State::Waiting { until: now };
        }
    }

    /// The stream is not wanted any more.
    pub fn stop(&mut self) {
        self.close |= self.is_open();
        self.state = State::Off;
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::Live { .. })
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.state {
            State::Off => Status::Off,
            State::Live { .. } => Status::Live,
            _ if self.slow || self.failures >= DEGRADED_AFTER => Status::Degraded,
            _ => Status::Connecting,
        }
    }

    /// What the host shall do now.
    pub fn order(&mut self, now: u64) -> Order {
        match self.state {
            State::Live { recycle_at, .. } if now >= recycle_at => self.state = State::Waiting { until: now },
            State::Live { last_byte, .. } if now.saturating_sub(last_byte) >= self.idle_ms() => {
                self.close = true;
                self.lost(now);
            }
            State::Connecting { since } if now.saturating_sub(since) >= ANSWER_MS => {
                self.close = true;
                self.lost(now);
            }
            _ => {}
        }
        let due = match self.state {
            State::Waiting { until } => now >= until,
            // The host did not do it: perhaps the order was lost with an instance.
            State::Ordered { since } => now.saturating_sub(since) >= ANSWER_MS,
            _ => false,
        };
        if due {
            self.state = State::Ordered { since: now };
            self.close = false;
            return Order::Open;
        }
        if std::mem::take(&mut self.close) { Order::Close } else { Order::Keep }
    }

    /// When [`Connection::order`] has something to say, if nothing happens before.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        match self.state {
            State::Off => None,
            State::Waiting { until } => Some(until),
            State::Ordered { since } | State::Connecting { since } => Some(since.saturating_add(ANSWER_MS)),
            State::Live { last_byte, recycle_at, .. } => Some(recycle_at.min(last_byte.saturating_add(self.idle_ms()))),
        }
    }

    /// Milliseconds without a byte after which the stream is dead.
    #[must_use]
    pub fn idle_ms(&self) -> u64 {
        let (least, most) = IDLE_MS;
        self.rhythm.map_or(most, |rhythm| rhythm.saturating_mul(SILENT_RHYTHMS).clamp(least, most))
    }

    /// The host has asked for the request and makes it.
    pub fn requested(&mut self, now: u64) {
        if self.state != State::Off {
            self.state = State::Connecting { since: now };
        }
    }

    /// The answer's head has come.
    ///
    /// # Errors
    /// Everything but 200 with events. When to try again is decided.
    pub fn opened(&mut self, endpoint: &Endpoint, head: &Response, now: u64) -> Result<(), Error> {
        if !matches!(self.state, State::Connecting { .. }) {
            return Ok(());
        }
        // The status first: an error may call itself a stream of events, too (T61).
        let failed = match head.status {
            200 if head.media_type() == "text/event-stream" => {
                let (low, high) = RECYCLE_MS;
                let recycle_at = now.saturating_add(self.jitter.between(low, high));
                self.slow = false;
                self.state =
                    State::Live { since: now, last_byte: now, last_comment: None, has_events: false, recycle_at };
                return Ok(());
            }
            200 => {
                let media = endpoint.shown(&head.media_type(), 100);
                let message = format!("the server's stream is no stream of events but `{media}`");
                outcome::Failed { error: Error::new(Code::Protocol, message), trouble: Trouble::Unknown }
            }
            201..=299 => outcome::Failed::finally(Error::new(Code::NotFound, "the server has no stream")),
            _ => match outcome::read(endpoint, &Ok(head.clone()), Safety::Repeatable, now) {
                Err(failed) => failed,
                Ok(_) => return Ok(()),
            },
        };
        self.close = true;
        self.failures = self.failures.saturating_add(1);
        let wait = match (head.status, failed.trouble) {
            (204 | 404 | 405 | 410 | 501, _) => self.slowly(RECYCLE_MS),
            (_, Trouble::Final) => self.slowly(SLOW_WAIT_MS),
            (_, Trouble::Postponed { wait: Some(wait) }) => wait.max(self.least) + self.jitter.between(0, SPREAD_MS),
            _ => self.wait(),
        };
        self.state = State::Waiting { until: now.saturating_add(wait) };
        Err(Error { status: Some(head.status), ..failed.error })
    }

    fn slowly(&mut self, (low, high): (u64, u64)) -> u64 {
        self.slow = true;
        self.jitter.between(low, high)
    }

    /// Bytes have come.
    pub fn received(&mut self, now: u64) {
        if let State::Live { last_byte, .. } = &mut self.state {
            *last_byte = now;
        }
    }

    /// A comment was among them.
    pub fn comment(&mut self, now: u64) {
        if let State::Live { last_comment, .. } = &mut self.state {
            let rhythm = last_comment.replace(now).map(|before| now.saturating_sub(before));
            self.rhythm = self.rhythm.max(rhythm.filter(|rhythm| *rhythm > 0));
        }
    }

    /// An event was among them.
    pub fn event(&mut self) {
        if let State::Live { has_events, .. } = &mut self.state {
            *has_events = true;
        }
    }

    /// The server says how long to wait.
    pub fn wait_at_least(&mut self, wait: u64) {
        self.least = wait;
    }

    /// The stream has ended or could not be opened. One that it was ordered to close does not count.
    pub fn closed(&mut self, now: u64) {
        if self.is_open() {
            self.lost(now);
        }
    }

    fn lost(&mut self, now: u64) {
        self.failures = match self.state {
            State::Live { since, .. } if now.saturating_sub(since) >= STEADY_AFTER_MS => 0,
            State::Live { has_events: true, .. } => 0,
            _ => self.failures.saturating_add(1),
        };
        let wait = self.wait();
        self.state = State::Waiting { until: now.saturating_add(wait) };
    }

    /// Anything between the shortest wait and a ceiling that doubles with each failure.
    fn wait(&mut self) -> u64 {
        let most = ceiling(MIN_WAIT_MS + SPREAD_MS, MAX_WAIT_MS, self.failures.saturating_sub(1));
        self.jitter.between(self.least, most.max(self.least + SPREAD_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::endpoint;

    const START: u64 = 1_000_000;

    fn head(status: u16, media: &str) -> Response {
        Response { status, headers: vec![("Content-Type".to_owned(), media.to_owned())], body: Vec::new() }
    }

    fn live(seed: u64) -> Connection {
        let mut connection = Connection::new(Jitter::from_seed(seed));
        connection.want(START);
        assert_eq!(connection.order(START), Order::Open);
        connection.requested(START);
        connection.opened(&endpoint(), &head(200, "text/event-stream; charset=utf-8"), START).unwrap();
        assert_eq!(connection.status(), Status::Live);
        connection
    }

    /// Lets time pass until it is opened again.
    fn reopened(connection: &mut Connection) -> u64 {
        let mut last = 0;
        for _ in 0..10 {
            let at = connection.next().unwrap();
            assert!(at >= last);
            last = at;
            if connection.order(at) == Order::Open {
                connection.requested(at);
                return at;
            }
        }
        panic!("never opened again: {connection:?}");
    }

    fn refused(status: u16, headers: &[(&str, &str)]) -> (Connection, Error, u64) {
        let mut connection = Connection::new(Jitter::from_seed(3));
        connection.want(START);
        assert_eq!(connection.order(START), Order::Open);
        connection.requested(START);
        let mut head = head(status, "text/event-stream");
        head.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let error = connection.opened(&endpoint(), &head, START).unwrap_err();
        assert_eq!(connection.order(START), Order::Close);
        let wait = reopened(&mut connection) - START;
        (connection, error, wait)
    }

    #[test]
    fn t57_a_stream_that_ends_at_once_is_not_opened_hundreds_of_times_a_second() {
        let mut connection = live(7);
        let (mut now, mut waits) = (START, Vec::new());
        for _ in 0..12 {
            connection.closed(now);
            let at = reopened(&mut connection);
            waits.push(at - now);
            now = at;
            connection.opened(&endpoint(), &head(200, "text/event-stream"), now).unwrap();
        }
        assert!(waits.iter().all(|wait| (MIN_WAIT_MS..=MAX_WAIT_MS).contains(wait)), "{waits:?}");
        assert!(waits[0] <= 2000 && waits[6..].iter().any(|wait| *wait > 10_000), "{waits:?}");
    }

    #[test]
    fn a_stream_that_lived_or_said_something_is_missed_soon() {
        for (lived, said) in [(STEADY_AFTER_MS, false), (10, true)] {
            let mut connection = live(7);
            connection.failures = 9;
            if said {
                connection.event();
            }
            connection.closed(START + lived);
            assert!(reopened(&mut connection) - START - lived <= 2000);
        }
    }

    #[test]
    fn t59_t61_t62_the_status_says_how_soon_to_try_again() {
        for (status, code, low, high) in [
            (401, Code::Auth, 60_000, 300_000),
            (403, Code::Auth, 60_000, 300_000),
            (302, Code::Redirect, 60_000, 300_000),
            (422, Code::Refused, 60_000, 300_000),
            (204, Code::NotFound, RECYCLE_MS.0, RECYCLE_MS.1),
            (404, Code::NotFound, RECYCLE_MS.0, RECYCLE_MS.1),
            (405, Code::Refused, RECYCLE_MS.0, RECYCLE_MS.1),
            (410, Code::Refused, RECYCLE_MS.0, RECYCLE_MS.1),
            (501, Code::ServerUnavailable, RECYCLE_MS.0, RECYCLE_MS.1),
            (500, Code::ServerUnavailable, 1000, 2000),
            (502, Code::ServerUnavailable, 1000, 2000),
            (429, Code::Busy, 1000, 2000),
        ] {
            let (connection, error, wait) = refused(status, &[]);
            assert_eq!((error.code, error.status), (code, Some(status)));
            assert!((low..=high).contains(&wait), "{status}: {wait}");
            assert_eq!(connection.status() == Status::Degraded, low > 1000, "{status}");
        }
        for status in [429, 503] {
            let (_, error, wait) = refused(status, &[("retry-after", "7")]);
            assert_eq!(error.code, Code::Busy);
            assert!((7000..=8000).contains(&wait), "{status}: {wait}");
        }
    }

    #[test]
    fn what_is_no_stream_of_events_is_given_up() {
        let mut connection = Connection::new(Jitter::from_seed(3));
        connection.want(START);
        connection.order(START);
        connection.requested(START);
        let error = connection.opened(&endpoint(), &head(200, "text/html"), START).unwrap_err();
        assert_eq!(error.code, Code::Protocol);
        assert_eq!(connection.order(START), Order::Close);
    }

    #[test]
    fn t74_the_servers_waiting_time_is_kept() {
        let mut connection = live(7);
        connection.wait_at_least(5000);
        connection.closed(START);
        assert!((5000..=6000).contains(&(reopened(&mut connection) - START)));
    }

    #[test]
    fn t75_silence_ends_a_stream() {
        let mut connection = live(7);
        assert_eq!(connection.order(START + IDLE_MS.1 - 1), Order::Keep);
        assert_eq!(connection.order(START + IDLE_MS.1), Order::Close);
        assert!(reopened(&mut connection) - START <= IDLE_MS.1 + 2000);

        let mut connection = live(7);
        for beat in 1..=4 {
            connection.received(START + beat * 20_000);
            connection.comment(START + beat * 20_000);
        }
        assert_eq!(connection.order(START + 80_000 + 59_999), Order::Keep);
        assert_eq!(connection.order(START + 80_000 + 60_000), Order::Close);
        for (rhythm, idle) in [(1_000, IDLE_MS.0), (15_000, 45_000), (300_000, IDLE_MS.1)] {
            let mut connection = live(7);
            connection.comment(START);
            connection.comment(START + rhythm);
            assert_eq!(connection.idle_ms(), idle);
        }
    }

    #[test]
    fn t77_a_stream_is_opened_anew_even_if_it_looks_alive() {
        let mut connection = live(7);
        let mut now = START;
        let opened = loop {
            now += 15_000;
            connection.received(now);
            if connection.order(now) == Order::Open {
                break now - START;
            }
            assert!(now - START < RECYCLE_MS.1 + 15_000);
        };
        assert!(opened >= RECYCLE_MS.0);
    }

    #[test]
    fn an_answer_that_never_comes_is_not_waited_for() {
        let mut connection = Connection::new(Jitter::from_seed(3));
        connection.want(START);
        connection.order(START);
        connection.requested(START);
        assert_eq!(connection.order(START + ANSWER_MS - 1), Order::Keep);
        assert_eq!(connection.order(START + ANSWER_MS), Order::Close);
        // An answer that comes after all belongs to a closed one.
        connection.opened(&endpoint(), &head(200, "text/event-stream"), START + ANSWER_MS).unwrap();
        assert_eq!(connection.status(), Status::Connecting);
    }

    #[test]
    fn an_order_that_nobody_followed_is_given_again() {
        let mut connection = Connection::new(Jitter::from_seed(3));
        connection.want(START);
        assert_eq!(connection.order(START), Order::Open);
        assert_eq!(connection.order(START + 1), Order::Keep);
        assert_eq!(connection.order(START + ANSWER_MS), Order::Open);
    }

    /// Most of the clients that do something within the same tenth of a second.
    fn most_at_once(times: &[u64]) -> usize {
        let mut times = times.to_vec();
        times.sort_unstable();
        let mut from = 0;
        times
            .iter()
            .enumerate()
            .map(|(to, at)| {
                while at - times[from] >= 100 {
                    from += 1;
                }
                to - from + 1
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn t78_ten_thousand_clients_dropped_at_once_come_back_spread() {
        const CLIENTS: usize = 10_000;
        for (status, header, least) in
            [(0, None, 0), (503, Some("1"), 0), (500, None, 0), (0, None, 500), (0, None, 60_000)]
        {
            let mut clients: Vec<Connection> = (0..CLIENTS as u64).map(|seed| live(seed * 0x9e37)).collect();
            let mut now = vec![START; CLIENTS];
            for wave in 0..4 {
                for (client, now) in clients.iter_mut().zip(&now) {
                    if least > 0 {
                        client.wait_at_least(least);
                    }
                    client.closed(if wave == 0 { START } else { *now });
                }
                now = clients.iter_mut().map(reopened).collect();
                let most = most_at_once(&now);
                assert!(most <= CLIENTS / 5, "wave {wave}, status {status}: {most} within 100 ms");
                // The server is back, refuses, or is still away.
                let mut head = head(status, "text/plain");
                head.headers.extend(header.map(|seconds: &str| ("retry-after".to_owned(), seconds.to_owned())));
                if status != 0 {
                    for (client, now) in clients.iter_mut().zip(&mut now) {
                        client.opened(&endpoint(), &head, *now).unwrap_err();
                        *now = reopened(client);
                    }
                    assert!(most_at_once(&now) <= CLIENTS / 5, "wave {wave}, after {status}");
                }
            }
        }
    }

    #[test]
    fn t78_all_refused_at_the_same_moment_come_back_spread() {
        let clients = (0..10_000_u64).map(|seed| {
            let mut connection = live(seed);
            connection.closed(START);
            connection.requested(START);
            let mut head = head(503, "text/plain");
            head.headers.push(("Retry-After".to_owned(), "5".to_owned()));
            connection.opened(&endpoint(), &head, START).unwrap_err();
            reopened(&mut connection)
        });
        let times: Vec<u64> = clients.collect();
        assert!(most_at_once(&times) <= 2000);
        assert!(times.iter().all(|at| (5000..=6000).contains(&(at - START))));
    }
}
