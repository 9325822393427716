//! Disks that are full or cannot be written, events that come too fast: what is lost is counted, what is required is
//! refused, and all is well again when the disk is.

use std::time::Instant;

use super::*;

/// The disk takes nothing from now on, or takes it again.
fn read_only(outbox: &Outbox, read_only: bool) {
    wait(outbox.job(move |connection| Ok((connection.pragma_update(None, "query_only", read_only)?, None)))).unwrap();
}

/// So many pages and no more.
fn disk_of(outbox: &Outbox, more: i64) {
    let work = move |connection: &mut Connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        connection.pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(()))?;
        Ok(((), None))
    };
    wait(outbox.job(work)).unwrap();
}

/// Tries until the writer has got over its last failure.
fn recovered(outbox: &Outbox) {
    let since = Instant::now();
    while wait(outbox.sync()).is_err() {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not recover");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_disk_that_takes_nothing_is_reported_and_nothing_is_lost_that_memory_can_hold() {
    let outbox = Outbox::in_memory().unwrap();
    emit(&outbox, "a", false, &["one"]);
    read_only(&outbox, true);
    let sink = outbox.sink("a", SinkSettings::default());
    sink.emit(&[event("two")]).unwrap();
    let error = wait(outbox.sync()).unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
    let health = outbox.health("a");
    assert_eq!((health.state, health.unsent.events), (State::Degraded, 2), "{health:?}");
    assert!(health.last_error.unwrap().contains("readonly"));
    // Nobody is made to wait for it.
    let since = Instant::now();
    for _ in 0..100 {
        assert!(wait(sink.keep(&[event("three")])).is_err());
    }
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(shown(&outbox, "a"), ["1 one"], "what is there can be read");
    read_only(&outbox, false);
    recovered(&outbox);
    let shown = shown(&outbox, "a");
    assert_eq!((shown.len(), shown[1].as_str(), shown[101].as_str()), (102, "2 two", "102 three"));
    assert_eq!(outbox.health("a").state, State::Off);
}

#[test]
fn what_is_required_is_refused_while_the_disk_takes_nothing_and_the_refusal_is_on_record() {
    let outbox = Outbox::in_memory().unwrap();
    read_only(&outbox, true);
    let sink = outbox.sink("a", SinkSettings { required: true });
    // The first finds out.
    assert!(wait(sink.keep(&[event("one")])).unwrap_err().contains("readonly"));
    assert!(sink.emit(&[event("two"), event("three")]).unwrap_err().contains("readonly"));
    read_only(&outbox, false);
    recovered(&outbox);
    wait(sink.keep(&[event("four")])).unwrap();
    assert_eq!(shown(&outbox, "a"), ["1 gap 3", "4 four"]);
    assert_eq!(outbox.health("a").state, State::Degraded, "until the gap is delivered");
    wait(outbox.settle("a", 3, Vec::new(), NOW)).unwrap();
    assert_eq!(outbox.health("a").state, State::Off);
}

#[test]
fn what_was_taken_over_before_the_disk_failed_is_not_given_up() {
    let outbox = Outbox::in_memory().unwrap();
    let sink = outbox.sink("a", SinkSettings { required: true });
    read_only(&outbox, true);
    sink.emit(&[event("one")]).unwrap();
    assert!(wait(outbox.sync()).is_err());
    read_only(&outbox, false);
    recovered(&outbox);
    assert_eq!(shown(&outbox, "a"), ["1 one"]);
}

#[test]
fn a_full_disk_is_like_one_that_takes_nothing_and_settling_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let sink = outbox.sink("a", SinkSettings { required: true });
    let long = || event(&"x".repeat(20_000));
    disk_of(&outbox, 20);
    let mut taken = 0;
    while wait(sink.keep(&[long()])).is_ok() {
        taken += 1;
        assert!(taken < 100);
    }
    assert!(taken > 0);
    let health = outbox.health("a");
    assert_eq!((health.state, health.unsent.events), (State::Degraded, taken + 1), "{health:?}");
    assert!(health.last_error.unwrap().contains("full"));
    wait(outbox.settle("a", taken, Vec::new(), NOW)).unwrap();
    recovered(&outbox);
    wait(sink.keep(&[long()])).unwrap();
    let shown = shown(&outbox, "a");
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].starts_with(&format!("{} gap", taken + 1)));
}

#[test]
fn when_events_come_faster_than_they_can_be_written_the_oldest_give_way_to_a_gap() {
    let outbox = Outbox::start(Place::Memory, 64 * 1024).unwrap();
    read_only(&outbox, true);
    let sinks = ["a", "b"].map(|lane| outbox.sink(lane, SinkSettings::default()));
    let required = outbox.sink("a", SinkSettings { required: true });
    const EACH: usize = 2000;
    for round in 0..EACH {
        sinks[round % 2].emit(&[event(&round.to_string())]).unwrap();
    }
    assert!(wait(outbox.sync()).is_err());
    assert!(required.emit(&[event("required")]).is_err());
    read_only(&outbox, false);
    recovered(&outbox);
    for (number, lane) in ["a", "b"].into_iter().enumerate() {
        let shown = shown(&outbox, lane);
        let lost = usize::try_from(outbox.health(lane).lost).unwrap();
        let refused = usize::from(lane == "a");
        assert!(lost > 0 && lost < EACH / 2);
        assert_eq!(shown.len(), 1 + EACH / 2 + refused - lost, "{shown:?}");
        assert_eq!(shown[0], format!("1 gap {lost}"));
        assert!(shown.last().unwrap().ends_with(&format!(" {}", EACH - 2 + number)), "the newest is there");
    }
}

#[test]
fn a_file_that_was_taken_away_is_made_again_and_no_place_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    emit(&outbox, "a", false, &["one", "two"]);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // The connection has lost its file.
    wait(outbox.job(|connection| Ok((connection.execute_batch("DROP TABLE lane")?, None)))).unwrap();
    outbox.sink("a", SinkSettings::default()).emit(&[event("three")]).unwrap();
    recovered(&outbox);
    assert_eq!(shown(&outbox, "a"), ["3 three"]);
}

#[test]
fn what_the_disk_has_lost_is_a_gap_and_holds_nothing_up() {
    let outbox = Outbox::in_memory().unwrap();
    let sink = outbox.sink("a", SinkSettings::default());
    sink.emit(&[event("one"), event("two"), event("three")]).unwrap();
    wait(outbox.sync()).unwrap();
    let damage = "UPDATE block SET body = substr(body, 1, 40)";
    wait(outbox.job(|connection| Ok((connection.execute_batch(damage)?, None)))).unwrap();
    assert_eq!(shown(&outbox, "a"), ["1 one", "2 gap 2"]);
    assert_eq!(wait(outbox.settle("a", 3, Vec::new(), NOW)).unwrap(), 3);
    assert_eq!(wait(outbox.unsent("a")).unwrap(), Unsent::default());
}

#[test]
fn an_event_that_no_server_would_take_does_not_stop_the_others() {
    let outbox = Outbox::in_memory().unwrap();
    let sink = outbox.sink("a", SinkSettings::default());
    assert!(sink.emit(&[event(&"x".repeat(block::MAX_EVENT))]).is_err());
    emit(&outbox, "a", false, &["two"]);
    assert_eq!(shown(&outbox, "a"), ["1 gap 1", "2 two"]);
}

#[test]
fn a_gap_that_grew_while_its_record_was_on_its_way_says_the_rest_later() {
    let outbox = Outbox::in_memory().unwrap();
    outbox.set_max_bytes(0);
    emit(&outbox, "a", false, &["one", "two"]);
    assert_eq!(shown(&outbox, "a"), ["1 gap 2"]);
    emit(&outbox, "a", false, &["three"]);
    assert_eq!(shown(&outbox, "a"), ["1 gap 3"]);
    // The record that was sent said two.
    assert_eq!(wait(outbox.settle("a", 2, Vec::new(), NOW)).unwrap(), 0);
    assert_eq!(shown(&outbox, "a"), ["3 gap 1"]);
}

#[test]
fn what_is_not_needed_any_more_goes_back_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let sink = outbox.sink("a", SinkSettings::default());
    for _ in 0..200 {
        sink.emit(&[event(&"x".repeat(200_000))]).unwrap();
    }
    wait(outbox.sync()).unwrap();
    for place in 1..=200 {
        wait(outbox.settle("a", place, Vec::new(), NOW)).unwrap();
    }
    let pages =
        |name: &'static str| {
            wait(outbox.job(move |connection| {
                Ok((connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))?, None))
            }))
            .unwrap()
        };
    assert!(pages("page_count") < 6000, "{} pages, {} free", pages("page_count"), pages("freelist_count"));
}
