//! Processes that write, deliver and settle in one outbox are killed at any moment. What was acknowledged is there
//! afterwards, or was delivered; no place is given twice, and nothing is settled twice. `EDICTUM_KILLS` sets how many times
//! (100).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use edictum_host::EventSink as _;
use edictum_host::outbox::{Content, FILE_NAME, Outbox, Pending, SinkSettings};

const KILLS: u64 = 100;

/// Lives on one file; then there is a new one.
const LIVES: u64 = 10;

const LANES: [&str; 2] = ["a", "b"];

/// Tells a process that it is the one to be killed, and where.
const FOLDER: &str = "EDICTUM_TEST_OUTBOX";

/// Which life it is.
const LIFE: &str = "EDICTUM_TEST_LIFE";

/// One line, whole or not at all.
fn say(words: std::fmt::Arguments<'_>) {
    std::io::stdout().write_all(format!("{words}\n").as_bytes()).unwrap();
}

/// Not a test: what a test starts, to kill it.
#[test]
fn one_life() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let life = std::env::var(LIFE).unwrap();
    let outbox = Outbox::open(&Path::new(&folder).join(FILE_NAME)).unwrap();
    let count = AtomicU64::new(0);
    say(format_args!("begins"));
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (outbox, count, life) = (&outbox, &count, &life);
            scope.spawn(move || {
                let lane = LANES[number % 2];
                let sink = outbox.sink(lane, SinkSettings { required: number == 2 });
                loop {
                    let name = format!("{life}-{}", count.fetch_add(1, Ordering::SeqCst));
                    let events = [format!(r#"{{"event_id":"{name}","of":"{}"}}"#, "x".repeat(300))];
                    if number == 1 && !name.ends_with('7') {
                        sink.emit(&events).unwrap();
                        std::thread::sleep(Duration::from_micros(200));
                    } else {
                        pollster::block_on(sink.keep(&events)).unwrap();
                        say(format_args!("kept {lane} {name}"));
                    }
                }
            });
        }
        for lane in LANES {
            let outbox = &outbox;
            scope.spawn(move || {
                loop {
                    let front = pollster::block_on(outbox.front(lane, 20, 1 << 20)).unwrap();
                    for entry in &front {
                        say(format_args!("delivered {lane} {} {}", entry.sequence, name(entry)));
                    }
                    if let Some(last) = front.last() {
                        let through = last.sequence;
                        pollster::block_on(outbox.settle(lane, through, Vec::new(), 0)).unwrap();
                        say(format_args!("settled {lane} {through}"));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
}

fn name(entry: &Pending) -> String {
    let Content::Event(event) = &entry.content else { panic!("nothing had to give way: {entry:?}") };
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["sequence"], entry.sequence);
    event["event_id"].as_str().unwrap().to_owned()
}

fn start(folder: &Path, life: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_life", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(LIFE, life)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("begins\n") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it does not begin");
    }
    (child, said)
}

/// What all lives on one file have said of one lane.
#[derive(Default)]
struct Told {
    /// The event of each place.
    places: BTreeMap<u64, String>,
    kept: BTreeSet<String>,
    settled: u64,
}

impl Told {
    fn delivered(&mut self, place: u64, name: String) {
        let before = self.places.entry(place).or_insert_with(|| name.clone());
        assert_eq!(*before, name, "place {place} was given twice");
    }
}

fn listen(told: &mut BTreeMap<String, Told>, said: &str) {
    // The last line may have been cut off by the kill.
    let whole = said.rfind('\n').map_or("", |end| &said[..end]);
    for line in whole.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["kept", lane, name] => drop(told.entry(lane.to_owned()).or_default().kept.insert(name.to_owned())),
            ["delivered", lane, place, name] => {
                let told = told.entry(lane.to_owned()).or_default();
                told.delivered(place.parse().unwrap(), name.to_owned());
            }
            ["settled", lane, through] => {
                let told = told.entry(lane.to_owned()).or_default();
                told.settled = told.settled.max(through.parse().unwrap());
            }
            _ => panic!("it says `{line}`"),
        }
    }
}

/// What is in the file follows what was settled, without a hole.
fn check(outbox: &Outbox, lane: &str, told: &mut Told) {
    let front = pollster::block_on(outbox.front(lane, usize::MAX, usize::MAX)).unwrap();
    for entry in &front {
        assert!(entry.sequence > told.settled, "{} was settled and is there: {}", entry.sequence, told.settled);
        told.delivered(entry.sequence, name(entry));
    }
    let last = told.places.keys().next_back().copied().unwrap_or_default();
    assert!(told.places.keys().copied().eq(1..=last), "there is a hole");
    let there: BTreeSet<&String> = told.places.values().collect();
    assert_eq!(there.len(), told.places.len(), "an event has two places");
    if let Some(lost) = told.kept.iter().find(|name| !there.contains(name)) {
        panic!("`{lost}` was acknowledged and is lost");
    }
}

#[test]
fn what_was_acknowledged_survives_kills_at_any_moment() {
    let kills = std::env::var("EDICTUM_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut acknowledged = 0;
    let (mut folder, mut told) = (tempfile::tempdir().unwrap(), BTreeMap::new());
    for kill in 0..kills {
        if kill % LIVES == 0 {
            (folder, told) = (tempfile::tempdir().unwrap(), BTreeMap::new());
        }
        // Every third time two of them at once.
        let mut lives: Vec<_> =
            (0..1 + u64::from(kill % 3 == 0)).map(|twin| start(folder.path(), &format!("{kill}.{twin}"))).collect();
        // A pseudo-random moment within 40 ms, the same in every run.
        std::thread::sleep(Duration::from_micros(kill.wrapping_mul(2_654_435_761) % 40_000));
        lives.iter_mut().for_each(|(child, _)| child.kill().unwrap());
        for (child, said) in &mut lives {
            let mut rest = Vec::new();
            said.read_to_end(&mut rest).unwrap();
            child.wait().unwrap();
            listen(&mut told, &String::from_utf8_lossy(&rest));
        }
        let outbox = Outbox::open(&folder.path().join(FILE_NAME)).unwrap();
        for lane in LANES {
            check(&outbox, lane, told.entry(lane.to_owned()).or_default());
        }
        acknowledged = acknowledged.max(told.values().map(|told| told.kept.len()).sum());
    }
    println!("{kills} kills; at most {acknowledged} events were acknowledged in one file, and none was lost");
    assert!(acknowledged > 100, "only {acknowledged} were acknowledged");
}
