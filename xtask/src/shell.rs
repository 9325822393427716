//! Running other programs: in the workspace's folder, with their output kept off stdout.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore could not be done: one message for people, lower case, no final period.
pub type Outcome<T> = Result<T, String>;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    // Set by `cargo run`; the path of the build serves when the program is started by hand.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// Where everything is built, whatever the environment says: documented paths stay true.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The cargo that started us.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    // Build scripts look into it, too: one place for all.
    command.current_dir(root()).args(arguments).env_remove("CARGO_TARGET_DIR");
    command
}

/// As [`cargo`], for subcommands that build.
pub fn cargo_building(subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = cargo(&[subcommand, "--target-dir"]);
    command.arg(target()).args(arguments);
    command
}

/// Says on stderr what begins now.
pub fn step(what: &str) {
    eprintln!("==> {what}");
}

/// Runs a program to its end, its output on stderr.
pub fn run(mut command: Command) -> Outcome<()> {
    let name = name(&command);
    command.stdin(Stdio::null()).stdout(io::stderr());
    let status = command.status().map_err(|error| format!("cannot start `{name}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name}` ended with {status}")) }
}

/// What a program prints; none when it cannot be started or fails.
pub fn answer(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Becomes another program: it gets our stdin, stdout, signals and exit code. Only returns when that fails.
#[cfg(unix)]
pub fn become_program(mut command: Command) -> String {
    use std::os::unix::process::CommandExt as _;
    let name = name(&command);
    format!("cannot start `{name}`: {}", command.exec())
}

/// Where a process cannot become another one: waits for it and ends as it ends.
#[cfg(not(unix))]
pub fn become_program(mut command: Command) -> String {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(2)),
        Err(error) => format!("cannot start `{}`: {error}", name(&command)),
    }
}

/// Program and first arguments, for messages.
pub fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().take(2).map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
