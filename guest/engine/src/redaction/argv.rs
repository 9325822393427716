//! A command as a list of words: `["mysql", "-p", "secret"]`. What a word gives away stands in another one.

use super::commands::{password_of_pair, takes_pair, takes_secret};
use super::keys::Keys;
use super::programs::Letters;

/// The words of a list so far.
#[derive(Debug, Default)]
pub(super) struct Argv {
    letters: Letters,
    next: Next,
}

/// What the next word is.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    Ordinary,
    Secret,
    Pair,
}

impl Argv {
    /// From which byte on a word is a secret.
    pub(super) fn word(&mut self, keys: &Keys, word: &str) -> Option<usize> {
        match std::mem::take(&mut self.next) {
            Next::Secret => return Some(0),
            Next::Pair => return password_of_pair(word),
            Next::Ordinary => {}
        }
        if takes_secret(keys, word) {
            self.next = Next::Secret;
        } else if takes_pair(word) {
            self.next = Next::Pair;
        } else if let [b'-', letter, rest @ ..] = word.as_bytes()
            && self.letters.has(*letter)
        {
            if !rest.is_empty() {
                return Some(2);
            }
            self.next = Next::Secret;
        } else {
            self.letters.add(word);
        }
        None
    }

    /// Something that is no word.
    pub(super) fn other(&mut self) {
        self.next = Next::Ordinary;
    }
}
