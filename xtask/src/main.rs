//! Chores of this repository: `cargo xtask build | test | demo | bench | faults | driver | component | libedictum |
//! dist-go | header | wit-doc`.
//!
//! Each verb installs what it lacks and then does its job, on a fresh machine too. Progress goes to stderr, results to
//! stdout. Exit code 0: done, 1: findings (failed tests, a stale page), 2: it could not be done.
//!
//! [`component`] makes the components, [`build`] those and the host, [`libedictum`] the host for C, [`golang`] the Go
//! module, [`node`] the npm package, [`python`] an environment for the Python host, [`suite`] tests everything, [`packages`]
//! installs what tests need, [`wit`] reads the interface packages, [`shell`] runs other programs.

mod build;
mod component;
mod driver;
mod golang;
mod libedictum;
mod node;
mod packages;
mod python;
mod shell;
mod suite;
mod wit;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of this repository", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the components and the reference host: target/component/edictum-{decider,guard}.wasm, target/release/edictum-host
    Build,
    /// Builds, runs every test of every crate, the linters and the format check; ends with `N passed, N failed`
    Test,
    /// Builds, then shows a guard at work
    Demo {
        /// Handed to `edictum-host demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds, then measures: one table of ratios (`--quick`, `--json`)
    Bench {
        /// Handed to the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Puts deliberate faults into a copy of the engine, one at a time, and shows that the differential test notices each
    Faults {
        /// Names of faults; none: all of tests/deliberate_faults.yaml
        arguments: Vec<String>,
    },
    /// Builds quietly, then becomes the driver of a host: requests on stdin, responses on stdout
    Driver {
        /// The host
        language: driver::Language,
        /// Handed to the driver
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds the decider with cargo-component (0.21) instead, to the same file
    Component,
    /// Builds libedictum, the host for programs that call C: target/libedictum/{libedictum.so,edictum.h}
    Libedictum {
        /// Optimised as for a release: some minutes
        #[arg(long)]
        release: bool,
    },
    /// Makes a module proxy in a folder, with the Go module and its library: target/dist/go
    DistGo,
    /// Writes the header of libedictum from its sources
    Header {
        /// Only says whether the header is current
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/wit.md from the interface packages
    WitDoc {
        /// Only says whether the page is current
        #[arg(long)]
        check: bool,
    },
}

/// How a chore ends when it could be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Findings,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Build => build::everything().map(|_| End::Good),
        Verb::Test => suite::test(),
        Verb::Demo { arguments } => build::then_become("demo", &arguments),
        Verb::Bench { arguments } => build::then_run("bench", &arguments),
        Verb::Faults { arguments } => build::then_run("deliberate_faults", &arguments),
        Verb::Driver { language, arguments } => driver::start(language, &arguments),
        Verb::Component => component::with_cargo_component().map(|()| End::Good),
        Verb::Libedictum { release } => libedictum::build(release).map(|_| End::Good),
        Verb::DistGo => golang::dist(),
        Verb::Header { check } => libedictum::header(check),
        Verb::WitDoc { check } => wit::page(check),
    };
    match outcome {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Findings) => ExitCode::from(1),
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::from(2)
        }
    }
}
