//! `edictum-host`: the reference host on the command line. Each verb is a file in `command/`.

mod command;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use command::{End, Verb};

/// Guards tool calls of AI agents by rules written in YAML
#[derive(Parser)]
#[command(
    name = "edictum-host",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "\
To begin:
  $ edictum-host demo                                          see a guard at work
  $ edictum-host templates coding-assistant-base > rules.yaml  rules to start from
  $ edictum-host validate rules.yaml                           what is wrong with them
  $ edictum-host check --rules rules.yaml '{\"tool\": \"Bash\", \"args\": {\"command\": \"ls\"}}'

Exit codes:
  0  done; nothing was found, nothing was blocked
  1  a finding in a document, or a blocked call
  2  it could not be done: wrong usage, a file that cannot be read, an internal error

Environment:
  EDICTUM_COMPONENT  a component to run instead of the one inside
  EDICTUM_CACHE_DIR  where compiled code is kept (default: ~/.cache/edictum)
  EDICTUM_LOG        what is logged to stderr, as in `info` or `edictum_host=debug` (default: `warn`)"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let Arguments { verb } = Arguments::parse();
    let filter = EnvFilter::try_from_env("EDICTUM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match verb.run() {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Found) => ExitCode::from(1),
        // As shells have it.
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(trouble) => {
            trouble.tell();
            ExitCode::from(2)
        }
    }
}
