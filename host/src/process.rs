//! A command of a workflow's `exec(...)`: no shell, a process group of its own, a deadline, a bounded output, and no key of
//! ours in its environment. The engine decides which commands run and what their end means.
//!
//! Whatever happens, the whole group is killed in the end: after success, after the deadline, and when nobody waits for
//! the answer any more.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::bindings::decide::{CommandLine, CommandResult};

#[cfg(unix)]
pub(crate) use self::unix::run;

/// Process groups are what makes a command end; where there are none, no command begins.
#[cfg(not(unix))]
pub(crate) async fn run(_: CommandLine, _: Option<String>, _: Vec<String>) -> Result<CommandResult, String> {
    Err("commands run on Unix only".to_owned())
}

/// How long a killed process may take to be gone.
const REAP: Duration = Duration::from_secs(5);

/// A shorter key is withheld only where it is the whole value: a text that holds it by chance says nothing.
const MIN_KEY: usize = 8;

/// The variables that a command gets: those that are named, as far as they are set, without keys of ours. Whoever names
/// `EDICTUM_API_KEY`, or a variable with the same key in it, would hand the key to whatever an agent makes a test run.
fn environment(named: &[String], variables: &[(OsString, OsString)], withheld: &[String]) -> Vec<(OsString, OsString)> {
    let ours = variables.iter().filter(|(name, _)| is_key(name)).map(|(_, value)| value.as_os_str());
    let keys: Vec<&OsStr> = ours.chain(withheld.iter().map(OsStr::new)).collect();
    let given = |(name, value): &&(OsString, OsString)| {
        named.iter().any(|named| name == named.as_str())
            && !is_key(name)
            && !keys.iter().any(|key| !key.is_empty() && (*key == value || holds(value, key)))
    };
    variables.iter().filter(given).cloned().collect()
}

/// Whether a variable of this name is for us alone.
fn is_key(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("EDICTUM_") && ["KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word))
}

fn holds(value: &OsStr, key: &OsStr) -> bool {
    let (value, key) = (value.as_encoded_bytes(), key.as_encoded_bytes());
    key.len() >= MIN_KEY && value.windows(key.len()).any(|part| part == key)
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

#[cfg(unix)]
mod unix {
    use std::io::PipeReader;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitStatus, Stdio};
    use std::time::Duration;

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    use tokio::io::{AsyncRead, AsyncReadExt as _};
    use tokio::process::{Child, ChildStdout, Command};
    use tokio::time::{sleep, timeout};

    use super::{CommandLine, CommandResult, REAP, environment, text};

    /// How often to look whether a process that has closed its output has ended.
    const LOOK: Duration = Duration::from_millis(2);

    /// Runs a command to its end.
    /// `withheld`: no variable with one of these keys in it is handed on.
    ///
    /// # Errors
    /// It cannot be started, or it (or what it has started, and what holds its output open) did not end in time.
    pub(crate) async fn run(
        command: CommandLine,
        cwd: Option<String>,
        withheld: Vec<String>,
    ) -> Result<CommandResult, String> {
        let (output, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
        let output = readable(output).map_err(|error| format!("no pipe: {error}"))?;
        let (mut child, group) = start(&command, cwd.as_deref(), &withheld, writer)?;
        let cap = usize::try_from(command.output_cap).unwrap_or(usize::MAX);
        let ended = timeout(Duration::from_millis(command.timeout_ms.into()), async {
            let output = collect(output, cap).await;
            group.ended().await;
            output
        });
        let ended = ended.await;
        // Before the first process is reaped: until then its number belongs to nobody else.
        drop(group);
        let status = timeout(REAP, child.wait()).await;
        match (ended, status) {
            (Ok(output), Ok(Ok(status))) => {
                Ok(CommandResult { exit_code: exit_code(status), output: text(&output, cap) })
            }
            (Err(_), _) => Err(format!("no end within {} ms", command.timeout_ms)),
            (Ok(_), _) => Err("its end cannot be known".to_owned()),
        }
    }

    /// A process and everything it has started and that has not left for a group of its own.
    #[derive(Debug)]
    struct Group(Pid);

    impl Group {
        /// Waits until its first process has ended, and leaves it to be reaped.
        async fn ended(&self) {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            while let Ok(None) = waitid(WaitId::Pid(self.0), look) {
                sleep(LOOK).await;
            }
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            // An error means that none of them is left.
            let _ = kill_process_group(self.0, Signal::KILL);
        }
    }

    fn readable(output: PipeReader) -> std::io::Result<ChildStdout> {
        ChildStdout::from_std(std::process::ChildStdout::from(OwnedFd::from(output)))
    }

    fn start(
        command: &CommandLine,
        cwd: Option<&str>,
        withheld: &[String],
        writer: std::io::PipeWriter,
    ) -> Result<(Child, Group), String> {
        let Some((program, arguments)) = command.argv.split_first() else { return Err("an empty command".to_owned()) };
        let errors = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
        let variables: Vec<_> = std::env::vars_os().collect();
        let mut process = Command::new(program);
        process
            .args(arguments)
            .env_clear()
            .envs(environment(&command.environment, &variables, withheld))
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = cwd {
            process.current_dir(cwd);
        }
        let child = process.spawn().map_err(|error| format!("it cannot be started: {}", error.kind()))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).map(Group);
        Ok((child, group.ok_or("it has no process id")?))
    }

    /// Reads until nobody writes any more, and keeps the first `cap` bytes.
    async fn collect(mut output: impl AsyncRead + Unpin, cap: usize) -> Vec<u8> {
        let mut kept = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length) = output.read(&mut chunk).await
            && length > 0
        {
            let room = cap.saturating_sub(kept.len()).min(length);
            kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
        }
        kept
    }

    fn exit_code(status: ExitStatus) -> i32 {
        status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1)
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot have ends it")]

    use std::time::Instant;

    use super::*;

    fn command(argv: &[&str]) -> CommandLine {
        CommandLine {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec!["PATH".to_owned()],
            timeout_ms: 10_000,
            output_cap: 4096,
        }
    }

    fn block<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn run(command: &CommandLine, cwd: Option<&str>) -> Result<CommandResult, String> {
        block(super::run(command.clone(), cwd.map(str::to_owned), Vec::new()))
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

    /// Whether a process is there and no zombie.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// The process whose number a command has written to a file is gone, at least soon.
    fn gone(file: &std::path::Path) -> bool {
        let pid = std::fs::read_to_string(file).unwrap();
        assert!(!pid.trim().is_empty());
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !lives(pid.trim())
        })
    }

    #[test]
    fn a_command_without_end_is_killed_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let since = Instant::now();
        for (name, script) in [
            ("both", "sleep 60 & echo $! > both; sleep 60"),
            // Who holds the output open has not ended.
            ("child", "sleep 60 & echo $! > child; exit 0"),
        ] {
            let mut endless = command(&["sh", "-c", script]);
            endless.timeout_ms = 500;
            assert!(run(&endless, folder.path().to_str()).unwrap_err().contains("500 ms"));
            assert!(gone(&folder.path().join(name)), "{name}");
        }
        assert!(since.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_command_that_ends_well_leaves_nobody_behind() {
        let folder = tempfile::tempdir().unwrap();
        let quiet = command(&["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $! > pid; echo done"]);
        let result = run(&quiet, folder.path().to_str()).unwrap();
        assert_eq!((result.exit_code, result.output.as_str()), (0, "done\n"));
        assert!(gone(&folder.path().join("pid")));
    }

    #[test]
    fn a_command_that_nobody_waits_for_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let endless = command(&["sh", "-c", "echo $$ > pid; exec sleep 60"]);
        let cwd = folder.path().to_str().map(str::to_owned);
        block(async {
            let started = tokio::spawn(super::run(endless, cwd, Vec::new()));
            while std::fs::read_to_string(&file).map_or(true, |pid| pid.trim().is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            started.abort();
            assert!(started.await.unwrap_err().is_cancelled());
        });
        assert!(gone(&file));
    }

    #[test]
    fn keys_of_ours_are_in_no_environment() {
        let variables = [
            ("PATH", "/bin"),
            ("EDICTUM_API_KEY", "key-0123456789"),
            ("EDICTUM_STAGING_TOKEN", "short"),
            ("EDICTUM_LOG", "warn"),
            ("CURL_HEADER", "Authorization: Bearer key-0123456789"),
            ("COPY", "short"),
            ("WORD", "shortly"),
            ("UNNAMED", "x"),
            ("GIVEN", "token=key-of-a-guard"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let named = [
            "PATH",
            "EDICTUM_API_KEY",
            "EDICTUM_STAGING_TOKEN",
            "EDICTUM_LOG",
            "CURL_HEADER",
            "COPY",
            "WORD",
            "UNSET",
            "GIVEN",
        ];
        let named = named.map(str::to_owned);
        let given = environment(&named, &variables, &["key-of-a-guard".to_owned()]);
        let names: Vec<_> = given.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "EDICTUM_LOG", "WORD"]);
        assert!(environment(&[], &variables, &[]).is_empty());
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
