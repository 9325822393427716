//! Rows for whole processes: a host from its start to its end, and the Python SDK as the base line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use edictum_tests::differential::reference;
use edictum_tests::places;

use crate::sample::{Effort, median};
use crate::table::{Row, Unit};
use crate::workload;

/// Milliseconds from the start of a process to its end, with a hundred rules.
const COLD_START: f64 = 10.0;

pub fn measure(effort: Effort) -> Result<Vec<Row>, String> {
    let host = places::workspace().join("target/release").join(format!("edictum-host{}", std::env::consts::EXE_SUFFIX));
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for temporary files: {error}"))?;
    let mut rows = vec![cold_start(&host, folder.path(), effort)?];
    // What a process costs on this machine that does nothing.
    rows.extend(empty_process(effort));
    Ok(rows)
}

fn cold_start(host: &Path, folder: &Path, effort: Effort) -> Result<Row, String> {
    let rules = folder.join("rules.yaml");
    fs::write(&rules, workload::rulesets(100, 4).concat()).map_err(|error| format!("{}: {error}", rules.display()))?;
    let call = workload::calls(4).into_iter().next().unwrap_or_default();
    let mut check = Command::new(host);
    check.arg("check").arg("--rules").arg(&rules).arg(&call).env("EDICTUM_CACHE_DIR", folder.join("cache"));
    // The first one compiles the component and fills the cache.
    let time = time(&mut check, effort)?;
    Ok(Row {
        what: "cold start of `edictum-host check`".to_owned(),
        rules: Some(100),
        tools: Some(4),
        unit: Unit::Milliseconds,
        component: Some(time),
        target: Some(COLD_START),
        ..Row::default()
    })
}

fn empty_process(effort: Effort) -> Option<Row> {
    let time = time(&mut Command::new("true"), effort).ok()?;
    let what = "a process that does nothing".to_owned();
    Some(Row { what, unit: Unit::Milliseconds, component: Some(time), ..Row::default() })
}

/// Milliseconds of a process, median; the first one does not count.
fn time(command: &mut Command, effort: Effort) -> Result<f64, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut samples = Vec::new();
    for round in 0..=effort.repeats * 2 {
        let since = Instant::now();
        let output = command.output().map_err(|error| format!("cannot start `{name}`: {error}"))?;
        let took = since.elapsed();
        if !output.status.success() {
            return Err(format!("`{name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        if round > 0 {
            samples.push(took.as_secs_f64() * 1e3);
        }
    }
    Ok(median(&mut samples))
}

/// Microseconds of `evaluate` in the Python SDK; none where it is not installed.
pub fn sdk(yaml: &str, calls: &[String], effort: Effort) -> Result<Option<f64>, String> {
    let Some(python) = python() else { return Ok(None) };
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for temporary files: {error}"))?;
    let (rules, list) = (folder.path().join("rules.yaml"), folder.path().join("calls.json"));
    fs::write(&rules, yaml)
        .and_then(|()| fs::write(&list, workload::list(calls)))
        .map_err(|error| format!("no temporary files: {error}"))?;
    let script = places::workspace().join("tests/reference/bench.py");
    let mut command = Command::new(&python);
    command.arg("-B").arg(script).arg(rules).arg(list).arg(effort.repeats.to_string());
    let output = command.output().map_err(|error| format!("cannot start `{}`: {error}", python.display()))?;
    if !output.status.success() {
        return Err(format!("the reference failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map(Some).map_err(|_| format!("the reference says `{}`", text.trim()))
}

/// A Python that has the SDK already: a benchmark installs nothing.
fn python() -> Option<PathBuf> {
    reference::installed().or_else(|| {
        eprintln!("the Python SDK is not installed, left out ({} names a Python that has it)", reference::PYTHON);
        None
    })
}
