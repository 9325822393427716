//! T01–T27: connections, statuses, bodies, identity.

use std::time::{Duration, Instant};

use edictum_tests::driver::Driver;
use edictum_tests::fault_server::{Act, FaultServer, in_turn, json as says, redirect, response};
use edictum_tests::places::driver_command;
use edictum_tests::stand_in::until;
use serde_json::{Value, json};

use crate::place::{ASK, COUNT, EVENTS, FETCH, KEY, Place, shows_no_key};

fn fails() -> Act {
    says(500, r#"{"detail":"sorry"}"#)
}

/// Rules that ask before `deploy`.
pub const ASKING: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - id: ask-first
    type: pre
    tool: deploy
    when: {args.x: {exists: true}}
    then: {action: ask, message: 'Deploy?', timeout: 60, timeout_action: allow}
";

#[test]
fn t01_a_start_survives_two_failures() {
    let place = Place::new();
    place.api.in_turn(FETCH, [fails(), fails()]);
    place.open(json!({"auto_watch": false}));
    assert_eq!(place.api.count(FETCH), 3);
    assert!(place.blocks("sh"));
}

#[test]
fn t02_three_failures_are_a_server_that_is_not_available() {
    let place = Place::new();
    place.api.always(FETCH, fails());
    let refused = place.refused(json!({}));
    assert_eq!(refused.code, "E_SERVER_UNAVAILABLE");
    assert!(refused.message.contains("500") && refused.message.contains("sorry"), "{refused}");
    assert_eq!(place.api.all().len(), 3);
}

/// Time passes until the ruleset is fetched again. Time that passes while the first answer is on its way counts, too: a
/// client that waits 7 s is told from one that waits half a second at most.
fn waits_seven_seconds(place: &Place) -> bool {
    let first = place.api.wait_for(FETCH, 1)[0].at;
    place.pass_until("it is asked again", 500, 60, || place.api.count(FETCH) == 2);
    (4_000..60_000).contains(&(place.api.came(FETCH)[1].at - first))
}

#[test]
fn t03_the_servers_time_is_kept() {
    let place = Place::alone();
    place.api.once(FETCH, response(429, &[("Retry-After", "7")], ""));
    let opening = place.opening(json!({"auto_watch": false}));
    assert!(waits_seven_seconds(&place), "{:?}", place.api.came(FETCH));
    assert!(place.opened(&opening).result().is_ok());
}

#[test]
fn t04_a_date_is_held_against_the_servers_own_clock() {
    for skew in [-3_600_000, 0, 3_600_000] {
        let place = Place::alone();
        place.pass(skew);
        let dates = [("Date", "Fri, 02 Jan 2026 03:04:05 GMT"), ("Retry-After", "Fri, 02 Jan 2026 03:04:12 GMT")];
        place.api.once(FETCH, response(503, &dates, ""));
        let opening = place.opening(json!({"auto_watch": false}));
        assert!(waits_seven_seconds(&place), "{skew}: {:?}", place.api.came(FETCH));
        assert!(place.opened(&opening).result().is_ok(), "{skew}");
    }
}

#[test]
fn t05_an_increment_whose_answer_is_lost_is_not_repeated_and_blocks() {
    for lost in [Act::SayAndReset(Vec::new()), Act::SayAndClose(Vec::new())] {
        let place = Place::new();
        place.open(json!({"auto_watch": false}));
        place.api.after(COUNT, lost);
        let decision = place.begin("s", "cat");
        assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
        assert!(decision.to_string().contains("E_AMBIGUOUS"), "{decision}");
        assert_eq!(place.api.count("POST /v1/sessions/s:s:attempts/increment"), 1);
        assert_eq!(place.api.value("s:s:attempts").as_deref(), Some("1"));
        // The next call is counted as the second one.
        assert_eq!(place.begin("s", "cat")["action"], "allow");
        assert_eq!(place.api.value("s:s:attempts").as_deref(), Some("2"));
    }
}

#[test]
fn t06_an_approval_whose_answer_is_lost_is_not_asked_for_twice_and_blocks() {
    let place = Place::new();
    place.api.publish("rules", ASKING);
    place.open(json!({"auto_watch": false}));
    place.api.after(ASK, Act::SayAndReset(Vec::new()));
    let decision = place.settled(&place.hold("s", "deploy"));
    assert_eq!(decision["action"], "block", "an `allow` on timeout does not help: {decision}");
    let asked = place.api.asked();
    assert_eq!((asked.len(), place.api.count(ASK)), (1, 1));
    assert!(asked[0].key.as_ref().is_some_and(|key| !key.is_empty()), "{asked:?}");
}

#[test]
fn t07_what_never_left_is_sent_when_the_server_is_back() {
    let place = Place::new();
    place.api.publish("rules", ASKING);
    place.open(json!({"auto_watch": false}));
    // Three attempts within 1.5 s: the server is back before the last one.
    place.api.server().down();
    let held = place.hold("s", "cat");
    place.api.server().up();
    assert_eq!(place.settled(&held)["action"], "allow");
    assert_eq!(place.api.count("POST /v1/sessions/s:s:attempts/increment"), 1);
    assert_eq!(place.api.value("s:s:attempts").as_deref(), Some("1"));
}

#[test]
fn t07_an_approval_is_asked_for_once_the_server_is_back_and_under_one_key() {
    let place = Place::alone();
    place.api.publish("rules", ASKING);
    place.open(json!({"auto_watch": false, "store": "memory"}));
    place.api.server().down();
    let held = place.hold("s", "deploy");
    until("it has begun", || place.driver().poll(&held).is_none() && !place.events().is_empty());
    place.pass(5_000);
    place.api.server().up();
    place.pass_until("somebody is asked", 1_000, 30, || !place.api.asked().is_empty());
    place.api.decide("ap-1", json!({"id": "ap-1", "status": "approved"}));
    place.pass_until("it is looked at", 1_000, 60, || place.api.count("GET /v1/approvals/ap-1") > 0);
    let keys: Vec<_> = place.api.asked().into_iter().map(|asked| asked.key).collect();
    assert!(keys.len() == 1 && keys[0].is_some(), "{keys:?}");
    assert_eq!(place.settled(&held)["action"], "allow");
}

/// An answer that says it is longer.
fn short() -> Act {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"value\":1}";
    Act::SayAndClose(text.as_bytes().to_vec())
}

#[test]
fn t08_an_answer_shorter_than_it_says_is_asked_for_again_unless_it_counts() {
    let place = Place::new();
    place.api.in_turn(FETCH, [short(), short()]);
    place.open(json!({"auto_watch": false}));
    assert_eq!(place.api.count(FETCH), 3);
    place.api.once(COUNT, short());
    let decision = place.begin("s", "cat");
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
    assert_eq!(place.api.count(COUNT), 1);
    let place = Place::new();
    place.api.always(FETCH, short());
    assert_eq!(place.refused(json!({"auto_watch": false})).code, "E_PROTOCOL");
    assert_eq!(place.api.count(FETCH), 3);
}

/// A start that gets this answer fails at once.
#[track_caller]
fn is_no_answer(act: Act, code: &str, says: &[&str]) {
    let place = Place::new();
    place.api.always(FETCH, act);
    let refused = place.refused(json!({}));
    assert_eq!(refused.code, code, "{refused}");
    for part in says {
        assert!(refused.message.contains(part), "{part}: {refused}");
    }
    assert_eq!(place.api.all().len(), 1, "asking again would give the same");
}

#[test]
fn t09_half_a_json_text_is_shown_as_it_is() {
    is_no_answer(says(200, r#"{"value":"#), "E_PROTOCOL", &["application/json", "200", r#"{"value":"#]);
    let long = format!("{{\"value\":\u{1b}[31m{}", "x".repeat(5000));
    let place = Place::new();
    place.api.always(FETCH, says(200, &long));
    let refused = place.refused(json!({}));
    assert!(refused.message.len() < 500 && !refused.message.contains('\u{1b}'), "{refused}");
}

#[test]
fn t10_bytes_that_are_no_text_are_no_answer() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n".to_vec();
    bytes.extend(b"{\"value\":\"\xff\"}");
    is_no_answer(Act::Say(bytes), "E_PROTOCOL", &["UTF-8"]);
}

#[test]
fn t11_a_mark_before_the_text_is_fine() {
    let place = Place::new();
    let body = json!({"yaml": edictum_tests::wire::ruleset("rules", "sh")});
    place.api.once(FETCH, says(200, &format!("\u{feff}{body}")));
    place.open(json!({"auto_watch": false, "verify_signatures": false, "signing_public_keys": null}));
    assert!(place.blocks("sh"));
}

#[test]
fn t12_a_page_is_no_answer() {
    let page = response(200, &[("Content-Type", "text/html; charset=utf-8")], "<html>Sign in to the WLAN</html>");
    is_no_answer(page.clone(), "E_PROTOCOL", &["text/html", "Sign in"]);
    let place = Place::new();
    place.open(json!({"auto_watch": false}));
    place.api.once(COUNT, page);
    let decision = place.begin("s", "cat");
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
}

#[test]
fn t13_an_empty_answer_to_a_write_is_a_success() {
    for empty in [response(200, &[], ""), response(202, &[], ""), Act::Say(b"HTTP/1.1 204 No\r\n\r\n".to_vec())] {
        let place = Place::alone();
        place.open(json!({"auto_watch": false, "decision_log": "server"}));
        for pattern in [COUNT, "PUT", "DELETE", EVENTS] {
            place.api.always_after(pattern, empty.clone());
        }
        place.run("s", "cat");
        assert_eq!(place.flush(), 0);
        assert_eq!(place.health()["log"], "ok");
        assert_eq!(place.api.value("s:s:attempts").as_deref(), Some("1"));
        assert_eq!((place.api.events().len(), place.api.count(EVENTS)), (2, 1));
    }
}

#[test]
fn t14_what_is_no_object_is_no_value() {
    for body in ["null", "[1]", "7", "\"x\"", "true"] {
        let place = Place::new();
        place.api.set_value("s:s:attempts", "3");
        place.open(json!({"auto_watch": false}));
        place.api.always("POST /v1/sessions/", says(200, body));
        place.api.always("GET /v1/sessions/", says(200, body));
        let decision = place.begin("s", "cat");
        assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{body}");
        assert!(decision.to_string().contains("E_PROTOCOL"), "{decision}");
    }
}

#[test]
fn t15_a_redirect_is_named_and_not_followed() {
    let other = FaultServer::start(in_turn([says(200, "{}")]));
    let to = format!("{}/login?token=hunter2", other.url());
    for status in [301, 302, 307, 308] {
        let act = response(status, &[("Location", &to)], "");
        is_no_answer(act, "E_REDIRECT", &[&status.to_string(), &other.url()]);
    }
    let place = Place::new();
    place.open(json!({"auto_watch": false}));
    place.api.once(COUNT, redirect(&to));
    let decision = place.begin("s", "cat");
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)));
    assert!(!decision.to_string().contains("hunter2"), "{decision}");
    assert_eq!(other.connections(), 0);
}

#[test]
fn t16_a_huge_body_is_not_read_to_its_end() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 << 20);
    let forever = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    for head in [head.into_bytes(), forever] {
        let place = Place::new();
        place.api.always(FETCH, Act::SayForever(head, vec![b' '; 64 << 10]));
        let refused = place.refused(json!({}));
        assert_eq!(refused.code, "E_TOO_LARGE", "{refused}");
        assert_eq!(place.api.all().len(), 1);
    }
}

#[test]
fn t17_a_compressed_body_is_not_unpacked() {
    let act = response(200, &[("Content-Encoding", "gzip"), ("Content-Type", "application/json")], "\u{1f}x");
    is_no_answer(act, "E_PROTOCOL", &["compressed"]);
    let place = Place::new();
    place.open(json!({"auto_watch": false}));
    assert_eq!(place.api.all()[0].request.header("accept-encoding"), Some("identity"));
}

/// A server that hangs in this way does not hold up a start for longer than all attempts may take.
fn ends_in_time(act: Act) {
    let place = Place::new();
    place.api.always(FETCH, act);
    let start = Instant::now();
    let refused = place.refused(json!({"timeout_ms": 300}));
    assert_eq!(refused.code, "E_INTERRUPTED", "{refused}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!((1..=3).contains(&place.api.count(FETCH)));
}

#[test]
fn t18_an_answer_that_trickles_ends_at_the_deadline() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{}", " ".repeat(10_000));
    ends_in_time(Act::Trickle(text.into_bytes(), 1, Duration::from_millis(40)));
}

#[test]
fn t19_headers_that_never_come_end_at_the_deadline() {
    ends_in_time(Act::SayAndHang(Vec::new()));
    ends_in_time(Act::SayAndHang(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()));
}

#[test]
fn t20_t21_a_key_that_cannot_be_a_header_is_refused_and_shown_nowhere() {
    for key in [format!("{KEY}\n"), format!("{KEY}\r\nX-Admin: 1"), format!("{KEY}\u{2028}"), String::new()] {
        let place = Place::new();
        let refused = place.refused(json!({"api_key": key}));
        assert_eq!(refused.code, "E_CREDENTIAL", "{refused}");
        shows_no_key(&format!("{refused} {refused:?}"));
        assert_eq!(place.api.server().connections(), 0);
    }
}

#[test]
fn t22_names_with_a_line_break_are_refused() {
    let place = Place::new();
    for bad in
        [json!({"agent_id": "a\n"}), json!({"bundle_name": "b\n"}), json!({"env": "e\n"}), json!({"agent_id": ""})]
    {
        assert_eq!(place.refused(bad.clone()).code, "E_OPTION", "{bad}");
    }
    assert_eq!(place.api.server().connections(), 0);
}

#[test]
fn t23_plain_http_reaches_the_own_machine_only() {
    let place = Place::new();
    for (url, code) in [
        ("http://example.com", "E_INSECURE"),
        ("http://localhost@example.com", "E_ADDRESS"),
        ("http://192.0.2.1", "E_INSECURE"),
        ("http://0.0.0.0", "E_INSECURE"),
        ("ftp://x", "E_ADDRESS"),
        ("example.com", "E_ADDRESS"),
        ("//example.com", "E_ADDRESS"),
        ("https://", "E_ADDRESS"),
        ("", "E_ADDRESS"),
    ] {
        assert_eq!(place.refused(json!({"url": url})).code, code, "{url}");
    }
    // Nobody is there, but it is permitted.
    for url in ["http://127.0.0.2:9", "http://[::1]:9", "http://LOCALHOST:9"] {
        assert_eq!(place.refused(json!({"url": url, "auto_watch": false})).code, "E_UNREACHABLE", "{url}");
    }
    let url = place.api.server().url().replace("127.0.0.1", "localhost");
    place.open(json!({"url": url, "auto_watch": false}));
}

#[test]
fn t24_a_proxy_of_the_environment_never_sees_the_own_machine() {
    let trap = FaultServer::start(in_turn([says(200, "{}")]));
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let mut command = vec!["env".to_owned()];
    command.extend(names.map(|name| format!("{name}={}", trap.url())));
    command.extend(driver_command());
    let place = Place::with(Driver::start_command(&command).unwrap(), true);
    place.open(json!({}));
    place.run("s", "cat");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn t25_tags_too_long_for_an_address_are_refused() {
    let place = Place::new();
    let tags: serde_json::Map<String, Value> =
        (0..64).map(|number| (format!("{number}{}", "ä".repeat(126)), "ü".repeat(256).into())).collect();
    assert_eq!(place.refused(json!({"tags": tags})).code, "E_OPTION");
    assert_eq!(place.refused(json!({"tags": {"": "v"}})).code, "E_OPTION");
    assert_eq!(place.refused(json!({"tags": {"a\nb": "v"}})).code, "E_OPTION");
    assert_eq!(place.api.server().connections(), 0);
}

#[test]
fn t26_a_refused_credential_is_said_at_once_and_not_shown() {
    let place = Place::new();
    let echo = |request: &edictum_tests::fault_server::Received| {
        let key = request.header("authorization").unwrap_or_default().to_owned();
        Some(says(401, &json!({"detail": format!("no such key: {key}")}).to_string()))
    };
    place.api.instead("", echo);
    let refused = place.refused(json!({}));
    assert_eq!(refused.code, "E_AUTH");
    assert!(refused.message.contains("no such key: Bearer [REDACTED]"), "{refused}");
    assert_eq!(place.api.all().len(), 1);
    place.api.heal();
    place.open(json!({"auto_watch": false}));
    place.api.instead("", echo);
    let decision = place.begin("s", "cat");
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
    shows_no_key(&decision.to_string());
    shows_no_key(&json!(place.events()).to_string());
    assert_eq!(place.api.count(COUNT), 1);
}

#[test]
fn t27_what_came_too_early_or_too_slowly_is_asked_again_unless_it_counts() {
    let place = Place::new();
    place.api.in_turn(FETCH, [response(408, &[], ""), response(425, &[], "")]);
    place.open(json!({"auto_watch": false}));
    assert_eq!(place.api.count(FETCH), 3);
    place.api.once(COUNT, response(408, &[], ""));
    assert_eq!(place.begin("s", "cat")["action"], "block");
    assert_eq!(place.api.count(COUNT), 1);
}
