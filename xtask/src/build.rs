//! Everything that users run: the components, and the host around them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Outcome, become_program, cargo_building, root, run, step, target};
use crate::{End, component};

/// Builds the components, then the host, and answers with the host's path.
pub fn everything() -> Outcome<PathBuf> {
    component::build()?;
    step("host: edictum-host (the first time, wasmtime takes some minutes)");
    // Without `--package`: the features of dependencies are those of the whole workspace then, as for the tests, and
    // wasmtime is not built a second time for them.
    run(cargo_building("build", &["--profile", "ci", "--bin", "edictum-host"]))?;
    let released = host();
    let built = target().join("ci").join(released.file_name().unwrap_or_default());
    // A running program's file cannot be written, but it can be replaced.
    let fresh = released.with_extension("new");
    fs::create_dir_all(target().join("release"))
        .and_then(|()| fs::copy(&built, &fresh))
        .and_then(|_| fs::rename(&fresh, &released))
        .map_err(|error| format!("cannot copy `{}` to `{}`: {error}", built.display(), released.display()))?;
    Ok(released)
}

/// Where the host is, once it is built.
pub fn host() -> PathBuf {
    target().join("release").join(format!("edictum-host{}", std::env::consts::EXE_SUFFIX))
}

/// Builds, then becomes the host with this verb.
pub fn then_become(verb: &str, arguments: &[String]) -> Outcome<End> {
    let mut host = Command::new(everything()?);
    host.current_dir(root()).arg(verb).args(arguments);
    Err(become_program(host))
}

/// Builds the host and a program of `tests/src/bin`, then becomes that program.
pub fn then_run(program: &str, arguments: &[String]) -> Outcome<End> {
    everything()?;
    run(cargo_building("build", &["--profile", "ci", "--bin", program]))?;
    let mut command = Command::new(target().join("ci").join(format!("{program}{}", std::env::consts::EXE_SUFFIX)));
    command.current_dir(root()).args(arguments);
    Err(become_program(command))
}
