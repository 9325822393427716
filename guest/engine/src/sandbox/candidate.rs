//! The absolute paths that the texts of a call may stand for: in every spelling, relative to every directory that they may
//! be relative to, and glued to or nested in the words of commands (engine.md §6.1, §6.2). Links are not followed here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::operand::{looks_like_path, operands, takes_command};
use super::resolve::join;
use super::search::Texts;
use super::shell::{self, Word};
use super::spelling::{Unknowable, spellings};
use super::touched::Touched;
use super::{Context, MAX_PATHS, Reason};

/// So many working directories are tried for relative paths, all spellings counted.
const MAX_DIRECTORIES: usize = 8;

/// Longest single argument of a program, in bytes: Linux takes no longer one.
const MAX_WORD_BYTES: usize = 128 * 1024;

/// Commands in words of commands are followed so deep.
const MAX_SHELLS: usize = 4;

/// Paths to be judged.
pub(super) struct Candidates<'c, 'x> {
    context: &'x Context,
    paths: BTreeSet<Cow<'c, str>>,
    /// What other paths than those of commands may be relative to.
    bases: Vec<String>,
    /// What the paths of commands are relative to.
    directories: Vec<String>,
    /// Paths in commands that may still be looked at.
    left: usize,
    stop: Option<Stop>,
}

/// Why no more is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Unknowable,
    Refuse(Reason),
}

impl From<Unknowable> for Stop {
    fn from(_: Unknowable) -> Self {
        Self::Unknowable
    }
}

/// How `~` at the start of a path is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tilde {
    /// By a shell: the home directory.
    Home,
    /// Nobody knows: both.
    Either,
    /// As a name.
    Name,
}

impl<'c, 'x> Candidates<'c, 'x> {
    pub(super) fn new(context: &'x Context) -> Self {
        let cwd = context.cwd.clone();
        Self {
            context,
            paths: BTreeSet::new(),
            bases: vec![cwd.clone()],
            directories: vec![cwd],
            left: MAX_PATHS,
            stop: None,
        }
    }

    /// Everything that the texts of a call may stand for.
    pub(super) fn of(mut self, texts: &Texts<'c>) -> Self {
        self.stop = self.all(texts).err();
        self
    }

    pub(super) fn put_into(self, touched: &mut Touched<'c>) {
        match self.stop {
            None => touched.paths = self.paths,
            Some(Stop::Unknowable) => touched.unknowable = true,
            Some(Stop::Refuse(reason)) => touched.refuse(reason),
        }
    }

    fn all(&mut self, texts: &Texts<'c>) -> Result<(), Stop> {
        let mut named: Vec<String> = Vec::new();
        for directory in &texts.directories {
            spelled(self.context, directory, Tilde::Either, &self.bases, |path| {
                if named.len() <= MAX_DIRECTORIES && !named.iter().any(|known| *known == path) {
                    named.push(path.into_owned());
                }
            })?;
        }
        if named.len() > MAX_DIRECTORIES {
            return Err(Stop::Unknowable);
        }
        if !named.is_empty() {
            // A command runs in the directory that the call names. Whether a tool takes other paths relative to it, or to
            // the directory of its own process, is not known: both must do.
            self.bases.extend(named.iter().cloned());
            self.directories = named;
        }
        let prose = texts.paths.is_empty().then_some(&texts.prose).into_iter().flatten();
        for text in texts.paths.iter().chain(&texts.others).chain(prose) {
            self.text(text)?;
        }
        for text in &texts.arguments {
            self.argument(text)?;
        }
        texts.commands.iter().try_for_each(|command| self.command(shell::trim(command), 0))
    }

    /// A path as it stands in the call.
    fn text(&mut self, text: &'c str) -> Result<(), Stop> {
        let (context, bases) = (self.context, std::mem::take(&mut self.bases));
        let mut full = false;
        let result = spelled(context, text, Tilde::Either, &bases, |path| full |= !insert(&mut self.paths, path));
        self.bases = bases;
        result?;
        if full { Err(Stop::Refuse(Reason::TooMuch)) } else { Ok(()) }
    }

    /// One argument of a program, or a line of options.
    fn argument(&mut self, text: &'c str) -> Result<(), Stop> {
        if looks_like_path(text) {
            return self.text(text);
        }
        if text.len() > MAX_WORD_BYTES {
            return Err(Stop::Unknowable);
        }
        let mut parts = Vec::new();
        operands(text, false, |part| parts.push(part));
        parts.into_iter().try_for_each(|part| self.text(part))?;
        if text.starts_with('-') && text.contains(shell::is_space) {
            for word in shell::words(text) {
                self.word(&word, false)?;
            }
        }
        Ok(())
    }

    /// The paths in the words of a command.
    fn command(&mut self, command: &str, depth: usize) -> Result<(), Stop> {
        let mut script_follows = false;
        for word in shell::words(command) {
            if word.text.len() > MAX_WORD_BYTES || word.variable || (word.pattern && holds_path(&word)) {
                return Err(Stop::Unknowable);
            }
            self.word(&word, true)?;
            // `sh -c 'cat /x'`, and the same without the space before the quote.
            let script = match script_follows {
                true => Some(word.text.as_str()),
                false => word.text.strip_prefix('-').map(|option| option.trim_start_matches(char::is_alphabetic)),
            };
            if let Some(script) = script.map(shell::trim).filter(|_| word.text.contains(shell::is_space)) {
                if depth == MAX_SHELLS {
                    return Err(Stop::Unknowable);
                }
                if shell::is_chained(script) {
                    return Err(Stop::Refuse(Reason::Chained));
                }
                self.command(script, depth + 1)?;
            }
            script_follows = takes_command(&word.text);
        }
        Ok(())
    }

    /// The paths in one word. `bare`: whether any `/` makes one.
    fn word(&mut self, word: &Word, bare: bool) -> Result<(), Stop> {
        let text = word.text.as_str();
        if word.quoted && text.starts_with('~') {
            return self.part(text, Tilde::Name);
        }
        let mut result = Ok(());
        operands(text, bare, |part| {
            // A shell knows `~` at the start of a word; what is glued to something may or may not be expanded.
            let tilde = if part.len() == text.len() { Tilde::Home } else { Tilde::Either };
            if result.is_ok() {
                result = self.part(part, tilde);
            }
        });
        result
    }

    fn part(&mut self, part: &str, tilde: Tilde) -> Result<(), Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Refuse(Reason::TooMuch))?;
        let mut full = false;
        spelled(self.context, part, tilde, &self.directories, |path| {
            full |= !insert(&mut self.paths, Cow::Owned(path.into_owned()));
        })?;
        if full { Err(Stop::Refuse(Reason::TooMuch)) } else { Ok(()) }
    }
}

/// Whether there was room.
fn insert<'c>(paths: &mut BTreeSet<Cow<'c, str>>, path: Cow<'c, str>) -> bool {
    if paths.len() < MAX_PATHS {
        paths.insert(path);
        return true;
    }
    paths.contains(&path)
}

/// Whether any part of a word is a path.
fn holds_path(word: &Word) -> bool {
    let mut any = false;
    operands(&word.text, true, |_| any = true);
    any
}

/// Every absolute path that a text may stand for. White space around it counts or does not.
fn spelled<'t>(
    context: &Context,
    text: &'t str,
    tilde: Tilde,
    bases: &[String],
    mut found: impl FnMut(Cow<'t, str>),
) -> Result<(), Unknowable> {
    let mut unknowable = false;
    let mut one = |path: Cow<'t, str>| {
        if path.starts_with('/') {
            found(path);
            return;
        }
        if tilde != Tilde::Name && path.starts_with('~') {
            match context.expand_home(&path) {
                Some(path) => found(Cow::Owned(path)),
                None => unknowable = true,
            }
            if tilde == Tilde::Home {
                return;
            }
        }
        bases.iter().for_each(|base| found(Cow::Owned(join(base, &path))));
    };
    spellings(text, &mut one)?;
    let trimmed = shell::trim(text);
    if !trimmed.is_empty() && trimmed.len() < text.len() {
        spellings(trimmed, &mut one)?;
    }
    if unknowable { Err(Unknowable) } else { Ok(()) }
}
