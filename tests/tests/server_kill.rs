//! Hosts killed at any moment, with a server that comes and goes: in durable mode nothing that was answered is missing on
//! the server afterwards, and nothing is there twice.
//!
//! `EDICTUM_KILLS` says how many hosts are killed; otherwise 100.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use edictum_tests::driver::Driver;
use edictum_tests::proxy::Proxy;
use edictum_tests::wire::{AGENT, Serve, replace, ruleset};
use serde_json::{Value, json};

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

fn kills() -> usize {
    std::env::var("EDICTUM_KILLS").ok().map_or(100, |kills| kills.parse().unwrap())
}

/// Calls whose `begin`, and those whose `finish`, was answered.
#[derive(Default)]
struct Answered {
    begun: BTreeSet<String>,
    finished: BTreeSet<String>,
}

/// Makes calls until the time is over, and dies in the middle of one.
fn live(driver: Driver, run: usize, time: Duration, answered: &mut Answered) {
    let start = Instant::now();
    for call in 0.. {
        let id = format!("run-{run}-{call}");
        let fields = json!({
            "guard": "dev", "session_id": format!("s{}", call % 3), "call_id": id,
            "call": {"tool": if call % 4 == 3 { "sh" } else { "cat" }, "args": {"x": 1}},
        });
        let pending = driver.send("begin", fields);
        let Some(begun) = wait(&driver, &pending, start, time) else { break };
        answered.begun.insert(id.clone());
        if begun["action"] != "allow" {
            continue;
        }
        let pending = driver.send("finish", json!({"guard": "dev", "call_id": id, "result": "done"}));
        let Some(_finished) = wait(&driver, &pending, start, time) else { break };
        answered.finished.insert(id);
    }
    driver.kill();
}

/// None: its time is over.
fn wait(driver: &Driver, pending: &edictum_tests::driver::Pending, start: Instant, time: Duration) -> Option<Value> {
    loop {
        if let Some(answer) = driver.poll(pending) {
            return Some(answer.result().unwrap());
        }
        if start.elapsed() >= time {
            return None;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn what_was_answered_is_on_the_server_once_whoever_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("rulesets")).unwrap();
    replace(&path("rulesets/rules.yaml"), &ruleset("rules", "sh"));
    let serve = Serve::start(&path("data"), &["--rulesets", path("rulesets").to_str().unwrap()]);
    let proxy = Proxy::to(&serve.address);
    let open = |driver: &Driver| {
        let fields = json!({
            "guard": "dev", "agent_id": "dev", "url": format!("http://{}", proxy.address), "api_key": AGENT,
            "bundle_name": "rules", "store": {"path": path("state")}, "options": {"durable": true},
        });
        driver.answer("open_server", fields).unwrap().result().unwrap();
    };
    // The rules are known before anything goes wrong.
    let first = Driver::start().unwrap();
    open(&first);
    first.ask("close", json!({"guard": "dev"})).unwrap();
    drop(first);

    let (mut dice, mut answered) = (Dice(7), Answered::default());
    for run in 0..kills() {
        let driver = Driver::start().unwrap();
        open(&driver);
        let flap = dice.below(3);
        if flap == 1 {
            proxy.cut();
        }
        live(driver, run, Duration::from_millis(dice.below(120)), &mut answered);
        if flap > 0 {
            proxy.heal();
        }
    }
    assert!(answered.finished.len() > kills(), "calls come to an end in between: {}", answered.finished.len());

    let last = Driver::start().unwrap().with_patience(Duration::from_secs(120));
    open(&last);
    let left = last.ask("flush", json!({"guard": "dev", "timeout_ms": 100_000})).unwrap();
    assert_eq!(left["unsent_events"], 0);
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut before = String::new();
    loop {
        let page = serve.operator("GET", &format!("/v1/events?limit=500{before}"), "").is(200);
        let events = page["events"].as_array().unwrap();
        for event in events {
            let key = |member: &str| event["event"][member].as_str().unwrap_or_default().to_owned();
            *seen.entry((key("call_id"), key("action"))).or_default() += 1;
        }
        match page["next"].as_i64().filter(|_| !events.is_empty()) {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let count = |call: &str, actions: &[&str]| -> usize {
        actions.iter().map(|action| seen.get(&(call.to_owned(), (*action).to_owned())).copied().unwrap_or(0)).sum()
    };
    for call in &answered.begun {
        assert_eq!(count(call, &["call_allowed", "call_blocked"]), 1, "{call} was answered");
    }
    for call in &answered.finished {
        assert_eq!(count(call, &["call_executed"]), 1, "{call} was finished");
    }
    println!("{} hosts killed, {} calls answered, {} finished", kills(), answered.begun.len(), answered.finished.len());
}
