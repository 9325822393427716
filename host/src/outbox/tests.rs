//! The outbox against a simple model of itself, and against disks and processes that fail it.

mod delivery;
mod faults;
mod model;

use std::path::Path;

use super::*;
use crate::events::EventSink as _;

const NOW: Timestamp = 1_700_000_000_000;

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn open(folder: &Path) -> Outbox {
    Outbox::open(&folder.join(FILE_NAME)).unwrap()
}

fn event(name: &str) -> String {
    format!(r#"{{"event_id":"{name}"}}"#)
}

fn placed(name: &str, sequence: u64) -> String {
    format!(r#"{{"sequence":{sequence},"event_id":"{name}"}}"#)
}

/// Emits events of these names, each by itself, and sees them into the file.
fn emit(outbox: &Outbox, lane: &str, required: bool, names: &[&str]) {
    let sink = outbox.sink(lane, SinkSettings { required });
    for name in names {
        sink.emit(&[event(name)]).unwrap();
        wait(outbox.sync()).unwrap();
    }
}

/// The whole front, in short: names with their places, and gaps.
fn shown(outbox: &Outbox, lane: &str) -> Vec<String> {
    wait(outbox.front(lane, usize::MAX, usize::MAX)).unwrap().iter().map(show).collect()
}

fn show(entry: &Pending) -> String {
    match &entry.content {
        Content::Event(event) => {
            let value: serde_json::Value = serde_json::from_str(event).unwrap();
            assert_eq!(value["sequence"], entry.sequence, "{event}");
            format!("{} {}", entry.sequence, value["event_id"].as_str().unwrap())
        }
        Content::Gap(gap) => {
            assert_eq!(entry.sequence, gap.last_sequence);
            assert_eq!(gap.count, gap.last_sequence - gap.first_sequence + 1);
            format!("{} gap {}", gap.first_sequence, gap.count)
        }
    }
}

#[test]
fn events_keep_their_order_and_get_their_places_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let outbox = open(folder.path());
        emit(&outbox, "a", false, &["one", "two"]);
        emit(&outbox, "b", false, &["other"]);
    }
    let outbox = open(folder.path());
    emit(&outbox, "a", false, &["three"]);
    assert_eq!(shown(&outbox, "a"), ["1 one", "2 two", "3 three"]);
    assert_eq!(shown(&outbox, "b"), ["1 other"]);
    let front = wait(outbox.front("a", 2, usize::MAX)).unwrap();
    assert_eq!(front[1], Pending { sequence: 2, content: Content::Event(placed("two", 2)) });
    assert_eq!(wait(outbox.front("a", 9, 1)).unwrap().len(), 1, "one in any case");
    assert_eq!(wait(outbox.front("nobody's", 9, 9)).unwrap(), []);
    assert_eq!(wait(outbox.settle("a", 2, Vec::new(), NOW)).unwrap(), 2);
    assert_eq!(wait(outbox.settle("a", 2, Vec::new(), NOW)).unwrap(), 0, "nothing is settled twice");
    assert_eq!(wait(outbox.settle("a", 1, Vec::new(), NOW)).unwrap(), 0);
    drop(outbox);
    let outbox = open(folder.path());
    emit(&outbox, "a", false, &["four"]);
    assert_eq!(shown(&outbox, "a"), ["3 three", "4 four"]);
    assert_eq!(wait(outbox.settle("a", u64::MAX, Vec::new(), NOW)).unwrap(), 2);
    assert_eq!(wait(outbox.unsent("a")).unwrap(), Unsent::default());
}

#[test]
fn events_without_ids_go_without_places() {
    let outbox = Outbox::in_memory().unwrap();
    outbox.sink("a", SinkSettings::default()).emit(&[r#"{"call_id":"c"}"#.to_owned()]).unwrap();
    wait(outbox.sync()).unwrap();
    let front = wait(outbox.front("a", 1, 1)).unwrap();
    assert_eq!(front, [Pending { sequence: 1, content: Content::Event(r#"{"call_id":"c"}"#.to_owned()) }]);
}

#[test]
fn the_last_handle_writes_what_is_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let outbox = open(folder.path());
        let sink = outbox.sink("a", SinkSettings::default());
        drop(outbox);
        sink.emit(&[event(&round.to_string())]).unwrap();
    }
    assert_eq!(shown(&open(folder.path()), "a").len(), 20);
}

#[test]
fn what_is_kept_is_in_the_file_when_the_answer_comes() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let sink = outbox.sink("a", SinkSettings::default());
    let reader = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    for round in 1..=50_i64 {
        wait(sink.keep(&[event("e")])).unwrap();
        let last: i64 = reader.query_row("SELECT last FROM lane", [], |row| row.get(0)).unwrap();
        assert_eq!(last, round);
    }
    wait(sink.keep(&[])).unwrap();
}

#[test]
fn a_dead_letter_is_kept_with_its_event_and_its_reason() {
    let outbox = Outbox::in_memory().unwrap();
    emit(&outbox, "a", false, &["one", "two", "three"]);
    let dead = vec![(2, "no".to_owned()), (3, "beyond what is settled".to_owned())];
    assert_eq!(wait(outbox.settle("a", 2, dead, NOW)).unwrap(), 2);
    let letter = DeadLetter { sequence: 2, event: Some(placed("two", 2)), reason: "no".to_owned(), at_ms: NOW };
    assert_eq!(wait(outbox.dead_letters("a", 10)).unwrap(), [letter]);
    assert_eq!(wait(outbox.settle("a", 2, vec![(2, "again".to_owned())], NOW)).unwrap(), 0);
    assert_eq!(outbox.health("a").dead, 1);
    assert_eq!(wait(outbox.dead_letters("b", 10)).unwrap(), []);
}

#[test]
fn dead_letters_do_not_fill_the_disk() {
    let outbox = Outbox::in_memory().unwrap();
    let sink = outbox.sink("a", SinkSettings::default());
    let count = u64::try_from(ledger::MAX_DEAD).unwrap() + 10;
    let events: Vec<_> = (0..count).map(|number| event(&number.to_string())).collect();
    sink.emit(&events).unwrap();
    wait(outbox.sync()).unwrap();
    let dead = (1..=count).map(|sequence| (sequence, "no".to_owned())).collect();
    assert_eq!(wait(outbox.settle("a", count, dead, NOW)).unwrap(), count);
    let letters = wait(outbox.dead_letters("a", usize::MAX)).unwrap();
    assert_eq!((letters.len(), letters[0].sequence), (usize::try_from(count).unwrap() - 10, count));
    assert_eq!(outbox.health("a").dead, count, "those that are not kept are counted");
}

#[test]
fn two_outboxes_in_one_file_share_its_lanes() {
    let folder = tempfile::tempdir().unwrap();
    // Opened at once: they also race to lay the file out.
    let outboxes: Vec<_> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..3).map(|_| scope.spawn(|| open(folder.path()))).collect();
        opening.into_iter().map(|outbox| outbox.join().unwrap()).collect()
    });
    const EACH: usize = 200;
    std::thread::scope(|scope| {
        for (number, outbox) in outboxes.iter().enumerate() {
            scope.spawn(move || {
                let sink = outbox.sink("a", SinkSettings::default());
                for round in 0..EACH {
                    let name = format!("{number}-{round}");
                    if round % 10 == 0 {
                        wait(sink.keep(&[event(&name)])).unwrap()
                    } else {
                        sink.emit(&[event(&name)]).unwrap()
                    }
                }
                wait(outbox.sync()).unwrap();
            });
        }
    });
    let shown = shown(&outboxes[0], "a");
    assert_eq!(shown.len(), 3 * EACH);
    let places = shown.iter().map(|entry| entry.split(' ').next().unwrap().parse::<usize>().unwrap());
    assert!(places.eq(1..=3 * EACH), "one more each time, whoever writes");
    for number in 0..3 {
        let own = shown.iter().filter_map(|entry| entry.split(' ').nth(1)?.strip_prefix(&format!("{number}-")));
        assert!(own.map(|round| round.parse::<usize>().unwrap()).eq(0..EACH), "each in its own order");
    }
}
