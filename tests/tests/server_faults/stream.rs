//! T57–T79: the stream of events, what it hints at, and what is fetched because of it.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edictum_tests::fault_server::{Act, Feed, response};
use edictum_tests::stand_in::until;
use edictum_tests::wire::ruleset;
use serde_json::{Value, json};

use crate::place::{FETCH, Place, STREAM};

const OPEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// Milliseconds between requests, on the clock of the guard.
fn gaps(place: &Place, pattern: &str) -> Vec<u64> {
    let came = place.api.came(pattern);
    came.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

/// The server has `rm` blocked now, and says so.
fn push(place: &Place) {
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    place.api.push("ruleset_updated", r#"{"name":"rules"}"#);
}

#[track_caller]
fn is_pushed(place: &Place) {
    until("the push is enforced", || place.blocks("rm"));
    assert!(!place.blocks("sh"));
}

/// A parameter of the last request for the stream.
fn parameter(place: &Place, name: &str) -> String {
    let line = place.api.came(STREAM).last().unwrap().line();
    let query = line.split_once('?').unwrap().1.to_owned();
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or_default();
    found.to_owned()
}

#[test]
fn t57_a_stream_that_ends_at_once_is_opened_rarely_and_ever_more_rarely() {
    let place = Place::alone();
    place.api.always(STREAM, Act::SayAndClose(OPEN.into()));
    place.open(json!({}));
    place.pass_until("it is opened again and again", 1_000, 300, || place.api.count(STREAM) >= 7);
    let gaps = gaps(&place, STREAM);
    assert!(gaps.iter().all(|gap| *gap >= 1_000), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap > 2_500), "{gaps:?}");
    assert!(place.blocks("sh"), "rules stay");
}

#[test]
fn t58_half_an_event_is_none_and_what_it_said_is_fetched_after_the_next_connect() {
    let place = Place::alone();
    place.open_live(json!({}));
    let fetched = place.api.count(FETCH);
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    place.api.say("event: ruleset_updated\ndata: {\"name\":\"rul");
    place.api.streams().iter().for_each(Feed::reset);
    place.pass_until("it is opened again", 1_000, 60, || place.api.count(STREAM) >= 2);
    assert!(gaps(&place, STREAM)[0] >= 1_000);
    is_pushed(&place);
    assert!(place.api.count(FETCH) > fetched);
}

#[test]
fn t59_a_refused_stream_is_said_and_tried_slowly_while_the_poll_goes_on() {
    let place = Place::alone();
    place.api.always(STREAM, response(401, &[("Content-Type", "application/json")], r#"{"detail":"no"}"#));
    place.open(json!({}));
    until("it is said", || place.trouble().contains("E_AUTH"));
    assert_eq!(place.health()["stream"], "degraded");
    assert!(place.driver().stderr().contains("E_AUTH"), "whoever watches is told");
    place.pass(55_000);
    assert_eq!(place.api.count(STREAM), 1);
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(250_000);
    is_pushed(&place);
    until("it is tried again", || place.api.count(STREAM) >= 2);
    assert!((60_000..=330_000).contains(&gaps(&place, STREAM)[0]));
}

#[test]
fn t60_a_refused_stream_ends_an_assigned_start_at_once() {
    let place = Place::new();
    place.api.always(STREAM, response(401, &[], ""));
    let refused = place.refused(json!({"bundle_name": null}));
    assert_eq!(refused.code, "E_AUTH", "{refused}");
    assert_eq!(place.api.all().len(), 1);
}

#[test]
fn t61_the_status_counts_before_the_content_type() {
    for status in [401, 500] {
        let place = Place::alone();
        place.api.always(STREAM, response(status, &[("Content-Type", "text/event-stream")], ""));
        place.open(json!({}));
        until("it is asked for", || place.api.count(STREAM) >= 1);
        until("it is said", || !place.trouble().is_empty());
        for _ in 0..10 {
            place.pass(200);
        }
        place.pass_until("it is tried again", 5_000, 80, || place.api.count(STREAM) >= 2);
        let gaps = gaps(&place, STREAM);
        assert!(gaps[0] >= if status == 401 { 60_000 } else { 1_000 }, "{status}: {gaps:?}");
        assert_ne!(place.health()["stream"], "live");
    }
}

#[test]
fn t62_without_a_stream_the_poll_finds_the_new_ruleset() {
    let place = Place::alone();
    place.api.always(STREAM, Act::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    place.open(json!({}));
    until("it is asked for", || place.api.count(STREAM) == 1 && place.health()["stream"] == "degraded");
    place.api.publish("rules", &ruleset("rules", "rm"));
    for _ in 0..5 {
        place.pass(60_000);
    }
    is_pushed(&place);
    assert_eq!(place.api.count(STREAM), 1, "there is none");
}

#[test]
fn t63_a_pointer_causes_a_fetch_and_the_fetch_counts() {
    let place = Place::alone();
    place.open_live(json!({}));
    let fetched = place.api.count(FETCH);
    push(&place);
    is_pushed(&place);
    assert_eq!(place.api.count(FETCH), fetched + 1);
}

#[test]
fn t63_the_older_vocabulary_is_understood_and_its_rules_are_not_taken_from_it() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    let inline = json!({"bundle_name": "rules", "version": 2, "yaml_bytes": STANDARD.encode(ruleset("rules", "cat"))});
    place.api.push("contract_update", &inline.to_string());
    is_pushed(&place);
    assert!(!place.blocks("cat"));
}

#[test]
fn t64_the_same_push_five_times_reloads_nothing() {
    let place = Place::alone();
    let opened = place.open_live(json!({}));
    let fetched = place.api.count(FETCH);
    place.pass(2_000);
    for _ in 0..5 {
        place.api.push("ruleset_updated", r#"{"name":"rules","version":1}"#);
        let same = json!({"bundle_name": "rules", "revision_hash": opened["policy_version"]});
        place.api.push("contract_update", &same.to_string());
    }
    let _fetched = place.api.wait_for(FETCH, fetched + 1);
    place.pass(5_000);
    assert!(place.api.count(FETCH) <= fetched + 2, "hints that come fast become one");
    assert_eq!(place.health()["policy_version"], opened["policy_version"]);
    assert_eq!(place.trouble(), "");
    place.pass(2_000);
    push(&place);
    is_pushed(&place);
}

#[test]
fn t65_what_is_for_somebody_else_causes_nothing() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    let fetched = place.api.count(FETCH);
    place.api.push("contract_update", r#"{"bundle_name":"other","version":7}"#);
    place.api.push("contract_update", r#"{"bundle_name":"rules","env":"staging"}"#);
    place.api.push("ruleset_updated", r#"{"name":"other","version":7}"#);
    place.api.push("decision", r#"{"action":"call_blocked"}"#);
    place.api.push("bundle_uploaded", "not JSON");
    until("all is said", || place.api.streams().iter().all(Feed::is_idle));
    place.pass(5_000);
    assert_eq!(place.api.count(FETCH), fetched);
    assert!(place.blocks("sh"));
    // And what is for us is read behind it.
    place.api.push("ruleset_updated", r#"{"name":"rules"}"#);
    is_pushed(&place);
}

#[test]
fn t66_a_ruleset_that_does_not_load_is_never_reported_as_enforced() {
    let place = Place::alone();
    let opened = place.open_live(json!({}));
    let version = opened["policy_version"].as_str().unwrap();
    place.pass(2_000);
    let bad = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: rules}\nrules: [{id: x, type: nonsense}]\n";
    place.api.publish("rules", bad);
    place.api.push("ruleset_updated", r#"{"name":"rules","version":2}"#);
    until("it is said", || place.trouble().contains("E_REJECTED"));
    assert!(place.trouble().contains("E_"), "with its cause: {}", place.trouble());
    assert_eq!(place.health()["policy_version"], version);
    assert!(place.blocks("sh"));
    place.api.streams().iter().for_each(Feed::close);
    place.pass_until("it is opened again", 1_000, 60, || place.api.count(STREAM) >= 2);
    assert_eq!(parameter(&place, "policy_version"), version);
    place.api.publish("rules", &ruleset("rules", "rm"));
    until("the stream is up", || !place.api.streams().is_empty());
    place.pass(2_000);
    place.api.push("ruleset_updated", r#"{"name":"rules","version":3}"#);
    is_pushed(&place);
    until("all is well", || place.trouble().is_empty());
}

/// Opens a guard that is assigned its ruleset.
fn open_assigned(place: &Place, name: &str) -> Value {
    let opening = place.opening(json!({"bundle_name": null}));
    until("it listens", || !place.api.streams().is_empty());
    place.api.push("assignment_changed", &json!({"agent_id": "dev", "bundle_name": name}).to_string());
    place.opened(&opening).result().unwrap()
}

#[test]
fn t67_t68_no_event_brings_an_address_with_it() {
    for assigned in [true, false] {
        let place = Place::alone();
        if assigned {
            open_assigned(&place, "rules");
            until("it is up", || place.health()["stream"] == "live");
        } else {
            place.open_live(json!({}));
        }
        place.pass(2_000);
        let known = place.api.all().len();
        for name in ["../../admin/secret?x=", "n2\\n", "a/b", "%2e%2e", ".", "", "a b"] {
            let quoted = format!("\"{name}\"");
            for data in [
                format!(r#"{{"_assignment_changed":true,"bundle_name":{quoted}}}"#),
                format!(r#"{{"bundle_name":{quoted},"agent_id":"dev"}}"#),
                format!(r#"{{"name":{quoted},"approval_id":{quoted}}}"#),
            ] {
                for event in ["contract_update", "assignment_changed", "ruleset_updated", "approval_decided"] {
                    place.api.push(event, &data);
                }
            }
        }
        place.api.push("assignment_changed", r#"{"agent_id":"dev","bundle_name":null}"#);
        place.api.push("assignment_changed", r#"{"agent_id":"dev","bundle_name":"other\n"}"#);
        until("all is said", || place.api.streams().iter().all(Feed::is_idle));
        place.pass(3_000);
        let more: Vec<_> = place.api.all().split_off(known).iter().map(|came| came.line()).collect();
        assert!(more.iter().all(|line| line.starts_with(FETCH)), "{more:?}");
        assert!(place.blocks("sh"));
        assert!(place.driver().stderr().contains("left aside"));
        push(&place);
        is_pushed(&place);
    }
}

#[test]
fn t69_an_assignment_whose_ruleset_cannot_be_had_is_tried_again() {
    for status in [404, 500] {
        let place = Place::alone();
        place.api.publish("other", &ruleset("other", "rm"));
        assert_eq!(open_assigned(&place, "rules")["bundle_name"], "rules");
        let fetch = "GET /v1/rulesets/other/current";
        let (first, second) = (response(status, &[], ""), response(status, &[], ""));
        place.api.in_turn(fetch, [first, second]);
        place.api.push("assignment_changed", r#"{"agent_id":"dev","bundle_name":"other"}"#);
        until("it is said", || !place.trouble().is_empty());
        assert!(place.blocks("sh"), "the old rules stay");
        place.pass_until("it is fetched", 1_000, 100, || place.blocks("rm"));
        let gaps = gaps(&place, fetch);
        assert!(gaps.len() == 2 && gaps.iter().all(|gap| *gap >= 1_000), "{status}: {gaps:?}");
        assert_eq!(place.health()["bundle_name"], "other");
        until("all is well", || place.trouble().is_empty());
    }
}

#[test]
fn t70_what_is_no_json_object_is_skipped() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.pass(2_000);
    for data in ["{", "[1]", "null", "7", "", r#"{"name":7}"#, r#"{"name":"rules","version":0}"#] {
        place.api.push("ruleset_updated", data);
    }
    place.api.say(b"event: ruleset_updated\ndata: \xff\xfe{\n\n".to_vec());
    push(&place);
    is_pushed(&place);
    assert_eq!(place.api.count(STREAM), 1);
}

#[test]
fn t71_bottomless_nesting_is_left_aside() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.api.push("ruleset_updated", &"[".repeat(200_000));
    place.api.push("contract_update", &"{\"a\":".repeat(100_000));
    push(&place);
    is_pushed(&place);
    assert_eq!(place.api.count(STREAM), 1);
}

#[test]
fn t72_a_mark_at_the_start_and_every_cut_of_the_bytes() {
    let text = "\u{feff}: hello\r\nevent: ruleset_updated\r\ndata: {\"name\":\r\ndata: \"rules\"}\r\n\r\n";
    let place = Place::alone();
    let feed = Feed::default();
    place.api.once(STREAM, Act::Follow(OPEN.into(), feed.clone()));
    place.open_live(json!({}));
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    for byte in text.bytes() {
        feed.say([byte]);
    }
    is_pushed(&place);

    // The same with any one cut, on one stream.
    let text = text.trim_start_matches('\u{feff}');
    let mut fetched = place.api.count(FETCH);
    for (number, cut) in (1..text.len()).step_by(7).enumerate() {
        let (tool, other) = if number % 2 == 0 { ("sh", "rm") } else { ("rm", "sh") };
        place.api.publish("rules", &ruleset("rules", tool));
        place.pass(2_000);
        feed.say(&text.as_bytes()[..cut]);
        until("it is said", || feed.is_idle());
        feed.say(&text.as_bytes()[cut..]);
        fetched += 1;
        let _came = place.api.wait_for(FETCH, fetched);
        until("it is enforced", || place.blocks(tool));
        assert!(!place.blocks(other), "cut at {cut}");
    }
    assert_eq!(place.api.count(STREAM), 1);
}

#[test]
fn t73_a_line_without_an_end_takes_no_memory_and_is_fetched_instead() {
    let place = Place::alone();
    place.open_live(json!({}));
    let before = place.driver().peak_memory().unwrap();
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    place.api.say("event: ruleset_updated\ndata: ");
    for _ in 0..50 {
        place.api.say(vec![b'a'; 1 << 20]);
    }
    is_pushed(&place);
    until("all is said", || place.api.streams().iter().all(Feed::is_idle));
    let grown = place.driver().peak_memory().unwrap() - before;
    assert!(grown < 48 << 20, "{grown} bytes more");
    // Behind the next blank line events are read again.
    place.api.say("\n\n");
    place.api.publish("rules", &ruleset("rules", "sh"));
    place.pass(2_000);
    place.api.push("ruleset_updated", r#"{"name":"rules"}"#);
    until("the next event is read", || place.blocks("sh"));
    assert_eq!(place.api.count(STREAM), 1);
}

#[test]
fn t74_ids_come_back_and_the_servers_waiting_time_is_kept() {
    let place = Place::alone();
    place.open_live(json!({}));
    assert_eq!(place.api.came(STREAM)[0].request.header("last-event-id"), None);
    place.api.say("retry: 5000\nid: 7\nevent: decision\ndata: {}\n\n");
    until("it is said", || place.api.streams().iter().all(Feed::is_idle));
    place.pass(100);
    place.api.streams().iter().for_each(Feed::close);
    until("it is gone", || place.health()["stream"] != "live");
    let closed = place.api.streams().len();
    assert_eq!(closed, 0);
    place.pass_until("it is opened again", 500, 100, || place.api.count(STREAM) >= 2);
    let came = place.api.came(STREAM);
    assert_eq!(came[1].request.header("last-event-id"), Some("7"));
    assert!(came[1].at - came[0].at >= 5_000);
}

#[test]
fn t75_a_stream_that_is_silent_is_given_up_within_two_minutes() {
    let place = Place::alone();
    place.open_live(json!({}));
    let first = place.api.streams()[0].clone();
    place.pass(100_000);
    assert_eq!(place.api.count(STREAM), 1);
    place.pass(20_500);
    until("it is closed", || first.is_over());
    place.pass(2_000);
    until("it is opened again", || place.api.count(STREAM) == 2);
    until("it is live", || place.health()["stream"] == "live");
}

#[test]
fn t76_what_was_published_before_the_stream_was_up_is_found() {
    let place = Place::alone();
    let feed = Feed::default();
    place.api.instead(STREAM, {
        let feed = feed.clone();
        move |_| Some(Act::Follow(Vec::new(), feed.clone()))
    });
    place.open(json!({}));
    until("the stream is asked for", || place.api.count(STREAM) == 1);
    place.api.publish("rules", &ruleset("rules", "rm"));
    place.pass(2_000);
    assert!(place.blocks("sh"));
    feed.say(OPEN);
    is_pushed(&place);
}

#[test]
fn t77_a_server_that_has_forgotten_the_stream_but_keeps_pinging_is_found_out() {
    let place = Place::alone();
    place.open_live(json!({}));
    let first = place.api.streams()[0].clone();
    place.api.publish("rules", &ruleset("rules", "rm"));
    let mut found = None;
    for minute in 1..=60 {
        for _ in 0..2 {
            first.say(": ping\n\n");
            until("it is said", || first.is_idle() || first.is_over());
            place.pass(30_000);
        }
        if found.is_none() && place.blocks("rm") {
            found = Some(minute);
        }
        if first.is_over() {
            break;
        }
    }
    assert!(found.is_some_and(|minute| minute <= 6), "by the poll: {found:?}");
    until("it was opened anew", || first.is_over() && place.api.count(STREAM) >= 2);
    assert!(gaps(&place, STREAM)[0] >= 36 * 60_000);
}

#[test]
fn t79_an_assigned_ruleset_that_does_not_load_fails_the_start_at_once() {
    let place = Place::new();
    place.api.publish("rules", "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: rules}\nrules: [{id: x}]\n");
    let opening = place.opening(json!({"bundle_name": null}));
    until("it listens", || !place.api.streams().is_empty());
    place.api.push("assignment_changed", r#"{"agent_id":"dev","bundle_name":"rules"}"#);
    let refused = place.opened(&opening).result().unwrap_err();
    assert!(refused.code != "E_NO_ASSIGNMENT" && !refused.message.contains("30 s"), "{refused}");
    assert!(place.driver().answer("health", json!({"guard": place.guard})).unwrap().result().is_err());
}

#[test]
fn t79_nobody_assigns_anything_within_thirty_seconds() {
    let place = Place::alone();
    let opening = place.opening(json!({"bundle_name": null}));
    until("it listens", || !place.api.streams().is_empty());
    place.pass(25_000);
    assert!(place.driver().poll(&opening).is_none());
    place.pass(5_500);
    let refused = place.opened(&opening).result().unwrap_err();
    assert_eq!(refused.code, "E_NO_ASSIGNMENT", "{refused}");
}

#[test]
fn a_server_that_restarts_is_found_again_and_what_changed_meanwhile_with_it() {
    let place = Place::alone();
    place.open_live(json!({}));
    place.api.server().down();
    place.api.publish("rules", &ruleset("rules", "rm"));
    until("it is gone", || place.health()["stream"] != "live");
    for _ in 0..5 {
        place.pass(2_000);
    }
    thread::sleep(Duration::from_millis(20));
    place.api.server().up();
    place.pass_until("it is back", 5_000, 60, || place.health()["stream"] == "live");
    until("the new rules are there", || place.health()["last_error"].is_null());
}
