//! The npm package in `examples/node`: its dependencies, its build from the components, its tests.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::build;
use crate::shell::{Outcome, run, step};

/// The folder of the package.
pub fn folder() -> PathBuf {
    crate::shell::root().join("examples").join("node")
}

/// Installs what the package needs, and makes what is not in the repository. The components have been built.
pub fn prepare() -> Outcome<()> {
    step("examples/node: npm install, npm run build");
    if !installed() {
        // Not `ci`: it refuses a lock that leaves out optional packages for other systems, which not every registry has.
        run(npm(&["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]))?;
        // Says when it was done, and by which lock.
        fs::copy(lock(), stamp()).map_err(|error| format!("cannot write `{}`: {error}", stamp().display()))?;
    }
    run(npm(&["run", "build", "--silent"]))
}

/// Runs the tests of the package: how many passed and failed.
pub fn test() -> Outcome<(u64, u64)> {
    prepare()?;
    step("examples/node: node --test");
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=spec", "--test-reporter-destination=stderr"])
        .args(["--test-reporter=tap", "--test-reporter-destination=stdout"])
        .args(tests()?)
        .current_dir(folder())
        .env("EDICTUM_HOST", build::host())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cannot start `node --test`: {error}"))?;
    let report = String::from_utf8_lossy(&output.stdout);
    let (passed, failed) = (last(&report, "# pass "), last(&report, "# fail ") + last(&report, "# cancelled "));
    // A runner that ends badly and counts no failure has found something else.
    Ok((passed, if output.status.success() { failed } else { failed.max(1) }))
}

/// The programs with tests; what they share lies beside them.
fn tests() -> Outcome<Vec<PathBuf>> {
    let folder = folder().join("test");
    let read = |error| format!("cannot read `{}`: {error}", folder.display());
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(read)?;
    let mut tests: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    tests.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    tests.sort();
    Ok(tests)
}

/// The number behind the last line with this beginning.
fn last(report: &str, line: &str) -> u64 {
    report.lines().rev().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
}

fn installed() -> bool {
    let read = |path: PathBuf| fs::read(path).ok();
    read(stamp()).is_some_and(|stamp| Some(stamp) == read(lock()))
}

fn lock() -> PathBuf {
    folder().join("package-lock.json")
}

fn stamp() -> PathBuf {
    folder().join("node_modules").join(".edictum-lock.json")
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_count_of_a_report_counts() {
        let report = "# pass 1\nok 2 - x\n# tests 9\n# pass 7\n# fail 2\n# cancelled 0\n";
        assert_eq!((last(report, "# pass "), last(report, "# fail "), last(report, "# todo ")), (7, 2, 0));
    }
}
