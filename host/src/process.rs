//! A command of a workflow's `exec(...)`: no shell, a process group of its own, a deadline, and a bounded output. The
//! engine decides which commands run and what their end means.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::bindings::decide::{CommandLine, CommandResult};

/// How long a killed process may take to be gone.
const REAP: Duration = Duration::from_secs(5);

/// Runs a command to its end. Blocks.
///
/// # Errors
/// It cannot be started, or it did not end in time and was killed.
pub(crate) fn run(command: &CommandLine, cwd: Option<&str>) -> Result<CommandResult, String> {
    let deadline = Instant::now() + Duration::from_millis(command.timeout_ms.into());
    let (output, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let mut child = start(command, cwd, writer)?;
    let cap = usize::try_from(command.output_cap).unwrap_or(usize::MAX);
    let read = collect(output, cap);
    let ended = read.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    let status = ended.is_ok().then(|| wait(&mut child, deadline)).flatten();
    match (status, ended) {
        (Some(status), Ok(output)) => Ok(CommandResult { exit_code: exit_code(status), output }),
        _ => {
            kill(&mut child);
            wait(&mut child, Instant::now() + REAP);
            Err(format!("no end within {} ms", command.timeout_ms))
        }
    }
}

fn start(command: &CommandLine, cwd: Option<&str>, writer: std::io::PipeWriter) -> Result<Child, String> {
    let Some((program, arguments)) = command.argv.split_first() else { return Err("an empty command".to_owned()) };
    let errors = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    let mut process = Command::new(program);
    process.args(arguments).env_clear().stdin(Stdio::null()).stdout(writer).stderr(errors);
    for name in &command.environment {
        if let Some(value) = std::env::var_os(name) {
            process.env(name, value);
        }
    }
    if let Some(cwd) = cwd {
        process.current_dir(cwd);
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    process.spawn().map_err(|error| format!("it cannot be started: {}", error.kind()))
}

/// Reads until nobody writes any more, and keeps the first `cap` bytes.
fn collect(mut output: impl Read + Send + 'static, cap: usize) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length) = output.read(&mut chunk)
            && length > 0
        {
            let room = cap.saturating_sub(kept.len()).min(length);
            kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
        }
        let _ = sender.send(text(&kept, cap));
    });
    receiver
}

/// A character that the cap cut in two is left out.
fn text(bytes: &[u8], cap: usize) -> String {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && bytes.len() == cap => {
            String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default()).into_owned()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// With everything it has started.
#[cfg(unix)]
fn kill(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};

    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if group.is_none_or(|group| kill_process_group(group, Signal::KILL).is_err()) {
        let _ = child.kill();
    }
}

#[cfg(not(unix))]
fn kill(child: &mut Child) {
    let _ = child.kill();
}

#[cfg(unix)]
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;

    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1)
}

#[cfg(not(unix))]
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot have ends it")]

    use super::*;

    fn command(argv: &[&str]) -> CommandLine {
        CommandLine {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec!["PATH".to_owned()],
            timeout_ms: 10_000,
            output_cap: 4096,
        }
    }

    fn ends(argv: &[&str]) -> (i32, String) {
        let result = run(&command(argv), None).unwrap();
        (result.exit_code, result.output)
    }

    #[test]
    fn a_command_ends_with_code_and_merged_output() {
        assert_eq!(ends(&["sh", "-c", "echo out; echo err >&2; exit 3"]), (3, "out\nerr\n".to_owned()));
        assert_eq!(ends(&["sh", "-c", "kill -9 $$"]), (-9, String::new()));
        assert_eq!(ends(&["printf", "%s", "$HOME; `id`"]), (0, "$HOME; `id`".to_owned()), "there is no shell");
    }

    #[test]
    fn a_command_sees_only_the_variables_it_may_see() {
        let (_, output) = ends(&["env"]);
        assert!(output.starts_with("PATH=") && output.lines().count() == 1, "{output}");
    }

    #[test]
    fn a_command_without_end_is_killed_with_all_it_started() {
        let since = Instant::now();
        let mut endless = command(&["sh", "-c", "sleep 60 & sleep 60"]);
        endless.timeout_ms = 200;
        assert!(run(&endless, None).is_err());
        let mut detached = command(&["sh", "-c", "sleep 60 & exit 0"]);
        detached.timeout_ms = 200;
        assert!(run(&detached, None).is_err(), "who holds the output open has not ended");
        assert!(since.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn endless_output_is_cut_at_a_character() {
        let mut flood = command(&["sh", "-c", "yes ä | head -c 10000000"]);
        flood.output_cap = 7;
        assert_eq!(run(&flood, None).unwrap().output, "ä\nä\n", "one byte of the third letter is left out");
    }

    #[test]
    fn what_cannot_run_is_an_error() {
        assert!(run(&command(&[]), None).is_err());
        assert!(run(&command(&["/nonexistent/program"]), None).is_err());
        assert!(run(&command(&["true"]), Some("/nonexistent/folder")).is_err());
    }

    #[test]
    fn a_command_runs_where_the_options_say() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let result = run(&command(&["pwd"]), folder.to_str()).unwrap();
        assert_eq!(result.output.trim_end(), folder.to_str().unwrap());
    }
}
