//! T41–T56: the decision log on its way. Calls never wait for it, and nothing of it is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use edictum_tests::fault_server::{Act, Received, json as says, response};
use edictum_tests::stand_in::{Came, until};
use serde_json::{Value, json};

use crate::place::{EVENTS, Place};

fn open(more: Value) -> Place {
    let place = Place::alone();
    let mut fields = json!({"auto_watch": false, "store": "memory", "decision_log": "server"});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    place.open(fields);
    place
}

fn batch(request: &Received) -> Vec<Value> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["events"].as_array().unwrap().clone()
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect()
}

/// The ids in everything that was sent, as often as they were.
fn sent(place: &Place) -> Vec<String> {
    place.api.came(EVENTS).iter().flat_map(|came: &Came| ids(&batch(&came.request))).collect()
}

/// Everything that the guard said is on the server, once and in order.
#[track_caller]
fn all_is_there(place: &Place, before: &[Value]) {
    let mut said = before.to_vec();
    said.extend(place.events());
    let ids_said = ids(&said);
    assert_eq!(
        ids_said.iter().collect::<BTreeSet<_>>().len(),
        ids_said.len(),
        "one is not taken for another: {ids_said:?}"
    );
    assert_eq!(ids(&place.api.events()), ids_said);
    let numbers: Vec<u64> = place.api.events().iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

/// Time passes until nothing is left.
#[track_caller]
fn gets_out(place: &Place) {
    place.pass_until("the log gets out", 10_000, 60, || place.health()["unsent_events"] == 0);
    until("it is well", || place.health()["log"] == "ok");
}

#[test]
fn t41_what_was_acknowledged_without_a_word_is_sent_once() {
    for ack in [response(202, &[], ""), response(200, &[], "{}"), says(200, "[1]"), response(200, &[], "not JSON")] {
        let place = open(json!({}));
        place.api.always_after(EVENTS, ack);
        for number in 0..3 {
            place.run(&format!("s{number}"), "cat");
            assert_eq!(place.flush(), 0);
        }
        let sent = sent(&place);
        assert_eq!((sent.len(), sent.iter().collect::<BTreeSet<_>>().len()), (6, 6));
        all_is_there(&place, &[]);
    }
}

#[test]
fn t42_odd_values_hold_up_no_other_event() {
    let place = open(json!({}));
    let odd = [
        r#"{"x":1e400,"y":-1E-400,"z":123456789012345678901234567890}"#,
        r#"{"x":"\ud800","\udfff":"\u0000"}"#,
        r#"{"x":"\u001b[31m","b":"\\x00"}"#,
    ];
    for args in odd {
        let call = format!(r#"{{"tool":"cat","args":{args}}}"#);
        let guard = format!("\"{}\"", place.guard);
        let sent = place.driver().send_raw("begin", &[("guard", &guard), ("session_id", "\"s\""), ("call", &call)]);
        let _decided_or_refused = place.driver().wait(&sent).unwrap();
    }
    place.run("s", "cat");
    assert_eq!(place.flush(), 0);
    all_is_there(&place, &[]);
    assert!(place.api.events().len() >= 4, "{:?}", place.api.events());
}

#[test]
fn t43_a_batch_that_is_too_large_is_cut_and_one_event_shortened() {
    let place = open(json!({}));
    place.api.instead(EVENTS, |request| {
        let large = batch(request).len() > 2 || request.body.len() > 4096;
        large.then(|| response(413, &[], ""))
    });
    for number in 0..4 {
        place.run(&format!("s{number}"), "cat");
    }
    let mut call = place.call("s", "cat");
    call["call"]["args"]["text"] = (0..900).map(|number| format!("word{number}")).collect::<Vec<_>>().into();
    let _decided = place.driver().ask("begin", call).unwrap();
    place.run("s", "cat");
    assert_eq!(place.flush(), 0);
    all_is_there(&place, &[]);
    assert!(place.api.events().iter().any(|event| event["_truncated"] == true), "{:?}", place.api.events());
}

#[test]
fn t44_one_event_that_the_server_refuses_is_set_apart() {
    for status in [400, 422] {
        let place = open(json!({}));
        place.api.instead(EVENTS, move |request| {
            let poison = batch(request).iter().any(|event| event["tool_name"] == "poison");
            poison.then(|| says(status, r#"{"detail":[{"loc":["body"],"msg":"no"}]}"#))
        });
        for tool in ["cat", "cat", "poison", "cat"] {
            let _decided = place.begin("s", tool);
        }
        assert_eq!(place.flush(), 0);
        let tools: Vec<_> = place.api.events().iter().map(|event| event["tool_name"].clone()).collect();
        assert_eq!(tools, ["cat", "cat", "cat"], "{status}");
        let before = place.api.count(EVENTS);
        place.run("s", "cat");
        assert_eq!(place.flush(), 0);
        assert_eq!(place.api.count(EVENTS), before + 1, "it is not tried again");
    }
}

#[test]
fn t45_t54_a_refused_credential_touches_no_call_and_keeps_everything() {
    let place = open(json!({}));
    place.api.always(EVENTS, says(401, r#"{"detail":"revoked"}"#));
    place.run("s", "cat");
    // By itself, after the time of a batch.
    place.pass(6_000);
    until("it is said", || place.health()["log"] == "degraded");
    assert!(place.trouble().contains("revoked"), "{}", place.trouble());
    let finished = place.finish(&place.begin("s", "cat"));
    assert_eq!((&finished["success"], &finished["result"]), (&json!(true), &json!("done")));
    place.pass(30_000);
    assert_eq!(place.api.count(EVENTS), 1, "slowly");
    assert_eq!(place.health()["unsent_events"], 4);
    place.api.heal();
    gets_out(&place);
    all_is_there(&place, &[]);
}

#[test]
fn t46_t48_an_outage_is_waited_out_and_ends_in_small_batches() {
    let place = open(json!({}));
    place.api.always(EVENTS, response(503, &[], ""));
    for number in 0..60 {
        place.run(&format!("s{}", number % 7), "cat");
    }
    place.pass_until("it is tried again and again", 30_000, 100, || place.api.count(EVENTS) >= 5);
    let tries: Vec<u64> = place.api.came(EVENTS).iter().map(|came| came.at).collect();
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{tries:?}");
    assert_eq!(place.health()["unsent_events"], 120);
    assert_eq!(place.health()["log"], "degraded");
    let tried = place.api.count(EVENTS);
    place.api.heal();
    // Nothing new happens, and still it gets out.
    gets_out(&place);
    let batches: Vec<usize> = place.api.came(EVENTS)[tried..].iter().map(|came| batch(&came.request).len()).collect();
    assert!(batches.iter().all(|events| *events <= 100) && batches.iter().sum::<usize>() == 120, "{batches:?}");
    all_is_there(&place, &[]);
}

#[test]
fn t47_what_had_to_be_given_up_leaves_a_record_with_its_count() {
    let place = open(json!({"options": {"outbox_max_bytes": 65_536}}));
    place.api.always(EVENTS, response(503, &[], ""));
    for number in 0..120 {
        place.run(&format!("s{number}"), "cat");
    }
    until("it is said", || place.health()["log"] == "degraded");
    place.api.heal();
    place.pass_until("the log gets out", 10_000, 60, || place.health()["unsent_events"] == 0);
    let (said, there) = (ids(&place.events()), place.api.events());
    let (gaps, events): (Vec<Value>, Vec<Value>) =
        there.into_iter().partition(|event| event["action"] == "decision_log_gap");
    let kept = ids(&events);
    assert!(kept.len() < said.len() && said.ends_with(&kept), "the oldest are gone");
    let counted: u64 = gaps.iter().map(|event| event["gap"]["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, (said.len() - kept.len()) as u64, "{gaps:?}");
}

#[test]
fn t48_a_delivery_that_failed_is_made_again_without_a_new_event() {
    let place = open(json!({}));
    place.api.once(EVENTS, Act::SayAndReset(Vec::new()));
    place.run("s", "cat");
    place.pass(6_000);
    until("it is tried", || place.api.count(EVENTS) >= 1);
    gets_out(&place);
    all_is_there(&place, &[]);
}

#[test]
fn t49_closing_sends_what_is_left() {
    let place = open(json!({}));
    place.run("s", "cat");
    let said = place.events();
    let left = place.driver().ask("close", json!({"guard": place.guard})).unwrap();
    assert_eq!((&left["unsent_events"], ids(&place.api.events())), (&json!(0), ids(&said)));
}

#[test]
fn t50_closing_does_not_wait_for_a_server_that_hangs() {
    let place = open(json!({}));
    place.api.always(EVENTS, Act::SayAndHang(Vec::new()));
    place.run("s", "cat");
    let start = Instant::now();
    let left = place.driver().ask("close", json!({"guard": place.guard})).unwrap();
    assert_eq!(left["unsent_events"], 2);
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[test]
fn t51_a_batch_whose_answer_never_came_is_sent_again_and_kept_once() {
    let place = open(json!({"timeout_ms": 500}));
    place.api.after(EVENTS, Act::SayAndHang(Vec::new()));
    place.run("s", "cat");
    let flushed = place.driver().ask("flush", json!({"guard": place.guard, "timeout_ms": 50})).unwrap();
    assert_eq!(flushed["unsent_events"], 2);
    until("its time is over", || place.health()["log"] == "degraded");
    gets_out(&place);
    let sent = sent(&place);
    assert_eq!((sent.len(), sent.iter().collect::<BTreeSet<_>>().len()), (4, 2), "under the same ids");
    all_is_there(&place, &[]);
}

#[test]
fn t53_a_server_that_takes_new_events_for_known_ones_is_told_of_once() {
    let place = open(json!({}));
    place.run("s", "cat");
    assert_eq!(place.flush(), 0);
    place.api.always_after(EVENTS, says(200, r#"{"accepted":1,"duplicates":1}"#));
    for _ in 0..3 {
        place.run("s", "cat");
        assert_eq!(place.flush(), 0);
    }
    let told = place.driver().stderr().matches("for duplicates").count();
    assert_eq!(told, 1, "{}", place.driver().stderr());
}

#[test]
fn t55_each_session_is_in_order_however_many_there_are() {
    let place = open(json!({}));
    let sessions = 50;
    let begun: Vec<_> = (0..sessions)
        .map(|number| {
            let mut call = place.call(&format!("s{number}"), "cat");
            call["call_id"] = format!("c{number}").into();
            call["parallel"] = true.into();
            place.driver().send("begin", call)
        })
        .collect();
    begun.iter().for_each(|begun| assert_eq!(place.settled(begun)["action"], "allow"));
    let finished: Vec<_> = (0..sessions)
        .map(|number| {
            let done = json!({"guard": place.guard, "call_id": format!("c{number}"), "result": 1, "parallel": true});
            place.driver().send("finish", done)
        })
        .collect();
    finished.iter().for_each(|finished| drop(place.settled(finished)));
    assert_eq!(place.flush(), 0);
    all_is_there(&place, &[]);
    let there = place.api.events();
    for number in 0..sessions {
        let of_call = there.iter().filter(|event| event["call_id"] == format!("c{number}"));
        let actions: Vec<_> = of_call.map(|event| event["action"].clone()).collect();
        assert_eq!(actions, ["call_allowed", "call_executed"]);
    }
}

#[test]
fn t56_a_clock_that_is_set_back_stops_nothing_and_the_order_is_in_the_numbers() {
    let place = open(json!({}));
    place.run("s", "cat");
    place.api.once(EVENTS, response(503, &[], ""));
    place.pass(6_000);
    until("it has failed", || place.api.count(EVENTS) == 1);
    place.pass(-3_600_000);
    place.run("s", "cat");
    place.pass_until("the log gets out", 5_000, 20, || place.health()["unsent_events"] == 0);
    all_is_there(&place, &[]);
}
