//! How far a text can be copied as it is: the one loop that sees every byte of every string.

/// One in each byte of a word, and the highest bit of each.
const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);

/// The highest bit of each byte that cannot stand for itself in a JSON string, and perhaps of some above the lowest of
/// those. A register full of bytes at once needs no vectors, and most strings are too short for them.
#[inline]
const fn special(word: u64) -> u64 {
    // A byte is below a bound when the subtraction carries out of it. The quote, 0x22, comes to stand above the controls.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21) & !word;
    let from_backslash = word ^ (ONES * b'\\' as u64);
    let backslash = from_backslash.wrapping_sub(ONES) & !from_backslash;
    (quote_or_control | backslash) & HIGHEST
}

/// Bytes before the first that cannot stand for itself in a JSON string: quote, backslash, control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (pairs, _) = bytes.as_chunks::<16>();
    let mut at = 0;
    for pair in pairs {
        let (words, _) = pair.as_chunks::<8>();
        for word in words {
            let found = special(u64::from_le_bytes(*word));
            if found != 0 {
                return at + place(found);
            }
            at += 8;
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(word) = rest.first_chunk::<8>() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + place(found);
        }
        at += 8;
    }
    // After the end, quotes stand.
    let rest = bytes.get(at..).unwrap_or_default();
    let word = rest.iter().rev().fold(ONES * b'"' as u64, |word, byte| word << 8 | u64::from(*byte));
    at + place(special(word))
}

/// The place of the lowest mark.
#[inline]
const fn place(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_at_every_place() {
        for length in 0..50 {
            assert_eq!(plain(&vec![b'a'; length]), length);
            for (at, special) in (0..length).flat_map(|at| [(at, b'"'), (at, b'\\'), (at, 0), (at, 0x1f)]) {
                let mut bytes = vec![0xe9; length];
                bytes[at] = special;
                assert_eq!(plain(&bytes), at);
            }
        }
        assert_eq!(plain(&[b' ', b'~', 0x7f, 0xff]), 4);
    }
}
