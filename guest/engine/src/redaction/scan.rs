//! One pass over a text: stops at the few bytes that every secret has near its beginning, asks [`super::families`] and
//! [`super::commands`] what is there, and replaces it. Clean text between the stops costs a fraction of a nanosecond a byte.
//!
//! INVARIANT: redacting what is redacted changes nothing. What was replaced ends a word for all that follows
//! (`Text::from`), what replaces it holds no anchor, and every range ends at a character that a second pass stops at too.
//! Only what a pattern saw ahead of it can have changed, so a text in which something was replaced is passed over again.

use std::borrow::Cow;
use std::ops::Range;

use super::commands::Commands;
use super::families::Families;
use super::keys::Keys;
use super::text::Text;
use super::{ELLIPSIS, MARK};

/// Bytes looked at together.
const BLOCK: usize = 16;

/// Most passes over a text in which the last one still replaced something.
const MAX_PASSES: usize = 8;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Secrets by their look.
    Families,
    /// What commands give away.
    Commands,
    /// Both.
    Everything,
}

/// Replaces every secret in a text. With `most`, the text is only needed up to so many code points, and what comes back
/// may end anywhere beyond them.
pub(super) fn replace<'t>(text: &'t str, keys: &Keys, look: Look, most: Option<usize>) -> Cow<'t, str> {
    let Cow::Owned(mut replaced) = pass(text, keys, look, most) else { return Cow::Borrowed(text) };
    for _ in 0..MAX_PASSES {
        let Cow::Owned(again) = pass(&replaced, keys, look, most) else { break };
        replaced = again;
    }
    Cow::Owned(replaced)
}

fn pass<'t>(text: &'t str, keys: &Keys, look: Look, most: Option<usize>) -> Cow<'t, str> {
    let mut scan = Scan { families: Families::default(), commands: Commands::default(), keys, look };
    let mut state = Text { bytes: text.as_bytes(), from: 0 };
    let mut out = String::new();
    let mut at = 0;
    let mut anchors = Anchors::new(text.as_bytes());
    loop {
        // No code point has more than four bytes; the rest is more than any anchor lies behind its secret's beginning.
        let enough =
            most.map_or(usize::MAX, |most| (4 * most + 64).saturating_sub(out.len()).saturating_add(state.from));
        let Some(anchor) = anchors.next(at).filter(|anchor| *anchor < enough) else { break };
        let Some(found) = scan.at(state, anchor) else {
            at = anchor + 1;
            continue;
        };
        scan.commands.replaced(state, &found);
        out.push_str(text.get(state.from..found.start).unwrap_or_default());
        out.push_str(text.get(found.clone()).filter(|found| is_mark(found)).unwrap_or(MARK));
        state.from = found.end;
        at = found.end;
    }
    if state.from == 0 || (out.len() == state.from && text.starts_with(&out)) {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(state.from..).unwrap_or_default());
    Cow::Owned(out)
}

/// Whether a secret has been replaced before, and perhaps cut off behind that.
fn is_mark(found: &str) -> bool {
    found.strip_prefix(MARK).is_some_and(|rest| rest.is_empty() || rest == ELLIPSIS)
}

struct Scan<'k> {
    families: Families,
    commands: Commands,
    keys: &'k Keys,
    look: Look,
}

impl Scan<'_> {
    fn at(&mut self, text: Text<'_>, anchor: usize) -> Option<Range<usize>> {
        let family = if self.look == Look::Commands { None } else { self.families.at(text, anchor) };
        family.or_else(|| if self.look == Look::Families { None } else { self.commands.at(text, self.keys, anchor) })
    }
}

/// The bytes at which a secret may be recognised, found a block at a time.
struct Anchors<'t> {
    bytes: &'t [u8],
    /// Where the block begins.
    block: usize,
    /// Its anchors that have not been looked at, a bit in a byte each.
    flags: u128,
}

impl<'t> Anchors<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, block: 0, flags: flags(bytes, 0) }
    }

    /// The next one from a place on. Places only grow.
    fn next(&mut self, from: usize) -> Option<usize> {
        if from >= self.block + BLOCK {
            self.block = from;
            self.flags = flags(self.bytes, from);
        }
        self.flags &= u128::MAX.checked_shl(((from - self.block) * 8) as u32).unwrap_or(0);
        while self.flags == 0 {
            self.block += BLOCK;
            if self.block >= self.bytes.len() {
                return None;
            }
            self.flags = flags(self.bytes, self.block);
        }
        Some(self.block + self.flags.trailing_zeros() as usize / 8)
    }
}

/// The anchors of a block: a bit in the byte of each.
fn flags(bytes: &[u8], block: usize) -> u128 {
    let rest = bytes.get(block..).unwrap_or_default();
    // The block and the two bytes after it.
    let mut padded = [0; BLOCK + 2];
    let window = rest.first_chunk().unwrap_or_else(|| {
        padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        &padded
    });
    let mut flags = [0; BLOCK];
    for (flag, (byte, third)) in flags.iter_mut().zip(window.iter().zip(window.iter().skip(2))) {
        *flag = u8::from(is_anchor(*byte, *third));
    }
    u128::from_le_bytes(flags)
}

/// Without branches, so that a block is compared at once. The last one is for `Bearer`.
fn is_anchor(byte: u8, third: u8) -> bool {
    (byte == b'-')
        | (byte == b'_')
        | (byte == b'=')
        | (byte == b':')
        | (byte == b'I')
        | (byte == b'J')
        | ((byte | 0x20 == b'b') & (third | 0x20 == b'a'))
}
