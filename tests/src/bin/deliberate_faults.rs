//! Puts deliberate faults into a copy of the engine, one at a time, and shows that the differential test notices each.
//! `cargo run --profile ci -p edictum-tests --bin deliberate_faults [-- NAME…]`; takes about a minute a fault.

#![allow(clippy::print_stdout, reason = "a report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use edictum_tests::differential::reference;
use edictum_tests::places;
use serde::Deserialize;

/// Cases for each fault: enough to meet all of them, few enough to wait for.
const CASES: &str = "4000";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    file: String,
    old: String,
    new: String,
    /// The runs that must notice it; empty: all.
    #[serde(default)]
    run: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("not noticed: {}", missed.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Vec<String>, String> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let faults: Vec<Fault> = serde_yaml::from_str(include_str!("../../deliberate_faults.yaml"))
        .map_err(|error| format!("deliberate_faults.yaml: {error}"))?;
    let python = reference::python()?;
    let tree = copy()?;
    println!("{} faults, {CASES} cases each", faults.len());
    let sound = notices(&tree, &python, "")?;
    if sound {
        return Err("the test fails without a fault; mend that first".to_owned());
    }
    let mut missed = Vec::new();
    for fault in faults.iter().filter(|fault| wanted.is_empty() || wanted.contains(&fault.name)) {
        let path = tree.join(&fault.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", fault.file))?;
        let (old, new) = (fault.old.trim_end_matches('\n'), fault.new.trim_end_matches('\n'));
        if text.matches(old).count() != 1 {
            return Err(format!("`{}`: its text does not stand exactly once in {}", fault.name, fault.file));
        }
        write(&path, &text.replacen(old, new, 1))?;
        let noticed = notices(&tree, &python, &fault.run);
        write(&path, &text)?;
        println!("{}  {}", if noticed.clone()? { "noticed" } else { "MISSED " }, fault.name);
        if !noticed? {
            missed.push(fault.name.clone());
        }
    }
    Ok(missed)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A copy of what git knows, with a build folder that stays for the next time.
fn copy() -> Result<PathBuf, String> {
    let root = places::workspace();
    let tree = root.join("target/deliberate-faults/tree");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output();
    let listed = listed.map_err(|error| format!("git: {error}"))?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        // An unchanged file keeps its time, and is not built again.
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("{}: {error}", to.display()))?;
        fs::write(&to, bytes).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(tree)
}

/// Whether the differential test fails. That the faulty engine does not compile is an error of ours.
fn notices(tree: &Path, python: &Path, run: &str) -> Result<bool, String> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(["test", "--quiet", "--profile", "ci", "-p", "edictum-tests", "--test", "differential"]);
        command.args(arguments).current_dir(tree).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("CARGO_TARGET_DIR", tree.with_file_name("build")).env(reference::PYTHON, python);
        command.env("EDICTUM_DIFFERENTIAL_CASES", CASES).env("EDICTUM_DIFFERENTIAL_SIDE", "native");
        command.env("EDICTUM_DIFFERENTIAL_RUN", run);
        command.status().map_err(|error| format!("cargo: {error}"))
    };
    if !cargo(&["--no-run"])?.success() {
        return Err("the copy does not compile".to_owned());
    }
    Ok(!cargo(&[])?.success())
}
