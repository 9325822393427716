//! A host is killed at any moment while a session walks through a workflow. What was acknowledged is there afterwards; what
//! is answered again counts once. `EDICTUM_KILLS` sets how many times (50).

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edictum_tests::differential::random::Random;
use edictum_tests::driver::{Driver, Pending};
use edictum_tests::victim::{GUARD, RULES};
use serde_json::{Value, json};

const KILLS: u64 = 50;

const WORKFLOW: &str = r#"apiVersion: edictum/v1
kind: Workflow
metadata: {name: flow}
stages:
  - {id: read, tools: [Read], exit: [{condition: 'file_read("file-5")', message: read on}]}
  - {id: work, tools: [Bash], checks: [{command_matches: '^work', message: only work}], exit: [{condition: 'command_matches("^work 9$")', message: work on}], approval: {message: 'done?'}}
  - {id: push, tools: [Bash], checks: [{command_matches: '^push', message: only push}]}
"#;

const STAGES: [&str; 3] = ["read", "work", "push"];

/// Calls of each stage.
const CALLS: [(&str, &str, &str, usize); 3] =
    [("Read", "path", "file-", 6), ("Bash", "command", "work ", 10), ("Bash", "command", "push ", 8)];

/// The call whose stage a person has to agree to leave.
const ASKED: &str = "push 0";

struct Sent {
    begin: Pending,
    finish: Pending,
    approve: Option<Pending>,
}

fn open(folder: &Path) -> Driver {
    let driver = Driver::start().unwrap();
    let members = json!({
        "guard": GUARD, "rulesets": [{ "name": "victim", "yaml": RULES }], "workflow": WORKFLOW, "store": { "path": folder },
    });
    driver.ask("open", members).unwrap_or_else(|trouble| panic!("{trouble}"));
    driver
}

/// All calls of the session, by what they work on; nothing is waited for.
fn send(driver: &Driver) -> BTreeMap<String, Sent> {
    let mut sent = BTreeMap::new();
    for (tool, key, what, count) in CALLS {
        for number in 0..count {
            let work = format!("{what}{number}");
            let call = json!({ "tool": tool, "args": { key: work } });
            let begin = json!({ "guard": GUARD, "session_id": "s", "call_id": work, "call": call });
            let begin = driver.send("begin", begin);
            let approve = (work == ASKED).then(|| approve(driver));
            let finish = driver.send("finish", json!({ "guard": GUARD, "call_id": work, "result": "ok" }));
            sent.insert(work, Sent { begin, finish, approve });
        }
    }
    sent
}

fn approve(driver: &Driver) -> Pending {
    driver.send("approve", json!({ "guard": GUARD, "call_id": ASKED, "outcome": "approved" }))
}

fn result(driver: &Driver, pending: &Pending) -> Option<Value> {
    driver.poll(pending).and_then(|answer| answer.result().ok())
}

fn state(driver: &Driver) -> Value {
    let state = driver.ask("workflow", json!({ "guard": GUARD, "session_id": "s", "do": "state" }));
    state.unwrap_or_else(|trouble| panic!("the state cannot be read: {trouble}"))
}

fn counters(driver: &Driver) -> Value {
    driver.ask("counters", json!({ "guard": GUARD, "session_id": "s" })).unwrap()
}

/// How far a session is: stages left.
fn place(stage: &Value) -> usize {
    let stage = stage.as_str().unwrap_or_default();
    STAGES.iter().position(|each| *each == stage).unwrap_or_else(|| panic!("no stage `{stage}`"))
}

/// What the evidence says of a call: how often it was recorded.
fn recorded(state: &Value, work: &str) -> usize {
    let evidence = &state["evidence"];
    let lists = evidence["stage_calls"].as_object().into_iter().flatten().map(|(_, calls)| calls);
    let items = lists.chain([&evidence["reads"]]).flat_map(|list| list.as_array().into_iter().flatten());
    items.filter(|item| item.as_str() == Some(work)).count()
}

fn check_form(state: &Value) {
    let place = place(&state["active_stage"]);
    assert_eq!(state["completed_stages"], json!(STAGES[..place]), "{state}");
    for (stage, status) in state["approvals"].as_object().unwrap() {
        assert_eq!((stage.as_str(), status), ("work", &json!("approved")), "{state}");
    }
    assert!(place < 2 || state["approvals"]["work"] == "approved", "{state}");
}

/// What came of one death.
struct Death {
    /// The session was under way.
    under_way: bool,
    /// Its last finish counted again when it was asked for again.
    again: bool,
}

/// One life, one death, and what is there afterwards.
fn killed(random: &mut Random, longest: Duration) -> Death {
    let folder = tempfile::tempdir().unwrap();
    let driver = open(folder.path());
    let started = Instant::now();
    let sent = send(&driver);
    let total = sent.len();
    let after = longest.mul_f64(random.below(10_000) as f64 / 10_000.0);
    std::thread::sleep(after.saturating_sub(started.elapsed()));
    driver.kill_and_listen();

    let again = open(folder.path());
    let there = state(&again);
    check_form(&there);
    let (mut begun, mut finished, mut granted) = (0, 0, false);
    let mut to_finish = Vec::new();
    for (work, each) in &sent {
        let answer = result(&driver, &each.begin);
        if let Some(answer) = &answer {
            begun += 1;
            let seen = place(&answer["workflow"]["active_stage"]);
            assert!(seen <= place(&there["active_stage"]), "`{work}` was told {answer}, there is {there}");
        }
        let approved = each.approve.as_ref().and_then(|approve| result(&driver, approve));
        granted |= approved.as_ref().is_some_and(|answer| answer["action"] == "allow");
        if result(&driver, &each.finish).is_some() {
            finished += 1;
            assert_eq!(recorded(&there, work), 1, "`{work}` was acknowledged, there is {there}");
        } else if answer.is_some_and(|answer| answer["action"] != "block") {
            to_finish.push(work.clone());
        }
        assert!(recorded(&there, work) <= 1, "`{work}` twice: {there}");
    }
    assert!(!granted || there["approvals"]["work"] == "approved", "a grant was acknowledged, there is {there}");
    let counted = counters(&again);
    let (attempts, execs) = (counted["attempts"].as_u64().unwrap(), counted["execs"].as_u64().unwrap());
    assert!(attempts >= begun && attempts <= total as u64, "{begun} of {total} were begun, {attempts} are counted");
    assert!(execs >= finished && execs <= total as u64, "{finished} were finished, {execs} are counted");

    // Whoever got no answer asks again, after the dead process has lost its claim on the call. A grant that was answered
    // before the kill and is answered again is one.
    again.ask("hello", json!({ "now_ms": later() })).unwrap();
    again.wait(&approve(&again)).unwrap();
    for work in &to_finish {
        let answer = again.answer("finish", json!({ "guard": GUARD, "call_id": work, "result": "ok" })).unwrap();
        let gone = answer.refusal().is_some();
        assert!(!gone || recorded(&there, work) == 1, "`{work}` is gone and was never recorded: {}", answer.line());
    }
    let there = state(&again);
    check_form(&there);
    // A finish that was under way when the host died, and is asked for again, may count twice: at-least-once, which a limit
    // can bear. There is only one such call, because the steps of a session run in order.
    let times: Vec<u64> = sent.keys().map(|work| recorded(&there, work) as u64).collect();
    let (all, distinct) = (times.iter().sum::<u64>(), times.iter().filter(|times| **times > 0).count() as u64);
    assert!(all - distinct <= 1, "recorded twice: {there}");
    for work in &to_finish {
        assert!(recorded(&there, work) >= 1, "`{work}` was finished again and is not there: {there}");
    }
    let counted = counters(&again);
    assert_eq!(counted["attempts"].as_u64(), Some(attempts), "an answer is no attempt");
    let execs = counted["execs"].as_u64().unwrap();
    assert!(execs == distinct || execs == distinct + 1, "{distinct} calls ran, {execs} are counted: {there}");
    let events = again.ask("events", json!({ "guard": GUARD })).unwrap();
    let grants = events["events"].as_array().into_iter().flatten();
    let grants = grants.filter(|event| event["action"] == "call_approval_granted").count();
    assert!(grants + usize::from(granted) <= 1, "{events}");
    Death { under_way: begun > 0 && finished < total as u64, again: execs > distinct || all > distinct }
}

/// Three minutes from now, in milliseconds since 1970: calls and questions are still open, and claims on them are not.
fn later() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(180);
    u64::try_from(now.as_millis()).unwrap()
}

/// How long the whole session takes.
fn duration() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let driver = open(folder.path());
    let started = Instant::now();
    let sent = send(&driver);
    for each in sent.values() {
        assert!(driver.wait(&each.finish).unwrap().refusal().is_none(), "every call runs: {}", state(&driver));
    }
    let took = started.elapsed();
    let there = state(&driver);
    check_form(&there);
    assert_eq!(there["active_stage"], "push");
    took
}

#[test]
fn a_session_survives_kills_at_any_moment() {
    let kills = std::env::var("EDICTUM_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let longest = duration();
    let mut random = Random::new(4);
    let deaths: Vec<Death> = (0..kills).map(|_| killed(&mut random, longest)).collect();
    let under_way = deaths.iter().filter(|death| death.under_way).count();
    let again = deaths.iter().filter(|death| death.again).count();
    println!(
        "{kills} kills within {longest:?}, {under_way} while the session was under way: nothing acknowledged was lost"
    );
    println!("{again} times the finish under way counted again when it was asked for again");
    assert!(under_way as u64 * 2 > kills, "only {under_way} of {kills} kills came while the session was under way");
}
