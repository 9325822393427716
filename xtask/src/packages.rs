//! Programs that tests need and cargo does not bring: a browser for the page of `edictum-host serve`.

use std::env;
use std::process::Command;

use crate::shell::{answer, run, step};

/// Told to the tests of the page when there is no browser, and none could be installed: they are not run then.
pub const NO_BROWSER: &str = "EDICTUM_NO_BROWSER";

/// Whether Chromium and its driver are there. Where they are missing, Debian's packages are installed, if we may.
pub fn browser() -> bool {
    let named = env::var_os("EDICTUM_CHROMIUM").is_some() && env::var_os("EDICTUM_CHROMEDRIVER").is_some();
    let there = || answer(program("chromedriver", &["--version"])).is_some();
    if named || there() {
        return true;
    }
    step("packages: chromium and chromium-driver, for the tests of the page");
    let apt = |arguments: &[&str]| run(as_root(arguments));
    let installed = apt(&["apt-get", "-q", "update"]).and_then(|()| {
        apt(&["apt-get", "-q", "install", "-y", "--no-install-recommends", "chromium", "chromium-driver"])
    });
    if let Err(reason) = installed {
        eprintln!("the tests of the page are NOT run: no Chromium, and it cannot be installed: {reason}");
    }
    there()
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments);
    command
}

/// As root we may; else sudo, if it asks nothing.
fn as_root(arguments: &[&str]) -> Command {
    let root = answer(program("id", &["-u"])).is_some_and(|id| id == "0");
    let mut command = if root { Command::new("env") } else { program("sudo", &["-n", "env"]) };
    command.arg("DEBIAN_FRONTEND=noninteractive").args(arguments);
    command
}
