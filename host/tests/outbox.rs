//! Guards whose decision log goes into an outbox: what is on the disk when they answer, and what they do when it is full.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use edictum_host::outbox::{Content, FILE_NAME, Outbox, State};
use edictum_host::{Action, CallRequest, EventSink, Guard, Kept, ToolOutcome};
use serde_json::Value;
use support::{LS, RM, RULES, build, host, rules};

fn guard(outbox: &Outbox, options: &str) -> Guard {
    build(host().guard("g").ruleset(rules(RULES)).options(options).outbox(outbox, "lane"))
}

fn open(folder: &Path) -> Outbox {
    Outbox::open(&folder.join(FILE_NAME)).unwrap()
}

/// Actions of the events that another process would find there now; gaps as their counts.
fn seen(outbox: &Outbox) -> Vec<String> {
    let front = pollster::block_on(outbox.front("lane", usize::MAX, usize::MAX)).unwrap();
    let shown = front.iter().map(|entry| match &entry.content {
        Content::Event(event) => {
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event["sequence"], entry.sequence);
            event["action"].as_str().unwrap().to_owned()
        }
        Content::Gap(gap) => format!("gap {}", gap.count),
    });
    shown.collect()
}

#[test]
fn with_durable_every_answer_comes_after_its_events_are_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, other) = (open(folder.path()), open(folder.path()));
    let guard = guard(&outbox, r#"{"durable": true}"#);
    assert!(guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap().is_allowed());
    assert_eq!(seen(&other), ["call_allowed"]);
    guard.blocking().finish("c", ToolOutcome::new("\"ok\"")).unwrap();
    assert_eq!(seen(&other), ["call_allowed", "call_executed"]);
    assert_eq!(guard.blocking().begin(RM).unwrap().action, Action::Block);
    assert_eq!(seen(&other), ["call_allowed", "call_executed", "call_blocked"]);
}

#[test]
fn without_it_they_follow_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let guard = guard(&outbox, "{}");
    for _ in 0..50 {
        guard.blocking().begin(RM).unwrap();
    }
    pollster::block_on(outbox.sync()).unwrap();
    assert_eq!(seen(&outbox).len(), 50);
}

#[test]
fn a_full_outbox_blocks_where_the_log_is_required_and_says_so_where_it_is_not() {
    for (options, action) in [
        (r#"{"outbox_max_bytes": 1}"#, Action::Allow),
        (r#"{"outbox_max_bytes": 1, "durable": true}"#, Action::Allow),
        (r#"{"outbox_max_bytes": 1, "decision_log_required": true}"#, Action::Block),
        (r#"{"outbox_max_bytes": 1, "decision_log_required": true, "durable": true}"#, Action::Block),
    ] {
        let outbox = Outbox::in_memory().unwrap();
        let guard = guard(&outbox, options);
        let decision = guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap();
        assert_eq!((decision.action, decision.policy_error), (action, action == Action::Block), "{options}");
        pollster::block_on(outbox.sync()).unwrap();
        let lost = if action == Action::Allow { "gap 1" } else { "gap 2" };
        assert_eq!(seen(&outbox), [lost], "{options}");
        assert_eq!(outbox.health("lane").state, State::Degraded, "{options}");
        let open = pollster::block_on(guard.open_calls(10)).unwrap().len();
        assert_eq!(open, usize::from(action == Action::Allow), "{options}");
    }
}

#[test]
fn a_guard_goes_on_when_there_is_room_again() {
    let outbox = Outbox::in_memory().unwrap();
    let guard = guard(&outbox, r#"{"decision_log_required": true}"#);
    outbox.set_max_bytes(0);
    assert_eq!(guard.blocking().begin(LS).unwrap().action, Action::Block);
    outbox.set_max_bytes(1 << 20);
    assert!(guard.blocking().begin(LS).unwrap().is_allowed());
    pollster::block_on(outbox.sync()).unwrap();
    assert_eq!(seen(&outbox), ["gap 2", "call_allowed"]);
}

/// Never answers.
struct Silent;

impl EventSink for Silent {
    fn emit(&self, _: &[String]) -> Result<(), String> {
        Ok(())
    }

    fn keep(&self, _: &[String]) -> Kept {
        Kept::when(std::future::pending())
    }
}

#[test]
fn who_waits_for_a_disk_holds_up_no_other_guard() {
    let host = host();
    let silent = std::sync::Arc::new(Silent);
    let waiting = host.guard("waiting").ruleset(rules(RULES)).option("durable", true).sink(silent);
    let (waiting, free) = (build(waiting), build(host.guard("free").ruleset(rules(RULES))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun: Vec<_> = (0..100)
            .map(|number| {
                let waiting = waiting.clone();
                let call_id = number.to_string();
                tokio::spawn(
                    async move { waiting.begin(CallRequest::new(LS).call_id(&call_id).session(&call_id)).await },
                )
            })
            .collect();
        for _ in 0..100 {
            assert!(free.begin(LS).await.unwrap().is_allowed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.iter().all(|begun| !begun.is_finished()), "they wait for the disk");
        begun.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
