//! Where things are: the workspace, the shared suites, our fixtures, the driver. All of it can be set from outside.

use std::env;
use std::path::{Path, PathBuf};

/// The command line of the driver under test, separated by white space.
pub const DRIVER_VARIABLE: &str = "EDICTUM_DRIVER";

/// The drivers of all hosts, one a line: `name=command line`. Set by `cargo xtask test`, which builds what they need.
pub const DRIVERS_VARIABLE: &str = "EDICTUM_DRIVERS";

/// The directory that holds `conformance/`.
pub const SHARED_VARIABLE: &str = "EDICTUM_SHARED";

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The suites that all implementations share.
#[must_use]
pub fn conformance() -> PathBuf {
    let shared = env::var_os(SHARED_VARIABLE).map_or_else(|| workspace().join("../shared"), PathBuf::from);
    shared.join("conformance")
}

/// Our own fixtures.
#[must_use]
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A host that has a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDriver {
    /// What results call it.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// The hosts under test: those of `EDICTUM_DRIVERS`, else the one driver under test.
#[must_use]
pub fn host_drivers() -> Vec<HostDriver> {
    let listed = env::var(DRIVERS_VARIABLE).unwrap_or_default();
    let hosts: Vec<_> = listed.lines().filter_map(host_driver).collect();
    if hosts.is_empty() { vec![HostDriver { name: "rust".to_owned(), command: driver_command() }] } else { hosts }
}

fn host_driver(line: &str) -> Option<HostDriver> {
    let (name, command) = line.split_once('=')?;
    let command: Vec<String> = command.split_whitespace().map(ToOwned::to_owned).collect();
    (!command.is_empty()).then(|| HostDriver { name: name.trim().to_owned(), command })
}

/// The driver under test: `EDICTUM_DRIVER`, else the Rust host of the release build.
#[must_use]
pub fn driver_command() -> Vec<String> {
    let given = env::var(DRIVER_VARIABLE).unwrap_or_default();
    let words: Vec<String> = given.split_whitespace().map(ToOwned::to_owned).collect();
    if words.is_empty() {
        let host = workspace().join("target/release/edictum-host");
        return vec![host.to_string_lossy().into_owned(), "driver".to_owned()];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_a_command_line() {
        let host = host_driver("python=/usr/bin/python -B driver.py").unwrap();
        assert_eq!((host.name.as_str(), host.command.len()), ("python", 3));
        for nothing in ["", "python", "python=", "python=  "] {
            assert_eq!(host_driver(nothing), None, "{nothing}");
        }
    }
}
