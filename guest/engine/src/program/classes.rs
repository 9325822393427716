//! What Python thinks of a character: word, digit, space or none of them.

use super::tables;

/// Classes that patterns tell apart. Every character is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `\w` and not `\d`.
    Word,
    /// `\d`, which is also `\w`.
    Digit,
    /// `\s`
    Space,
    Other,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Word, Self::Digit, Self::Space, Self::Other];
}

/// Whether a list of first, last, first, last holds a code point, and the stretch around it of which the same is true.
fn look_up(table: &[u32], code: u32) -> (bool, u32, u32) {
    let bound = |place: Option<usize>| place.and_then(|place| table.get(place)).copied();
    // Inside of a range an odd number of bounds lies before the code point, counting a first that is the code point itself.
    let place = table.partition_point(|bound| *bound < code);
    if bound(Some(place)) == Some(code) && place % 2 == 0 {
        return (true, code, bound(Some(place + 1)).unwrap_or(code));
    }
    let before = bound(place.checked_sub(1));
    if place % 2 == 1 {
        (true, before.unwrap_or(code), bound(Some(place)).unwrap_or(code))
    } else {
        let after = bound(Some(place)).map_or(u32::MAX, |after| after - 1);
        (false, before.map_or(0, |before| before + 1), after)
    }
}

/// Whether a list of first, last, first, last holds a character.
pub(super) fn contains(table: &[u32], character: char) -> bool {
    look_up(table, u32::from(character)).0
}

/// Tells kinds. Remembers the stretch it was in, as texts keep to a few scripts.
pub(super) struct Classifier {
    kind: Kind,
    first: u32,
    last: u32,
}

impl Classifier {
    pub(super) const fn new() -> Self {
        Self { kind: Kind::Other, first: 1, last: 0 }
    }

    #[inline]
    pub(super) fn kind(&mut self, character: char) -> Kind {
        let code = u32::from(character);
        if !(self.first..=self.last).contains(&code) {
            let (space, digit, word) =
                (look_up(&tables::SPACE, code), look_up(&tables::DIGIT, code), look_up(&tables::WORD, code));
            self.kind = match (space.0, digit.0, word.0) {
                (true, ..) => Kind::Space,
                (_, true, _) => Kind::Digit,
                (_, _, true) => Kind::Word,
                _ => Kind::Other,
            };
            self.first = space.1.max(digit.1).max(word.1);
            self.last = space.2.min(digit.2).min(word.2);
        }
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_one_kind_however_it_is_come_upon() {
        let mut walking = Classifier::new();
        for character in '\0'..=char::MAX {
            let kind = walking.kind(character);
            let [word, digit, space] =
                [&tables::WORD[..], &tables::DIGIT, &tables::SPACE].map(|table| contains(table, character));
            assert_eq!(word, matches!(kind, Kind::Word | Kind::Digit), "{character:?}");
            assert_eq!(digit, kind == Kind::Digit, "{character:?}");
            assert_eq!(space, kind == Kind::Space, "{character:?}");
        }
        for (character, kind) in
            [('é', Kind::Word), ('²', Kind::Word), ('٣', Kind::Digit), ('\u{a0}', Kind::Space), ('😀', Kind::Other)]
        {
            assert_eq!(Classifier::new().kind(character), kind);
        }
        for table in [&tables::WORD[..], &tables::DIGIT, &tables::SPACE, &tables::UNPRINTABLE] {
            assert!(table.chunks(2).all(|range| range[0] <= range[1]));
            assert!(table.chunks(2).zip(table.chunks(2).skip(1)).all(|(one, two)| one[1] + 1 < two[0]));
        }
    }
}
