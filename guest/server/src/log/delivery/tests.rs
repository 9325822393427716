//! Delivery against servers that take, refuse, forget and fall silent. An outbox here is a list.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::endpoint::testing::{API_KEY, endpoint, json, with_header};
use crate::log::entry::Content;
use crate::response::{Fault, Response};

const NOW: u64 = 1_800_000_000_000;

fn entry(sequence: u64) -> Pending {
    let event = format!(r#"{{"event_id":"e-{sequence}","action":"call_allowed"}}"#);
    Pending { sequence, content: Content::Event(event) }
}

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Pending> {
    range.map(entry).collect()
}

fn log() -> DecisionLog {
    DecisionLog::open(&endpoint(), "{}").unwrap()
}

fn ids(request: &Request) -> Vec<u64> {
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    let events = body["events"].as_array().unwrap();
    events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect()
}

fn send(log: &mut DecisionLog, entries: &[Pending], now: u64) -> Request {
    match log.deliver(entries, true, now) {
        Step::Send(request) => request,
        Step::Done(delivery) => panic!("nothing was sent: {delivery:?}"),
    }
}

/// Delivers a list to a server until nothing is left; what was taken, in order, and what was set apart.
fn drain(
    log: &mut DecisionLog,
    outbox: &mut Vec<Pending>,
    mut server: impl FnMut(&Request) -> Answer,
) -> (Vec<u64>, Vec<(u64, String)>, u64) {
    let (mut now, mut taken, mut dead, mut requests) = (NOW, Vec::new(), Vec::new(), 0);
    while !outbox.is_empty() {
        let delivery = match log.deliver(outbox, false, now) {
            Step::Done(delivery) => delivery,
            Step::Send(request) => {
                requests += 1;
                assert!(requests < 100_000, "no end");
                let answer = server(&request);
                if answer.as_ref().is_ok_and(|response| response.status < 300) {
                    taken.extend(ids(&request));
                }
                log.delivered(&answer, now)
            }
        };
        dead.extend(delivery.dead);
        outbox.retain(|entry| delivery.settled_through.is_none_or(|through| entry.sequence > through));
        now = delivery.next.unwrap_or(now).max(now);
    }
    (taken, dead, requests)
}

#[test]
fn a_batch_waits_to_be_full_but_not_for_long() {
    let mut log = log();
    let few = entries(1..=49);
    let Step::Done(delivery) = log.deliver(&few, false, NOW) else { panic!("too early") };
    assert_eq!((delivery.next, delivery.settled_through), (Some(NOW + 5000), None));
    assert!(matches!(log.deliver(&few, false, NOW + 4999), Step::Done(_)));
    assert!(matches!(log.deliver(&few, false, NOW + 5000), Step::Send(_)));
    assert!(matches!(
        DecisionLog::open(&endpoint(), "{}").unwrap().deliver(&entries(1..=50), false, NOW),
        Step::Send(_)
    ));
    assert!(matches!(DecisionLog::open(&endpoint(), "{}").unwrap().deliver(&few, true, NOW), Step::Send(_)));
    assert!(matches!(log.deliver(&[], true, NOW), Step::Done(delivery) if delivery == Delivery::default()));
}

#[test]
fn batches_are_bounded_by_count_and_by_bytes() {
    let mut log = log();
    let request = send(&mut log, &entries(1..=500), NOW);
    assert_eq!(request.target, "/v1/events");
    assert_eq!(ids(&request), (1..=100).collect::<Vec<_>>());
    let delivery = log.delivered(&json(202, ""), NOW);
    assert_eq!((delivery.settled_through, delivery.next), (Some(100), Some(NOW)));
    let large: Vec<Pending> = (1..=100)
        .map(|sequence| Pending {
            sequence,
            content: Content::Event(format!(r#"{{"reason":"{}"}}"#, "x".repeat(30_000))),
        })
        .collect();
    let request = send(&mut log, &large, NOW);
    let bytes = request.body.unwrap().len();
    assert!((800 * 1024..=901 * 1024).contains(&bytes), "{bytes}");
}

#[test]
fn t13_t41_whatever_a_server_says_beside_taken_the_events_are_sent_once() {
    for answer in [
        json(202, ""),
        json(200, ""),
        json(204, ""),
        json(200, r#"{"accepted":1}"#),
        json(200, "not JSON"),
        json(200, "[1]"),
    ] {
        let mut log = log();
        send(&mut log, &entries(1..=3), NOW);
        let delivery = log.delivered(&answer, NOW);
        assert_eq!(delivery, Delivery { settled_through: Some(3), ..Delivery::default() }, "{answer:?}");
    }
}

#[test]
fn a_page_that_says_200_has_taken_nothing() {
    let page =
        Response { status: 200, headers: vec![("content-type".into(), "text/html".into())], body: b"<html>".to_vec() };
    let mut log = log();
    send(&mut log, &entries(1..=3), NOW);
    let delivery = log.delivered(&Ok(page), NOW);
    assert_eq!((delivery.settled_through, delivery.failure.unwrap().code), (None, Code::Protocol));
}

#[test]
fn t42_what_is_no_event_is_set_apart_and_the_others_are_sent() {
    let mut outbox = entries(1..=5);
    outbox[2].content = Content::Event(r#"{"a":NaN}"#.to_owned());
    let (taken, dead, requests) = drain(&mut log(), &mut outbox, |_| json(202, ""));
    assert_eq!((taken, dead.len(), dead[0].0, requests), (vec![1, 2, 4, 5], 1, 3, 1));
    // Nothing but such: no request at all.
    let mut outbox = vec![Pending { sequence: 1, content: Content::Event("NaN".to_owned()) }];
    let (taken, dead, requests) = drain(&mut log(), &mut outbox, |_| panic!("nothing to send"));
    assert_eq!((taken.len(), dead.len(), requests), (0, 1, 0));
}

#[test]
fn t43_a_batch_that_is_too_large_is_halved_and_one_event_shortened() {
    let mut outbox = entries(1..=3);
    outbox[1].content = Content::Event(format!(r#"{{"event_id":"e-2","reason":"{}"}}"#, "x".repeat(20_000)));
    let mut short = 0;
    let (taken, dead, _) = drain(&mut log(), &mut outbox, |request| {
        let body = request.body.as_deref().unwrap();
        short += usize::from(body.contains(r#""_truncated":true"#));
        json(if body.len() > 10_000 { 413 } else { 202 }, "")
    });
    assert_eq!((taken, dead.len(), short), (vec![1, 2, 3], 0, 1));
    // One that is too large in any form.
    let (taken, dead, _) =
        drain(&mut log(), &mut entries(1..=3), |request| json(if ids(request).contains(&2) { 413 } else { 202 }, ""));
    assert_eq!((taken, dead.len(), dead[0].0), (vec![1, 3], 1, 2));
}

#[test]
fn t44_one_invalid_event_is_found_and_set_apart() {
    let (taken, dead, requests) = drain(&mut log(), &mut entries(1..=100), |request| {
        if ids(request).contains(&37) { json(422, r#"{"detail":[{"msg":"no such action"}]}"#) } else { json(202, "") }
    });
    assert_eq!(taken, (1..=100).filter(|id| *id != 37).collect::<Vec<_>>());
    assert_eq!((dead.len(), dead[0].0), (1, 37));
    assert!(dead[0].1.contains("no such action"));
    assert!(requests <= 16, "{requests}");
}

#[test]
fn t45_t54_a_refused_credential_keeps_everything_and_is_told() {
    for status in [401, 403, 404, 302] {
        let mut log = log();
        send(&mut log, &entries(1..=3), NOW);
        let delivery = log.delivered(&json(status, &format!(r#"{{"detail":"{API_KEY}"}}"#)), NOW);
        assert_eq!((delivery.settled_through, delivery.dead.len()), (None, 0));
        assert!((60_000..=300_000).contains(&(delivery.next.unwrap() - NOW)));
        let failure = log.failure().unwrap();
        assert!(!format!("{failure} {log:?}").contains(API_KEY));
    }
}

#[test]
fn t46_t48_an_outage_is_waited_out_without_new_events_and_ends_in_small_batches() {
    let (mut log, mut now, mut attempts) = (log(), NOW, 0);
    let outbox = entries(1..=10_000);
    while now < NOW + 600_000 {
        match log.deliver(&outbox, false, now) {
            Step::Done(delivery) => now = delivery.next.unwrap(),
            Step::Send(request) => {
                attempts += 1;
                assert_eq!(ids(&request).len(), 100);
                let delivery = log.delivered(&json(503, ""), now);
                assert!((now + 500..=now + MAX_WAIT_MS).contains(&delivery.next.unwrap()));
                assert_eq!(delivery.failure.unwrap().code, Code::ServerUnavailable);
            }
        }
    }
    assert!((20..=100).contains(&attempts), "{attempts}");
    let (taken, dead, requests) = drain(&mut log, &mut outbox.clone(), |_| json(202, ""));
    assert_eq!((taken.len(), dead.len(), requests), (10_000, 0, 100));
    assert!(log.failure().is_none());
}

#[test]
fn t49_t50_a_flush_does_not_wait_for_the_next_attempt_but_for_a_server_that_asked() {
    let mut log = log();
    send(&mut log, &entries(1..=3), NOW);
    for _ in 0..10 {
        log.failures = 10;
        log.delivered(&json(500, ""), NOW);
        send(&mut log, &entries(1..=3), NOW + 500);
        log.attempted = Some(NOW);
    }
    log.delivered(&with_header(json(503, ""), "retry-after", "20"), NOW);
    let Step::Done(delivery) = log.deliver(&entries(1..=3), true, NOW + 600) else { panic!("too early") };
    assert!((20_000..=21_000).contains(&(delivery.next.unwrap() - NOW)));
}

#[test]
fn t51_an_answer_that_never_came_means_the_same_batch_again() {
    let mut log = log();
    let first = send(&mut log, &entries(1..=3), NOW);
    assert_eq!(send(&mut log, &entries(1..=3), NOW), first);
}

#[test]
fn t53_a_server_that_takes_the_second_event_of_a_call_for_the_first_is_told_of_once() {
    let (mut log, mut now) = (log(), NOW);
    let mut told = |answer: &Answer| {
        now += 60_000;
        send(&mut log, &entries(1..=3), now);
        log.delivered(answer, now).notices.len()
    };
    let duplicates = json(200, r#"{"accepted":1,"duplicates":2}"#);
    assert_eq!(told(&duplicates), 0, "the first batch of a process may repeat what another one sent");
    assert_eq!(told(&Err(Fault::Lost("reset".into()))), 0);
    assert_eq!(told(&duplicates), 0, "so may one after an answer was lost");
    assert_eq!(told(&json(202, "")), 0);
    assert_eq!(told(&duplicates), 1);
    assert_eq!(told(&duplicates), 0);
}

#[test]
fn t56_a_clock_set_back_delays_nothing() {
    let mut log = log();
    assert!(matches!(log.deliver(&entries(1..=3), false, NOW), Step::Done(_)));
    assert!(matches!(log.deliver(&entries(1..=3), false, NOW - 3_600_000), Step::Done(_)));
    assert!(matches!(log.deliver(&entries(1..=3), false, NOW - 3_600_000 + 5000), Step::Send(_)));
}

#[test]
fn a_server_that_refuses_every_event_does_not_empty_the_outbox() {
    let (mut log, mut now, mut outbox, mut dead) = (log(), NOW, entries(1..=1000), 0);
    while now < NOW + 3_600_000 {
        let delivery = match log.deliver(&outbox, false, now) {
            Step::Done(delivery) => delivery,
            Step::Send(_) => log.delivered(&json(422, ""), now),
        };
        dead += delivery.dead.len();
        outbox.retain(|entry| delivery.settled_through.is_none_or(|through| entry.sequence > through));
        now = delivery.next.unwrap().max(now);
    }
    assert!((100..=200).contains(&dead), "{dead}");
    assert!(log.failure().unwrap().message.contains("refuses every event"));
}

#[test]
fn events_for_servers_that_refuse_what_they_do_not_know() {
    let mut log = DecisionLog::open(&endpoint(), r#"{"bare_events":true}"#).unwrap();
    let body = send(&mut log, &entries(1..=1), NOW).body.unwrap();
    assert_eq!(body, r#"{"events":[{"action":"call_allowed"}]}"#);
}

#[test]
fn options_out_of_their_bounds_are_refused() {
    for bad in
        [r#"{"max_events":0}"#, r#"{"max_events":1001}"#, r#"{"min_events":101}"#, r#"{"max_bytes":1}"#, r#"{"x":1}"#]
    {
        assert_eq!(DecisionLog::open(&endpoint(), bad).unwrap_err().code, Code::Option, "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a server does: each event is taken or set apart, in order, and only those that it refuses are set apart.
    #[test]
    fn nothing_is_lost_and_nothing_overtakes(
        count in 1_u64..300, poison in prop::collection::btree_set(1_u64..300, 0..8),
        too_large in prop::collection::btree_set(1_u64..300, 0..4), faults in prop::collection::vec(0_u8..8, 0..60),
        step in 1_u64..4,
    ) {
        let mut outbox: Vec<Pending> = (1..=count).map(|number| entry(number * step)).collect();
        let all: Vec<u64> = outbox.iter().map(|entry| entry.sequence).collect();
        let mut faults = faults.into_iter();
        let mut heard: Vec<u64> = Vec::new();
        let (taken, dead, _) = drain(&mut log(), &mut outbox, |request| {
            let ids = ids(request);
            let fault = faults.next().unwrap_or(7);
            if fault == 0 {
                // Taken, and the answer is lost.
                if !ids.iter().any(|id| poison.contains(id) || too_large.contains(id)) {
                    heard.extend(&ids);
                }
                return Err(Fault::Lost("reset".into()));
            }
            match fault {
                1 => return json(500, ""),
                2 => return json(429, ""),
                3 => return with_header(json(503, ""), "retry-after", "1"),
                4 => return json(401, ""),
                5 => return Err(Fault::NotSent("refused".into())),
                _ => {}
            }
            if ids.iter().any(|id| poison.contains(id)) {
                return json(422, "");
            }
            if ids.iter().any(|id| too_large.contains(id)) {
                return json(413, "");
            }
            heard.extend(&ids);
            json(202, "")
        });
        let dead: Vec<u64> = dead.into_iter().map(|(id, _)| id).collect();
        let refused: Vec<u64> = all.iter().copied().filter(|id| poison.contains(id) || too_large.contains(id)).collect();
        prop_assert_eq!(&dead, &refused, "exactly those, in order");
        let good: Vec<u64> = all.iter().copied().filter(|id| !refused.contains(id)).collect();
        prop_assert_eq!(&taken, &good, "each acknowledged once, in order");
        // The server hears each at least once, and first in order.
        let mut seen = BTreeSet::new();
        let firsts: Vec<u64> = heard.into_iter().filter(|id| seen.insert(*id)).collect();
        prop_assert_eq!(firsts, good);
    }
}
