//! Starts the driver of a host: a program that reads requests from stdin and writes nothing but responses to stdout.

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;

use crate::End;
use crate::shell::{Outcome, become_program};
use crate::{build, component, golang, node, packages, python};

/// Hosts that have a driver.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// The reference host
    Rust,
    /// examples/python
    Python,
    /// The npm package of examples/node
    Node,
    /// The Go module of examples/go, over libedictum
    Go,
}

/// Builds what the driver needs, saying so on stderr, then becomes it.
pub fn start(language: Language, arguments: &[String]) -> Outcome<End> {
    match language {
        Language::Rust => drop(build::everything()?),
        Language::Python | Language::Node | Language::Go => component::build()?,
    };
    let (program, own) = command(language)?;
    let mut driver = Command::new(program);
    driver.args(own).args(arguments);
    Err(become_program(driver))
}

/// The driver of each host as tests are told of it (`EDICTUM_DRIVERS`): the components and the host are there already.
pub fn listed() -> Outcome<String> {
    let mut lines = Vec::new();
    for language in Language::value_variants() {
        if *language == Language::Go && !packages::go() {
            continue;
        }
        let (program, arguments) = command(*language)?;
        let name = language.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let words: Vec<_> = std::iter::once(program.display().to_string()).chain(arguments).collect();
        lines.push(format!("{name}={}", words.join(" ")));
    }
    Ok(lines.join("\n"))
}

/// Program and arguments of a driver; installs what it needs from registries.
fn command(language: Language) -> Outcome<(PathBuf, Vec<String>)> {
    match language {
        Language::Rust => Ok((build::host(), vec!["driver".to_owned()])),
        Language::Python => {
            Ok((python::interpreter()?, vec![python::folder().join("driver.py").display().to_string()]))
        }
        Language::Node => {
            node::prepare()?;
            Ok(("node".into(), vec![node::folder().join("driver.js").display().to_string()]))
        }
        Language::Go => Ok((golang::driver()?, Vec::new())),
    }
}
