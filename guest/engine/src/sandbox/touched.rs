//! What a call touches: the paths, commands and hosts in its arguments (engine.md §6.1). Finds them once for all sandbox
//! rules of a tool; whether they are permitted is the rules' matter.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::address::Hosts;
use super::key::Key;
use super::operand::{looks_like_path, operands, path_of_url, takes_command};
use super::resolve::{Links, Place, Walk, join};
use super::shell::{self, Word};
use super::spelling::{Unknowable, spellings};
use super::{Context, Needs, Reason};
use crate::call::Call;
use crate::json::Value;

/// So many paths of one call, all spellings counted, are judged; above it the call is outside.
pub const MAX_PATHS: usize = 4096;

/// So many commands of one call are judged; above it the call is outside.
pub const MAX_COMMANDS: usize = 256;

/// Words kept of each command, to compare with `allows.commands`.
pub(super) const MAX_FIRST_WORDS: usize = 16;

/// So many working directories are tried for relative paths.
const MAX_DIRECTORIES: usize = 8;

/// Commands in words of commands are followed so deep.
const MAX_SHELLS: usize = 4;

/// Everything that a call touches, extracted once and shared by the sandbox rules of its tool.
#[derive(Clone, Debug, Default)]
pub struct Touched<'c> {
    /// What was looked for.
    pub(super) needs: Needs,
    /// Absolute, links not followed.
    paths: BTreeSet<Cow<'c, str>>,
    /// Some path cannot be known.
    pub(super) unknowable: bool,
    /// First words of each command that has any.
    pub(super) commands: Vec<Vec<Word>>,
    pub(super) hosts: Hosts,
    /// Why every rule refuses the call, whatever it permits.
    pub(super) refused: Option<Reason>,
    /// Where the paths lead; set when all links are known, after which it cannot change.
    places: OnceCell<Vec<Place>>,
}

impl<'c> Touched<'c> {
    /// Looks through the arguments of a call, for what the rules of its tool need.
    #[must_use]
    pub fn of(call: &Call<'c>, context: &Context, needs: Needs) -> Self {
        let mut search = Search { needs, context, touched: Self { needs, ..Self::default() }, texts: Texts::default() };
        search.call(call);
        search.finish()
    }

    /// Paths whose kind is needed to resolve everything the call touches, given what is known; empty: all resolved, or
    /// no verdict depends on them. A call without links needs one round, each link found may need another; at most 40
    /// are followed on one path.
    #[must_use]
    pub fn unresolved(&self, links: &Links) -> Vec<String> {
        if self.refused.is_some() || self.unknowable || self.places.get().is_some() {
            return Vec::new();
        }
        let mut walk = Walk::new(links);
        for path in &self.paths {
            if walk.follow(path) == Place::TooMuch {
                return Vec::new();
            }
        }
        walk.into_unknown()
    }

    /// Where the paths lead; none when links are missing.
    pub(super) fn places(&self, links: &Links) -> Option<&[Place]> {
        if let Some(places) = self.places.get() {
            return Some(places);
        }
        let mut walk = Walk::new(links);
        let mut places = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let place = walk.follow(path);
            if place == Place::TooMuch {
                return Some(self.places.get_or_init(|| vec![Place::TooMuch]));
            }
            places.push(place);
        }
        walk.knows_all().then(|| self.places.get_or_init(|| places).as_slice())
    }
}

/// A set, so that a call that repeats itself costs nothing.
type TextSet<'c> = BTreeSet<&'c str>;

/// Texts that are judged when the whole call has been seen: what they mean depends on its other arguments.
#[derive(Debug, Default)]
struct Texts<'c> {
    /// Under keys of paths.
    paths: TextSet<'c>,
    /// Elsewhere, but looking like a path.
    others: TextSet<'c>,
    /// Prose that looks like a path; counts when there is nothing under keys of paths.
    prose: TextSet<'c>,
    commands: TextSet<'c>,
    /// Directories that commands run in.
    directories: TextSet<'c>,
}

struct Search<'c, 'x> {
    needs: Needs,
    context: &'x Context,
    touched: Touched<'c>,
    texts: Texts<'c>,
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

impl<'c> Search<'c, '_> {
    fn call(&mut self, call: &Call<'c>) {
        for (name, value) in call.args.iter() {
            let key = Key::of(name);
            if key.main_command && !matches!(value, Value::String(_) | Value::Null) {
                self.refuse(Reason::CommandNotText);
            }
            self.name(Key::default(), name);
            self.value(key, value);
        }
        // The envelope takes both from the arguments; they are looked at again only if they are not there.
        if !self.texts.commands.contains(call.bash_command) {
            self.text(Key { command: true, ..Key::default() }, call.bash_command);
        }
        if let Some(path) = call.file_path
            && !self.texts.paths.contains(path)
        {
            self.text(Key { path: true, ..Key::default() }, path);
        }
    }

    fn refuse(&mut self, reason: Reason) {
        self.touched.refused.get_or_insert(reason);
    }

    /// Nesting is bounded by the reader of the call.
    fn value(&mut self, key: Key, value: Value<'c>) {
        match value {
            Value::String(text) => self.text(key, text),
            Value::List(list) => list.iter().for_each(|item| self.value(key, item)),
            Value::Map(map) => {
                for (name, item) in map.iter() {
                    self.name(key, name);
                    self.value(Key::of(name), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The name of a member: a path in maps such as `files: {"/etc/x": "…"}`. Plain names are only names.
    fn name(&mut self, above: Key, name: &'c str) {
        if self.needs.hosts {
            self.touched.hosts.text(Key::default(), name);
        }
        if self.needs.paths && (looks_like_path(name) || (above.path && name.contains('/'))) {
            self.keep(|texts| &mut texts.others, name);
        }
    }

    fn text(&mut self, key: Key, text: &'c str) {
        if text.is_empty() {
            return;
        }
        if self.needs.hosts {
            self.touched.hosts.text(key, text);
        }
        if key.command {
            if !shell::trim(text).is_empty() {
                self.keep(|texts| &mut texts.commands, text);
            }
            return;
        }
        if !self.needs.paths {
            return;
        }
        if key.directory {
            self.keep(|texts| &mut texts.directories, text);
        }
        if key.path {
            let local = path_of_url(text).unwrap_or(Some(text));
            local.into_iter().for_each(|text| self.keep(|texts| &mut texts.paths, text));
        } else if key.argument {
            operands(text, false, |part| self.keep(|texts| &mut texts.others, part));
        } else if looks_like_path(text) {
            if key.prose {
                self.keep(|texts| &mut texts.prose, text);
            } else {
                self.keep(|texts| &mut texts.others, text);
            }
        }
    }

    fn keep<'t>(&'t mut self, list: impl FnOnce(&'t mut Texts<'c>) -> &'t mut TextSet<'c>, text: &'c str) {
        let list = list(&mut self.texts);
        if list.len() < MAX_PATHS {
            list.insert(text);
        } else {
            self.touched.refused.get_or_insert(Reason::TooMuch);
        }
    }

    fn finish(mut self) -> Touched<'c> {
        let texts = std::mem::take(&mut self.texts);
        for command in &texts.commands {
            let command = shell::trim(command);
            if shell::is_chained(command) {
                self.refuse(Reason::Chained);
            }
        }
        if texts.commands.len() > MAX_COMMANDS {
            self.refuse(Reason::TooMuch);
        }
        if self.touched.refused.is_some() {
            return self.touched;
        }
        if self.needs.commands {
            self.touched.commands = texts
                .commands
                .iter()
                .map(|command| shell::words(shell::trim(command)).take(MAX_FIRST_WORDS).collect())
                .filter(|words: &Vec<Word>| !words.is_empty())
                .collect();
        }
        if self.needs.paths && self.paths(&texts).is_err() {
            self.touched.unknowable = true;
        }
        self.touched
    }

    fn paths(&mut self, texts: &Texts<'c>) -> Result<(), Unknowable> {
        let cwd = vec![self.context.cwd.clone()];
        let mut directories: Vec<String> = Vec::new();
        for directory in &texts.directories {
            spelled(self.context, directory, Tilde::Either, &cwd, |path| {
                if directories.len() <= MAX_DIRECTORIES && !directories.iter().any(|known| *known == path) {
                    directories.push(path.into_owned());
                }
            })?;
        }
        if directories.len() > MAX_DIRECTORIES {
            return Err(Unknowable);
        }
        // A command runs in the directory that the call names. Whether a tool takes other paths relative to it, or to the
        // directory of its own process, is not known: both must do.
        let mut both = cwd.clone();
        both.extend(directories.iter().cloned());
        let of_commands = if directories.is_empty() { cwd } else { directories };

        let prose = texts.paths.is_empty().then_some(&texts.prose).into_iter().flatten();
        for text in texts.paths.iter().chain(&texts.others).chain(prose) {
            self.add(text, Tilde::Either, &both)?;
        }
        let mut budget = MAX_PATHS;
        for command in &texts.commands {
            self.command(shell::trim(command), &of_commands, 0, &mut budget)?;
        }
        Ok(())
    }

    /// The paths in the words of a command.
    fn command(
        &mut self,
        command: &str,
        directories: &[String],
        depth: usize,
        budget: &mut usize,
    ) -> Result<(), Unknowable> {
        let mut script_follows = false;
        for word in shell::words(command) {
            if word.variable || (word.pattern && holds_path(&word)) {
                return Err(Unknowable);
            }
            self.word(&word, directories, budget)?;
            // `sh -c 'cat /x'`, and the same without the space before the quote.
            let script = match script_follows {
                true => Some(word.text.as_str()),
                false => word.text.strip_prefix('-').map(|option| option.trim_start_matches(char::is_alphabetic)),
            };
            if let Some(script) = script.map(shell::trim).filter(|script| script.contains(shell::is_space)) {
                if depth == MAX_SHELLS {
                    return Err(Unknowable);
                }
                if shell::is_chained(script) {
                    self.refuse(Reason::Chained);
                }
                self.command(script, directories, depth + 1, budget)?;
            }
            if self.touched.refused.is_some() {
                return Ok(());
            }
            script_follows = takes_command(&word.text);
        }
        Ok(())
    }

    fn word(&mut self, word: &Word, directories: &[String], budget: &mut usize) -> Result<(), Unknowable> {
        let text = word.text.as_str();
        if word.quoted && text.starts_with('~') {
            return self.add_owned(text, Tilde::Name, directories, budget);
        }
        let mut result = Ok(());
        operands(text, true, |part| {
            // A shell knows `~` at the start of a word; what is glued to something may or may not be expanded.
            let tilde = if part.len() == text.len() { Tilde::Home } else { Tilde::Either };
            if result.is_ok() {
                result = self.add_owned(part, tilde, directories, budget);
            }
        });
        result
    }

    fn add_owned(&mut self, part: &str, tilde: Tilde, bases: &[String], budget: &mut usize) -> Result<(), Unknowable> {
        match budget.checked_sub(1) {
            Some(left) => *budget = left,
            None => self.refuse(Reason::TooMuch),
        }
        let mut list = Vec::new();
        if self.touched.refused.is_none() {
            spelled(self.context, part, tilde, bases, |path| list.push(path.into_owned()))?;
        }
        list.into_iter().for_each(|path| self.insert(Cow::Owned(path)));
        Ok(())
    }

    fn add(&mut self, text: &'c str, tilde: Tilde, bases: &[String]) -> Result<(), Unknowable> {
        if self.touched.refused.is_some() {
            return Ok(());
        }
        spelled(self.context, text, tilde, bases, |path| self.insert(path))
    }

    fn insert(&mut self, path: Cow<'c, str>) {
        if self.touched.paths.len() < MAX_PATHS {
            self.touched.paths.insert(path);
        } else {
            self.refuse(Reason::TooMuch);
        }
    }
}

/// Whether any part of a word is a path.
fn holds_path(word: &Word) -> bool {
    let mut any = false;
    operands(&word.text, true, |_| any = true);
    any
}

/// Every absolute path that a text may stand for.
fn spelled<'t>(
    context: &Context,
    text: &'t str,
    tilde: Tilde,
    bases: &[String],
    mut found: impl FnMut(Cow<'t, str>),
) -> Result<(), Unknowable> {
    let mut unknowable = false;
    spellings(text, |path| {
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
    })?;
    if unknowable { Err(Unknowable) } else { Ok(()) }
}
