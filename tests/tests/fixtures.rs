//! One test a fixture: the shared suites and our own, over the driver of each host under test (`EDICTUM_DRIVERS`, or the one of
//! `EDICTUM_DRIVER`; `EDICTUM_SHARED`). What a host has no capability for is not run, counted, and said.
//!
//! It fails when a suite is missing or empty, when fewer cases run than their files list, and when a suite of ours has fewer
//! rows than its floor (`UPDATE=1` writes the floors anew). A filter on the command line turns the counting off.

use std::process::ExitCode;
use std::sync::Arc;

use edictum_tests::fixture::guarded::Drivers;
use edictum_tests::fixture::score::{Floors, Score};
use edictum_tests::fixture::{Suite, load};
use edictum_tests::places::{self, HostDriver};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut good = true;
    for (place, host) in places::host_drivers().into_iter().enumerate() {
        if place > 0 {
            // In the words of `cargo test`, so that whoever adds up results has a line for each host.
            println!("     Running fixtures, {}", host.name);
        }
        good &= over(&arguments, host);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the suites over one host. False: something failed.
fn over(arguments: &Arguments, host: HostDriver) -> bool {
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list && !arguments.ignored;
    let (drivers, score) = (Arc::new(Drivers::of(host.command)), Arc::new(Score::default()));
    let capabilities = if arguments.list { Ok(Vec::new()) } else { drivers.hello().map(|hello| hello.capabilities) };

    let mut trials = Vec::new();
    let own = load::own(&places::fixtures());
    let rows: Vec<(String, usize)> = own.iter().flatten().map(rows_of).collect();
    for suites in [load::shared(&places::conformance()), own] {
        match suites {
            Ok(suites) => {
                for suite in suites {
                    trials.extend(trials_of(suite, &drivers, &score, capabilities.as_deref().unwrap_or_default()));
                }
            }
            Err(reason) => trials.push(failing("the suites are there", reason)),
        }
    }
    if let Err(reason) = capabilities {
        trials.push(failing("the driver says hello", reason));
    }
    if whole {
        trials.push(Trial::test("no suite of ours has lost rows", move || hold_floors(&rows)));
    }

    let conclusion = libtest_mimic::run(arguments, trials);
    if !arguments.list {
        print!("\n{}", score.summary());
    }
    let lost = if whole { score.lost() } else { Vec::new() };
    if !lost.is_empty() {
        // In the words of the test harness, so that whoever adds up results adds these too.
        lost.iter().for_each(|line| println!("lost: {line}"));
        println!("test result: FAILED. 0 passed; {} failed; suites that lost cases", lost.len());
    }
    !conclusion.has_failed() && lost.is_empty()
}

fn rows_of(suite: &Suite) -> (String, usize) {
    (suite.name.clone(), suite.cases.iter().map(|case| case.weight).sum())
}

fn trials_of(suite: Suite, drivers: &Arc<Drivers>, score: &Arc<Score>, capabilities: &[String]) -> Vec<Trial> {
    score.expect(&suite.name, suite.listed);
    let name = suite.name;
    let trial = |case: edictum_tests::fixture::Case| {
        let lacking = case.needs.filter(|need| !capabilities.contains(need));
        if let Some(capability) = &lacking {
            score.not_run(&name, capability);
        }
        let (drivers, score, suite) = (Arc::clone(drivers), Arc::clone(score), name.clone());
        let trial = Trial::test(format!("{name}::{}", case.name), move || {
            let outcome = (case.run)(&drivers);
            score.ran(&suite, outcome.is_ok(), case.weight);
            outcome.map_err(Failed::from)
        });
        trial.with_ignored_flag(lacking.is_some())
    };
    suite.cases.into_iter().map(trial).collect()
}

fn failing(name: &str, reason: String) -> Trial {
    Trial::test(name, move || Err(Failed::from(reason)))
}

fn hold_floors(rows: &[(String, usize)]) -> Result<(), Failed> {
    let path = places::fixtures().join("floors.yaml");
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        return Ok(std::fs::write(path, Floors::of(rows).write())?);
    }
    let broken = Floors::read(&std::fs::read_to_string(path)?)?.broken(rows);
    if broken.is_empty() { Ok(()) } else { Err(Failed::from(broken.join("\n"))) }
}
