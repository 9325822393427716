//! `edictum-host plugin`: what a plugin has, and the beginning of a new one.

mod inspect;
mod new;

use clap::{Args, Subcommand};

use super::{End, Trouble};

/// Looks into a plugin, or begins a new one
#[derive(Args)]
#[command(after_help = "\
A plugin is a component with operators, selectors, hooks, a success check, a principal resolver or an audit sink:
docs/plugins.md. `run`, `check` and `validate` take it with --plugin.")]
pub struct Plugin {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Inspect(inspect::Inspect),
    New(new::New),
}

impl Plugin {
    pub fn run(self) -> Result<End, Trouble> {
        match self.verb {
            Verb::Inspect(verb) => verb.run(),
            Verb::New(verb) => verb.run(),
        }
    }
}
