//! How events lie in the file: many of them in one row, each with its length (4 bytes, little-endian) before its text. One
//! row an event would cost three times as much.

/// A block is closed when it holds so many bytes: what is read, and what gives way, at once.
pub(super) const FULL: usize = 64 << 10;

/// Longest event, in bytes. The engine caps its own at 32 KiB.
pub(super) const MAX_EVENT: usize = 16 << 20;

/// Bytes that an event takes besides its text.
pub(super) const HEAD: usize = 4;

/// Writes an event behind those that are in the block.
pub(super) fn push(body: &mut Vec<u8>, event: &str) {
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(event.as_bytes());
}

/// The events of a block; one that cannot be read is the last, and an error.
pub(super) fn events(body: &[u8]) -> impl Iterator<Item = Result<&str, Unreadable>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let event = split(rest);
        rest = event.map_or(&[], |(_, behind)| behind);
        Some(event.map(|(event, _)| event).ok_or(Unreadable))
    })
}

/// The bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

fn split(body: &[u8]) -> Option<(&str, &[u8])> {
    let (head, rest) = body.split_first_chunk::<HEAD>()?;
    let length = usize::try_from(u32::from_le_bytes(*head)).ok()?;
    let (event, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(event).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_as_they_went_in() {
        let texts = ["", "{}", "ünï\0", &"x".repeat(70_000)];
        let mut body = Vec::new();
        texts.iter().for_each(|text| push(&mut body, text));
        assert!(events(&body).eq(texts.iter().map(|text| Ok(*text))));
        assert_eq!(body.len(), texts.iter().map(|text| HEAD + text.len()).sum::<usize>());
    }

    #[test]
    fn a_damaged_block_gives_what_is_before_the_damage_and_ends() {
        let mut body = Vec::new();
        push(&mut body, "one");
        push(&mut body, "two");
        for cut in 8..body.len() {
            assert_eq!(events(&body[..cut]).collect::<Vec<_>>(), [Ok("one"), Err(Unreadable)]);
        }
        body[4] = 0xff;
        assert_eq!(events(&body).collect::<Vec<_>>(), [Err(Unreadable)]);
    }
}
