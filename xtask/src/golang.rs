//! The Go module over libedictum: its driver and its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{Outcome, answer, name, root, run, step, target};
use crate::suite::{Suite, check};
use crate::{End, build, libedictum, packages};

const MODULE: &str = "examples/go";

const NAME: &str = "github.com/edictum/edictum-guard-go";

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

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

/// Where the module is put for others.
fn proxy() -> PathBuf {
    target().join("dist").join("go")
}

/// Makes a module proxy in a folder, with the module and its library.
pub fn dist() -> Outcome<End> {
    if !packages::go() {
        return Err("Go is not there, or too old".to_owned());
    }
    libedictum::build(true)?;
    pack()?;
    step(&format!("dist-go: {}", proxy().display()));
    Ok(End::Good)
}

fn pack() -> Outcome<()> {
    let mut pack = go(&["run", "./internal/pack", "-version", VERSION, "-license"]);
    pack.arg(root().join("LICENSE")).arg("-to").arg(proxy());
    run(pack)
}

/// Installs the packed module into an empty project, with nothing but Go and a C compiler on the path, and runs the quick
/// start there.
fn installed() -> Outcome<bool> {
    pack()?;
    let folder = target().join("go").join("installed");
    // The modules of an earlier run would be taken for this one's.
    let _ = fs::remove_dir_all(&folder);
    let (project, quick_start) = (folder.join("project"), root().join(MODULE).join("testdata/quickstart"));
    fs::create_dir_all(&project)
        .and_then(|()| fs::copy(quick_start.join("main.go"), project.join("main.go")))
        .map_err(|error| format!("cannot make `{}`: {error}", project.display()))?;
    let go_root = answer(go(&["env", "GOROOT"])).ok_or("Go has no root")?;
    let here = |arguments: &[&str]| {
        let mut command = Command::new(Path::new(&go_root).join("bin").join(packages::GO));
        command.current_dir(&project).args(arguments);
        command.env("PATH", format!("{go_root}/bin:/usr/bin:/bin")).env("CGO_ENABLED", "1");
        command
            .env("GOPROXY", format!("file://{}", proxy().display()))
            .env("GONOSUMDB", NAME)
            .env("GOTOOLCHAIN", "local");
        command.env("GOFLAGS", "-mod=mod -modcacherw").env("GOMODCACHE", folder.join("modules"));
        command
    };
    run(here(&["mod", "init", "example.com/project"]))?;
    run(here(&["get", &format!("{NAME}@{VERSION}")]))?;
    let printed = answer(here(&["run", "."])).ok_or("the quick start fails")?;
    let expected = fs::read_to_string(quick_start.join("expected.txt")).map_err(|error| error.to_string())?;
    if printed != expected.trim_end() {
        eprintln!("the quick start prints:\n{printed}\nexpected:\n{expected}");
    }
    Ok(printed == expected.trim_end())
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
    let vetted = run(go(&["vet", "./..."])).map(|()| true);
    vec![
        tested(),
        check("gofmt", formatted),
        check("go vet", vetted),
        check("the Go module installs, and its quick start runs", installed()),
    ]
}

fn tested() -> Suite {
    let mut command = go(&["test", "-race", "-v", "-count=1", "./..."]);
    let shown = name(&command);
    command.env("EDICTUM_HOST", build::host());
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
