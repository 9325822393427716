//! Starts the driver of a host: a program that reads requests from stdin and writes nothing but responses to stdout.

use std::process::Command;

use clap::ValueEnum;

use crate::End;
use crate::build;
use crate::golang;
use crate::shell::{Outcome, become_program};

/// Hosts that have a driver.
#[derive(Clone, Copy, ValueEnum)]
pub enum Language {
    /// The reference host
    Rust,
    /// The Go module over libedictum
    Go,
}

/// Builds what the driver needs, saying so on stderr, then becomes it.
pub fn start(language: Language, arguments: &[String]) -> Outcome<End> {
    let mut driver = match language {
        Language::Rust => {
            let mut host = Command::new(build::everything()?);
            host.arg("driver");
            host
        }
        Language::Go => Command::new(golang::driver()?),
    };
    driver.args(arguments);
    Err(become_program(driver))
}
