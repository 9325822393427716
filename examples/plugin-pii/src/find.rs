//! Goes through a text: where a number might begin, each kind says whether one does. A number in the middle of a longer
//! word or number is none.

use crate::kinds::Kind;

/// A personal number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub kind: Kind,
    /// Without spaces and signs, letters large.
    pub number: String,
}

/// The longest that any kind is, as it may be written: 34 characters of an IBAN with a space after each fourth.
const LONGEST: usize = 42;

/// All personal numbers in a text.
pub fn text(text: &str) -> Vec<Found> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let begins = bytes[at].is_ascii_alphanumeric() && !(at > 0 && joins(bytes[at - 1]));
        let number = if begins { number_at(&bytes[at..bytes.len().min(at + LONGEST + 1)]) } else { None };
        match number {
            Some((kind, length)) => {
                let written = String::from_utf8_lossy(&bytes[at..at + length]);
                found.push(Found { kind, number: bare(&written) });
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// The number that begins here, and how long it is as it is written.
fn number_at(bytes: &[u8]) -> Option<(Kind, usize)> {
    Kind::ALL.into_iter().find_map(|kind| {
        let length = kind.length_at(bytes)?;
        let ends = bytes.get(length).is_none_or(|byte| !joins(*byte));
        ends.then_some((kind, length))
    })
}

/// What makes one word with a letter or a digit beside it, bytes of letters outside of ASCII included.
fn joins(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// A number without what is written between its characters.
pub fn bare(number: &str) -> String {
    number.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_words_end() {
        let found = |text: &str| super::text(text).len();
        for text in ["4111111111111111", "(4111111111111111)", "card:4111111111111111.", "a 4111111111111111 b"] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in
            ["x4111111111111111", "4111111111111111x", "14111111111111111", "_4111111111111111", "é4111111111111111"]
        {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn one_after_the_other() {
        let text = "4111 1111 1111 1111 5555 5555 5555 4444, DE89 3704 0044 0532 0130 00; 529.982.247-25";
        let kinds: Vec<_> = super::text(text).into_iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [Kind::Card, Kind::Card, Kind::Iban, Kind::Cpf]);
    }

    #[test]
    fn a_long_text_without_any_takes_no_time() {
        let long = "4111 ".repeat(200_000);
        assert!(super::text(&long).is_empty());
    }
}
