//! What a tool may touch: sandbox rules (engine.md §6). A rule passes or fails as a whole.
//!
//! A rule is a [`Sandbox`]; what a call touches is extracted once into a [`Touched`] and judged by every sandbox rule of
//! the tool. Symbolic links are walked here, one question at a time to the host: [`Touched::unresolved`] and
//! [`Sandbox::bind`] say which paths must be known, [`Links`] holds what is known.
//!
//! Not here: which rules a tool has, the message, and what `outside: ask` leads to. There is no compatibility mode: the
//! reference's gaps stay closed.
//!
//! Start with [`touched`] (what is looked for), then `spelling` and `resolve` (paths), `shell` and `operand` (commands),
//! `address` and `host` (network).

mod resolve;
mod touched;

pub use resolve::Links;
pub use touched::Touched;

use crate::diagnostics::Findings;
use crate::documents::ruleset::SandboxRule;

/// Where relative paths and `~` lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Absolute; what relative paths of rules and calls are relative to.
    pub cwd: String,
    /// What `~` stands for, absolute; none: a path with `~` cannot be known.
    pub home: Option<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self { cwd: "/".to_owned(), home: None }
    }
}

/// What must be extracted from a call for the rules of its tool. Whether a command is chained is always looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Paths; only then links are asked for.
    pub paths: bool,
    /// First words of commands.
    pub commands: bool,
    /// Hosts.
    pub hosts: bool,
}

impl Needs {
    /// What either needs.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            paths: self.paths || other.paths,
            commands: self.commands || other.commands,
            hosts: self.hosts || other.hosts,
        }
    }
}

/// What a rule says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything it touches is permitted, or it touches nothing.
    Inside,
    /// Not so; the rule's message applies.
    Outside(Reason),
    /// It could not be judged, by a fault of the caller's: links were left unresolved or boundaries unbound. A policy
    /// error; the text is for `error_detail`.
    Error(String),
}

/// Why a call is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A path in `not_within`.
    ExcludedPath,
    /// A path in no `within`.
    Path,
    /// Nobody can say beforehand what a path leads to.
    UnknowablePath,
    /// A command that may run more than one thing.
    Chained,
    /// A command whose first words are not in `allows.commands`.
    Command,
    /// A `command` that is not a text.
    CommandNotText,
    /// A host in `not_allows.domains`.
    BlockedHost,
    /// A host that is not in `allows.domains`.
    Host,
    /// A URL whose host not every reader agrees on.
    UnverifiableHost,
    /// More to check than is checked.
    TooMuch,
}

/// One compiled sandbox rule, without its message.
#[derive(Clone, Debug)]
pub struct Sandbox {
    needs: Needs,
}

impl Sandbox {
    /// Compiles a rule. Findings: `E_SANDBOX_PATH`, `E_SANDBOX_COMMAND`, `W_GLOB`.
    #[must_use]
    pub fn compile(rule: &SandboxRule, context: &Context, findings: &mut Findings) -> Self {
        let _ = (context, findings);
        Self {
            needs: Needs {
                paths: !rule.within.is_empty() || !rule.not_within.is_empty(),
                commands: rule.allowed_commands.is_some(),
                hosts: rule.allowed_domains.is_some() || !rule.blocked_domains.is_empty(),
            },
        }
    }

    /// What it needs of a call.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        self.needs
    }

    /// Binds the boundaries to what they are when the rule is loaded, so that a link moved later opens nothing. Gives the
    /// paths whose kind must be known first (empty: bound); call it again when [`Links`] has them.
    pub fn bind(&mut self, links: &Links) -> Vec<String> {
        let _ = links;
        Vec::new()
    }

    /// Judges a call. `links` must have what [`Touched::unresolved`] asked for.
    #[must_use]
    pub fn judge(&self, touched: &Touched<'_>, links: &Links) -> Verdict {
        let _ = (touched, links);
        Verdict::Error("not judged".to_owned())
    }
}
