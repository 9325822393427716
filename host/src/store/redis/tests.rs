//! A Redis server of the test's own: what happens when it restarts, falls silent or refuses, and what many guards do to it at
//! once.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::store::{Increment, Put};

const NOW: Timestamp = 1_700_000_000_000;

/// Told by `cargo xtask test` where there is no server, and none may be installed.
const NONE: &str = "EDICTUM_NO_REDIS";

/// A server without persistence, which ends with this.
pub struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    stores: AtomicU32,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// None: there is no server here, and it has been said.
    pub fn start() -> Option<Self> {
        if std::env::var_os(NONE).is_some() {
            println!("NOT run: there is no redis-server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { child: spawn(port, folder.path(), &[]), port, folder, stores: AtomicU32::new(0) };
        // Somebody else may have taken the port meanwhile.
        if server.answers() { Some(server) } else { Self::start() }
    }

    fn answers(&mut self) -> bool {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(60) {
            if RedisStore::open(&self.address("")).is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer");
    }

    fn address(&self, query: &str) -> String {
        format!("redis://127.0.0.1:{}/{query}", self.port)
    }

    /// An empty store.
    pub fn store(&self) -> RedisStore {
        let number = self.stores.fetch_add(1, Ordering::SeqCst);
        RedisStore::open(&self.address(&format!("?prefix=test-{number}:"))).unwrap()
    }

    /// Another connection to the same store.
    pub fn beside(&self, store: &RedisStore) -> RedisStore {
        RedisStore::open(&self.address(&format!("?prefix={}", store.prefix))).unwrap()
    }

    fn stop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    fn again(&mut self, arguments: &[&str]) {
        self.stop();
        self.child = spawn(self.port, self.folder.path(), arguments);
    }
}

fn spawn(port: u16, folder: &std::path::Path, arguments: &[&str]) -> Child {
    let help = "this test needs redis-server: `apt-get install redis-server`";
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}; {help}"))
}

fn visit(session: &str) -> Visit<'_> {
    Visit { session, now: NOW, expires: NOW + 3_600_000 }
}

fn add(key: &str) -> Operation {
    Operation::Increment(Increment { key: key.to_owned(), amount: 1 })
}

fn one(store: &RedisStore, operation: Operation) -> Result<Outcome, StoreError> {
    Ok(store.perform(visit("s"), &[operation])?.remove(0))
}

fn value(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Done(entry) | Outcome::Conflict(entry) => entry.value.as_deref(),
        other => panic!("{other:?}"),
    }
}

fn call(call_id: &str) -> OpenCall {
    OpenCall {
        guard: "g".into(),
        call_id: call_id.into(),
        session: "s".into(),
        call: Arc::new("{}".to_owned()),
        ticket: Arc::new("{}".to_owned()),
        approval: None,
        state: CallState::Allowed,
        deadline: NOW,
    }
}

fn ask(store: &RedisStore, command: &[&str]) -> Value {
    store.with(|connection| cmd(command[0]).arg(&command[1..]).query(connection)).unwrap()
}

#[test]
fn calls_fail_while_the_server_is_away_and_work_again_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store();
    let before =
        one(&store, Operation::Put(Put { key: "k".to_owned(), value: "a".to_owned(), expected: None })).unwrap();
    server.stop();
    for _ in 0..3 {
        let error = one(&store, add("n")).unwrap_err();
        assert!(error.to_string().starts_with("the Redis server: the connection is "), "{error}");
    }
    server.again(&[]);
    let since = Instant::now();
    while one(&store, Operation::Get("n".to_owned())).is_err() {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not come back");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(value(&one(&store, add("n")).unwrap()), Some("1"));
    // It has lost everything: a version of then is none of now.
    let Outcome::Done(Entry { version, .. }) = before else { panic!("{before:?}") };
    one(&store, Operation::Put(Put { key: "k".to_owned(), value: "b".to_owned(), expected: None })).unwrap();
    store.perform(visit("t"), &[Operation::Delete("k".to_owned())]).unwrap();
    for _ in 0..5 {
        let put = Put { key: "k".to_owned(), value: "c".to_owned(), expected: version.clone() };
        let refused = one(&store, Operation::Put(put)).unwrap();
        assert!(matches!(refused, Outcome::Conflict(_)), "{refused:?}");
        one(&store, Operation::Put(Put { key: "k".to_owned(), value: "b".to_owned(), expected: None })).unwrap();
    }
}

#[test]
fn a_server_that_has_closed_an_idle_connection_costs_no_call() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    one(&store, add("n")).unwrap();
    let other = server.store();
    ask(&other, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    thread::sleep(IDLE + Duration::from_millis(100));
    assert_eq!(value(&one(&store, add("n")).unwrap()), Some("2"));
}

#[test]
fn a_server_that_does_not_answer_hangs_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("redis://:hunter2@{}/", silent.local_addr().unwrap());
    let since = Instant::now();
    let error = RedisStore::open(&address).unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(error.to_string(), "the Redis server: no answer in time");
}

#[test]
fn what_is_no_redis_server_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("redis://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    assert!(RedisStore::open(&address).is_err());
    server.join().unwrap();
}

#[test]
fn no_error_shows_user_or_password() {
    let Some(mut server) = Server::start() else { return };
    server.again(&["--requirepass", "s3cret"]);
    let address = |password: &str| format!("redis://somebody:{password}@127.0.0.1:{}/", server.port);
    let since = Instant::now();
    let wrong = loop {
        let error = RedisStore::open(&address("hunter2")).unwrap_err().to_string();
        if !error.contains("connection is ") {
            break error;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{error}");
    };
    let without = RedisStore::open(&server.address("")).unwrap_err().to_string();
    let nowhere = RedisStore::open("redis://somebody:hunter2@127.0.0.1:1/").unwrap_err().to_string();
    let broken = RedisStore::open("redis://somebody:hunter2@:x/").unwrap_err().to_string();
    let other = RedisStore::open("http://somebody:hunter2@localhost/").unwrap_err().to_string();
    for error in [wrong, without, nowhere, broken, other] {
        assert!(!error.contains("hunter2") && !error.contains("somebody"), "{error}");
    }
    let store = RedisStore::open(&format!("redis://:s3cret@127.0.0.1:{}/?prefix=p:", server.port)).unwrap();
    assert_eq!(format!("{store:?}"), r#"RedisStore { prefix: "p:", .. }"#);
}

#[test]
fn a_layout_of_a_newer_version_is_left_alone() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    let meta = store.key("meta");
    ask(&store, &["HSET", &meta, "layout", "99"]);
    let error = RedisStore::open(&server.address(&format!("?prefix={}", store.prefix))).unwrap_err();
    assert!(error.to_string().contains("layout 99"), "{error}");
}

#[test]
fn what_somebody_else_wrote_there_is_an_error_and_no_empty_session() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    ask(&store, &["SET", &store.key_of("session", "s"), "no hash"]);
    let error = one(&store, Operation::Get("k".to_owned())).unwrap_err();
    assert!(!error.to_string().contains("no hash"), "{error}");
    ask(&store, &["HSET", &store.key_of("session", "t"), "v:k", "x"]);
    store
        .with(|connection| {
            cmd("HSET").arg(store.key_of("session", "t")).arg("v:k").arg(b"\xff").query::<()>(connection)
        })
        .unwrap();
    assert!(store.perform(visit("t"), &[Operation::Get("k".to_owned())]).is_err(), "not UTF-8");
}

#[test]
fn redis_forgets_idle_sessions_by_itself_but_none_with_an_open_call() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    let ttl = |session: &str| match ask(&store, &["PTTL", &store.key_of("session", session)]) {
        Value::Int(ttl) => ttl,
        other => panic!("{other:?}"),
    };
    one(&store, add("n")).unwrap();
    assert!((3_000_000..=3_600_000).contains(&ttl("s")));
    assert!(store.open(&call("c")).unwrap());
    assert_eq!(ttl("s"), -1, "kept");
    store.perform(Visit { session: "s", now: NOW + 1_000_000, expires: NOW + 4_600_000 }, &[add("n")]).unwrap();
    assert_eq!(ttl("s"), -1, "also when somebody comes");
    let Claimed::Yes(_, claim) = store.claim("g", "c", NOW, NOW + 1).unwrap() else { panic!("not claimed") };
    assert!(store.close("g", "c", claim).unwrap());
    assert!((3_000_000..=3_600_000).contains(&ttl("s")), "from now on");
    let left = ask(&store, &["KEYS", &format!("{}*", store.prefix)]);
    let mut left: Vec<_> = items(left).unwrap().into_iter().map(|key| text(key).unwrap()).collect();
    left.sort();
    assert_eq!(
        left,
        ["meta", "session:s", "sessions"].map(|name| store.key(name)),
        "a call that is over leaves nothing"
    );
}

#[test]
fn numbers_and_counters_are_exact() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    let put = |value: &str| {
        let put = Put { key: "n".to_owned(), value: value.to_owned(), expected: None };
        one(&store, Operation::Put(put)).unwrap();
    };
    for (before, after) in [("9007199254740993", "9007199254740994"), ("-5", "-4"), ("+07", "8"), ("-0", "1")] {
        put(before);
        assert_eq!(value(&one(&store, add("n")).unwrap()), Some(after), "{before}");
    }
    for end in ["9223372036854775807", "+9223372036854775807", "92233720368547758070", "1 ", "0x1"] {
        put(end);
        assert!(matches!(one(&store, add("n")).unwrap(), Outcome::Failed(_)), "{end}");
        assert_eq!(value(&one(&store, Operation::Get("n".to_owned())).unwrap()), Some(end), "it stays as it was");
    }
}

/// Each increment counts, and each call is claimed once.
fn race(store: &RedisStore, calls: usize) -> usize {
    let mut claimed = 0;
    for number in 0..calls {
        one(store, add("n")).unwrap();
        match store.claim("g", &number.to_string(), NOW, NOW + 1_000).unwrap() {
            Claimed::Yes(_, claim) => {
                claimed += 1;
                assert!(store.close("g", &number.to_string(), claim).unwrap());
            }
            Claimed::Busy | Claimed::Missing => {}
        }
    }
    claimed
}

const CALLS: usize = 200;

#[test]
fn many_connections_lose_nothing_and_claim_nothing_twice() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    for number in 0..CALLS {
        assert!(store.open(&call(&number.to_string())).unwrap());
    }
    // As many connections as processes; two threads share each.
    let claimed: usize = thread::scope(|scope| {
        let others: Vec<_> = (0..3).map(|_| Arc::new(server.beside(&store))).collect();
        let racers: Vec<_> = (0..6)
            .map(|number| {
                let store = Arc::clone(&others[number % 3]);
                scope.spawn(move || race(&store, CALLS))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(claimed, CALLS);
    assert_eq!(value(&one(&store, Operation::Get("n".to_owned())).unwrap()), Some((6 * CALLS).to_string().as_str()));
    assert!(store.list(None, 10).unwrap().is_empty());
}

#[test]
fn a_batch_is_one_round_trip() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    let steps: Vec<_> = (0..100).map(|number| add(&number.to_string())).collect();
    store.perform(visit("s"), &steps).unwrap();
    let asked = || match ask(&store, &["INFO", "commandstats"]) {
        Value::BulkString(stats) => {
            let stats = String::from_utf8(stats).unwrap();
            let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
            line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
        }
        Value::VerbatimString { text, .. } => panic!("{text}"),
        other => panic!("{other:?}"),
    };
    let before = asked();
    store.perform(visit("s"), &steps).unwrap();
    assert_eq!(asked(), before + 1);
}
