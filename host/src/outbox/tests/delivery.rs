//! Delivery against receivers that take, refuse, fall silent and break; time is moved by hand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::clock::Clock;

/// Entries in short, and whether they were to go at once.
type Given = (Vec<String>, bool);

/// What a receiver was given, and what it answers. Without an answer prepared it takes everything.
#[derive(Clone, Default)]
struct Receiver {
    given: Arc<Mutex<Vec<Given>>>,
    answers: Arc<Mutex<VecDeque<Result<Delivered, String>>>>,
    /// It does not answer at all while this is set.
    silent: Arc<std::sync::atomic::AtomicBool>,
    at_work: Arc<AtomicUsize>,
}

impl Receiver {
    fn answers(&self, answers: impl IntoIterator<Item = Result<Delivered, String>>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// Everything that it took, in the order in which it came.
    fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().iter().flat_map(|(entries, _)| entries.clone()).collect()
    }

    fn calls(&self) -> usize {
        self.given.lock().unwrap().len()
    }
}

impl Deliver for Receiver {
    fn most(&self) -> (usize, usize) {
        (3, 1 << 20)
    }

    async fn deliver(&mut self, entries: &[Pending], flush: bool, now: Timestamp) -> Result<Delivered, String> {
        assert_eq!(self.at_work.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        while self.silent.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        self.given.lock().unwrap().push((entries.iter().map(show).collect(), flush));
        let last = entries.last().map(|entry| entry.sequence);
        let everything = Delivered { settled_through: last, next: Some(now), ..Delivered::default() };
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(everything))
    }
}

fn later(now: Timestamp, failure: Option<&str>) -> Result<Delivered, String> {
    Ok(Delivered { next: Some(now), failure: failure.map(str::to_owned), ..Delivered::default() })
}

/// Waits for what other threads do.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn emit(outbox: &Outbox, names: std::ops::Range<usize>) {
    let sink = outbox.sink("a", SinkSettings::default());
    names.for_each(|name| sink.emit(&[event(&name.to_string())]).unwrap());
}

struct Scene {
    outbox: Outbox,
    clock: Arc<Clock>,
    receiver: Receiver,
    delivery: Delivery,
}

fn scene() -> Scene {
    let (outbox, clock, receiver) = (Outbox::in_memory().unwrap(), Arc::new(Clock::default()), Receiver::default());
    clock.set(NOW);
    let delivery = outbox.deliver("a", receiver.clone(), &clock, &tokio::runtime::Handle::current());
    Scene { outbox, clock, receiver, delivery }
}

fn multi<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn everything_is_delivered_once_and_in_order() {
    multi(async {
        let Scene { outbox, receiver, delivery, .. } = scene();
        emit(&outbox, 0..10);
        let unsent = outbox.flush("a", Duration::from_secs(60)).await;
        assert_eq!(unsent, Unsent::default());
        let expected: Vec<_> = (0..10).map(|name| format!("{} {name}", name + 1)).collect();
        assert_eq!(receiver.given(), expected);
        emit(&outbox, 10..11);
        until("it is woken by what is new", || receiver.given().len() == 11).await;
        assert_eq!(outbox.health("a").state, State::Ok);
        drop(delivery);
        assert_eq!(outbox.health("a").state, State::Off);
    });
}

#[test]
fn t46_t48_while_the_server_is_away_nothing_asks_it_but_the_timer() {
    multi(async {
        let Scene { outbox, clock, receiver, delivery: _delivery } = scene();
        receiver.answers([later(NOW + 600_000, Some("503 Service Unavailable")), later(NOW + 1_200_000, Some("503"))]);
        emit(&outbox, 0..1);
        until("it is tried", || receiver.calls() == 1).await;
        let health = || outbox.health("a");
        until("it is told", || health().state == State::Degraded).await;
        assert_eq!(health().last_error.as_deref(), Some("503 Service Unavailable"));
        emit(&outbox, 1..100);
        pause().await;
        assert_eq!(receiver.calls(), 1, "new events are no reason");
        clock.set(NOW + 600_000);
        until("its time has come", || receiver.calls() == 2).await;
        clock.set(NOW + 1_200_000);
        until("it recovers by itself", || health().state == State::Ok && health().unsent.events == 0).await;
        let given = receiver.given();
        assert_eq!(given.iter().filter(|entry| *entry == "1 0").count(), 3, "the same event, until it is taken");
        assert_eq!(given.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    });
}

#[test]
fn a_batch_that_is_not_full_waits_for_more_or_for_its_time() {
    multi(async {
        let Scene { outbox, clock, receiver, delivery: _delivery } = scene();
        receiver.answers((0..2).map(|_| later(NOW + 5_000, None)));
        emit(&outbox, 0..1);
        until("it is shown", || receiver.calls() == 1).await;
        pause().await;
        assert_eq!(receiver.calls(), 1);
        emit(&outbox, 1..2);
        until("something new is shown", || receiver.calls() == 2).await;
        assert_eq!(outbox.health("a").state, State::Ok, "waiting is no fault");
        clock.set(NOW + 5_000);
        until("its time has come", || outbox.health("a").unsent.events == 0).await;
    });
}

#[test]
fn t50_a_flush_ends_in_time_and_says_what_is_left() {
    multi(async {
        let Scene { outbox, receiver, delivery: _delivery, .. } = scene();
        receiver.silent.store(true, Ordering::SeqCst);
        emit(&outbox, 0..7);
        let unsent = outbox.flush("a", Duration::from_millis(100)).await;
        assert_eq!(unsent.events, 7);
        receiver.silent.store(false, Ordering::SeqCst);
        assert_eq!(outbox.flush("a", Duration::from_secs(60)).await.events, 0);
        receiver.answers([later(NOW + 900_000, Some("down"))]);
        emit(&outbox, 7..8);
        assert_eq!(
            outbox.flush("a", Duration::from_secs(60)).await.events,
            0,
            "a flush does not wait for the next attempt"
        );
        assert!(receiver.given.lock().unwrap().iter().any(|(_, flush)| *flush));
        let nobody = outbox.flush("b", Duration::from_secs(60)).await;
        assert_eq!(nobody, Unsent::default());
    });
}

#[test]
fn an_abnormal_end_of_the_lane_loses_nothing() {
    multi(async {
        let Scene { outbox, clock, receiver, delivery: _delivery } = scene();
        receiver.answers([Err("the instance has ended".to_owned()), Err("the instance has ended".to_owned())]);
        emit(&outbox, 0..2);
        until("it is told", || outbox.health("a").last_error.as_deref() == Some("the instance has ended")).await;
        clock.set(NOW + 1_000);
        until("it is tried again", || receiver.calls() == 2).await;
        clock.set(NOW + 60_000);
        until("everything is delivered", || outbox.health("a").unsent.events == 0).await;
        assert_eq!(outbox.health("a").state, State::Ok);
    });
}

#[test]
fn what_the_server_refuses_for_good_holds_up_nothing() {
    multi(async {
        let Scene { outbox, receiver, delivery: _delivery, .. } = scene();
        let dead = Delivered { settled_through: Some(1), dead: vec![(1, "422".to_owned())], ..Delivered::default() };
        receiver.answers([Ok(dead)]);
        emit(&outbox, 0..5);
        assert_eq!(outbox.flush("a", Duration::from_secs(60)).await.events, 0);
        let letters = outbox.dead_letters("a", 10).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].sequence, letters[0].reason.as_str()), (1, "422"));
    });
}

#[test]
fn of_two_processes_one_delivers_and_when_it_dies_the_other_does() {
    multi(async {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock::default());
        clock.set(NOW);
        let runtime = tokio::runtime::Handle::current();
        let (one, two) = (open(folder.path()), open(folder.path()));
        let (first, second) = (Receiver::default(), Receiver::default());
        first.silent.store(true, Ordering::SeqCst);
        let held = one.deliver("a", first.clone(), &clock, &runtime);
        emit(&one, 0..1);
        until("the first has it", || first.at_work.load(Ordering::SeqCst) == 1).await;
        let _waiting = two.deliver("a", second.clone(), &clock, &runtime);
        emit(&two, 1..3);
        pause().await;
        assert_eq!(second.calls(), 0, "it is the first's");
        // A process that dies gives nothing back.
        held.task.abort();
        std::mem::forget(held);
        clock.set(NOW + 15_001);
        until("the second takes it over", || two.health("a").unsent.events == 0 && second.calls() > 0).await;
        let mut given = second.given();
        given.sort();
        assert_eq!(given, ["1 0", "2 1", "3 2"]);
    });
}

#[test]
fn while_the_file_cannot_be_written_nothing_is_delivered_twice() {
    multi(async {
        let Scene { outbox, clock, receiver, delivery: _delivery } = scene();
        let query_only =
            |on: bool| outbox.job(move |connection| Ok((connection.pragma_update(None, "query_only", on)?, None)));
        receiver.silent.store(true, Ordering::SeqCst);
        emit(&outbox, 0..1);
        until("it is under way", || receiver.at_work.load(Ordering::SeqCst) == 1).await;
        query_only(true).await.unwrap();
        receiver.silent.store(false, Ordering::SeqCst);
        until("it is told", || outbox.health("a").state == State::Degraded).await;
        for minute in 1..5 {
            clock.set(NOW + minute * 60_000);
            pause().await;
        }
        assert_eq!(receiver.calls(), 1);
        query_only(false).await.unwrap();
        clock.set(NOW + 600_000);
        until("it is settled", || outbox.health("a").unsent.events == 0).await;
        assert_eq!(receiver.calls(), 1);
    });
}
