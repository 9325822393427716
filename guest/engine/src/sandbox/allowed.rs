//! `allows.commands`: which first words a command may have (engine.md §6.3). An entry of several words permits commands
//! that begin with these words.

use super::search::MAX_FIRST_WORDS;
use super::shell::{self, Word};
use crate::diagnostics::{Code, Findings};
use crate::documents::ruleset::Spanned;

/// One entry: one word, or the first words of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry(Vec<String>);

impl Entry {
    /// Compiles an entry; `E_SANDBOX_COMMAND` for one that can never match.
    pub(super) fn compile(entry: &Spanned<String>, findings: &mut Findings) -> Self {
        let text = entry.value.as_str();
        if !text.contains(shell::is_space) {
            return Self(vec![text.to_owned()]);
        }
        let words: Vec<Word> = shell::words(shell::trim(text)).collect();
        let usable = !words.is_empty()
            && words.len() <= MAX_FIRST_WORDS
            && !shell::is_chained(shell::trim(text))
            && words.iter().all(|word| !word.redirect);
        if !usable {
            let message = format!("allows.commands: no command ever begins with `{}`", text.escape_debug());
            findings
                .error(Code::SandboxCommand, entry.span, message)
                .help("write the first word or words of a command");
        }
        Self(words.into_iter().map(|word| word.text).collect())
    }

    /// Whether a command begins so. Files of redirections are not among its words.
    pub(super) fn matches(&self, words: &[Word]) -> bool {
        !self.0.is_empty()
            && words.len() >= self.0.len()
            && self.0.iter().zip(words).all(|(expected, word)| !word.redirect && *expected == word.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Span;

    fn entry(text: &str) -> (Entry, bool) {
        let mut findings = Findings::default();
        let entry = Entry::compile(&Spanned { value: text.to_owned(), span: Span::default() }, &mut findings);
        (entry, findings.has_errors())
    }

    #[test]
    fn several_words_are_a_prefix_of_words() {
        let (entry, _) = entry("git status");
        for (command, expected) in [
            ("git status", true),
            ("git  status -s", true),
            ("'git' \"status\"", true),
            ("git status>x", true),
            ("git", false),
            ("git statusx", false),
            ("git -C / status", false),
            ("git <x status", false),
            ("git < status", false),
            ("'git status'", false),
        ] {
            let words: Vec<Word> = shell::words(command).collect();
            assert_eq!(entry.matches(&words), expected, "{command}");
        }
    }

    #[test]
    fn entries_that_no_command_begins_with_do_not_load() {
        for text in [" ", "ls ; rm", "ls > x", "''  ''"] {
            assert!(entry(text).1, "{text}");
        }
        for text in ["ls", "./ls", "ls;", "git status", "\"my tool\" run"] {
            assert!(!entry(text).1, "{text}");
        }
    }
}
