//! What a tool may touch: sandbox rules (engine.md §6). A rule passes or fails as a whole.
//!
//! A rule is a [`Sandbox`]; what a call touches is extracted once into a [`Touched`] and judged by every sandbox rule of
//! the tool. Symbolic links are walked here, the host only says what single paths are: [`Touched::unresolved`] and
//! [`Sandbox::bind`] say which paths must be known, [`Links`] holds what is known.
//!
//! Not here: which rules a tool has, the message, and what `outside: ask` leads to. There is no compatibility mode: the
//! reference's gaps stay closed.
//!
//! Start with `search` (what is looked for), then `candidate`, `spelling`, `resolve` and `boundary` (paths), `shell`,
//! `operand` and `allowed` (commands), `address` and `host` (network).

mod address;
mod allowed;
mod boundary;
mod candidate;
mod host;
mod key;
mod operand;
mod resolve;
mod search;
mod shell;
mod spelling;
#[cfg(test)]
mod tests;
mod touched;

use std::collections::BTreeSet;

pub use resolve::Links;
pub use touched::Touched;

use self::allowed::Entry;
use self::boundary::{Boundary, List};
use self::host::Pattern;
use self::resolve::{Place, Walk};
use crate::diagnostics::Findings;
use crate::documents::ruleset::{SandboxRule, Spanned};

/// So many paths of one call, all spellings counted, are judged; above it the call is outside.
pub const MAX_PATHS: usize = 4096;

/// So many commands of one call are judged; above it the call is outside.
pub const MAX_COMMANDS: usize = 256;

/// Where relative paths and `~` lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Absolute; what relative paths of rules and calls are relative to.
    pub cwd: String,
    /// What `~` stands for, absolute; none: a path with `~` cannot be known.
    pub home: Option<String>,
}

impl Context {
    /// A path that begins with `~` below the home directory; none when that is not known, or is another user's.
    fn expand_home(&self, path: &str) -> Option<String> {
        let below = path.strip_prefix('~').filter(|below| below.is_empty() || below.starts_with('/'))?;
        self.home.as_ref().filter(|home| home.starts_with('/')).map(|home| format!("{home}{below}"))
    }
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

impl Reason {
    /// For `error_detail`, traces and tests; stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExcludedPath => "excluded_path",
            Self::Path => "path",
            Self::UnknowablePath => "unknowable_path",
            Self::Chained => "chained_command",
            Self::Command => "command",
            Self::CommandNotText => "command_not_text",
            Self::BlockedHost => "blocked_host",
            Self::Host => "host",
            Self::UnverifiableHost => "unverifiable_host",
            Self::TooMuch => "too_much",
        }
    }
}

/// One compiled sandbox rule, without its message.
#[derive(Clone, Debug)]
pub struct Sandbox {
    within: Vec<Boundary>,
    not_within: Vec<Boundary>,
    allowed_commands: Option<Vec<Entry>>,
    allowed_domains: Option<Vec<Pattern>>,
    blocked_domains: Vec<Pattern>,
}

impl Sandbox {
    /// Compiles a rule. Findings: `E_SANDBOX_PATH`, `E_SANDBOX_COMMAND`, `W_GLOB`.
    #[must_use]
    pub fn compile(rule: &SandboxRule, context: &Context, findings: &mut Findings) -> Self {
        let within = Boundary::compile(List::Within, &rule.within, context, findings);
        let not_within = Boundary::compile(List::NotWithin, &rule.not_within, context, findings);
        let allowed_commands = rule
            .allowed_commands
            .as_ref()
            .map(|entries| entries.iter().map(|entry| Entry::compile(entry, findings)).collect());
        let mut patterns =
            |list: &[Spanned<String>]| list.iter().map(|pattern| Pattern::compile(pattern, findings)).collect();
        let allowed_domains = rule.allowed_domains.as_deref().map(&mut patterns);
        let blocked_domains = patterns(&rule.blocked_domains);
        Self { within, not_within, allowed_commands, allowed_domains, blocked_domains }
    }

    /// What it needs of a call.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        Needs {
            paths: !self.within.is_empty() || !self.not_within.is_empty(),
            commands: self.allowed_commands.is_some(),
            hosts: self.allowed_domains.is_some() || !self.blocked_domains.is_empty(),
        }
    }

    /// Binds the boundaries to what they are when the rule is loaded, so that a link moved later opens nothing. Gives the
    /// paths whose kind must be known first (empty: bound); call it again when [`Links`] has them.
    pub fn bind(&mut self, links: &Links) -> Vec<String> {
        let mut unknown = BTreeSet::new();
        for boundary in self.within.iter_mut().chain(&mut self.not_within) {
            let mut walk = Walk::new(links);
            boundary.bind(&mut walk);
            unknown.extend(walk.into_unknown());
        }
        unknown.into_iter().collect()
    }

    /// Judges a call, in the order of engine.md §6: excluded paths, paths, chained commands, commands, blocked hosts,
    /// hosts. `touched` must have been made with at least [`Sandbox::needs`], and `links` must have what
    /// [`Touched::unresolved`] asked for.
    #[must_use]
    pub fn judge(&self, touched: &Touched<'_>, links: &Links) -> Verdict {
        match self.reason(touched, links) {
            Ok(None) => Verdict::Inside,
            Ok(Some(reason)) => Verdict::Outside(reason),
            Err(fault) => Verdict::Error(fault.to_owned()),
        }
    }

    fn reason(&self, touched: &Touched<'_>, links: &Links) -> Result<Option<Reason>, &'static str> {
        if self.needs().and(touched.needs) != touched.needs {
            return Err("a call was judged that was not searched for what the rule needs");
        }
        if touched.refused.is_some() {
            return Ok(touched.refused);
        }
        if self.needs().paths
            && let Some(reason) = self.path_reason(touched, links)?
        {
            return Ok(Some(reason));
        }
        Ok(self.command_reason(touched).or_else(|| self.host_reason(touched)))
    }

    fn path_reason(&self, touched: &Touched<'_>, links: &Links) -> Result<Option<Reason>, &'static str> {
        if touched.unknowable {
            return Ok(Some(Reason::UnknowablePath));
        }
        let places = touched.places(links).ok_or("a path was judged before its links were known")?;
        for place in places {
            let place = match place {
                Place::At(place) => place,
                Place::Unknowable => return Ok(Some(Reason::UnknowablePath)),
                Place::TooMuch => return Ok(Some(Reason::TooMuch)),
            };
            for boundary in &self.not_within {
                match boundary.contains(place) {
                    Some(true) => return Ok(Some(Reason::ExcludedPath)),
                    Some(false) => {}
                    None => return Ok(Some(Reason::UnknowablePath)),
                }
            }
        }
        let outside = |place: &Place| !matches!(place, Place::At(place) if self.within.iter().any(|boundary| boundary.contains(place) == Some(true)));
        Ok((!self.within.is_empty() && places.iter().any(outside)).then_some(Reason::Path))
    }

    fn command_reason(&self, touched: &Touched<'_>) -> Option<Reason> {
        let entries = self.allowed_commands.as_ref()?;
        let allowed = |words: &Vec<_>| entries.iter().any(|entry| entry.matches(words));
        (!touched.commands.iter().all(allowed)).then_some(Reason::Command)
    }

    fn host_reason(&self, touched: &Touched<'_>) -> Option<Reason> {
        if !self.needs().hosts {
            return None;
        }
        let hosts = &touched.hosts;
        let any = |patterns: &[Pattern], host: &str| patterns.iter().any(|pattern| pattern.matches(host));
        if hosts.found.iter().any(|host| any(&self.blocked_domains, host)) {
            Some(Reason::BlockedHost)
        } else if hosts.unverifiable {
            Some(Reason::UnverifiableHost)
        } else if hosts.too_many {
            Some(Reason::TooMuch)
        } else {
            let allowed = self.allowed_domains.as_deref()?;
            hosts.found.iter().any(|host| !any(allowed, host)).then_some(Reason::Host)
        }
    }
}
