//! What happens when something breaks around the engine: every fault is a block with `policy_error` (in a guard that
//! observes an observed allow), and the next call finds everything in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use edictum_host::store::Store;
use edictum_host::{Action, CallRequest, Guard, Host, ToolOutcome};
use support::{Fragile, LS, Log, RM, RULES, build, guard, host, rules};

fn with_options(store: Arc<dyn Store>, options: &str) -> (Guard, Arc<Log>) {
    let log = Arc::new(Log::default());
    let builder = host().guard("g").ruleset(rules(RULES)).options(options).store(store);
    (build(builder.sink(Arc::clone(&log) as Arc<_>)), log)
}

#[test]
fn a_lost_store_blocks_and_says_so_in_the_log() {
    let store = Arc::new(Fragile::default());
    let (guard, log) = with_options(Arc::clone(&store) as Arc<_>, "{}");
    store.lose(true);
    let decision = guard.blocking().begin(LS).unwrap();
    assert_eq!((decision.action, decision.policy_error), (Action::Block, true));
    assert_eq!(log.actions(), ["call_blocked"]);
    store.lose(false);
    assert!(guard.blocking().begin(LS).unwrap().is_allowed());
}

#[test]
fn a_guard_that_observes_lets_through_what_a_lost_store_would_block() {
    let store = Arc::new(Fragile::default());
    let (guard, log) = with_options(Arc::clone(&store) as Arc<_>, r#"{"mode":"observe"}"#);
    store.lose(true);
    let decision = guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap();
    assert_eq!((decision.action, decision.policy_error, decision.observed), (Action::Allow, true, true));
    assert_eq!(log.actions(), ["call_would_block"]);
    store.lose(false);
    let end = guard.blocking().finish("c", ToolOutcome::new("\"out\"")).unwrap();
    assert!(end.replacement.is_none(), "a call that never was in the store can be finished");
    assert_eq!(guard.blocking().finish("c", ToolOutcome::new("1")).unwrap_err().code(), "not-found");
}

#[test]
fn an_output_that_a_lost_store_keeps_from_being_judged_is_suppressed_and_logged() {
    let store = Arc::new(Fragile::default());
    let (guard, log) = with_options(Arc::clone(&store) as Arc<_>, "{}");
    guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap();
    store.lose(true);
    let end = guard.blocking().finish("c", ToolOutcome::new("\"secret\"")).unwrap();
    assert!(!end.passed || !end.success);
    let shown = end.replacement.clone().unwrap();
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(end.detail("policy_error"), Some("true"), "{}", end.detail);
    assert_eq!(log.actions().len(), 2, "{:?}", log.actions());
}

#[test]
fn events_that_cannot_be_kept_block_only_where_they_must_be_kept() {
    for (options, action) in [("{}", Action::Allow), (r#"{"decision_log_required":true}"#, Action::Block)] {
        let (guard, log) = with_options(Arc::new(Fragile::default()), options);
        log.lost.store(true, Ordering::SeqCst);
        let decision = guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap();
        assert_eq!(decision.action, action, "{options}");
        let open = pollster::block_on(guard.open_calls(10)).unwrap().len();
        assert_eq!(open, usize::from(action == Action::Allow), "{options}");
    }
}

/// How often something slow is tried until the deadline catches it.
const TRIES: usize = 20;

/// So much work that it takes longer than any deadline of a test.
fn slow_call() -> String {
    // Short words: long ones are scanned faster than any deadline.
    let words = vec!["\"a\""; 3_500_000].join(",");
    format!(r#"{{"tool":"sh","args":{{"command":"ls","words":[{words}]}}}}"#)
}

#[test]
fn an_instance_that_takes_too_long_is_given_up_and_replaced() {
    let host = Host::builder().step_deadline(Duration::from_millis(1)).deciders(1).build().unwrap();
    let (guard, log) = guard(&host, RULES);
    let slow = slow_call();
    for _ in 0..3 {
        let decision = (0..TRIES)
            .map(|_| guard.blocking().begin(CallRequest::new(&slow)).unwrap())
            .find(|decision| decision.action == Action::Block)
            .expect("it takes longer than its deadline");
        assert!(decision.policy_error);
        assert_eq!(decision.name, "deadline");
        assert_eq!(guard.blocking().begin(RM).unwrap().name, "no-rm", "the next call finds a new one");
    }
    let blocked = log.actions().iter().filter(|action| *action == "call_blocked").count();
    assert_eq!(blocked, 6, "it is in the log although the call itself could not be read");
    // Epochs are ticked by a thread: on a busy machine it may come too late for one step, but not for all of them.
    let given_up = (0..TRIES).any(|_| {
        let result = guard.blocking().evaluate(&slow, None).unwrap();
        result.contains(r#""decision":"block""#) && result.contains(r#""policy_error":true"#)
    });
    assert!(given_up, "a dry run has a deadline too");
}

#[test]
fn an_instance_that_needs_too_much_memory_is_given_up_and_replaced() {
    let host = Host::builder().memory(16 << 20).deciders(1).build().unwrap();
    let (guard, _) = guard(&host, RULES);
    let large = slow_call();
    for _ in 0..3 {
        let decision = guard.blocking().begin(CallRequest::new(&large).session("big")).unwrap();
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true));
        assert_eq!(decision.name, "out_of_memory");
        assert!(guard.blocking().begin(LS).unwrap().is_allowed());
    }
}

#[test]
fn too_little_memory_to_compile_rules_is_an_error_and_no_guard() {
    let host = Host::builder().memory(1 << 20).build();
    let built = host.and_then(|host| pollster::block_on(host.guard("g").ruleset(rules(RULES)).build()));
    assert_eq!(built.unwrap_err().code(), "internal");
}

#[test]
fn a_component_that_is_none_is_refused() {
    for bytes in [Vec::new(), b"\0asm".to_vec(), b"\0asm\x0d\0\x01\0".to_vec(), vec![7; 1000]] {
        let source = edictum_host::ComponentSource::from_bytes(bytes);
        let error = Host::builder().component(source).build().err().unwrap();
        assert_eq!(error.code(), "internal", "{error}");
    }
}
