//! A pattern in pieces: a character, or a backslash with the character after it. Comments, sets and group names are read
//! in such pieces too, which is why `(?#\))` is one comment.

use super::PatternError;

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A character by itself.
    Plain(char),
    /// A character after a backslash.
    Escaped(char),
}

/// Reads pieces. Positions count code points.
pub(super) struct Tokens {
    characters: Vec<char>,
    at: usize,
}

impl Tokens {
    /// # Errors
    /// A backslash at the end.
    pub(super) fn new(pattern: &str) -> Result<Self, PatternError> {
        let tokens = Self { characters: pattern.chars().collect(), at: 0 };
        let escapes = tokens.characters.iter().rev().take_while(|character| **character == '\\').count();
        if escapes % 2 == 1 {
            return Err(PatternError::syntax("a backslash at the end", tokens.characters.len() - 1));
        }
        Ok(tokens)
    }

    /// Code points before the next piece.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position that was given out.
    pub(super) const fn seek(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn peek(&self) -> Option<Token> {
        match *self.characters.get(self.at)? {
            '\\' => self.characters.get(self.at + 1).map(|escaped| Token::Escaped(*escaped)),
            plain => Some(Token::Plain(plain)),
        }
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek()?;
        self.at += if matches!(token, Token::Plain(_)) { 1 } else { 2 };
        Some(token)
    }

    /// Reads this very character, if it comes next.
    pub(super) fn take(&mut self, character: char) -> bool {
        let there = self.peek() == Some(Token::Plain(character));
        self.at += usize::from(there);
        there
    }

    /// Reads at most so many digits of a base.
    pub(super) fn digits(&mut self, limit: usize, base: u32) -> String {
        let mut digits = String::new();
        while digits.len() < limit
            && let Some(Token::Plain(digit)) = self.peek()
            && digit.is_digit(base)
        {
            digits.push(digit);
            self.at += 1;
        }
        digits
    }

    /// Reads a name and the character that ends it.
    ///
    /// # Errors
    /// No end, or nothing before it.
    pub(super) fn until(&mut self, end: char) -> Result<String, PatternError> {
        let start = self.at;
        let mut name = String::new();
        loop {
            match self.next() {
                Some(Token::Plain(character)) if character == end => break,
                Some(Token::Plain(character)) => name.push(character),
                Some(Token::Escaped(character)) => name.extend(['\\', character]),
                None => return Err(PatternError::syntax(format!("a name without `{end}`"), start)),
            }
        }
        if name.is_empty() { Err(PatternError::syntax("a missing group name", start)) } else { Ok(name) }
    }
}
