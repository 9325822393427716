//! The source against answers and events written by hand, and against a server that is as bad as it can be.

use ed25519_compact::{KeyPair, Seed};

use super::*;
use crate::endpoint::testing::{API_KEY, console, endpoint, json, seeded, with_header};
use crate::response::Fault;
use crate::ruleset::body::revision;
use crate::stream::connection::Order;

const START: u64 = 1_800_000_000_000;

fn text(name: &str, version: u64) -> String {
    format!("apiVersion: edictum/v1\nkind: Ruleset\nmetadata:\n  name: {name}\n# {version}\n")
}

fn signature(text: &str) -> String {
    hex::encode(*KeyPair::from_seed(Seed::new([1; 32])).sk.sign(text, None))
}

fn key() -> String {
    hex::encode(*KeyPair::from_seed(Seed::new([1; 32])).pk)
}

fn ruleset(name: &str, version: u64) -> Answer {
    let text = text(name, version);
    let signature = signature(&text);
    json(200, &format!(r#"{{"name":"{name}","version":{version},"yaml":{text:?},"signature":"{signature}"}}"#))
}

fn lost() -> Answer {
    Err(Fault::Lost("reset".to_owned()))
}

fn named() -> String {
    format!(r#"{{"bundle_name":"t","verify_signatures":true,"signing_public_keys":["{}"]}}"#, key())
}

struct Sim {
    source: RulesetSource,
    now: u64,
    notices: Vec<Notice>,
    memory: Option<String>,
}

impl Sim {
    fn open(options: &str, memory: Option<&str>) -> Self {
        let source = RulesetSource::open(&endpoint(), options, memory).unwrap();
        Self { source, now: START, notices: Vec::new(), memory: None }
    }

    /// A named source that runs version 2, with its stream open.
    fn running() -> Self {
        let mut sim = Self::open(&named(), None);
        let step = sim.answers([ruleset("t", 2)]);
        sim.enforce(step.release.unwrap());
        assert_eq!(sim.step().connection, Order::Open);
        sim.open_stream();
        // The reconcile after the stream was opened.
        sim.now += 1000;
        assert_eq!(sim.answers([ruleset("t", 2)]).release, None);
        sim
    }

    fn step(&mut self) -> SourceStep {
        let step = self.source.take_step(self.now);
        self.notices.extend(step.notices.iter().cloned());
        self.memory = step.memory.clone().or(self.memory.take());
        step
    }

    fn request(&mut self) -> Option<Request> {
        self.source.next_request(self.now)
    }

    /// Exactly these requests are due, one after the other.
    fn answers(&mut self, answers: impl IntoIterator<Item = Answer>) -> SourceStep {
        for answer in answers {
            assert!(self.request().is_some(), "a request is missing");
            assert!(self.request().is_none(), "one at a time");
            self.source.answered(&answer, self.now);
        }
        assert!(self.request().is_none(), "a request too many");
        self.step()
    }

    fn enforce(&mut self, release: Release) {
        self.source.enforced(&release.revision, self.now);
    }

    fn open_stream(&mut self) -> StreamRequest {
        let request = self.source.stream_request(self.now);
        self.source.stream_opened(200, vec![("content-type".into(), "text/event-stream".into())], self.now);
        request
    }

    fn event(&mut self, name: &str, data: &str) {
        self.now += 2000;
        self.source.stream_data(format!("event: {name}\ndata: {data}\n\n").as_bytes(), self.now);
    }

    fn health(&self) -> String {
        self.source.health(self.now)
    }

    fn has_notice(&self, code: &str) -> bool {
        self.notices.iter().any(|notice| notice.code == code)
    }
}

#[test]
fn the_request_is_the_canonical_one() {
    let request = Sim::open(r#"{"bundle_name":"prod-1"}"#, None).request().unwrap();
    assert_eq!(request.url(), "https://api.example.com/v1/rulesets/prod-1/current?env=production");
    let mut source = RulesetSource::open(&console(), r#"{"bundle_name":"prod-1"}"#, None).unwrap();
    let url = source.next_request(START).unwrap().url();
    assert_eq!(url, "https://api.example.com/api/v1/bundles/prod-1/current?env=production");
}

#[test]
fn t22_options_that_make_no_sense_are_refused() {
    for bad in [
        r#"{"bundle_name":"b\n"}"#,
        r#"{"auto_watch":false}"#,
        r#"{"bundle_name":"b","verify_signatures":true}"#,
        r#"{"bundle_name":"b","verify_signatures":true,"signing_public_keys":["x"]}"#,
        r#"{"bundle":"b"}"#,
    ] {
        assert_eq!(RulesetSource::open(&endpoint(), bad, None).unwrap_err().code, Code::Option, "{bad}");
    }
}

#[test]
fn a_named_start_gives_a_verified_release_and_then_opens_the_stream() {
    let mut sim = Sim::open(&named(), None);
    let step = sim.answers([ruleset("t", 1)]);
    let release = step.release.unwrap();
    assert_eq!((release.version, release.key_id.as_deref()), (Some(1), Some(&*key())));
    assert_eq!(release.revision, revision(&text("t", 1)));
    assert!(step.memory.is_some(), "kept before it is used");
    assert_eq!(step.connection, Order::Keep, "what is reported is what is enforced");
    sim.enforce(release.clone());
    assert_eq!(sim.step().connection, Order::Open);
    let url = sim.open_stream().request.url();
    assert_eq!(
        url,
        format!("https://api.example.com/v1/stream?env=production&bundle_name=t&policy_version={}", release.revision)
    );
}

#[test]
fn t01_t02_a_start_survives_two_failures_and_not_three() {
    let mut sim = Sim::open(&named(), None);
    for _ in 0..2 {
        let step = sim.answers([json(500, "{}")]);
        assert_eq!((step.release, step.failed), (None, None));
        sim.now = step.next.unwrap();
    }
    assert!(sim.answers([ruleset("t", 1)]).release.is_some());
    let mut sim = Sim::open(&named(), None);
    for _ in 0..2 {
        sim.now = sim.answers([lost()]).next.unwrap();
    }
    assert_eq!(sim.answers([lost()]).failed.unwrap().code, Code::Interrupted);
    assert_eq!(sim.step().failed, None);
    assert!(sim.request().is_none());
}

#[test]
fn t26_t33_a_start_that_cannot_succeed_fails_at_once() {
    let unsigned = json(200, &format!(r#"{{"yaml":{:?}}}"#, text("t", 1)));
    let null = json(200, &format!(r#"{{"yaml":{:?},"signature":null}}"#, text("t", 1)));
    let tampered = text("t", 1).replace('\n', "\r\n");
    let tampered = json(200, &format!(r#"{{"yaml":{tampered:?},"signature":"{}"}}"#, signature(&text("t", 1))));
    for (answer, code) in [
        (json(401, "{}"), Code::Auth),
        (json(403, "{}"), Code::Auth),
        (json(404, "{}"), Code::RulesetNotFound),
        (with_header(json(302, ""), "location", "https://evil.example/"), Code::Redirect),
        (json(200, "[1]"), Code::Protocol),
        (json(200, r#"{"yaml":""}"#), Code::EmptyRuleset),
        (Err(Fault::TooLarge), Code::TooLarge),
        (unsigned, Code::Signature),
        (null, Code::Signature),
        (tampered, Code::Signature),
        (ruleset("u", 1), Code::WrongName),
    ] {
        let step = Sim::open(&named(), None).answers([answer.clone()]);
        let failed = step.failed.unwrap();
        assert_eq!((step.release, failed.code), (None, code), "{answer:?}");
        assert!(!failed.to_string().contains(API_KEY));
    }
    let failed = Sim::open(&named(), None).answers([json(404, "{}")]).failed.unwrap();
    assert!(failed.message.contains("`t`") && failed.message.contains("`production`"));
}

#[test]
fn t63_a_pointer_causes_a_fetch_and_the_fetch_a_release() {
    let mut sim = Sim::running();
    sim.event("ruleset_updated", r#"{"name":"t","version":3}"#);
    let release = sim.answers([ruleset("t", 3)]).release.unwrap();
    assert_eq!(release.version, Some(3));
    assert!(sim.health().contains(&revision(&text("t", 2))), "not enforced yet");
    sim.enforce(release);
    assert!(sim.health().contains(&revision(&text("t", 3))));
}

#[test]
fn t64_the_same_push_five_times_changes_nothing() {
    let mut sim = Sim::running();
    let hash = revision(&text("t", 2));
    for _ in 0..5 {
        sim.event("contract_update", &format!(r#"{{"bundle_name":"t","revision_hash":"{hash}"}}"#));
    }
    assert!(sim.request().is_none());
    let data = "event: ruleset_updated\ndata: {\"name\":\"t\"}\n\n".repeat(5);
    sim.source.stream_data(data.as_bytes(), sim.now);
    assert_eq!(sim.answers([ruleset("t", 2)]).release, None);
}

#[test]
fn t65_t67_t68_what_is_not_for_us_or_malformed_causes_nothing() {
    let mut sim = Sim::running();
    for (name, data) in [
        ("contract_update", r#"{"bundle_name":"other","yaml_bytes":"eA=="}"#),
        ("contract_update", r#"{"bundle_name":"t","env":"staging"}"#),
        ("contract_update", r#"{"_assignment_changed":true,"bundle_name":"../../admin/secret?x="}"#),
        ("assignment_changed", r#"{"bundle_name":"n2\n"}"#),
        ("assignment_changed", r#"{"bundle_name":"other"}"#),
        ("ruleset_updated", "[[[["),
        ("decision", "{}"),
    ] {
        sim.event(name, data);
        assert!(sim.request().is_none(), "{name} {data}");
    }
    sim.step();
    assert!(sim.has_notice("event") && sim.has_notice("assignment"));
}

#[test]
fn t39_a_rollback_needs_the_fetch_to_confirm_it() {
    let old = text("t", 1);
    let replayed = format!(r#"{{"bundle_name":"t","version":1,"yaml":{old:?},"signature":"{}"}}"#, signature(&old));
    // The stream replays an older ruleset: the server, asked, still gives the newer one.
    let mut sim = Sim::running();
    sim.event("contract_update", &replayed);
    assert_eq!(sim.answers([ruleset("t", 2)]).release, None);
    // One stale answer is no rollback either.
    sim.event("contract_update", &replayed);
    assert_eq!(sim.answers([ruleset("t", 1), ruleset("t", 2)]).release, None);
    assert!(!sim.has_notice("rollback"));
    // The server says so, twice.
    sim.event("contract_update", &replayed);
    let release = sim.answers([ruleset("t", 1), ruleset("t", 1)]).release.unwrap();
    assert_eq!(release.version, Some(1));
    assert!(sim.has_notice("rollback"));
    sim.enforce(release);
    // It is not asked again about what it has confirmed, and the highest version stays.
    sim.event("contract_update", &replayed);
    assert_eq!(sim.answers([ruleset("t", 1)]).release, None);
    assert!(sim.memory.unwrap().contains(r#""highest":{"t":2}"#));
}

#[test]
fn t39_the_highest_version_survives_a_restart() {
    let mut sim = Sim::open(&named(), None);
    sim.answers([ruleset("t", 5)]);
    let memory = sim.memory.unwrap();
    let mut sim = Sim::open(&named(), Some(&memory));
    assert_eq!(sim.answers([ruleset("t", 4), ruleset("t", 5)]).release.unwrap().version, Some(5));
    assert!(!sim.has_notice("rollback"));
}

#[test]
fn t40_a_rotated_key_leaves_the_old_rules_and_is_visible() {
    let mut sim = Sim::running();
    let new = text("t", 3);
    let foreign = hex::encode(*KeyPair::from_seed(Seed::new([2; 32])).sk.sign(&new, None));
    sim.event("ruleset_updated", r#"{"name":"t","version":3}"#);
    let step = sim.answers([json(200, &format!(r#"{{"yaml":{new:?},"signature":"{foreign}"}}"#))]);
    assert_eq!((step.release, step.failed), (None, None));
    assert!(sim.has_notice("E_SIGNATURE"));
    assert!(sim.health().contains(r#""stream":"degraded","last_error":"E_SIGNATURE"#), "{}", sim.health());
    sim.event("ruleset_updated", r#"{"name":"t","version":3}"#);
    assert!(sim.answers([ruleset("t", 3)]).release.is_some());
    assert!(!sim.health().contains("last_error"));
}

#[test]
fn t58_t76_what_was_missed_is_fetched_after_each_connect() {
    let mut sim = Sim::running();
    sim.source.stream_data(b"event: ruleset_updated\ndata: {\"na", sim.now);
    sim.source.stream_closed(sim.now);
    sim.now = sim.step().next.unwrap();
    assert_eq!(sim.step().connection, Order::Open);
    sim.open_stream();
    assert_eq!(sim.answers([ruleset("t", 3)]).release.unwrap().version, Some(3));
}

#[test]
fn t59_a_refused_stream_is_told_and_tried_again_slowly_while_the_poll_goes_on() {
    let mut sim = Sim::running();
    sim.source.stream_closed(sim.now);
    sim.now = sim.step().next.unwrap();
    assert_eq!(sim.step().connection, Order::Open);
    sim.source.stream_request(sim.now);
    sim.source.stream_opened(401, vec![("content-type".into(), "text/event-stream".into())], sim.now);
    let step = sim.step();
    assert_eq!((step.connection, step.failed), (Order::Close, None));
    assert!(sim.has_notice("E_AUTH"));
    assert!(sim.health().contains(r#""stream":"degraded","last_error":"E_AUTH"#));
    assert!(step.next.unwrap() - sim.now >= 60_000);
    let mut fetched = 0;
    for _ in 0..10 {
        sim.now = sim.step().next.unwrap();
        if sim.request().is_some() {
            fetched += 1;
            sim.source.answered(&ruleset("t", 2), sim.now);
        }
    }
    assert!(fetched >= 1, "the safety poll");
}

#[test]
fn t60_a_credential_that_the_stream_refuses_ends_an_assigned_start_at_once() {
    let mut sim = Sim::open("{}", None);
    assert_eq!(sim.step().connection, Order::Open);
    sim.source.stream_request(sim.now);
    sim.source.stream_opened(401, vec![("content-type".into(), "application/json".into())], sim.now);
    let step = sim.step();
    assert_eq!(step.failed.unwrap().code, Code::Auth);
    assert_eq!((step.connection, step.next), (Order::Close, None));
}

#[test]
fn t62_without_a_stream_the_poll_finds_the_new_ruleset() {
    let mut sim = Sim::running();
    sim.source.stream_closed(sim.now);
    sim.now = sim.step().next.unwrap();
    sim.step();
    sim.source.stream_request(sim.now);
    sim.source.stream_opened(204, vec![], sim.now);
    let began = sim.now;
    while sim.request().is_none() {
        sim.now = sim.step().next.unwrap();
    }
    assert!(sim.now - began <= 300_000);
    sim.source.answered(&ruleset("t", 3), sim.now);
    assert!(sim.step().release.is_some());
}

#[test]
fn t66_a_ruleset_that_does_not_load_leaves_the_old_one_and_is_not_reported_as_enforced() {
    let mut sim = Sim::running();
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    let bad = sim.answers([ruleset("t", 3)]).release.unwrap();
    sim.source.rejected(&bad.revision, "rules[0].id: is missing", sim.now);
    sim.step();
    assert!(sim.has_notice("E_REJECTED") && sim.health().contains("rules[0].id"));
    let kept = Memory::read(&endpoint(), sim.memory.as_deref().unwrap()).unwrap();
    assert_eq!(kept.release.unwrap().version, Some(2), "the offline copy is one that loads");
    // The same ruleset is not given again, and the next connect reports what is enforced.
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    assert_eq!(sim.answers([ruleset("t", 3)]).release, None);
    sim.source.stream_closed(sim.now);
    let url = sim.source.stream_request(sim.now).request.url();
    assert!(url.ends_with(&revision(&text("t", 2))), "{url}");
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    sim.now += 400_000;
    assert!(sim.answers([ruleset("t", 4)]).release.is_some());
}

#[test]
fn t69_t79_assignment_by_the_server() {
    let mut sim = Sim::open("{}", None);
    assert_eq!(sim.step().connection, Order::Open);
    let url = sim.open_stream().request.url();
    assert_eq!(url, "https://api.example.com/v1/stream?env=production");
    assert!(sim.request().is_none(), "nothing to fetch yet");
    sim.event("ruleset_updated", r#"{"name":"somebody-elses"}"#);
    assert!(sim.request().is_none());
    sim.event("assignment_changed", r#"{"bundle_name":"n"}"#);
    // It is not there yet: tried again.
    let step = sim.answers([json(404, "{}")]);
    assert_eq!(step.failed, None);
    sim.now = step.next.unwrap();
    let step = sim.answers([ruleset("n", 1)]);
    assert!(sim.memory.as_ref().unwrap().contains(r#""assignment":"n""#));
    sim.enforce(step.release.unwrap());
    // Another assignment.
    sim.event("contract_update", r#"{"_assignment_changed":true,"bundle_name":"m"}"#);
    let step = sim.answers([json(500, "{}")]);
    sim.now = step.next.unwrap();
    assert_eq!(sim.answers([ruleset("m", 1)]).release.unwrap().name, "m");
    sim.event("assignment_changed", r#"{"bundle_name":null}"#);
    assert!(sim.request().is_none());

    // The first one does not load: at once, with the reason.
    let mut sim = Sim::open("{}", None);
    sim.step();
    sim.open_stream();
    sim.event("contract_update", r#"{"bundle_name":"n"}"#);
    let bad = sim.answers([ruleset("n", 1)]).release.unwrap();
    sim.source.rejected(&bad.revision, "not a map", sim.now);
    let failed = sim.step().failed.unwrap();
    assert_eq!(failed.code, Code::Rejected);
    assert!(failed.message.contains("not a map"));
}

#[test]
fn without_an_assignment_the_start_ends_after_thirty_seconds() {
    let mut sim = Sim::open("{}", None);
    sim.step();
    sim.open_stream();
    let mut last = sim.now;
    let failed = loop {
        let step = sim.step();
        if let Some(failed) = step.failed {
            break failed;
        }
        last = sim.now;
        sim.now = step.next.unwrap().max(sim.now + 1);
    };
    assert_eq!(failed.code, Code::NoAssignment);
    assert_eq!(sim.now - START, ASSIGNMENT_MS);
    assert!(last < sim.now);
}

#[test]
fn an_assignment_survives_a_restart() {
    let mut sim = Sim::open("{}", None);
    sim.step();
    sim.open_stream();
    sim.event("assignment_changed", r#"{"bundle_name":"n"}"#);
    sim.answers([ruleset("n", 1)]);
    let mut sim = Sim::open("{}", Some(&sim.memory.unwrap()));
    assert!(sim.answers([ruleset("n", 1)]).release.is_some());
}

#[test]
fn t73_t74_an_event_too_large_is_fetched_instead_and_ids_come_back() {
    let mut sim = Sim::running();
    sim.source.stream_data(b"id: 7\nretry: 5000\n\n", sim.now);
    let noise = vec![b'a'; 16 * 1024];
    sim.now += 2000;
    for _ in 0..200 {
        sim.source.stream_data(&noise, sim.now);
    }
    sim.source.stream_data(b"\n\n", sim.now);
    assert_eq!(sim.answers([ruleset("t", 3)]).release.unwrap().version, Some(3));
    assert!(sim.has_notice("oversize"));
    sim.source.stream_closed(sim.now);
    let wait = sim.step().next.unwrap() - sim.now;
    assert!((5000..=6000).contains(&wait), "{wait}");
    sim.now += wait;
    sim.step();
    assert_eq!(sim.source.stream_request(sim.now).request.header("last-event-id"), Some("7"));
}

#[test]
fn approvals_that_were_decided_are_passed_on() {
    let mut sim = Sim::running();
    sim.event("approval_decided", r#"{"approval_id":"a-1"}"#);
    sim.event("approval_timeout", r#"{"approval_id":"a-2"}"#);
    assert_eq!(sim.step().wake_approvals, ["a-1", "a-2"]);
    assert!(sim.step().wake_approvals.is_empty() && sim.request().is_none());
    for number in 0..2 * MAX_WAKES {
        sim.source.stream_data(
            format!("event: approval_decided\ndata: {{\"approval_id\":\"a-{number}\"}}\n\n").as_bytes(),
            sim.now,
        );
    }
    assert_eq!(sim.step().wake_approvals.len(), MAX_WAKES);
}

#[test]
fn without_watching_nothing_is_asked_again() {
    let options = r#"{"bundle_name":"t","auto_watch":false}"#;
    let mut sim = Sim::open(options, None);
    let step = sim.answers([ruleset("t", 1)]);
    sim.enforce(step.release.unwrap());
    let step = sim.step();
    assert_eq!((step.connection, step.next), (Order::Keep, None));
    assert!(sim.health().contains(r#""stream":"off""#));
}

#[test]
fn while_the_server_is_away_the_last_ruleset_starts_and_its_age_is_visible() {
    let mut sim = Sim::open(&named(), None);
    sim.answers([ruleset("t", 3)]);
    let memory = sim.memory.unwrap();
    let mut sim = Sim::open(&named(), Some(&memory));
    sim.now = START + 7_200_000;
    let step = sim.answers([Err(Fault::NotSent("refused".to_owned()))]);
    sim.enforce(step.release.unwrap());
    assert!(sim.has_notice("offline_start"));
    assert!(sim.health().contains(r#""rules_age_s":7200,"from_memory":true"#), "{}", sim.health());
    while sim.request().is_none() {
        sim.now = sim.step().next.unwrap();
    }
    assert!(sim.now - START - 7_200_000 <= 2000);
    sim.source.answered(&ruleset("t", 3), sim.now);
    assert_eq!(sim.step().release, None, "it is the same");
    assert!(sim.health().contains(r#""rules_age_s":0,"from_memory":false"#));

    // A credential or a name that the server refuses is no absence.
    for answer in [json(401, "{}"), json(404, "{}")] {
        assert!(Sim::open(&named(), Some(&memory)).answers([answer]).failed.is_some());
    }
    // Verified with today's keys; opted out of; of another name.
    let other_key = named().replace(&key(), &hex::encode(*KeyPair::from_seed(Seed::new([2; 32])).pk));
    for options in [other_key, named().replace('{', r#"{"offline_start":false,"#), named().replace("\"t\"", "\"u\"")] {
        let mut sim = Sim::open(&options, Some(&memory));
        assert_eq!(sim.answers([lost()]).release, None, "{options}");
    }
}

#[test]
fn whoever_opts_out_of_offline_starts_keeps_no_ruleset() {
    let mut sim = Sim::open(&named().replace('{', r#"{"offline_start":false,"#), None);
    assert!(sim.answers([ruleset("t", 3)]).release.is_some());
    let memory = sim.memory.unwrap();
    assert!(memory.contains(r#""highest":{"t":3}"#) && !memory.contains("Ruleset"), "{memory}");
}

#[test]
fn a_kept_ruleset_that_does_not_load_any_more_gives_way_to_the_one_before() {
    let mut sim = Sim::running();
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    assert!(sim.answers([ruleset("t", 3)]).release.is_some());
    // The process ends before it is known whether version 3 loads.
    let mut sim = Sim::open(&named(), Some(&sim.memory.unwrap()));
    let bad = sim.answers([lost()]).release.unwrap();
    assert_eq!(bad.version, Some(3));
    sim.source.rejected(&bad.revision, "too deep", sim.now);
    let step = sim.step();
    assert_eq!((step.release.unwrap().version, step.failed), (Some(2), None));
}

#[test]
fn a_memory_of_no_use_is_told_and_left_aside() {
    let mut sim = Sim::open(&named(), Some("{"));
    assert!(sim.answers([ruleset("t", 1)]).release.is_some());
    assert!(sim.has_notice("memory"));
}

#[test]
fn t56_a_clock_set_back_stops_nothing() {
    let mut sim = Sim::running();
    sim.source.stream_closed(sim.now);
    sim.now -= 3_600_000;
    let next = sim.step().next.unwrap();
    assert!(next - sim.now <= 2000);
    sim.now = next;
    assert_eq!(sim.step().connection, Order::Open);
}

#[test]
fn a_push_while_a_fetch_is_on_its_way_is_not_lost() {
    let mut sim = Sim::running();
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    assert!(sim.request().is_some());
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    // Read by the server before the push.
    sim.source.answered(&ruleset("t", 2), sim.now);
    assert_eq!(sim.answers([ruleset("t", 3)]).release.unwrap().version, Some(3));
}

#[test]
fn secrets_are_in_no_health_notice_memory_or_debug_output() {
    let mut sim = Sim::running();
    sim.event("ruleset_updated", r#"{"name":"t"}"#);
    let echo = json(401, &format!(r#"{{"detail":"no such key: {API_KEY}"}}"#));
    sim.answers([echo]);
    let all = format!("{} {:?} {:?} {:?}", sim.health(), sim.notices, sim.memory, sim.source);
    assert!(!all.contains(API_KEY) && all.contains("no such key"));
}

/// A server that misbehaves for a while, and then does not.
mod faults {
    use super::*;
    use crate::jitter::Jitter;
    use crate::stream::connection::{RECYCLE_MS, SLOW_WAIT_MS};

    struct World {
        random: Jitter,
        bad: bool,
        version: u64,
        sim: Sim,
        stream: bool,
    }

    impl World {
        fn fetched(&mut self) -> Answer {
            let (random, version) = (&mut self.random, self.version);
            if !self.bad {
                return ruleset("t", version);
            }
            match random.between(0, 11) {
                0 => lost(),
                1 => Err(Fault::NotSent("refused".into())),
                2 => Err(Fault::Deadline),
                3 => json(500, ""),
                4 => with_header(json(503, ""), "retry-after", "3"),
                5 => json(401, "{}"),
                6 => json(200, "<html>"),
                7 => json(200, &format!(r#"{{"yaml":{:?},"version":99}}"#, text("t", 666))),
                8 => ruleset("t", version.saturating_sub(1)),
                9 => json(404, "{}"),
                10 => Err(Fault::Incomplete),
                _ => ruleset("t", version),
            }
        }

        fn stream_begins(&mut self) {
            let now = self.sim.now;
            self.sim.source.stream_request(now);
            let status =
                if self.bad { [200, 200, 200, 500, 503, 401, 204][self.random.between(0, 6) as usize] } else { 200 };
            if self.bad && self.random.between(0, 3) == 0 {
                return self.sim.source.stream_closed(now);
            }
            self.sim.source.stream_opened(status, vec![("content-type".into(), "text/event-stream".into())], now);
            self.stream = status == 200;
        }

        fn stream_says(&mut self) {
            let now = self.sim.now;
            match self.random.between(0, 6) {
                0 => {
                    self.stream = false;
                    self.sim.source.stream_closed(now);
                }
                1 => self.sim.source.stream_data(&[b'x'; 5000], now),
                2 => self.sim.source.stream_data(b"\n\nevent: ruleset_updated\ndata: {\"name\":\"t\"}\n\n", now),
                3 => self.sim.source.stream_data(b"event: contract_update\ndata: [[[[\n\n:\n", now),
                4 => self.sim.source.stream_data(b"event: ruleset_up", now),
                5 => self.version += 1,
                _ => self.sim.source.stream_data(b": keepalive\n\n", now),
            }
        }

        /// One step; what it gives must be verified, and never the forged one.
        fn turn(&mut self) -> u64 {
            while self.sim.request().is_some() {
                let answer = self.fetched();
                self.sim.source.answered(&answer, self.sim.now);
            }
            let step = self.sim.step();
            assert_eq!(step.failed, None);
            if let Some(release) = step.release {
                assert_eq!(release.key_id.as_deref(), Some(&*key()));
                assert_ne!(release.text, text("t", 666));
                self.sim.enforce(release);
            }
            match step.connection {
                Order::Open => self.stream_begins(),
                Order::Close => self.stream = false,
                Order::Keep => {}
            }
            step.next.unwrap_or(self.sim.now + 1000)
        }
    }

    #[test]
    fn whatever_went_wrong_the_newest_verified_ruleset_is_reached_in_time() {
        // Without optimisation a signature takes its time.
        let seeds = if cfg!(debug_assertions) { 150 } else { 1000 };
        for seed in 0..seeds {
            let source = RulesetSource::open(&seeded(seed, "v1"), &named(), None).unwrap();
            let sim = Sim { source, now: START, notices: Vec::new(), memory: None };
            let mut world = World { random: Jitter::from_seed(seed), bad: false, version: 2, sim, stream: false };
            world.turn();
            world.bad = true;
            for _ in 0..60 {
                let next = world.turn();
                let until = if world.stream { next.min(world.sim.now + world.random.between(0, 20_000)) } else { next };
                world.sim.now = until.max(world.sim.now);
                if world.stream {
                    world.stream_says();
                }
            }
            world.bad = false;
            world.version += 1;
            let (mended, wanted) = (world.sim.now, revision(&text("t", world.version)));
            // The server says nothing any more: the poll, the next connect or the next attempt must find out.
            let longest = POLL_MS.1.max(SLOW_WAIT_MS.1) + 2000;
            while world.sim.source.enforced.as_ref() != Some(&wanted) {
                let next = world.turn();
                if world.sim.source.enforced.as_ref() == Some(&wanted) {
                    break;
                }
                assert!(next <= mended + longest, "seed {seed}: nothing until {} ms", next - mended);
                world.sim.now = next.max(world.sim.now);
            }
            assert!(world.sim.now - mended < RECYCLE_MS.0);
        }
    }
}
