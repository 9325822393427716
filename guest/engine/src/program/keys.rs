//! Many texts that a value may be equal to, begin with or end with: one binary search for all of them.

use super::sets::Lists;

/// Texts with the rules that wait for them, sorted. Bytes are in the order of comparison: from the back for suffixes.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    keys: Box<[Box<[u8]>]>,
    /// The longest other key that a key begins with, or itself.
    shorter: Box<[u32]>,
    rules: Lists,
}

impl Keys {
    /// Keys with their rules. A key may come more than once.
    pub(super) fn new(mut entries: Vec<(Box<[u8]>, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        let mut rules: Vec<Vec<u32>> = Vec::new();
        for (key, rule) in entries {
            if keys.last() != Some(&key) {
                keys.push(key);
                rules.push(Vec::new());
            }
            if let Some(list) = rules.last_mut() {
                list.push(rule);
            }
        }
        // Keys that the current one begins with, the longest last.
        let mut chain: Vec<u32> = Vec::new();
        let mut shorter = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            while let Some(last) = chain.last()
                && !keys.get(*last as usize).is_some_and(|shorter| key.starts_with(shorter))
            {
                chain.pop();
            }
            shorter.push(chain.last().copied().unwrap_or(place as u32));
            chain.push(place as u32);
        }
        Self { keys: keys.into(), shorter: shorter.into(), rules: Lists::new(rules) }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The rules of the key that is this text.
    pub(super) fn equal(&self, text: &[u8]) -> &[u32] {
        self.keys.binary_search_by(|key| (**key).cmp(text)).map_or(&[], |place| self.rules.get(place))
    }

    /// The rules of all keys that the text begins with, key by key. `text` gives its bytes from the start.
    pub(super) fn prefixes<B: Iterator<Item = u8>>(&self, text: impl Fn() -> B, mut found: impl FnMut(&[u32])) {
        // Whatever key the text begins with, the last key that is not behind the text begins with it too.
        let after = self.keys.partition_point(|key| key.iter().copied().le(text()));
        let Some(mut place) = after.checked_sub(1) else { return };
        let mut begins = false;
        loop {
            begins = begins || self.keys.get(place).is_some_and(|key| text().take(key.len()).eq(key.iter().copied()));
            if begins {
                found(self.rules.get(place));
            }
            match self.shorter.get(place) {
                Some(shorter) if *shorter as usize != place => place = *shorter as usize,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_keys_are_found_and_no_others(texts in prop::collection::vec("[ab]{1,4}", 0..12), text in "[abc]{0,6}") {
            let forward = Keys::new(texts.iter().enumerate().map(|(rule, key)| (key.as_bytes().into(), rule as u32)).collect());
            let backward = Keys::new(
                texts.iter().enumerate().map(|(rule, key)| (key.bytes().rev().collect(), rule as u32)).collect(),
            );
            let mut prefixes = BTreeSet::new();
            forward.prefixes(|| text.bytes(), |rules| prefixes.extend(rules.iter().copied()));
            let mut suffixes = BTreeSet::new();
            backward.prefixes(|| text.bytes().rev(), |rules| suffixes.extend(rules.iter().copied()));
            let equal: BTreeSet<u32> = forward.equal(text.as_bytes()).iter().copied().collect();
            for (rule, key) in texts.iter().enumerate() {
                let rule = rule as u32;
                prop_assert_eq!(prefixes.contains(&rule), text.starts_with(key), "{} {}", key, text);
                prop_assert_eq!(suffixes.contains(&rule), text.ends_with(key), "{} {}", key, text);
                prop_assert_eq!(equal.contains(&rule), text == *key, "{} {}", key, text);
            }
        }
    }
}
