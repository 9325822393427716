//! The lanes of a host against a server that misbehaves, and against ours: the real component, over real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use edictum_host::lanes::{
    ApprovalQueue, ConnectOptions, Content, DecisionLog, Endpoint, Entry, Increment, Method, Operation, Outcome,
    Pending, Performed, Put, Reply, Request, RulesetSource, SessionStore, StreamOrder,
};
use edictum_host::{Error, Failure, FailureKind, Host};
use edictum_tests::fault_server::{Act, FaultServer, Greeting, Received, Script, in_turn, json, redirect, response};
use edictum_tests::wire::{AGENT, PATIENCE, Serve, replace, ruleset};
use serde_json::Value;

/// Found nowhere but in one header.
const KEY: &str = "edk_production_a-key-that-nobody-shows";

fn connect(server: &FaultServer) -> ConnectOptions {
    ConnectOptions::new(server.url(), KEY).agent_id("test-agent")
}

fn endpoint(host: &Host, connect: &ConnectOptions) -> Endpoint {
    host.block_on(Endpoint::open(host.lanes(), connect)).unwrap()
}

/// One attempt; how long it took.
fn attempt(host: &Host, endpoint: &Endpoint, method: Method) -> (Reply, Duration) {
    let request = Request::new(method, "/v1/x");
    let request = if method == Method::Post { request.body("{}") } else { request };
    let start = Instant::now();
    let reply = host.block_on(endpoint.attempt("r-1", 0, request, host.clock().now())).unwrap();
    (reply, start.elapsed())
}

fn failed(reply: Reply) -> Failure {
    let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
    failure
}

/// A POST is done once: what comes of one attempt is what it came to.
fn post(acts: impl Script, set: impl FnOnce(ConnectOptions) -> ConnectOptions) -> (Failure, FaultServer, Duration) {
    let host = Host::new().unwrap();
    let server = FaultServer::start(acts);
    let endpoint = endpoint(&host, &set(connect(&server)));
    let (reply, time) = attempt(&host, &endpoint, Method::Post);
    (failed(reply), server, time)
}

#[test]
fn a_request_is_what_the_protocol_says_and_connections_are_used_again() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(in_turn([json(200, r#"{"n":1e400}"#)]));
    let client = endpoint(&host, &connect(&server).env("staging"));
    for _ in 0..20 {
        let answer = host.block_on(client.get("/v1/rulesets/ü/current", &[("env", "a b")])).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"n":1e400}"#));
    }
    let answer = host.block_on(client.put("/v1/x", r#"{"a":1.0}"#)).unwrap();
    assert_eq!(answer.status, 200);
    let _gone = host.block_on(client.delete("/v1/x")).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 22);
    // A connection comes back to the pool a moment after its answer: the next request may be faster.
    assert!(server.connections() <= 5, "{} connections for 22 requests", server.connections());
    let first = &requests[0];
    assert_eq!((&*first.method, &*first.target), ("GET", "/v1/rulesets/%C3%BC/current?env=a%20b"));
    for (name, value) in [
        ("host", server.address()),
        ("authorization", &format!("Bearer {KEY}")),
        ("x-edictum-agent-id", "test-agent"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(first.header(name), Some(value), "{first:?}");
    }
    assert_eq!((&*requests[20].method, requests[20].text().as_str()), ("PUT", r#"{"a":1.0}"#));
    assert_eq!(requests[20].header("content-length"), Some("9"));
    assert_eq!((&*requests[21].method, requests[21].body.len()), ("DELETE", 0));
}

#[test]
fn bodies_of_megabytes_go_both_ways() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(|request: &Received| json(200, &request.text()));
    let client = endpoint(&host, &connect(&server));
    let body = format!(r#"{{"text":"{}"}}"#, "é".repeat(2 << 20));
    let answer = host.block_on(client.put("/v1/x", &body)).unwrap();
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[test]
fn t02_what_may_pass_comes_back_with_a_time_and_is_made_again_at_it() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(in_turn([response(503, &[], ""), json(200, r#"{"ok":true}"#)]));
    let client = endpoint(&host, &connect(&server));
    let before = host.clock().now();
    let (reply, _) = attempt(&host, &client, Method::Get);
    let Reply::RetryAt(at) = reply else { panic!("{reply:?}") };
    assert!((before..=host.clock().now() + 500).contains(&at));

    let server = FaultServer::start(in_turn([
        response(500, &[], ""),
        response(429, &[("Retry-After", "1")], ""),
        json(200, r#"{"ok":true}"#),
    ]));
    let client = endpoint(&host, &connect(&server));
    let start = Instant::now();
    let answer = host.block_on(client.get("/v1/x", &[])).unwrap();
    assert_eq!(answer.json().unwrap()["ok"], true);
    assert_eq!(server.requests().len(), 3);
    assert!(start.elapsed() >= Duration::from_millis(950), "the server's own time is kept: {:?}", start.elapsed());
}

#[test]
fn t01_after_three_attempts_it_is_over() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(in_turn([json(500, r#"{"detail":"sorry"}"#)]));
    let client = endpoint(&host, &connect(&server));
    let Err(Error::Refused(failure)) = host.block_on(client.get("/v1/x", &[])) else { panic!("500 is no success") };
    assert_eq!((failure.code.as_str(), failure.kind), ("E_SERVER_UNAVAILABLE", FailureKind::Unavailable));
    assert!(failure.message.contains("sorry"), "{}", failure.message);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn t05_what_may_have_been_done_is_ambiguous_and_what_never_left_is_not() {
    for acts in [
        vec![Act::SayAndReset(Vec::new())],
        vec![Act::SayAndClose(Vec::new())],
        vec![Act::SayAndReset(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"a\"".to_vec())],
    ] {
        let (failure, server, _) = post(in_turn(acts.clone()), |connect| connect);
        assert_eq!(failure.kind, FailureKind::Ambiguous, "{acts:?}: {failure:?}");
        assert_eq!(server.requests().len(), 1, "{acts:?}: it is not made again");
    }
    // Nobody listens there: it certainly never left, and may be made again.
    let host = Host::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = endpoint(&host, &ConnectOptions::new(format!("http://{free}"), KEY));
    let (reply, _) = attempt(&host, &client, Method::Post);
    assert!(matches!(reply, Reply::RetryAt(_)), "{reply:?}");
    let Err(Error::Refused(failure)) = host.block_on(client.post("/v1/x", "{}")) else { panic!("nobody is there") };
    assert_eq!((failure.code.as_str(), failure.kind), ("E_UNREACHABLE", FailureKind::Unavailable));
}

#[test]
fn t07_a_body_that_ends_too_early_is_no_answer() {
    for short in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{short}\r\n\r\n");
        let body = if short.starts_with('C') { "{\"a\":1}".to_owned() } else { "7\r\n{\"a\":1}\r\n".to_owned() };
        let (failure, _server, _) = post(in_turn([Act::SayAndClose((head + &body).into_bytes())]), |connect| connect);
        assert_eq!(failure.kind, FailureKind::Ambiguous, "{short}: {failure:?}");
    }
}

#[test]
fn t15_a_redirect_is_refused_and_the_key_goes_nowhere_else() {
    let other = FaultServer::start(in_turn([json(200, "{}")]));
    let to = format!("{}/login?token=hunter2", other.url());
    let host = Host::new().unwrap();
    let server = FaultServer::start(in_turn([redirect(&to)]));
    let client = endpoint(&host, &connect(&server));
    let Err(Error::Refused(failure)) = host.block_on(client.get("/v1/x", &[])) else { panic!("it was followed") };
    assert_eq!((failure.code.as_str(), failure.kind), ("E_REDIRECT", FailureKind::Protocol));
    assert!(failure.message.contains(&other.url()) && !failure.message.contains("hunter2"), "{}", failure.message);
    assert_eq!((server.requests().len(), other.connections()), (1, 0));
}

#[test]
fn t16_a_huge_body_is_cut() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64_u64 << 20);
    let bytes = [text.into_bytes(), vec![b' '; 64 << 20]].concat();
    let (failure, _server, time) = post(in_turn([Act::SayAndClose(bytes)]), |connect| connect);
    assert_eq!((failure.code.as_str(), failure.kind), ("E_TOO_LARGE", FailureKind::Protocol), "{failure:?}");
    assert!(time < Duration::from_secs(20), "{time:?}");
}

#[test]
fn t18_t19_what_trickles_or_hangs_ends_at_the_deadline() {
    let slow = |connect: ConnectOptions| connect.timeout(Duration::from_millis(400));
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".to_vec();
    let trickle = [head.clone(), vec![b' '; 10_000]].concat();
    for act in [
        Act::SayAndHang(Vec::new()),
        Act::SayAndHang(b"HTTP/1.1 200 OK\r\nConte".to_vec()),
        Act::SayAndHang(head),
        Act::Trickle(trickle, 20, Duration::from_millis(50)),
    ] {
        let (failure, _server, time) = post(in_turn([act.clone()]), slow);
        assert_eq!(failure.kind, FailureKind::Ambiguous, "{failure:?}");
        assert!((Duration::from_millis(390)..Duration::from_secs(10)).contains(&time), "{time:?}");
    }
}

#[test]
fn t19_a_connection_that_nobody_reads_ends_at_the_deadline() {
    struct Deaf;
    impl Script for Deaf {
        fn connected(&self, _: usize) -> Greeting {
            Greeting::Hang
        }
        fn requested(&self, request: &Received) -> Act {
            panic!("nothing is read, but {request:?} was")
        }
    }
    let host = Host::new().unwrap();
    let server = FaultServer::start(Deaf);
    let client = endpoint(&host, &connect(&server).timeout(Duration::from_millis(400)));
    // More than the system keeps for a socket that nobody reads.
    let body = format!("\"{}\"", "x".repeat(16 << 20));
    let request = Request::new(Method::Put, "/v1/x").body(body);
    let start = Instant::now();
    let reply = host.block_on(client.attempt("r", 2, request, host.clock().now())).unwrap();
    assert_eq!(failed(reply).code, "E_INTERRUPTED");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn t20_the_key_is_in_no_error_and_no_debug_output() {
    let echo = |request: &Received| {
        let key = request.header("authorization").unwrap_or_default().to_owned();
        json(401, &serde_json::json!({"detail": format!("no such key: {key}")}).to_string())
    };
    let (failure, server, _) = post(echo, |connect| connect);
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    let connect = connect(&server);
    let garbage = format!("SSH-2.0-{KEY}\r\n\r\n").into_bytes();
    let (other, ..) = post(in_turn([Act::SayAndClose(garbage)]), |connect| connect);
    for text in [format!("{failure:?} {other:?}"), format!("{connect:?}")] {
        assert!(!text.contains("that-nobody-shows"), "{text}");
    }
    assert!(failure.message.contains("no such key: Bearer [REDACTED]"), "{}", failure.message);

    let host = Host::new().unwrap();
    let bad = ConnectOptions::new(server.url(), "a key with\nspaces-in-it");
    let Err(error) = host.block_on(Endpoint::open(host.lanes(), &bad)) else { panic!("it is no header") };
    assert!(!format!("{error} {error:?}").contains("spaces-in-it"));
    assert_eq!(error.code(), "E_CREDENTIAL");
}

#[test]
fn t23_addresses_that_are_not_to_be_trusted_are_refused_at_once() {
    let host = Host::new().unwrap();
    for (url, code) in [("http://example.com", "E_INSECURE"), ("ftp://x", "E_ADDRESS"), ("", "E_ADDRESS")] {
        let connect = ConnectOptions::new(url, KEY);
        let Err(error) = host.block_on(Endpoint::open(host.lanes(), &connect)) else { panic!("{url}") };
        assert_eq!(error.code(), code);
    }
}

#[test]
fn what_does_not_speak_tls_gets_no_request() {
    struct Plain;
    impl Script for Plain {
        fn connected(&self, _: usize) -> Greeting {
            Greeting::SayAndHang(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        }
        fn requested(&self, request: &Received) -> Act {
            panic!("nothing is read, but {request:?} was")
        }
    }
    let host = Host::new().unwrap();
    let server = FaultServer::start(Plain);
    let connect = ConnectOptions::new(server.url().replace("http:", "https:"), KEY);
    let (reply, _) = attempt(&host, &endpoint(&host, &connect), Method::Post);
    assert!(matches!(reply, Reply::RetryAt(_)), "it certainly was not sent: {reply:?}");
}

#[test]
fn what_a_step_asks_for_is_on_its_way_at_the_same_time() {
    let host = Host::new().unwrap();
    let both = Arc::new(Barrier::new(2));
    let at_once = move |request: &Received| {
        let arrived = Arc::clone(&both);
        // Whoever comes alone waits for ever: the deadline ends it, and the test fails.
        arrived.wait();
        json(200, &format!(r#"{{"value":"{}"}}"#, request.connection))
    };
    let server = FaultServer::start(at_once);
    let sessions =
        host.block_on(SessionStore::open(host.lanes(), &connect(&server).timeout(Duration::from_secs(10)), "{}"));
    let get = |session: &str| vec![Operation::Get(format!("s:{session}:state"))];
    let now = host.clock().now();
    let performed = host.block_on(sessions.unwrap().perform(vec![get("a"), get("b")], 0, now)).unwrap();
    for session in &performed {
        assert!(matches!(&session[..], [Performed::Settled(Outcome::Done(_))]), "{performed:?}");
    }
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
}

#[test]
fn a_lane_that_ends_abnormally_is_made_anew_and_no_other_one_notices() {
    let host = Host::builder().memory(48 << 20).build().unwrap();
    let value = |request: &Received| match request.method.as_str() {
        "GET" => json(200, r#"{"value":"1","version":"7"}"#),
        _ => json(200, "{}"),
    };
    let server = FaultServer::start(value);
    let open = || host.block_on(SessionStore::open(host.lanes(), &connect(&server), "{}")).unwrap();
    let (broken, sound) = (open(), open());
    let get = || vec![vec![Operation::Get("s:a:n".to_owned())]];
    let good =
        [vec![Performed::Settled(Outcome::Done(Entry { value: Some("1".to_owned()), version: Some("7".to_owned()) }))]];
    let now = host.clock().now();
    assert_eq!(host.block_on(sound.perform(get(), 0, now)).unwrap(), good);
    for _ in 0..3 {
        // More than the instance may have.
        let huge = Put { key: "s:a:n".to_owned(), value: "x".repeat(64 << 20), expected: None };
        let error = host.block_on(broken.perform(vec![vec![Operation::Put(huge)]], 0, now)).unwrap_err();
        assert!(matches!(&error, Error::Abnormal(why) if why.starts_with("out-of-memory")), "{error}");
        assert_eq!(host.block_on(sound.perform(get(), 0, now)).unwrap(), good);
        assert_eq!(host.block_on(broken.perform(get(), 0, now)).unwrap(), good);
    }
}

#[test]
fn a_call_that_is_dropped_takes_its_connection_along_and_the_lane_goes_on() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(in_turn([Act::SayAndHang(Vec::new()), json(200, r#"{"ok":true}"#)]));
    let client = Arc::new(endpoint(&host, &connect(&server)));
    {
        let mut call = Box::pin(client.get("/v1/x", &[]));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        server.wait_for_requests(1);
    }
    let start = Instant::now();
    assert_eq!(host.block_on(client.get("/v1/x", &[])).unwrap().body, r#"{"ok":true}"#);
    assert!(start.elapsed() < Duration::from_secs(20), "it waits for nobody");
}

/// A folder with a ruleset, and a server over it.
fn serve(folder: &std::path::Path) -> Serve {
    let rulesets = folder.join("rulesets");
    std::fs::create_dir_all(&rulesets).unwrap();
    replace(&rulesets.join("rules.yaml"), &ruleset("rules", "sh"));
    Serve::start(&folder.join("data"), &["--rulesets", rulesets.to_str().unwrap()])
}

fn to(serve: &Serve) -> ConnectOptions {
    ConnectOptions::new(format!("http://{}", serve.address), AGENT).agent_id("docs-agent").env("production")
}

#[test]
fn the_low_level_example_of_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let (host, serve) = (Host::new().unwrap(), serve(folder.path()));
    let client = endpoint(&host, &to(&serve));
    let payload = host.block_on(client.get("/v1/rulesets/rules/current", &[("env", "production")])).unwrap();
    assert_eq!(payload.json().unwrap()["yaml"], ruleset("rules", "sh"));
    let Err(error) = host.block_on(client.get("/v1/rulesets/none/current", &[])) else { panic!("there is none") };
    assert_eq!(
        (error.code(), matches!(&error, Error::Refused(why) if why.kind == FailureKind::NotFound)),
        ("E_NOT_FOUND", true)
    );
}

#[test]
fn a_source_gives_a_ruleset_and_its_stream_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let (host, serve) = (Host::new().unwrap(), serve(folder.path()));
    let clock = host.clock();
    host.block_on(async {
        let source = RulesetSource::open(host.lanes(), &to(&serve), r#"{"bundle_name":"rules"}"#, None).await.unwrap();
        let step = source.step(clock.now()).await.unwrap();
        let release = step.release.unwrap_or_else(|| panic!("no ruleset: {:?}", step.failed));
        assert_eq!((release.ruleset.text, release.version), (ruleset("rules", "sh"), Some(1)));
        assert!(step.memory.unwrap().contains("no-sh"));
        source.enforced(&release.revision, clock.now()).await.unwrap();
        let step = source.step(clock.now()).await.unwrap();
        assert_eq!((step.connection, step.release), (StreamOrder::Open, None));

        let request = source.stream_request(clock.now()).await.unwrap();
        let mut stream = source.open_stream(&request).await.unwrap();
        assert_eq!(stream.status, 200);
        let headers = stream.headers.clone();
        source.stream_opened(stream.status, headers, clock.now()).await.unwrap();
        let health: Value = serde_json::from_str(&source.health(clock.now()).await.unwrap()).unwrap();
        assert_eq!(
            (health["stream"].as_str(), health["policy_version"].as_str()),
            (Some("live"), Some(&*release.revision))
        );

        replace(&folder.path().join("rulesets/rules.yaml"), &ruleset("rules", "rm"));
        let start = Instant::now();
        let release = loop {
            assert!(start.elapsed() < PATIENCE, "the new ruleset does not come");
            let bytes = stream.next().await.unwrap().unwrap();
            source.stream_data(bytes, clock.now()).await.unwrap();
            let mut step = source.step(clock.now()).await.unwrap();
            // Two fetches are a second apart.
            if let (None, Some(next)) = (&step.release, step.next.filter(|next| *next < clock.now() + 2_000)) {
                thread::sleep(Duration::from_millis(next.saturating_sub(clock.now())));
                step = source.step(clock.now()).await.unwrap();
            }
            if let Some(release) = step.release {
                break release;
            }
        };
        assert_eq!((release.ruleset.text, release.version), (ruleset("rules", "rm"), Some(2)));

        // A stream of another server is none of this source's.
        let elsewhere =
            edictum_host::lanes::StreamRequest { url: "http://127.0.0.1:9/v1/stream".to_owned(), ..request };
        let end = source.open_stream(&elsewhere).await.unwrap_err();
        assert!(end.to_string().contains("another server"), "{end}");
    });
}

#[test]
fn sessions_are_counted_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let (host, serve) = (Host::new().unwrap(), serve(folder.path()));
    host.block_on(async {
        let sessions = SessionStore::open(host.lanes(), &to(&serve), "{}").await.unwrap();
        let (counter, state) = ("s:a:attempts".to_owned(), "s:a:workflow".to_owned());
        let put = |value: &str, expected: Option<String>| {
            Operation::Put(Put { key: state.clone(), value: value.to_owned(), expected })
        };
        let first = vec![
            Operation::Increment(Increment { key: counter.clone(), amount: 2 }),
            Operation::Increment(Increment { key: counter.clone(), amount: 3 }),
            put("one", None),
            Operation::Get(state.clone()),
            Operation::Get("s:a:none".to_owned()),
        ];
        let performed = sessions.perform(vec![first, Vec::new()], 0, host.clock().now()).await.unwrap();
        assert_eq!((performed.len(), performed[1].len()), (2, 0));
        let entry = |performed: &Performed| match performed {
            Performed::Settled(Outcome::Done(entry)) => entry.clone(),
            other => panic!("{other:?}"),
        };
        let values: Vec<_> = performed[0].iter().map(entry).collect();
        assert_eq!((values[0].value.as_deref(), values[1].value.as_deref()), (Some("2"), Some("5")));
        assert_eq!((values[3].value.as_deref(), &values[4].value), (Some("one"), &None));

        let version = values[3].version.clone();
        let write =
            |value: &'static str| sessions.perform(vec![vec![put(value, version.clone())]], 0, host.clock().now());
        assert!(matches!(&write("two").await.unwrap()[0][..], [Performed::Settled(Outcome::Done(_))]));
        let refused = write("three").await.unwrap();
        let [Performed::Settled(Outcome::Conflict(there))] = &refused[0][..] else { panic!("{refused:?}") };
        assert_eq!(there.value.as_deref(), Some("two"));
    });
}

#[test]
fn a_person_is_asked_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (host, serve) = (Host::new().unwrap(), serve(folder.path()));
    let clock = host.clock();
    host.block_on(async {
        let queue = ApprovalQueue::open(host.lanes(), &to(&serve), r#"{"poll_min_ms":100}"#).await.unwrap();
        let deadline = clock.now() + 60_000;
        let approval = format!(
            r#"{{"message":"deploy?","timeout":60,"timeout_action":"block","deadline_ms":{deadline},"tool_name":"Bash","tool_args":{{}}}}"#
        );
        queue.submit("call-1", &approval, None, clock.now()).await.unwrap();
        queue.submit("call-1", &approval, None, clock.now()).await.unwrap();
        let step = queue.step(clock.now()).await.unwrap();
        let [created] = &step.created[..] else { panic!("{step:?}") };
        assert_eq!((created.reference.as_str(), step.settled.len()), ("call-1", 0));
        assert!(step.next.is_some());

        let path = format!("/v1/approvals/{}/decide", created.approval_id);
        let _approved = serve.operator("POST", &path, r#"{"approved": true}"#).is(200);
        queue.wake(vec![created.approval_id.clone()], clock.now()).await.unwrap();
        let step = queue.step(clock.now()).await.unwrap();
        let [settled] = &step.settled[..] else { panic!("{step:?}") };
        let outcome: Value = serde_json::from_str(&settled.outcome).unwrap();
        assert_eq!((outcome["verdict"].as_str(), outcome["approver"].as_str()), (Some("approved"), Some("alice")));
        assert!(settled.at <= deadline && step.next.is_none());
    });
}

#[test]
fn an_approval_goes_on_in_a_new_instance_and_is_not_asked_for_twice() {
    let host = Host::new().unwrap();
    let server = FaultServer::start(|request: &Received| match (request.method.as_str(), request.number) {
        ("POST", 0) => json(200, r#"{"id":"ap-1","status":"pending"}"#),
        ("POST", _) => Act::SayAndHang(Vec::new()),
        _ => json(200, r#"{"id":"ap-1","status":"approved"}"#),
    });
    let clock = host.clock();
    let approval = |reference: &str| {
        let deadline = clock.now() + 60_000;
        (reference.to_owned(), format!(r#"{{"message":"m","deadline_ms":{deadline},"tool_name":"t"}}"#))
    };
    let queue = host.block_on(ApprovalQueue::open(host.lanes(), &connect(&server), "{}")).unwrap();
    let submit = |(reference, text): (String, String)| {
        host.block_on(queue.submit(&reference, &text, None, clock.now())).unwrap();
    };
    submit(approval("made"));
    assert_eq!(host.block_on(queue.step(clock.now())).unwrap().created.len(), 1);
    submit(approval("unknown"));
    let posts = || server.requests().iter().filter(|request| request.method == "POST").count();
    {
        let mut step = Box::pin(queue.step(clock.now()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(step.as_mut().poll(&mut context).is_pending());
        until("it is created", || posts() == 2);
    }
    // What was on its way is not sent again, and what exists is looked at again.
    let mut ends = BTreeMap::new();
    until("both have come to an end", || {
        host.block_on(queue.wake(vec!["ap-1".to_owned()], clock.now())).unwrap();
        let step = host.block_on(queue.step(clock.now())).unwrap();
        for settled in step.settled {
            let outcome: Value = serde_json::from_str(&settled.outcome).unwrap();
            assert!(ends.insert(settled.reference, outcome["verdict"].clone()).is_none(), "each is told once");
        }
        ends.len() == 2
    });
    assert_eq!((&ends["unknown"], &ends["made"]), (&Value::from("unreachable"), &Value::from("approved")));
    assert_eq!(posts(), 2);
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn events_are_delivered_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (host, serve) = (Host::new().unwrap(), serve(folder.path()));
    host.block_on(async {
        let log = DecisionLog::open(host.lanes(), &to(&serve), "{}").await.unwrap();
        let event = |sequence: u64| Pending {
            sequence,
            content: Content::Event(format!(
                r#"{{"schema_version":"0.3.0","event_id":"e-{sequence}","call_id":"c-{sequence}","agent_id":"docs-agent","tool_name":"Bash","action":"call_allowed","timestamp":"2026-01-02T03:04:05Z"}}"#
            )),
        };
        let entries: Vec<_> = (1..=3).map(event).collect();
        let waiting = log.deliver(entries.clone(), false, host.clock().now()).await.unwrap();
        assert!(waiting.settled_through.is_none() && waiting.next.is_some(), "it waits for a fuller batch");
        for _ in 0..2 {
            let delivery = log.deliver(entries.clone(), true, host.clock().now()).await.unwrap();
            assert_eq!((delivery.settled_through, &delivery.failure, delivery.dead.len()), (Some(3), &None, 0));
        }
        let kept = serve.operator("GET", "/v1/events", "").is(200);
        assert_eq!(kept["events"].as_array().unwrap().len(), 3, "{kept}");
    });
}
