//! The queue against answers written by hand; time is moved by hand, too.

use super::*;
use crate::endpoint::testing::{API_KEY, endpoint, json, seeded, with_header};
use crate::response::Fault;

const NOW: u64 = 1_800_000_000_000;
const DEADLINE: u64 = NOW + 300_000;

fn approval(action: &str) -> String {
    format!(
        r#"{{"message":"deploy?","timeout":300,"timeout_action":"{action}","deadline_ms":{DEADLINE},"tool_name":"Bash","tool_args":{{}},"agent_id":"dev"}}"#
    )
}

fn reset() -> Answer {
    Err(Fault::Lost("reset".to_owned()))
}

fn refused() -> Answer {
    Err(Fault::NotSent("refused".to_owned()))
}

struct Sim {
    queue: ApprovalQueue,
    now: u64,
    settled: Vec<Settled>,
}

impl Sim {
    fn new() -> Self {
        Self { queue: ApprovalQueue::open(&endpoint(), "{}").unwrap(), now: NOW, settled: Vec::new() }
    }

    /// One that the server knows as `a-1`.
    fn waiting() -> Self {
        let mut sim = Self::new();
        sim.queue.submit("r-1", &approval("allow"), None, NOW);
        assert_eq!(sim.answer(&json(201, r#"{"id":"a-1","status":"pending"}"#)), "POST /v1/approvals");
        let step = sim.step();
        assert_eq!((step.created.len(), step.created[0].approval_id.as_str()), (1, "a-1"));
        sim
    }

    /// The one request that is due, answered.
    fn answer(&mut self, answer: &Answer) -> String {
        let mut requests = self.queue.requests(self.now);
        assert_eq!(requests.len(), 1, "{requests:?}");
        let (id, request) = requests.remove(0);
        self.queue.answered(id, answer, self.now);
        format!("{} {}", request.method.as_str(), request.target)
    }

    fn step(&mut self) -> ApprovalStep {
        let step = self.queue.take_step(self.now);
        self.settled.extend(step.settled.iter().cloned());
        step
    }

    /// Goes to when something is due, and answers it.
    fn next(&mut self, answer: &Answer) -> String {
        self.now = self.step().next.unwrap().max(self.now);
        self.answer(answer)
    }

    fn end(&mut self) -> Settled {
        self.step();
        assert_eq!(self.settled.len(), 1, "{:?}", self.settled);
        assert!(
            self.queue.is_empty()
                && self.queue.urgent.is_empty()
                && self.queue.turns.is_empty()
                && self.queue.ids.is_empty()
        );
        self.settled.remove(0)
    }

    fn verdict(&mut self) -> ApprovalVerdict {
        self.end().outcome.verdict
    }

    /// Answers everything until it has come to its end.
    fn always(&mut self, answer: &Answer) -> Settled {
        for _ in 0..10_000 {
            let step = self.step();
            if !self.settled.is_empty() {
                return self.end();
            }
            self.now = step.next.unwrap().max(self.now);
            for (id, _) in self.queue.requests(self.now) {
                self.queue.answered(id, answer, self.now);
            }
        }
        panic!("no end: {:?}", self.queue);
    }
}

#[test]
fn t89_an_approval_comes_with_who_and_why() {
    let mut sim = Sim::waiting();
    for _ in 0..2 {
        assert_eq!(sim.next(&json(200, r#"{"status":"pending"}"#)), "GET /v1/approvals/a-1");
    }
    let decided = r#"{"status":"approved","decided_by":"kim","decision_reason":"fine","decided_at":"2026-11-22T06:31:47Z","decided_via":"slack"}"#;
    sim.next(&json(200, decided));
    let settled = sim.end();
    assert_eq!((settled.reference.as_str(), settled.at), ("r-1", sim.now));
    assert_eq!(
        outcome_json(&settled.outcome),
        r#"{"verdict":"approved","approval_id":"a-1","approver":"kim","reason":"fine","decided_at":"2026-11-22T06:31:47Z","decided_via":"slack"}"#
    );
    assert!((2000..=20_000).contains(&(sim.now - NOW)), "{}", sim.now - NOW);
}

#[test]
fn t90_t91_both_vocabularies_of_refusal_and_time_out() {
    for (status, verdict) in [
        ("rejected", ApprovalVerdict::Rejected),
        ("denied", ApprovalVerdict::Rejected),
        ("timed_out", ApprovalVerdict::TimedOut),
        ("timeout", ApprovalVerdict::TimedOut),
    ] {
        let mut sim = Sim::waiting();
        sim.next(&json(200, &format!(r#"{{"status":"{status}","reason":"no"}}"#)));
        let settled = sim.end();
        assert_eq!((settled.outcome.verdict, settled.outcome.reason.as_deref()), (verdict, Some("no")), "{status}");
    }
}

#[test]
fn t92_an_unknown_status_never_lets_a_call_run() {
    for status in ["cancelled", "APPROVED", "Approved", " approved", "approved ", "", "timed-out", "TIMED_OUT"] {
        let mut sim = Sim::waiting();
        let settled = sim.always(&json(200, &format!(r#"{{"status":"{status}"}}"#)));
        assert_eq!(settled.outcome.verdict, ApprovalVerdict::Unreachable, "{status}");
        assert!(sim.now >= DEADLINE);
        assert_eq!(settled.at, DEADLINE, "the engine must not take it for a time-out");
    }
}

#[test]
fn t93_a_look_that_fails_is_repeated() {
    for trouble in [
        with_header(json(429, ""), "retry-after", "7"),
        with_header(json(503, ""), "retry-after", "7"),
        json(500, ""),
        json(408, ""),
        json(425, ""),
        reset(),
        refused(),
        Err(Fault::Deadline),
    ] {
        let mut sim = Sim::waiting();
        sim.next(&trouble);
        let failed = sim.now;
        sim.next(&json(200, r#"{"status":"approved"}"#));
        if trouble.as_ref().is_ok_and(|response| response.header("retry-after").is_some()) {
            assert!(sim.now - failed >= 7000);
        }
        assert_eq!(sim.verdict(), ApprovalVerdict::Approved, "{trouble:?}");
    }
}

#[test]
fn t94_an_approval_that_is_not_there_blocks_after_a_few_seconds() {
    let mut sim = Sim::waiting();
    let settled = sim.always(&json(404, "{}"));
    assert_eq!(settled.outcome.verdict, ApprovalVerdict::Unreachable);
    assert!((UNKNOWN_MS..20_000).contains(&(sim.now - NOW)), "{}", sim.now - NOW);
}

#[test]
fn t95_an_answer_without_a_status_blocks() {
    for body in ["{}", r#"{"status":7}"#, r#"{"status":null}"#, "[]", "null", ""] {
        let mut sim = Sim::waiting();
        sim.next(&json(200, body));
        assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable, "{body}");
    }
}

#[test]
fn t96_an_id_that_cannot_be_one_is_never_asked_for() {
    for body in
        [r#"{"id":"../../x"}"#, "{}", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"a?b"}"#, r#"{"id":"a\n"}"#, "[]", ""]
    {
        let mut sim = Sim::new();
        sim.queue.submit("r-1", &approval("allow"), None, NOW);
        sim.answer(&json(201, body));
        assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable, "{body}");
    }
}

#[test]
fn t06_a_creation_that_may_have_happened_is_not_repeated() {
    for trouble in [
        reset(),
        json(500, ""),
        json(503, ""),
        Err(Fault::Deadline),
        Err(Fault::Incomplete),
        json(401, ""),
        json(422, ""),
    ] {
        let mut sim = Sim::new();
        sim.queue.submit("r-1", &approval("allow"), None, NOW);
        sim.answer(&trouble);
        let settled = sim.end();
        assert_eq!(settled.outcome.verdict, ApprovalVerdict::Unreachable, "{trouble:?}");
    }
}

#[test]
fn t07_a_creation_that_never_happened_is_repeated_under_the_same_key() {
    let mut sim = Sim::new();
    sim.queue.submit("r-1", &approval("block"), None, NOW);
    let first = sim.queue.requests(NOW).remove(0);
    assert_eq!(first.1.header("idempotency-key"), Some("r-1"));
    assert_eq!(first.1.header("x-edictum-agent-id"), Some("dev"));
    sim.queue.answered(first.0, &refused(), NOW);
    sim.now = sim.step().next.unwrap();
    let second = sim.queue.requests(sim.now).remove(0);
    assert_eq!(second.1.header("idempotency-key"), Some("r-1"));
    sim.queue.answered(second.0, &with_header(json(429, ""), "retry-after", "20"), sim.now);
    let at = sim.step().next.unwrap();
    assert!(at - sim.now >= 20_000);
    sim.now = at;
    sim.answer(&json(201, r#"{"id":"a-1"}"#));
    assert_eq!(sim.step().created.len(), 1);
}

#[test]
fn t97_the_last_look_sees_a_decision_made_during_the_last_sleep() {
    for late in [0, 1, GRACE_MS] {
        let mut sim = Sim::waiting();
        sim.now = DEADLINE + late;
        assert_eq!(sim.answer(&json(200, r#"{"status":"approved"}"#)), "GET /v1/approvals/a-1");
        let settled = sim.end();
        assert_eq!((settled.outcome.verdict, settled.at), (ApprovalVerdict::Approved, DEADLINE));
    }
}

#[test]
fn a_verdict_after_the_deadline_is_a_time_out() {
    for status in ["approved", "rejected"] {
        let mut sim = Sim::waiting();
        sim.now = DEADLINE + GRACE_MS + 1;
        sim.answer(&json(200, &format!(r#"{{"status":"{status}"}}"#)));
        let settled = sim.end();
        assert_eq!((settled.outcome.verdict, settled.at), (ApprovalVerdict::TimedOut, sim.now));
    }
}

#[test]
fn nobody_answered_is_only_what_the_server_says_at_the_deadline() {
    let mut sim = Sim::waiting();
    let settled = sim.always(&json(200, r#"{"status":"pending"}"#));
    assert_eq!((settled.outcome.verdict, settled.at), (ApprovalVerdict::TimedOut, DEADLINE));
}

#[test]
fn t99_a_server_that_is_away_until_the_deadline_blocks() {
    for trouble in
        [refused(), reset(), json(500, ""), with_header(json(503, ""), "retry-after", "60"), Err(Fault::Deadline)]
    {
        let mut sim = Sim::waiting();
        let settled = sim.always(&trouble);
        assert_eq!(settled.outcome.verdict, ApprovalVerdict::Unreachable, "{trouble:?}");
        assert!(settled.outcome.reason.unwrap().starts_with("approval service unreachable"));
        assert!((DEADLINE..=DEADLINE + GRACE_MS + 100).contains(&sim.now), "{}", sim.now - NOW);
        assert_eq!(settled.at, DEADLINE);
    }
    let mut sim = Sim::new();
    sim.queue.submit("r-1", &approval("allow"), None, NOW);
    let settled = sim.always(&refused());
    assert_eq!(settled.outcome.verdict, ApprovalVerdict::Unreachable);
    assert!(sim.now > DEADLINE - retry::CAP_MS && sim.now <= DEADLINE);
}

#[test]
fn a_creation_without_an_answer_ends_at_the_deadline() {
    let mut sim = Sim::new();
    sim.queue.submit("r-1", &approval("allow"), None, NOW);
    let (id, request) = sim.queue.requests(NOW).remove(0);
    assert!(request.deadline_ms <= 300_000);
    sim.now = DEADLINE;
    assert!(sim.queue.requests(sim.now).is_empty());
    assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable);
    sim.queue.answered(id, &json(201, r#"{"id":"a-1"}"#), sim.now);
    assert_eq!(sim.step(), ApprovalStep::default());
}

#[test]
fn t100_a_clock_set_back_moves_no_deadline() {
    let mut sim = Sim::waiting();
    sim.now = NOW + 100_000;
    sim.step();
    sim.now -= 3_600_000;
    sim.step();
    let settled = sim.always(&json(200, r#"{"status":"pending"}"#));
    assert_eq!(settled.outcome.verdict, ApprovalVerdict::TimedOut);
    assert!((sim.now + 3_600_000).abs_diff(DEADLINE) < 5000, "{}", sim.now);
}

#[test]
fn an_announced_decision_is_looked_at_at_once_even_before_its_creation_is_known() {
    let mut sim = Sim::waiting();
    assert!(sim.queue.requests(NOW).is_empty());
    sim.queue.wake(&["a-1".to_owned(), "unknown".to_owned(), "../x".to_owned()], NOW);
    sim.answer(&json(200, r#"{"status":"approved"}"#));
    assert_eq!(sim.verdict(), ApprovalVerdict::Approved);

    let mut sim = Sim::new();
    sim.queue.submit("r-1", &approval("allow"), None, NOW);
    sim.queue.wake(&["a-1".to_owned()], NOW);
    sim.answer(&json(201, r#"{"id":"a-1"}"#));
    assert_eq!(sim.answer(&json(200, r#"{"status":"approved"}"#)), "GET /v1/approvals/a-1");
    assert_eq!(sim.verdict(), ApprovalVerdict::Approved);
}

#[test]
fn announcements_without_end_cause_one_look_a_second() {
    let mut sim = Sim::waiting();
    let mut looks = 0;
    while sim.now < NOW + 60_000 {
        sim.now += 50;
        sim.queue.wake(&["a-1".to_owned()], sim.now);
        for (id, _) in sim.queue.requests(sim.now) {
            looks += 1;
            sim.queue.answered(id, &json(200, r#"{"status":"pending"}"#), sim.now);
        }
        sim.step();
    }
    assert!((30..=62).contains(&looks), "{looks}");
}

#[test]
fn a_restart_goes_on_with_the_same_approval() {
    let mut sim = Sim::new();
    sim.queue.submit("r-1", &approval("allow"), None, NOW);
    sim.answer(&json(201, r#"{"id":"a-1"}"#));
    let memory = sim.step().created.remove(0).memory;
    let mut sim = Sim::new();
    sim.now = NOW + 60_000;
    sim.queue.submit("r-1", &approval("allow"), Some(&memory), sim.now);
    sim.queue.submit("r-1", &approval("allow"), None, sim.now);
    assert_eq!(sim.next(&json(200, r#"{"status":"approved"}"#)), "GET /v1/approvals/a-1");
    assert_eq!(sim.verdict(), ApprovalVerdict::Approved);
    // One whose time ended meanwhile gets its last look, too late for anything but a time-out.
    let mut sim = Sim::new();
    sim.now = DEADLINE + 600_000;
    sim.queue.submit("r-1", &approval("allow"), Some(&memory), sim.now);
    sim.answer(&json(200, r#"{"status":"approved"}"#));
    assert_eq!(sim.verdict(), ApprovalVerdict::TimedOut);
    let mut sim = Sim::new();
    sim.now = DEADLINE + 600_000;
    sim.queue.submit("r-1", &approval("allow"), None, sim.now);
    assert!(sim.queue.requests(sim.now).is_empty());
    assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable);
}

#[test]
fn what_is_no_request_is_settled_and_what_is_forgotten_is_not() {
    let mut sim = Sim::new();
    sim.queue.submit("r-1", "{}", None, NOW);
    assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable);
    sim.queue.submit("not\na header", &approval("allow"), None, NOW);
    assert_eq!(sim.verdict(), ApprovalVerdict::Unreachable);
    let mut sim = Sim::waiting();
    sim.queue.forget("r-1");
    sim.queue.forget("r-1");
    assert_eq!(sim.step(), ApprovalStep::default());
}

#[test]
fn options_out_of_their_bounds_are_refused() {
    for bad in [
        r#"{"poll_min_ms":0}"#,
        r#"{"poll_min_ms":6000}"#,
        r#"{"poll_max_ms":600001}"#,
        r#"{"polls_per_second":0}"#,
        r#"{"polls_per_second":1001}"#,
        r#"{"poll":1}"#,
    ] {
        assert_eq!(ApprovalQueue::open(&endpoint(), bad).unwrap_err().code, Code::Option, "{bad}");
    }
}

#[test]
fn what_the_server_says_comes_without_secrets() {
    let mut sim = Sim::waiting();
    sim.next(&json(
        200,
        &format!(
            r#"{{"status":"approved","decided_by":"a\nb","decision_reason":"key {API_KEY} password=hunter2hunter2"}}"#
        ),
    ));
    let outcome = outcome_json(&sim.end().outcome);
    assert!(!outcome.contains(API_KEY) && !outcome.contains("hunter2") && outcome.contains("a b"), "{outcome}");
}

/// Ten thousand open approvals of one source, at a server that answers at once.
#[test]
fn ten_thousand_waiting_keep_the_budget_and_announced_answers_are_seen_at_once() {
    const COUNT: usize = 10_000;
    let long = approval("block").replace(&DEADLINE.to_string(), &(NOW + 86_400_000).to_string());
    let mut sim = Sim { queue: ApprovalQueue::open(&seeded(5, "v1"), "{}").unwrap(), now: NOW, settled: Vec::new() };
    for number in 0..COUNT {
        sim.queue.submit(&format!("r-{number}"), &long, None, NOW);
    }
    let mut steps = 0;
    let mut created = 0;
    while created < COUNT {
        let mut made = 0;
        loop {
            let requests = sim.queue.requests(sim.now);
            if requests.is_empty() {
                break;
            }
            assert!(requests.len() <= MAX_IN_FLIGHT);
            made += requests.len();
            for (id, request) in requests {
                let id_text = request.header("idempotency-key").unwrap().replace("r-", "a-");
                sim.queue.answered(id, &json(201, &format!(r#"{{"id":"{id_text}"}}"#)), sim.now);
            }
        }
        assert!(made <= MAX_PER_STEP, "a step must come to its end");
        steps += 1;
        created += sim.step().created.len();
    }
    assert_eq!(steps, COUNT.div_ceil(MAX_PER_STEP));

    // Two minutes of polling.
    let (mut looks, mut seen) = (0, BTreeSet::new());
    while sim.now < NOW + 120_000 {
        sim.now = sim.step().next.unwrap().max(sim.now + 1);
        for (id, request) in sim.queue.requests(sim.now) {
            looks += 1;
            seen.insert(request.target.clone());
            sim.queue.answered(id, &json(200, r#"{"status":"pending"}"#), sim.now);
        }
    }
    assert!(looks <= 5 * 121, "{looks}");
    assert_eq!(looks, seen.len(), "nobody has two turns before others had one");

    // All decided, and announced.
    let ids: Vec<String> = (0..COUNT).map(|number| format!("a-{number}")).collect();
    sim.now += 2000;
    let announced = sim.now;
    sim.queue.wake(&ids, sim.now);
    while !sim.queue.is_empty() {
        for (id, _) in sim.queue.requests(sim.now) {
            sim.queue.answered(id, &json(200, r#"{"status":"approved"}"#), sim.now);
        }
        sim.step();
    }
    assert_eq!((sim.settled.len(), sim.now), (COUNT, announced));
    assert!(sim.settled.iter().all(|settled| settled.outcome.verdict == ApprovalVerdict::Approved));
}
