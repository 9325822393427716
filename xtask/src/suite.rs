//! `cargo xtask test`: builds, tests every crate, lints, checks formats and generated pages. Goes on after a failure, so
//! that one run shows everything, and ends with one line: `N passed, N failed`.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::shell::{Outcome, answer, cargo, cargo_building, name, run, step, target};
use crate::{End, build, driver, golang, libedictum, node, packages, python, wit};

/// Runs everything, prints what came of it, and says whether all is well.
pub fn test() -> Outcome<End> {
    build::everything()?;
    let (browser, redis) = (packages::browser(), packages::redis());
    let drivers = driver::listed()?;
    let cargo_component = packages::plugins()?;
    step("tests");
    let mut suites = cargo_test(browser, redis, &drivers)?;
    step("the Python package");
    suites.extend(python_tests()?);
    suites.push(counted("examples/node", node::test()));
    let go = packages::go();
    if go {
        suites.extend(golang::test());
    }
    step("format, lints, generated pages");
    suites.extend(checks());

    let width = suites.iter().map(|suite| suite.name.chars().count()).max().unwrap_or(0);
    for Suite { name, passed, failed } in &suites {
        println!("{name:width$}  {passed:>6} passed  {failed:>4} failed");
    }
    let passed: u64 = suites.iter().map(|suite| suite.passed).sum();
    let failed: u64 = suites.iter().map(|suite| suite.failed).sum();
    if !browser {
        println!("not run: the tests of the page (no Chromium)");
    }
    if !cargo_component {
        println!("not run: plugins built with cargo-component (there is none of version 0.21)");
    }
    if !go {
        println!("not run: the tests of the Go module (no Go)");
    }
    if !redis {
        println!("not run: the tests of the Redis store (no redis-server)");
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { End::Good } else { End::Findings })
}

/// What one test binary, or one check, came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: String,
    pub passed: u64,
    pub failed: u64,
}

/// Runs the tests of the workspace; what they print goes on to stderr.
fn cargo_test(browser: bool, redis: bool, drivers: &str) -> Outcome<Vec<Suite>> {
    let mut command = cargo_building("test", &["--profile", "ci", "--no-fail-fast"]);
    // Compiled code is kept also where nobody is at home: many of the processes that follow would compile it again.
    command.env("EDICTUM_DRIVERS", drivers).env("EDICTUM_CACHE_DIR", target().join("cache"));
    if !browser {
        command.env(packages::NO_BROWSER, "1");
    }
    if !redis {
        command.env(packages::NO_REDIS, "1");
    }
    let shown = name(&command);
    // One pipe for both, so that "Running" and the result below it stay in order.
    let (reader, writer) = io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    let errors = writer.try_clone().map_err(|error| format!("cannot make a pipe: {error}"))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(errors).env("CARGO_TERM_COLOR", "never");
    let mut child = command.spawn().map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    // It holds our ends of the pipe, and reading would never come to an end.
    drop(command);
    let mut tally = Tally::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read from `{shown}`: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        tally.line(&line);
    }
    let status = child.wait().map_err(|error| format!("cannot wait for `{shown}`: {error}"))?;
    Ok(tally.finish(status.success()))
}

/// The tests of the Python package, and its types.
fn python_tests() -> Outcome<Vec<Suite>> {
    let interpreter = python::interpreter()?;
    let within = |arguments: &[&str]| {
        let mut command = Command::new(&interpreter);
        command.current_dir(python::folder()).args(["-B", "-m"]).args(arguments);
        command.env("EDICTUM_HOST", build::host()).env("EDICTUM_CACHE_DIR", target().join("cache"));
        command
    };
    let mut tests = within(&["pytest", "-q", "-p", "no:cacheprovider"]);
    let output = tests.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start `{}`: {error}", name(&tests)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprint!("{said}");
    let (passed, failed) = pytest_counts(&said);
    // Ended without a result, or without a test: that is a failure.
    let failed = failed.max(u64::from(!output.status.success() || passed == 0));
    let types = within(&["mypy", "--cache-dir", "/dev/null"]);
    Ok(vec![
        Suite { name: "examples/python".to_owned(), passed, failed },
        check("mypy --strict (examples/python)", run(types).map(|()| true)),
    ])
}

/// Of a last line such as `1 failed, 20 passed, 1 error in 3.21s`.
fn pytest_counts(said: &str) -> (u64, u64) {
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().replace(',', ";");
    (count(&last, "passed"), count(&last, "failed") + count(&last, "error") + count(&last, "errors"))
}

/// Reads the output of `cargo test` line by line.
#[derive(Default)]
struct Tally {
    suites: Vec<Suite>,
    running: Option<String>,
}

impl Tally {
    fn line(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(binary) = line.strip_prefix("Running ") {
            self.begin(binary_name(binary));
        } else if let Some(package) = line.strip_prefix("Doc-tests ") {
            self.begin(format!("{package} (examples in docs)"));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let name = self.running.take().unwrap_or_else(|| "tests".to_owned());
            let (passed, failed) = (count(result, "passed"), count(result, "failed"));
            if passed + failed > 0 {
                self.suites.push(Suite { name, passed, failed });
            }
        }
    }

    /// One that began and gave no result was ended by something: that is a failure.
    fn begin(&mut self, name: String) {
        if let Some(broken) = self.running.replace(name) {
            self.suites.push(Suite { name: format!("{broken} (ended early)"), passed: 0, failed: 1 });
        }
    }

    fn finish(mut self, success: bool) -> Vec<Suite> {
        if let Some(broken) = self.running.take() {
            self.suites.push(Suite { name: format!("{broken} (ended early)"), passed: 0, failed: 1 });
        }
        if !success && self.suites.iter().all(|suite| suite.failed == 0) {
            self.suites.push(Suite { name: "cargo test (does not build)".to_owned(), passed: 0, failed: 1 });
        }
        self.suites
    }
}

/// `unittests src/lib.rs (target/ci/deps/edictum_engine-0123)` is `edictum_engine`, `tests/x.rs (…/x-0123)` is `x`.
fn binary_name(running: &str) -> String {
    let file = running.rsplit(['/', '\\']).next().unwrap_or(running).trim_end_matches(')');
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    name.trim_end_matches(".exe").to_owned()
}

/// The number before a word, as in `ok. 5 passed; 0 failed; 0 ignored`.
fn count(result: &str, word: &str) -> u64 {
    let mut words = result.split([' ', ';']).filter(|word| !word.is_empty()).peekable();
    while let Some(number) = words.next() {
        if words.peek() == Some(&word) {
            return number.parse().unwrap_or(0);
        }
    }
    0
}

/// Checks that are not tests. A linter that is not installed is left out, and said to be.
fn checks() -> Vec<Suite> {
    let mut suites = vec![check("docs/wit.md is current", wit::page(true).map(|end| end == End::Good))];
    suites.push(check("edictum.h is current", libedictum::header(true).map(|end| end == End::Good)));
    if installed("fmt") {
        suites.push(check("cargo fmt", run(cargo(&["fmt", "--all", "--check"])).map(|()| true)));
    }
    if installed("clippy") {
        let host = ["--profile", "ci", "--all-targets", "--", "-D", "warnings"];
        suites.push(check("cargo clippy", run(cargo_building("clippy", &host)).map(|()| true)));
        let guest = ["--package", "edictum-guard", "--release", "--target", "wasm32-unknown-unknown"];
        for (world, features) in [("decider", &["--no-default-features"][..]), ("guard", &[])] {
            let guest = [&guest[..], features, &["--", "-D", "warnings"]].concat();
            let name = format!("cargo clippy ({world})");
            suites.push(check(&name, run(cargo_building("clippy", &guest)).map(|()| true)));
        }
    }
    suites
}

fn installed(subcommand: &str) -> bool {
    let there = answer(cargo(&[subcommand, "--version"])).is_some();
    if !there {
        step(&format!("cargo {subcommand} is not installed, left out"));
    }
    there
}

/// Tests of another language's: how many passed and failed.
fn counted(name: &str, outcome: Outcome<(u64, u64)>) -> Suite {
    let (passed, failed) = outcome.unwrap_or_else(|trouble| {
        eprintln!("{trouble}");
        (0, 1)
    });
    Suite { name: name.to_owned(), passed, failed }
}

/// A check as a suite of one.
pub fn check(name: &str, outcome: Outcome<bool>) -> Suite {
    let good = outcome.unwrap_or_else(|trouble| {
        eprintln!("{trouble}");
        false
    });
    Suite { name: name.to_owned(), passed: u64::from(good), failed: u64::from(!good) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str, success: bool) -> Vec<(String, u64, u64)> {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.line(line));
        tally.finish(success).into_iter().map(|suite| (suite.name, suite.passed, suite.failed)).collect()
    }

    #[test]
    fn results_belong_to_the_binary_above_them() {
        let output = "     Running unittests src/lib.rs (target/ci/deps/edictum_engine-0a1b)\n\
                      test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                      \x20    Running tests/driver-lines.rs (target/ci/deps/driver_lines-0a1b.exe)\n\
                      test result: ok. 7 passed; 0 failed; 0 ignored\n\
                      \x20    Running unittests src/main.rs (target/ci/deps/empty-0a1b)\n\
                      test result: ok. 0 passed; 0 failed; 0 ignored\n\
                      \x20  Doc-tests edictum_engine\n\
                      test result: ok. 1 passed; 0 failed; 0 ignored\n";
        let expected = [
            ("edictum_engine".to_owned(), 5, 2),
            ("driver_lines".to_owned(), 7, 0),
            ("edictum_engine (examples in docs)".to_owned(), 1, 0),
        ];
        assert_eq!(tally(output, false), expected);
    }

    #[test]
    fn a_binary_that_ends_without_a_result_has_failed() {
        let output = "Running unittests src/lib.rs (target/one-1)\nRunning tests/two.rs (target/two-2)\n";
        let expected = [("one (ended early)".to_owned(), 0, 1), ("two (ended early)".to_owned(), 0, 1)];
        assert_eq!(tally(output, false), expected);
    }

    #[test]
    fn the_last_line_of_pytest_is_read() {
        assert_eq!(pytest_counts("...\n1 failed, 20 passed, 2 errors in 3.21s\n"), (20, 3));
        assert_eq!(pytest_counts("20 passed, 1 skipped in 0.5s\n\n"), (20, 0));
        assert_eq!(pytest_counts(""), (0, 0));
    }

    #[test]
    fn tests_that_do_not_build_have_failed() {
        assert_eq!(tally("error: could not compile", false), [("cargo test (does not build)".to_owned(), 0, 1)]);
        assert_eq!(tally("", true), []);
    }
}
