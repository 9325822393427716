//! What may go wrong around a guard: many calls at once, a killed process, a store that is broken or gone. No count is lost
//! and nothing is let through that should not be.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use edictum_tests::driver::{Driver, Pending};
use edictum_tests::victim::{GUARD, RULES, Victim, code, member};
use serde_json::{Value, json};

/// Calls at once in one session.
const CROWD: usize = 1000;

/// More than any test here needs.
const PLENTY: u64 = 1_000_000;

fn members(directory: &Path, limits: Value) -> Value {
    json!({ "rulesets": [{ "name": "victim", "yaml": RULES }], "store": { "path": directory }, "limits": limits })
}

fn plenty() -> Value {
    json!({ "max_attempts": PLENTY, "max_tool_calls": PLENTY, "max_calls_per_tool": { "T": PLENTY } })
}

fn begin(driver: &Driver, call_id: &str, parallel: bool) -> Pending {
    let call = json!({ "tool": "T", "args": { "n": 1.0 } });
    driver.send(
        "begin",
        json!({ "guard": GUARD, "session_id": "s", "call_id": call_id, "call": call, "parallel": parallel }),
    )
}

fn counters(victim: &Victim) -> Value {
    let answer = victim.ask("counters", json!({ "session_id": "s" }));
    answer.result().unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[test]
fn a_thousand_calls_at_once_lose_no_count() {
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), plenty()));
    let ids: Vec<String> = (0..CROWD).map(|index| format!("c{index}")).collect();
    let begun: Vec<_> = ids.iter().map(|id| begin(victim.driver(), id, true)).collect();
    for pending in &begun {
        let answer = victim.driver().wait(pending).unwrap();
        assert_eq!(member(&answer, "action"), "allow", "{}", answer.line());
    }
    assert_eq!(counters(&victim)["attempts"], json!(CROWD));
    let finish = |id: &String| {
        let fields = json!({ "guard": GUARD, "call_id": id, "result": "ok", "parallel": true });
        victim.driver().send("finish", fields)
    };
    let finished: Vec<_> = ids.iter().map(finish).collect();
    for pending in &finished {
        let answer = victim.driver().wait(pending).unwrap();
        assert!(answer.refusal().is_none(), "{}", answer.line());
    }
    let counters = counters(&victim);
    assert_eq!(counters["attempts"], json!(CROWD));
    assert_eq!(counters["execs"], json!(CROWD));
    assert_eq!(counters["tools"]["T"], json!(CROWD));
    let events = victim.ask("events", Value::Null).result().unwrap();
    let mut actions: BTreeMap<String, usize> = BTreeMap::new();
    for event in events["events"].as_array().into_iter().flatten() {
        *actions.entry(event["action"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert_eq!(actions, BTreeMap::from([("call_allowed".to_owned(), CROWD), ("call_executed".to_owned(), CROWD)]));
    victim.is_unharmed();
}

#[test]
fn a_crowd_does_not_get_past_the_attempt_limit() {
    const LIMIT: usize = 501;
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), json!({ "max_attempts": LIMIT, "max_tool_calls": PLENTY })));
    let begun: Vec<_> = (0..CROWD).map(|index| begin(victim.driver(), &format!("c{index}"), true)).collect();
    let answers = begun.iter().map(|pending| member(&victim.driver().wait(pending).unwrap(), "action"));
    assert_eq!(answers.filter(|action| action == "allow").count(), LIMIT - 1);
    assert_eq!(counters(&victim)["attempts"], json!(CROWD));
}

#[test]
fn sessions_side_by_side_keep_their_own_counts() {
    const SESSIONS: usize = 50;
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), plenty()));
    let sent: Vec<_> = (0..CROWD)
        .map(|index| {
            let call = json!({ "tool": "T", "args": {} });
            let session = format!("s{}", index % SESSIONS);
            let fields = json!({ "guard": GUARD, "session_id": session, "call": call, "parallel": true });
            victim.driver().send("begin", fields)
        })
        .collect();
    sent.iter().for_each(|pending| drop(victim.driver().wait(pending).unwrap()));
    for session in 0..SESSIONS {
        let answer = victim.ask("counters", json!({ "session_id": format!("s{session}") }));
        assert_eq!(answer.result().unwrap()["attempts"], json!(CROWD / SESSIONS));
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    const SENT: usize = 400;
    for acknowledged in [1, 57, 200] {
        let directory = tempfile::tempdir().unwrap();
        let victim = Victim::with(members(directory.path(), plenty()));
        let begun: Vec<_> = (0..SENT).map(|index| begin(victim.driver(), &format!("c{index}"), false)).collect();
        for pending in begun.iter().take(acknowledged) {
            assert_eq!(member(&victim.driver().wait(pending).unwrap(), "action"), "allow");
        }
        drop(victim);
        let victim = Victim::with(members(directory.path(), plenty()));
        let attempts = counters(&victim)["attempts"].as_u64().unwrap();
        assert!(attempts >= acknowledged as u64, "{acknowledged} were acknowledged, {attempts} are there");
        assert!(attempts <= SENT as u64, "{SENT} were sent, {attempts} are there");
        // The first call was acknowledged: it is open, and can be finished once.
        let finish = || victim.ask("finish", json!({ "call_id": "c0", "result": "ok" }));
        assert!(finish().refusal().is_none());
        assert!(finish().refusal().is_some());
        assert_eq!(counters(&victim)["execs"], json!(1));
        victim.is_unharmed();
    }
}

#[test]
fn finished_calls_are_there_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), plenty()));
    for index in 0..50 {
        let id = format!("c{index}");
        victim.driver().wait(&begin(victim.driver(), &id, false)).unwrap();
        let finished = victim.ask("finish", json!({ "call_id": id, "result": "Error: no" }));
        assert!(finished.refusal().is_none(), "{}", finished.line());
    }
    drop(victim);
    let victim = Victim::with(members(directory.path(), plenty()));
    let counters = counters(&victim);
    assert_eq!((&counters["attempts"], &counters["execs"]), (&json!(50), &json!(50)));
    assert_eq!(counters["consec_fail"], json!(50));
}

#[test]
fn a_store_full_of_garbage_lets_nothing_through() {
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), plenty()));
    victim.driver().wait(&begin(victim.driver(), "c0", false)).unwrap();
    drop(victim);
    let mut spoiled = 0;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"this is no store at all, and long enough to be taken for one".repeat(200)).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled > 0, "the store left no file in its directory");
    let victim = Victim::start();
    let opened = victim.ask("open", members(directory.path(), plenty()));
    if opened.refusal().is_none() {
        let answer = victim.driver().wait(&begin(victim.driver(), "c1", false)).unwrap();
        assert_eq!(member(&answer, "action"), "block", "{}", answer.line());
        assert_eq!(answer.result().unwrap()["policy_error"], json!(true), "{}", answer.line());
    }
    assert!(victim.driver().is_alive());
}

#[test]
fn a_store_that_cannot_be_is_refused() {
    let victim = Victim::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.join("below-a-file"), "/proc/no/such".into()] {
        let opened = victim.ask(
            "open",
            json!({ "guard": "other", "rulesets": [{ "name": "r", "yaml": RULES }], "store": { "path": path } }),
        );
        assert!(opened.refusal().is_some(), "{}: {}", path.display(), opened.line());
    }
    for store in [json!("disk"), json!(5), json!({}), json!({ "path": 5 }), json!("redis://127.0.0.1:1")] {
        let opened = victim
            .ask("open", json!({ "guard": "other", "rulesets": [{ "name": "r", "yaml": RULES }], "store": store }));
        assert!(opened.refusal().is_some(), "{store}: {}", opened.line());
    }
    victim.is_unharmed();
}

#[test]
fn a_store_that_is_taken_away_lets_nothing_through_uncounted() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let victim = Victim::with(members(&store, json!({ "max_attempts": 4, "max_tool_calls": PLENTY })));
    victim.driver().wait(&begin(victim.driver(), "c0", false)).unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    let actions: Vec<_> = (1..10)
        .map(|index| {
            member(&victim.driver().wait(&begin(victim.driver(), &format!("c{index}"), false)).unwrap(), "action")
        })
        .collect();
    // On a system that keeps open files alive the counts go on; elsewhere every call is blocked.
    let allowed = actions.iter().filter(|action| *action == "allow").count();
    assert!(allowed <= 2, "{actions:?}");
    assert_eq!(actions.last().map(String::as_str), Some("block"));
    assert!(victim.driver().is_alive());
}

#[test]
fn a_guard_opened_anew_by_the_same_name_keeps_its_open_calls() {
    let directory = tempfile::tempdir().unwrap();
    let victim = Victim::with(members(directory.path(), plenty()));
    victim.driver().wait(&begin(victim.driver(), "c0", false)).unwrap();
    assert!(victim.ask("open", members(directory.path(), plenty())).refusal().is_none());
    let finished = victim.ask("finish", json!({ "call_id": "c0", "result": "ok" }));
    assert!(finished.refusal().is_none(), "{}", finished.line());
}

#[test]
fn the_driver_ends_in_order_when_its_input_ends() {
    let directory = tempfile::tempdir().unwrap();
    let driver = Driver::start().unwrap();
    let mut open = members(directory.path(), plenty());
    open["guard"] = GUARD.into();
    driver.ask("open", open).unwrap();
    let begun: Vec<_> = (0..100).map(|index| begin(&driver, &format!("c{index}"), index % 2 == 0)).collect();
    begun.iter().for_each(|pending| drop(driver.wait(pending).unwrap()));
    assert_eq!(driver.finish().unwrap(), 0);
    let victim = Victim::with(members(directory.path(), plenty()));
    assert_eq!(counters(&victim)["attempts"], json!(100));
}

#[test]
fn requests_still_under_way_at_the_end_of_input_are_answered() {
    let driver = Driver::start().unwrap();
    driver
        .ask("open", json!({ "guard": GUARD, "rulesets": [{ "name": "r", "yaml": RULES }], "limits": plenty() }))
        .unwrap();
    let begun: Vec<_> = (0..200).map(|index| begin(&driver, &format!("c{index}"), true)).collect();
    let last = driver.send("hello", Value::Null);
    assert_eq!(driver.end_input().unwrap(), 0);
    begun.iter().chain([&last]).for_each(|pending| {
        let answer = driver.wait(pending).unwrap();
        assert_eq!(code(&answer), "", "{}", answer.line());
    });
}
