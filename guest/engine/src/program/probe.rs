//! Probes: what a text is scanned for on behalf of leaves, each with a number. A leaf asks its probe instead of looking at
//! the text again; leaves that look for the same thing under the same selector share one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::needles::Needle;
use super::pattern::Pattern;

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) selector: u32,
    pub(super) look: Look,
}

#[derive(Clone, Debug)]
pub(super) enum Look {
    /// One of these texts, none of which is empty.
    Texts(Box<[Box<str>]>),
    /// A pattern that does not match the empty text.
    Pattern(Arc<Pattern>),
}

impl Probe {
    /// Literals without which it is not there; none for a pattern that must be searched for.
    pub(super) fn needles(&self) -> Option<Vec<Needle>> {
        let needle = |bytes: &[u8], ignore_case| Needle { bytes: bytes.into(), ignore_case };
        match &self.look {
            Look::Texts(texts) => Some(texts.iter().map(|text| needle(text.as_bytes(), false)).collect()),
            Look::Pattern(pattern) => {
                let required = pattern.required()?;
                Some(required.literals.iter().map(|literal| needle(literal, required.ignore_case)).collect())
            }
        }
    }

    /// How often it is there, in thousandths of texts: a guess.
    pub(super) fn cost(&self) -> u32 {
        let Some(needles) = self.needles() else { return 500 };
        let of_one = |needle: &Needle| match needle.bytes.len() {
            1 => 400,
            2 => 150,
            3 => 50,
            _ => 20,
        };
        needles.iter().map(of_one).fold(0, u32::saturating_add)
    }
}

/// The probes of a policy.
#[derive(Debug, Default)]
pub(super) struct Probes {
    list: Vec<Probe>,
    /// By selector and what is looked for, written as text.
    numbers: BTreeMap<(u32, String), u32>,
}

impl Probes {
    /// A probe for texts, none of which is empty.
    pub(super) fn texts(&mut self, selector: u32, texts: &[Box<str>]) -> u32 {
        // Lengths keep lists apart that would read alike.
        let key = texts.iter().map(|text| format!("{}:{text}", text.len())).collect();
        self.number(selector, key, || Look::Texts(texts.into()))
    }

    /// A probe for a pattern.
    pub(super) fn pattern(&mut self, selector: u32, pattern: &Arc<Pattern>) -> u32 {
        let key = format!("/{}", pattern.source());
        self.number(selector, key, || Look::Pattern(Arc::clone(pattern)))
    }

    fn number(&mut self, selector: u32, key: String, look: impl FnOnce() -> Look) -> u32 {
        let next = self.list.len() as u32;
        let number = *self.numbers.entry((selector, key)).or_insert(next);
        if number == next {
            self.list.push(Probe { selector, look: look() });
        }
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&Probe> {
        self.list.get(number as usize)
    }
}
