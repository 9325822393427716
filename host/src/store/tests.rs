//! One table of laws, for every store: what holds in memory holds on disk, between threads and between processes.

use std::sync::Arc;
use std::thread;

use super::*;

const NOW: Timestamp = 1_700_000_000_000;
const HOUR: Timestamp = 3_600_000;

type Law = (&'static str, fn(&dyn Store));

const LAWS: &[Law] = &[
    ("missing keys have a version, and a put under it makes them", missing_keys),
    ("a counter adds, and a corrupt one is an error, not 0", counters),
    ("a put is refused when the value changed meanwhile", lost_race),
    ("a value that was removed and written again does not look unchanged", no_version_twice),
    ("steps on one key go in order", steps_in_order),
    ("sessions do not see each other", sessions_apart),
    ("scan takes the prefix literally", literal_prefix),
    ("an idle session is forgotten", idle_session),
    ("a session with an open call is kept", session_of_an_open_call),
    ("an open call comes back as it was", open_call_round_trip),
    ("the same call id twice is refused", same_call_id),
    ("of two who settle a call one does", one_claim),
    ("a claim whose owner died ends", dead_claim),
    ("what is due is given once, in order", due_calls),
    ("texts pass through unchanged", hostile_texts),
    ("memories are their owner's", memories),
];

fn every_law(make: impl Fn() -> Box<dyn Store>) {
    for (law, check) in LAWS {
        println!("{law}");
        check(make().as_ref());
    }
}

#[test]
fn memory_keeps_every_law() {
    every_law(|| Box::new(MemoryStore::new()));
}

#[test]
fn sqlite_keeps_every_law() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    every_law(|| {
        number.set(number.get() + 1);
        Box::new(SqliteStore::open(&folder.path().join(number.get().to_string()), false).unwrap())
    });
}

#[test]
fn redis_keeps_every_law() {
    let Some(server) = redis::tests::Server::start() else { return };
    every_law(|| Box::new(server.store()));
}

#[test]
fn racing_connections_lose_nothing_on_one_server() {
    let Some(server) = redis::tests::Server::start() else { return };
    let store = server.store();
    let stores: Vec<_> = (0..4).map(|_| Arc::new(server.beside(&store)) as Arc<dyn Store>).collect();
    race(&stores);
}

fn visit(session: &str, now: Timestamp) -> Visit<'_> {
    Visit { session, now, expires: now + HOUR }
}

fn one(store: &dyn Store, session: &str, operation: Operation) -> Outcome {
    store.perform(visit(session, NOW), &[operation]).unwrap().remove(0)
}

fn get(key: &str) -> Operation {
    Operation::Get(key.to_owned())
}

fn put(key: &str, value: &str, expected: Option<&str>) -> Operation {
    Operation::Put(Put { key: key.to_owned(), value: value.to_owned(), expected: expected.map(str::to_owned) })
}

fn add(key: &str, amount: u32) -> Operation {
    Operation::Increment(Increment { key: key.to_owned(), amount })
}

fn value(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Done(entry) | Outcome::Conflict(entry) => entry.value.as_deref(),
        other => panic!("{other:?}"),
    }
}

fn version(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(entry) | Outcome::Conflict(entry) => entry.version.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn open_call(call_id: &str, deadline: Timestamp) -> OpenCall {
    OpenCall {
        guard: "g".into(),
        call_id: call_id.into(),
        session: "s".into(),
        call: Arc::new(r#"{"tool":"t","args":{"n":1.0}}"#.to_owned()),
        ticket: Arc::new(r#"{"v":1}"#.to_owned()),
        approval: Some(Arc::new(r#"{"message":"may I?"}"#.to_owned())),
        state: CallState::Asking,
        deadline,
    }
}

fn claim(store: &dyn Store, call_id: &str, now: Timestamp) -> Option<u64> {
    match store.claim("g", call_id, now, now + 1_000).unwrap() {
        Claimed::Yes(_, claim) => Some(claim),
        Claimed::Busy | Claimed::Missing => None,
    }
}

fn missing_keys(store: &dyn Store) {
    let before = one(store, "s", get("k"));
    assert_eq!(value(&before), None);
    let made = one(store, "s", put("k", "1", Some(&version(&before))));
    assert_eq!(value(&made), Some("1"));
    assert_eq!(one(store, "s", get("k")), made);
    let again = one(store, "s", put("k", "2", Some(&version(&before))));
    assert!(matches!(again, Outcome::Conflict(_)), "{again:?}");
}

fn counters(store: &dyn Store) {
    assert_eq!(value(&one(store, "s", add("n", 1))), Some("1"));
    assert_eq!(value(&one(store, "s", add("n", 41))), Some("42"));
    assert_eq!(value(&one(store, "s", put("n", "7", None))), Some("7"));
    assert_eq!(value(&one(store, "s", add("n", 1))), Some("8"), "one namespace for values and counters");
    for corrupt in ["5.0", "", "x", "9223372036854775807"] {
        one(store, "s", put("n", corrupt, None));
        assert!(matches!(one(store, "s", add("n", 1)), Outcome::Failed(_)), "{corrupt}");
        assert_eq!(value(&one(store, "s", get("n"))), Some(corrupt));
    }
}

fn lost_race(store: &dyn Store) {
    let read = version(&one(store, "s", put("k", "a", None)));
    one(store, "s", put("k", "b", None));
    let refused = one(store, "s", put("k", "c", Some(&read)));
    assert!(matches!(refused, Outcome::Conflict(_)));
    assert_eq!(value(&refused), Some("b"), "the answer says what is there now");
    assert_eq!(value(&one(store, "s", put("k", "c", Some(&version(&refused))))), Some("c"));
}

fn no_version_twice(store: &dyn Store) {
    let read = version(&one(store, "s", put("k", "a", None)));
    one(store, "s", Operation::Delete("k".to_owned()));
    for _ in 0..5 {
        one(store, "s", put("k", "b", None));
        one(store, "s", Operation::Delete("k".to_owned()));
    }
    let now = one(store, "s", put("k", "b", None));
    assert_ne!(version(&now), read);
    assert!(matches!(one(store, "s", put("k", "c", Some(&read))), Outcome::Conflict(_)));
}

fn steps_in_order(store: &dyn Store) {
    let steps = [add("n", 1), get("n"), Operation::Delete("n".to_owned()), get("n"), add("n", 5), get("other")];
    let outcomes = store.perform(visit("s", NOW), &steps).unwrap();
    let values: Vec<_> = outcomes.iter().map(value).collect();
    assert_eq!(values, [Some("1"), Some("1"), None, None, Some("5"), None]);
}

fn sessions_apart(store: &dyn Store) {
    one(store, "s", put("k", "mine", None));
    assert_eq!(value(&one(store, "t", get("k"))), None);
    assert_eq!(one(store, "t", Operation::Scan(String::new())), Outcome::Found(vec![]));
}

fn literal_prefix(store: &dyn Store) {
    for key in ["a%", "a%b", "a_", "ab", "b", "A%"] {
        one(store, "s", put(key, key, None));
    }
    let found = |prefix: &str| match one(store, "s", Operation::Scan(prefix.to_owned())) {
        Outcome::Found(found) => found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found("a%"), ["a%", "a%b"]);
    assert_eq!(found("a_"), ["a_"]);
    assert_eq!(found("").len(), 6);
    assert!(found("c").is_empty());
}

fn idle_session(store: &dyn Store) {
    store.perform(visit("s", NOW), &[put("k", "old", None)]).unwrap();
    let kept = store.perform(visit("s", NOW + HOUR - 1), &[get("k")]).unwrap();
    assert_eq!(value(&kept[0]), Some("old"));
    let kept = store.perform(visit("s", NOW + 2 * HOUR - 1 - HOUR / 5), &[get("k")]).unwrap();
    assert_eq!(value(&kept[0]), Some("old"), "each visit puts the end off");
    let gone = store.perform(visit("s", NOW + 4 * HOUR), &[get("k")]).unwrap();
    assert_eq!(value(&gone[0]), None);

    store.perform(visit("s", NOW), &[put("k", "old", None)]).unwrap();
    assert_eq!(store.expire(NOW + HOUR - 1).unwrap(), 0);
    assert_eq!(store.expire(NOW + HOUR).unwrap(), 1);
    assert_eq!(value(&one(store, "s", get("k"))), None);
}

fn session_of_an_open_call(store: &dyn Store) {
    one(store, "s", put("k", "kept", None));
    assert!(store.open(&open_call("c", NOW + 100 * HOUR)).unwrap());
    assert_eq!(store.expire(NOW + 50 * HOUR).unwrap(), 0);
    let kept = store.perform(visit("s", NOW + 50 * HOUR), &[get("k")]).unwrap();
    assert_eq!(value(&kept[0]), Some("kept"));
    let claim = claim(store, "c", NOW).unwrap();
    assert!(store.close("g", "c", claim).unwrap());
    assert_eq!(store.expire(NOW + 52 * HOUR).unwrap(), 1);
}

fn open_call_round_trip(store: &dyn Store) {
    let mut call = open_call("c", NOW);
    assert!(store.open(&call).unwrap());
    assert_eq!(store.find("g", "c").unwrap().as_ref(), Some(&call));
    assert_eq!(store.find("h", "c").unwrap(), None, "call ids are unique in their guard only");
    let Claimed::Yes(read, claim) = store.claim("g", "c", NOW, NOW + 1).unwrap() else { panic!("not claimed") };
    assert_eq!(read, call);
    call.state = CallState::Allowed;
    call.ticket = Arc::new("{}".to_owned());
    call.approval = None;
    call.deadline += 5;
    assert!(store.update(&call, claim).unwrap());
    assert!(!store.update(&call, claim).unwrap(), "the claim was given up");
    assert_eq!(store.list(None, 10).unwrap(), [call.clone()]);
    assert_eq!(store.list(Some("g"), 10).unwrap(), [call]);
    assert_eq!(store.list(Some("h"), 10).unwrap(), []);
}

fn same_call_id(store: &dyn Store) {
    assert!(store.open(&open_call("c", NOW)).unwrap());
    assert!(!store.open(&open_call("c", NOW + 1)).unwrap());
    assert_eq!(store.find("g", "c").unwrap().unwrap().deadline, NOW);
}

fn one_claim(store: &dyn Store) {
    store.open(&open_call("c", NOW)).unwrap();
    let first = claim(store, "c", NOW).unwrap();
    assert!(claim(store, "c", NOW + 999).is_none());
    store.release("g", "c", first).unwrap();
    let second = claim(store, "c", NOW + 1).unwrap();
    assert!(!store.close("g", "c", first).unwrap(), "a claim that was given up closes nothing");
    assert!(store.close("g", "c", second).unwrap());
    assert!(matches!(store.claim("g", "c", NOW, NOW + 1).unwrap(), Claimed::Missing));
}

fn dead_claim(store: &dyn Store) {
    store.open(&open_call("c", NOW)).unwrap();
    let dead = claim(store, "c", NOW).unwrap();
    let heir = claim(store, "c", NOW + 1_000).unwrap();
    assert!(!store.update(&open_call("c", NOW), dead).unwrap());
    assert!(store.close("g", "c", heir).unwrap());
}

fn due_calls(store: &dyn Store) {
    assert_eq!(store.next_deadline("g").unwrap(), None);
    for (call_id, deadline) in [("late", NOW + 20), ("soon", NOW + 10), ("claimed", NOW + 5)] {
        store.open(&open_call(call_id, deadline)).unwrap();
    }
    claim(store, "claimed", NOW).unwrap();
    assert_eq!(store.next_deadline("g").unwrap(), Some(NOW + 10));
    assert!(store.due("g", NOW + 9, 10).unwrap().is_empty());
    assert_eq!(store.due("g", NOW + 20, 10).unwrap(), ["soon", "late"]);
    assert_eq!(store.due("g", NOW + 20, 1).unwrap(), ["soon"]);
    assert_eq!(store.due("g", NOW + 1_000, 10).unwrap(), ["claimed", "soon", "late"], "its claim has ended");
    assert!(store.due("h", NOW + 1_000, 10).unwrap().is_empty());
}

fn hostile_texts(store: &dyn Store) {
    for text in ["", "\0", "a\0b", "'; DROP TABLE entry; --", "\u{10ffff}\u{feff}", "12345678901234567890", "1.0"] {
        assert_eq!(value(&one(store, text, put(text, text, None))), Some(text));
        assert_eq!(value(&one(store, text, get(text))), Some(text), "{text:?}");
        let call = OpenCall { guard: text.into(), call_id: text.into(), session: text.into(), ..open_call("", NOW) };
        assert!(store.open(&call).unwrap());
        assert_eq!(store.find(text, text).unwrap(), Some(call));
    }
}

fn memories(store: &dyn Store) {
    store.remember("log", "m", Some("{}")).unwrap();
    store.remember("log", "m", Some(r#"{"a":1}"#)).unwrap();
    store.remember("source", "m", Some("other")).unwrap();
    assert_eq!(store.memory("log", "m").unwrap().as_deref(), Some(r#"{"a":1}"#));
    store.remember("log", "m", None).unwrap();
    assert_eq!(store.memory("log", "m").unwrap(), None);
    assert_eq!(store.memory("source", "m").unwrap().as_deref(), Some("other"));
}

/// Every increment counts, and of all who put under one version exactly one does.
fn race(stores: &[Arc<dyn Store>]) {
    const ROUNDS: u32 = 50;
    let wins: u32 = thread::scope(|scope| {
        let racers: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(|| {
                    let mut wins = 0;
                    for _ in 0..ROUNDS {
                        one(store.as_ref(), "s", add("n", 1));
                        let read = one(store.as_ref(), "s", get("cell"));
                        let sum: u32 = value(&read).map_or(0, |text| text.parse().unwrap()) + 1;
                        let put = put("cell", &sum.to_string(), Some(&version(&read)));
                        wins += u32::from(matches!(one(store.as_ref(), "s", put), Outcome::Done(_)));
                    }
                    wins
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    let racers = u32::try_from(stores.len()).unwrap();
    let store = stores[0].as_ref();
    assert_eq!(value(&one(store, "s", get("n"))), Some((ROUNDS * racers).to_string().as_str()));
    assert_eq!(value(&one(store, "s", get("cell"))), Some(wins.to_string().as_str()), "no put was lost");
}

#[test]
fn racing_threads_lose_nothing_in_memory() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    race(&[Arc::clone(&store), Arc::clone(&store), store]);
}

#[test]
fn racing_connections_lose_nothing_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder");
    // As many connections as processes, opened at once: they also race to lay the file out.
    let stores: Vec<Arc<dyn Store>> = thread::scope(|scope| {
        let open = || Arc::new(SqliteStore::open(&path, false).unwrap()) as Arc<dyn Store>;
        let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        opening.into_iter().map(|store| store.join().unwrap()).collect()
    });
    race(&stores);
}

#[test]
fn a_file_survives_its_process_with_calls_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let call = open_call("c", NOW + HOUR);
    {
        let store = SqliteStore::open(folder.path(), true).unwrap();
        store.open(&call).unwrap();
        one(&store, "s", add("n", 3));
    }
    let store = SqliteStore::open(folder.path(), true).unwrap();
    assert_eq!(store.find("g", "c").unwrap(), Some(call));
    assert_eq!(value(&one(&store, "s", add("n", 1))), Some("4"));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("private");
    let store = SqliteStore::open(&path, false).unwrap();
    one(&store, "s", add("n", 1));
    assert_eq!(mode(&path), 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(SqliteStore::open(&path, false).unwrap());
    assert_eq!(mode(store.path()), 0o600, "what was left open to others is closed");
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), false).unwrap();
    let raw = rusqlite::Connection::open(store.path()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(folder.path(), false).unwrap_err();
    assert!(error.to_string().contains("layout 99"), "{error}");
}

#[test]
fn a_broken_file_is_an_error_and_no_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("edictum.sqlite"), "not a database, but long enough to be looked at").unwrap();
    assert!(SqliteStore::open(folder.path(), false).is_err());
}

#[test]
fn a_store_that_is_lost_fails_and_does_not_answer_zero() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), false).unwrap();
    one(&store, "s", add("n", 3));
    let raw = rusqlite::Connection::open(store.path()).unwrap();
    raw.execute_batch("DROP TABLE entry").unwrap();
    assert!(store.perform(visit("s", NOW), &[get("n")]).is_err());
    assert!(store.perform(visit("s", NOW), &[add("n", 1)]).is_err());
}
