//! Many literals looked for in one text in one pass.
//!
//! Of each literal a few bytes in a row are chosen, a gram, that few others have. A small filter, which stays in the cache
//! of the processor, says of almost every place of a text that no gram is there; only where it does not, literals are
//! compared. Of literals that are longer than a gram several overlapping grams are taken, one of which is met even when
//! only every second or fourth place of the text is looked at.
//!
//! An Aho-Corasick automaton would need one dependent memory access for each byte, and for ten thousand literals some
//! megabytes; this needs neither, and it allocates nothing while it searches.

/// Bytes with this bit set are what grams are made of: letters lose their case, other bytes may collide, which only costs
/// a comparison.
const CASE: u8 = 0x20;

/// Filter bits for each gram; more make fewer places pass in vain.
const BITS_PER_GRAM: usize = 32;

/// Bounds of a filter's size, as powers of two in bits.
const FILTER_BITS: (u32, u32) = (9, 19);

/// Up to so many literals one pass with grams of three bytes is cheaper than two passes.
const FEW: usize = 256;

/// A literal: not empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needle {
    /// UTF-8, or a part of it. In lower case when `ignore_case` is set.
    pub(super) bytes: Box<[u8]>,
    /// ASCII letters stand for both cases.
    pub(super) ignore_case: bool,
}

/// Literals, prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct Needles {
    needles: Box<[Needle]>,
    one: Grams<1, 1>,
    two: Grams<2, 1>,
    three: Grams<3, 2>,
    four: Grams<4, 4>,
}

impl Needles {
    pub(super) fn new(needles: Vec<Needle>) -> Self {
        let of = |lengths: std::ops::Range<usize>| {
            let all = needles.iter().enumerate();
            all.filter(move |(_, needle)| lengths.contains(&needle.bytes.len()))
        };
        let (short, long) = (Grams::<3, 2>::LEAST, Grams::<4, 4>::LEAST);
        let together = of(short..long).next().is_some() && of(short..usize::MAX).count() <= FEW;
        let limit = if together { usize::MAX } else { long };
        let (one, two) = (Grams::new(of(1..2)), Grams::new(of(2..short)));
        let (three, four) = (Grams::new(of(short..limit)), Grams::new(of(limit..usize::MAX)));
        Self { one, two, three, four, needles: needles.into() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Calls back with the place of each literal that occurs, perhaps several times.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize)) {
        self.one.find(&self.needles, text, &mut found);
        self.two.find(&self.needles, text, &mut found);
        self.three.find(&self.needles, text, &mut found);
        self.four.find(&self.needles, text, &mut found);
    }
}

/// Grams of so many bytes, looked for at every `STRIDE`th place.
#[derive(Clone, Debug, Default)]
struct Grams<const LENGTH: usize, const STRIDE: usize> {
    filter: Box<[u64]>,
    /// How far a hash is shifted to be a place in the filter.
    filter_shift: u32,
    /// Where the entries of a slot end.
    slots: Box<[u32]>,
    slot_shift: u32,
    entries: Box<[Entry]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    gram: u32,
    needle: u32,
    /// Bytes of the literal before its gram.
    before: u32,
}

#[inline]
const fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1)
}

impl<const LENGTH: usize, const STRIDE: usize> Grams<LENGTH, STRIDE> {
    /// Least length of a literal: wherever it stands, one of its first grams stands at a place that is looked at.
    const LEAST: usize = LENGTH + STRIDE - 1;

    /// For literals of at least [`Self::LEAST`] bytes.
    fn new<'n>(needles: impl Iterator<Item = (usize, &'n Needle)> + Clone) -> Self {
        let all = needles.clone().flat_map(|(_, needle)| needle.bytes.array_windows::<LENGTH>().map(Self::gram));
        let mut common: Vec<u32> = all.collect();
        if common.is_empty() {
            return Self::default();
        }
        common.sort_unstable();
        let others =
            |gram: u32| common.partition_point(|other| *other <= gram) - common.partition_point(|other| *other < gram);
        let mut entries: Vec<Entry> = Vec::new();
        for (place, needle) in needles {
            let grams: Vec<&[u8; LENGTH]> = needle.bytes.array_windows::<LENGTH>().collect();
            let cost = |grams: &[&[u8; LENGTH]]| {
                grams
                    .iter()
                    .map(|bytes| (others(Self::gram(bytes)), frequency(*bytes)))
                    .fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
            };
            let Some((before, best)) = grams.windows(STRIDE).enumerate().min_by_key(|(_, grams)| cost(grams)) else {
                continue;
            };
            entries.extend(best.iter().zip(before..).map(|(bytes, before)| Entry {
                gram: Self::gram(bytes),
                needle: place as u32,
                before: before as u32,
            }));
        }

        let bits = |count: usize| count.next_power_of_two().ilog2();
        let filter_bits = bits(entries.len() * BITS_PER_GRAM).clamp(FILTER_BITS.0, FILTER_BITS.1);
        let slot_bits = bits(entries.len()).clamp(1, FILTER_BITS.1);
        let (filter_shift, slot_shift) = (32 - filter_bits, 32 - slot_bits);
        let mut filter = vec![0u64; 1 << (filter_bits - 6)];
        let mut slots = vec![0u32; 1 << slot_bits];
        for entry in &entries {
            let hash = hash(entry.gram);
            if let Some(word) = filter.get_mut((hash >> filter_shift) as usize / 64) {
                *word |= 1 << ((hash >> filter_shift) % 64);
            }
            if let Some(slot) = slots.get_mut((hash >> slot_shift) as usize) {
                *slot += 1;
            }
        }
        let mut end = 0;
        for slot in &mut slots {
            end += *slot;
            *slot = end;
        }
        entries.sort_by_key(|entry| hash(entry.gram) >> slot_shift);
        Self { filter: filter.into(), filter_shift, slots: slots.into(), slot_shift, entries: entries.into() }
    }

    #[inline]
    fn find(&self, needles: &[Needle], text: &[u8], found: &mut impl FnMut(usize)) {
        if self.entries.is_empty() {
            return;
        }
        let mut at = 0;
        // Four bytes are read at once, of which a gram may be the first few; at the end there are not as many.
        while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            self.look(needles, text, at, Self::cut(u32::from_le_bytes(*bytes)), found);
            at += STRIDE;
        }
        while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<LENGTH>()) {
            self.look(needles, text, at, Self::gram(bytes), found);
            at += STRIDE;
        }
    }

    #[inline]
    fn look(&self, needles: &[Needle], text: &[u8], at: usize, gram: u32, found: &mut impl FnMut(usize)) {
        let hash = hash(gram);
        let place = hash >> self.filter_shift;
        let word = self.filter.get(place as usize / 64).copied().unwrap_or_default();
        if (word >> (place % 64)) & 1 != 0 {
            self.compare(needles, text, at, gram, hash, found);
        }
    }

    /// Of four bytes, those that belong to a gram.
    #[inline]
    const fn cut(bytes: u32) -> u32 {
        (bytes | u32::from_le_bytes([CASE; 4])) & (u32::MAX >> (32 - 8 * LENGTH))
    }

    #[inline]
    fn gram(bytes: &[u8; LENGTH]) -> u32 {
        let mut all = [0; 4];
        all.iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte);
        Self::cut(u32::from_le_bytes(all))
    }

    #[cold]
    fn compare(&self, needles: &[Needle], text: &[u8], at: usize, gram: u32, hash: u32, found: &mut impl FnMut(usize)) {
        let slot = (hash >> self.slot_shift) as usize;
        let start = slot.checked_sub(1).and_then(|before| self.slots.get(before)).copied().unwrap_or(0);
        let end = self.slots.get(slot).copied().unwrap_or(start);
        for entry in self.entries.get(start as usize..end as usize).unwrap_or_default() {
            if entry.gram == gram
                && let Some(needle) = needles.get(entry.needle as usize)
                && let Some(start) = at.checked_sub(entry.before as usize)
                && let Some(there) = text.get(start..start + needle.bytes.len())
                && (*there == *needle.bytes || needle.ignore_case && there.eq_ignore_ascii_case(&needle.bytes))
            {
                found(entry.needle as usize);
            }
        }
    }
}

/// How common the bytes of a gram are in texts, roughly.
fn frequency(bytes: &[u8]) -> usize {
    // From the most to the least common, as in paths, commands and prose.
    const COMMON: &[u8] = b" etaoinsrhldcu/m.pf-gwy_b\"v:=k,10x2";
    let weight = |byte: &u8| COMMON.iter().position(|common| *common == byte.to_ascii_lowercase());
    bytes.iter().filter_map(weight).map(|place| COMMON.len() - place).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn needle(text: &str, ignore_case: bool) -> Needle {
        let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
        Needle { bytes: text.into_bytes().into(), ignore_case }
    }

    fn found(needles: &Needles, text: &str) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        needles.find(text.as_bytes(), |place| {
            all.insert(place);
        });
        all
    }

    #[test]
    fn literals_of_every_length_are_found_at_every_place() {
        let texts = ["|", "rm", "sk-", "-rf ", "sudo!", "mkfs.x", "--force", "--force ", "/etc/passwd", "é", "😀"];
        for skipped in 0..texts.len() {
            let texts = &texts[skipped..];
            let needles = Needles::new(texts.iter().map(|text| needle(text, false)).collect());
            for (place, text) in texts.iter().enumerate() {
                for (before, after) in (0..6).flat_map(|before| (0..3).map(move |after| (before, after))) {
                    let surrounded = format!("{}{text}{}", "~".repeat(before), "~".repeat(after));
                    assert!(found(&needles, &surrounded).contains(&place), "{surrounded}");
                }
            }
            assert!(found(&needles, "RM SK- /etc/passw").is_empty());
            assert!(found(&needles, "").is_empty());
        }
    }

    proptest! {
        #[test]
        fn agrees_with_looking_for_each(
            literals in prop::collection::vec(("[abAB.é]{1,9}", any::<bool>()), 0..40),
            text in "[abAB.éc]{0,40}",
        ) {
            let needles = Needles::new(literals.iter().map(|(text, ignore_case)| needle(text, *ignore_case)).collect());
            let all = found(&needles, &text);
            for (place, (literal, ignore_case)) in literals.iter().enumerate() {
                let expected = if *ignore_case {
                    text.to_ascii_lowercase().contains(&literal.to_ascii_lowercase())
                } else {
                    text.contains(literal)
                };
                prop_assert_eq!(all.contains(&place), expected, "{} in {}", literal, text);
            }
        }
    }

    #[test]
    fn thousands_of_literals_are_told_apart() {
        let literals: Vec<String> =
            (0..5_000u32).map(|number| format!("/opt/{}/x", number.wrapping_mul(2_654_435_761))).collect();
        let needles = Needles::new(literals.iter().map(|text| needle(text, false)).collect());
        for wanted in (0..5_000).step_by(97) {
            assert_eq!(found(&needles, &format!("cat {} | sort", literals[wanted])), BTreeSet::from([wanted]));
        }
        assert!(found(&needles, "/opt/12/x").is_empty());
    }
}
