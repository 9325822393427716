//! Where the reference is: a Python with the published SDK in the workspace's `.local/reference-venv`, made when missing.
//! Without Python or the package registry there is no differential test, and that is a failure, never a silent skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::process::{Process, Side as _};

/// The version all of this is about.
pub const VERSION: &str = "0.19.0";

/// Names a Python that has the SDK already.
pub const PYTHON: &str = "EDICTUM_REFERENCE_PYTHON";

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Starts the reference; installs it first when it is missing.
///
/// # Errors
/// When it cannot be installed, does not start, or is not the version that the test is about.
pub fn start(scratch: &Path) -> Result<Process, String> {
    let mut command = Command::new(python()?);
    command.arg("-B").arg(workspace().join("tests/reference/driver.py"));
    let mut process = Process::start(command, scratch)?;
    let hello = process.exchange(vec![r#"{"id":0,"op":"hello"}"#.to_owned()])?;
    let version = hello.first().and_then(|hello| hello.at(&["result", "version"])).and_then(|version| version.as_str());
    if version == Some(VERSION) { Ok(process) } else { Err(format!("the reference is {version:?} and not {VERSION}")) }
}

/// The interpreter, when there is one already: nothing is installed.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let named = std::env::var_os(PYTHON).filter(|python| !python.is_empty()).map(PathBuf::from);
    let made = || Some(workspace().join(".local/reference-venv/bin/python")).filter(|python| python.exists());
    named.or_else(made)
}

/// The interpreter; installs when there is none yet.
///
/// # Errors
/// What is missing and what to do about it.
pub fn python() -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os(PYTHON) {
        return Ok(python.into());
    }
    let folder = workspace().join(".local/reference-venv");
    let python = folder.join("bin/python");
    let requirements = workspace().join("tests/reference/requirements.txt");
    let wanted = fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    // Written last: an installation that was interrupted has none.
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) && python.exists() {
        return Ok(python);
    }
    eprintln!("installing the reference ({}) into {}", wanted.trim(), folder.display());
    let help = format!("the differential test needs Python ≥ 3.11 with `venv` and a package registry, or {PYTHON}");
    let run = |command: &mut Command, what: &str| -> Result<(), String> {
        let Output { status, stderr, .. } = command.output().map_err(|error| format!("{what}: {error}; {help}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{what} failed: {}; {help}", String::from_utf8_lossy(&stderr).trim()))
        }
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(&python).args(pip).arg(&requirements), "pip install")?;
    fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(python)
}
