//! The verbs, one file each, and how they end. What several of them take is in [`rules`], how findings are shown in
//! [`findings`], and decisions in [`outcome`].

mod approvals;
mod check;
mod demo;
mod driver;
mod events;
mod findings;
mod outcome;
mod plugin;
mod plugins;
mod remote;
mod rules;
mod rulesets;
mod run;
mod serve;
mod signing;
mod templates;
mod validate;
mod workflow;

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Subcommand;
use edictum_host::{Diagnostic, Document, Host};
use indicatif::ProgressBar;

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    Demo(demo::Demo),
    Validate(validate::Validate),
    Check(check::Check),
    Run(run::Run),
    Templates(templates::Templates),
    Plugin(plugin::Plugin),
    Workflow(workflow::Workflow),
    Driver(driver::Driver),
    Serve(serve::Serve),
    Approvals(approvals::Approvals),
    Events(events::Events),
    Rulesets(rulesets::Rulesets),
    Keygen(signing::Keygen),
    Sign(signing::Sign),
    Verify(signing::Verify),
}

/// How a verb ends when it could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing to report.
    Good,
    /// A finding, or a block.
    Found,
    /// Ctrl-C, before it was done.
    Interrupted,
}

/// Why a verb could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The host says so.
    #[error("{} ({})", .0.message(), .0.code())]
    Host(#[from] edictum_host::Error),
    /// A file or a stream.
    #[error("{what}: {error}")]
    Io {
        /// What was read or written.
        what: String,
        /// What the system says.
        error: io::Error,
    },
    /// An argument.
    #[error("{0}")]
    Usage(String),
    /// Documents that do not load, and what is wrong with them.
    #[error("the documents do not load")]
    Documents(Vec<Diagnostic>, Vec<Document>),
}

impl Trouble {
    /// On stderr, where a verb's results are not.
    pub fn tell(&self) {
        if let Self::Documents(findings, documents) = self {
            anstream::eprint!("{}", findings::shown(findings, documents));
        }
        anstream::eprintln!("error: {self}");
    }

    fn unread(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("cannot read `{}`", path.display()))
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

impl Verb {
    pub fn run(self) -> Result<End, Trouble> {
        let end = match self {
            Self::Demo(verb) => verb.run(),
            Self::Validate(verb) => verb.run(),
            Self::Check(verb) => verb.run(),
            Self::Run(verb) => verb.run(),
            Self::Templates(verb) => verb.run(),
            Self::Plugin(verb) => verb.run(),
            Self::Workflow(verb) => verb.run(),
            Self::Driver(verb) => verb.run(),
            Self::Serve(verb) => verb.run(),
            Self::Approvals(verb) => verb.run(),
            Self::Events(verb) => verb.run(),
            Self::Rulesets(verb) => verb.run(),
            Self::Keygen(verb) => verb.run(),
            Self::Sign(verb) => verb.run(),
            Self::Verify(verb) => verb.run(),
        };
        match end {
            // Who closes the other end of our output has read enough.
            Err(Trouble::Io { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => Ok(End::Good),
            end => end,
        }
    }
}

/// Prints one line of results.
fn say(line: &str) -> Result<(), Trouble> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(Trouble::io("stdout"))
}

/// Starts the host. The first time on a machine the component is compiled, which takes seconds: on a terminal one sees it.
fn start() -> Result<Host, Trouble> {
    let (started, waiting) = mpsc::channel::<()>();
    let notice = thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Shown on stderr, and only on a terminal.
            let bar = ProgressBar::new_spinner().with_message("compiling the engine for this machine, once");
            bar.enable_steady_tick(Duration::from_millis(100));
            let _ended = waiting.recv();
            bar.finish_and_clear();
        }
    });
    let host = Host::new();
    drop(started);
    let _ended = notice.join();
    Ok(host?)
}

/// Who waits longer than this wants to know what for.
const PATIENCE: Duration = Duration::from_millis(400);
