//! How far a text can be copied as it is: the one loop that sees every byte of every string.

/// Bytes looked at together. The compiler makes one vector of them, in wasm too.
const TOGETHER: usize = 16;

/// Whether a byte cannot stand for itself in a JSON string.
const fn special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// Bytes before the first that cannot stand for itself in a JSON string: quote, backslash, control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<TOGETHER>();
    // Without a way out on the way, so that it can be a vector.
    let clean = |chunk: &&[u8; TOGETHER]| !chunk.iter().fold(false, |found, byte| found | special(*byte));
    let from = chunks.iter().take_while(clean).count() * TOGETHER;
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len())
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
