//! Programs that tests need and cargo does not bring: a browser for the page of `edictum-host serve`, a Redis server, Go, and
//! the targets that plugins are built for.

use std::env;
use std::process::Command;

use crate::component;
use crate::shell::{Outcome, answer, run, step};

/// Told to the tests of the page when there is no browser, and none could be installed: they are not run then.
pub const NO_BROWSER: &str = "EDICTUM_NO_BROWSER";

/// Told to the tests of the Redis store when there is no server, and none could be installed: they are not run then.
pub const NO_REDIS: &str = "EDICTUM_NO_REDIS";

/// What plugins need to be built with cargo, and whether they can be built with cargo-component, too. That is not installed:
/// it takes six minutes.
pub fn plugins() -> Outcome<bool> {
    component::install_target("wasm32-wasip2")?;
    if !component::has_cargo_component() {
        return Ok(false);
    }
    // What it builds for when it is told nothing.
    component::install_target("wasm32-wasip1").map(|()| true)
}

/// Whether Chromium and its driver are there. Where they are missing, Debian's packages are installed, if we may.
pub fn browser() -> bool {
    if env::var_os("EDICTUM_CHROMIUM").is_some() && env::var_os("EDICTUM_CHROMEDRIVER").is_some() {
        return true;
    }
    let there = || answer(program("chromedriver", &["--version"])).is_some();
    if there() {
        return starts();
    }
    step("packages: chromium and chromium-driver, for the tests of the page");
    if let Err(reason) = install(&["chromium", "chromium-driver"]) {
        eprintln!("the tests of the page are NOT run: no Chromium, and it cannot be installed: {reason}");
    }
    there() && starts()
}

/// Whether a Redis server is there. Where it is missing, Debian's package is installed, if we may.
pub fn redis() -> bool {
    let there = || answer(program("redis-server", &["--version"])).is_some();
    if there() {
        return true;
    }
    step("packages: redis-server, for the tests of the Redis store");
    if let Err(reason) = install(&["redis-server"]) {
        eprintln!("the tests of the Redis store are NOT run: no Redis server, and it cannot be installed: {reason}");
    }
    there()
}

fn install(packages: &[&str]) -> Outcome<()> {
    run(as_root(&["apt-get", "-q", "update"]))?;
    run(as_root(&[&["apt-get", "-q", "install", "-y", "--no-install-recommends"], packages].concat()))
}

/// Whether a browser that is there can run: some machines that build things do not let it.
fn starts() -> bool {
    let page = ["60", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", "about:blank"];
    let starts = answer(program("timeout", &page)).is_some();
    if !starts {
        eprintln!("the tests of the page are NOT run: Chromium is there and does not start");
    }
    starts
}

/// Go, and its formatter.
pub const GO: &str = "go";
pub const GOFMT: &str = "gofmt";

/// The line of Go that the module needs.
const GO_LINE: u32 = 24;

/// Whether Go is there, and young enough. Where it is missing, Debian's package is installed, if we may.
pub fn go() -> bool {
    let line = || {
        let version = answer(program(GO, &["env", "GOVERSION"]))?;
        version.strip_prefix("go1.")?.split('.').next()?.parse::<u32>().ok()
    };
    if line().is_none() {
        step("packages: golang-go");
        let installed = run(as_root(&["apt-get", "-q", "update"]))
            .and_then(|()| run(as_root(&["apt-get", "-q", "install", "-y", "--no-install-recommends", "golang-go"])));
        if let Err(reason) = installed {
            eprintln!("nothing in Go is run: there is no Go, and it cannot be installed: {reason}");
        }
    }
    match line() {
        Some(line) if line >= GO_LINE => true,
        Some(line) => {
            eprintln!("nothing in Go is run: it needs Go 1.{GO_LINE}, and there is 1.{line}");
            false
        }
        None => false,
    }
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
