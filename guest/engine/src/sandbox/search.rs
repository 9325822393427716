//! Looks through the arguments of a call, lists and maps included (engine.md §6.1): what each string is goes by the nearest
//! key above it and by its first characters. What paths the found texts stand for is `candidate`.

use std::collections::BTreeSet;

use super::candidate::Candidates;
use super::key::Key;
use super::operand::{looks_like_path, path_of_url};
use super::shell::{self, Word};
use super::touched::Touched;
use super::{Context, MAX_COMMANDS, MAX_PATHS, Needs, Reason};
use crate::call::Call;
use crate::json::{Map, Value};

/// Words kept of each command, to compare with `allows.commands`.
pub(super) const MAX_FIRST_WORDS: usize = 16;

/// A set, so that a call that repeats itself costs nothing.
pub(super) type TextSet<'c> = BTreeSet<&'c str>;

/// Texts that are judged when the whole call has been seen: what they mean depends on its other arguments.
#[derive(Debug, Default)]
pub(super) struct Texts<'c> {
    /// Under keys of paths.
    pub(super) paths: TextSet<'c>,
    /// Elsewhere, but looking like a path.
    pub(super) others: TextSet<'c>,
    /// Prose that looks like a path; counts when there is nothing under keys of paths.
    pub(super) prose: TextSet<'c>,
    /// Single arguments of programs.
    pub(super) arguments: TextSet<'c>,
    pub(super) commands: TextSet<'c>,
    /// Directories that commands run in.
    pub(super) directories: TextSet<'c>,
}

/// A search through one call.
pub(super) struct Search<'c, 'x> {
    context: &'x Context,
    touched: Touched<'c>,
    texts: Texts<'c>,
}

impl<'c, 'x> Search<'c, 'x> {
    pub(super) fn new(context: &'x Context, needs: Needs) -> Self {
        Self { context, touched: Touched::looking_for(needs), texts: Texts::default() }
    }

    pub(super) fn through(mut self, call: &Call<'c>) -> Touched<'c> {
        for (name, value) in call.args.iter() {
            if Key::of(name).main_command && !matches!(value, Value::String(_) | Value::Null) {
                self.touched.refuse(Reason::CommandNotText);
            }
        }
        self.map(Key::default(), call.args);
        // The envelope takes both from the arguments, where they have been seen.
        if !self.texts.commands.contains(call.bash_command) {
            self.text(Key { command: true, ..Key::default() }, call.bash_command);
        }
        if let Some(path) = call.file_path
            && !self.texts.paths.contains(path)
        {
            self.text(Key { path: true, ..Key::default() }, path);
        }
        self.finish()
    }

    /// Nesting is bounded by the reader of the call.
    fn value(&mut self, key: Key, value: Value<'c>) {
        match value {
            Value::String(text) => self.text(key, text),
            Value::List(list) => list.iter().for_each(|item| self.value(key, item)),
            Value::Map(map) => self.map(key, map),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn map(&mut self, above: Key, map: Map<'c>) {
        for (name, item) in map.iter() {
            self.name(above, name);
            self.value(Key::of(name), item);
        }
    }

    /// The name of a member: a path in maps such as `files: {"/etc/x": "…"}`. Plain names are only names.
    fn name(&mut self, above: Key, name: &'c str) {
        if self.touched.needs.hosts {
            self.touched.hosts.text(Key::default(), name);
        }
        if self.touched.needs.paths && (looks_like_path(name) || (above.path && name.contains('/'))) {
            self.keep(|texts| &mut texts.others, name);
        }
    }

    fn text(&mut self, key: Key, text: &'c str) {
        if text.is_empty() {
            return;
        }
        if self.touched.needs.hosts {
            self.touched.hosts.text(key, text);
        }
        if key.command {
            if !shell::trim(text).is_empty() {
                self.keep(|texts| &mut texts.commands, text);
            }
            return;
        }
        if !self.touched.needs.paths {
            return;
        }
        if key.directory {
            self.keep(|texts| &mut texts.directories, text);
        }
        if key.path {
            if let Some(path) = path_of_url(text).unwrap_or(Some(text)) {
                self.keep(|texts| &mut texts.paths, path);
            }
        } else if key.argument {
            self.keep(|texts| &mut texts.arguments, text);
        } else if !looks_like_path(text) {
        } else if key.prose {
            self.keep(|texts| &mut texts.prose, text);
        } else {
            self.keep(|texts| &mut texts.others, text);
        }
    }

    fn keep<'t>(&'t mut self, list: impl FnOnce(&'t mut Texts<'c>) -> &'t mut TextSet<'c>, text: &'c str) {
        let list = list(&mut self.texts);
        if list.len() < MAX_PATHS {
            list.insert(text);
        } else if !list.contains(text) {
            self.touched.refused.get_or_insert(Reason::TooMuch);
        }
    }

    fn finish(self) -> Touched<'c> {
        let Self { context, mut touched, texts } = self;
        if texts.commands.iter().any(|command| shell::is_chained(shell::trim(command))) {
            touched.refuse(Reason::Chained);
        }
        if texts.commands.len() > MAX_COMMANDS {
            touched.refuse(Reason::TooMuch);
        }
        if touched.refused.is_some() {
            return touched;
        }
        if touched.needs.commands {
            let first_words = |command: &&str| shell::words(shell::trim(command)).take(MAX_FIRST_WORDS).collect();
            touched.commands =
                texts.commands.iter().map(first_words).filter(|words: &Vec<Word>| !words.is_empty()).collect();
        }
        if touched.needs.paths {
            Candidates::new(context).of(&texts).put_into(&mut touched);
        }
        touched
    }
}
