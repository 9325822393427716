//! Which program a short option belongs to: `-p` is a password to `mysql` and a port or a parent directory to others.

use std::ops::Range;

use super::text::{Text, is_name, is_quote, is_space};

/// Programs by the beginning of their name, and the short option that takes their password.
const PROGRAMS: [(&str, u8); 9] = [
    ("mysql", b'p'),
    ("mariadb", b'p'),
    ("sshpass", b'p'),
    ("mongo", b'p'),
    ("psql", b'p'),
    ("login", b'p'),
    ("redis-cli", b'a'),
    ("ldap", b'w'),
    ("sqlcmd", b'P'),
];

/// Longest path of a program, in bytes.
const MAX_PATH: usize = 256;

/// Options that the words of a command make take a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters(u64);

impl Letters {
    /// Adds those of a word of the command: of the program itself, or of one that it runs (`docker exec db mysql`). What
    /// can have been cut or redacted is no program, so that a second look finds no other ones.
    pub(super) fn add(&mut self, word: &str) {
        let part_of_path = |byte: u8| is_name(byte) || matches!(byte, b'/' | b'\\' | b':' | b'+');
        if word.len() > MAX_PATH || !word.bytes().all(part_of_path) {
            return;
        }
        let program = word.rsplit(['/', '\\']).next().unwrap_or(word);
        for (name, letter) in PROGRAMS {
            if program.starts_with(name) {
                self.0 |= 1 << (letter & 63);
            }
        }
    }

    /// Whether `-letter` takes a password.
    pub(super) fn has(self, letter: u8) -> bool {
        letter.is_ascii_alphabetic() && self.0 & (1 << (letter & 63)) != 0
    }
}

/// The words of the command under the scan, read once from left to right.
#[derive(Debug, Default)]
pub(super) struct Programs {
    letters: Letters,
    /// Where the word under way began.
    word: usize,
    /// How far it is read.
    at: usize,
    /// What was replaced is part of the word under way, which so is no program.
    spoiled: bool,
}

impl Programs {
    /// Whether the option at a place takes a password.
    pub(super) fn take_secret(&mut self, text: Text<'_>, option: usize, letter: u8) -> bool {
        // Most short options are never a password's, and cost no look at the words before them.
        if !PROGRAMS.iter().any(|(_, password)| *password == letter) {
            return false;
        }
        self.advance(text, option);
        self.letters.has(letter)
    }

    /// Goes on after what was replaced.
    pub(super) fn skip(&mut self, text: Text<'_>, replaced: &Range<usize>) {
        self.advance(text, replaced.start);
        self.at = self.at.max(replaced.end);
        self.spoiled = true;
    }

    fn advance(&mut self, text: Text<'_>, to: usize) {
        while self.at < to {
            let byte = text.at(self.at);
            let separator = matches!(byte, b';' | b'|' | b'&' | b'\n' | b'(' | b')' | b'`');
            if separator || is_space(byte) || is_quote(byte) || matches!(byte, b'=' | b',') {
                if !self.spoiled
                    && let Some(word) = text.bytes.get(self.word..self.at)
                {
                    self.letters.add(std::str::from_utf8(word).unwrap_or_default());
                }
                if separator {
                    self.letters = Letters::default();
                }
                self.word = self.at + 1;
                self.spoiled = false;
            }
            self.at += 1;
        }
    }
}
