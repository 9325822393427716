//! The Go module over libedictum: its driver and its tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::libedictum;
use crate::packages;
use crate::shell::{Outcome, answer, name, root, run, step, target};
use crate::suite::{Suite, check};

const MODULE: &str = "examples/go";

/// Go in the folder of the module. `cgo` has to be on: it is off where Go finds no C compiler.
fn go(arguments: &[&str]) -> Command {
    let mut command = Command::new(packages::GO);
    command.current_dir(root().join(MODULE)).env("CGO_ENABLED", "1").args(arguments);
    command
}

/// Builds libedictum and the driver, and answers with the driver's path.
pub fn driver() -> Outcome<PathBuf> {
    if !packages::go() {
        return Err("Go is not there, or too old".to_owned());
    }
    libedictum::build(false)?;
    step("driver: Go");
    let driver = target().join("go").join(format!("driver{}", std::env::consts::EXE_SUFFIX));
    let mut build = go(&["build", "-o"]);
    build.arg(&driver).arg("./driver");
    run(build)?;
    Ok(driver)
}

/// The module's tests, with the race detector, and its checks.
pub fn test() -> Vec<Suite> {
    step("Go");
    if let Err(reason) = libedictum::build(false) {
        return vec![check("go test", Err(reason))];
    }
    let mut unformatted = Command::new(packages::GOFMT);
    unformatted.current_dir(root().join(MODULE)).args(["-l", "."]);
    let formatted = answer(unformatted).ok_or_else(|| "gofmt cannot be started".to_owned()).map(|files| {
        files.lines().for_each(|file| eprintln!("not formatted: {MODULE}/{file}"));
        files.is_empty()
    });
    vec![tested(), check("gofmt", formatted), check("go vet", run(go(&["vet", "./..."])).map(|()| true))]
}

fn tested() -> Suite {
    let mut command = go(&["test", "-race", "-v", "-count=1", "./..."]);
    let shown = name(&command);
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) => return check("go test", Err(format!("cannot start `{shown}`: {error}"))),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    eprint!("{printed}");
    tally(&printed, output.status.success())
}

/// Tests and examples that passed and failed; one that did not come to its end has failed.
fn tally(printed: &str, success: bool) -> Suite {
    let begun = |word: &str| printed.lines().filter(|line| line.starts_with(word)).count() as u64;
    let (passed, failed) = (begun("--- PASS: "), begun("--- FAIL: "));
    let lost = u64::from(!success && failed == 0);
    Suite { name: "go test -race".to_owned(), passed, failed: failed + lost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(printed: &str, success: bool) -> (u64, u64) {
        let suite = tally(printed, success);
        (suite.passed, suite.failed)
    }

    #[test]
    fn tests_are_counted_once_and_parts_of_tests_not() {
        let printed = "=== RUN   TestA\n=== RUN   TestA/part\n    --- PASS: TestA/part (0.00s)\n--- PASS: TestA (0.00s)\n\
                       --- FAIL: TestB (0.10s)\n--- PASS: Example (0.00s)\nFAIL\n";
        assert_eq!(counted(printed, false), (2, 1));
    }

    #[test]
    fn what_does_not_build_or_come_to_its_end_has_failed() {
        assert_eq!(counted("FAIL\tmodule [build failed]\n", false), (0, 1));
        assert_eq!(counted("--- PASS: TestA (0.00s)\npanic: lost\n", false), (1, 1));
        assert_eq!(counted("--- PASS: TestA (0.00s)\nok\n", true), (1, 0));
    }
}
