//! The index of some rules: which of them can fire for a call, found by looking once at each value they depend on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::guard::{Event, Guard, Kinds};
use super::keys::Keys;
use super::needles::{Needle, Needles};
use super::paths::Paths;
use super::pattern::{MAX_SUBJECT, Union};
use super::probe::{Look, Probes};
use super::selector::{Resolved, Selector};
use super::sets::{Bits, Lists};
use crate::call::Subject;
use crate::json::{MAX_DEPTH, Value};

/// Patterns without literals that are searched for together: at most so many, and programs of at most so many states.
const UNION: (usize, u64) = (32, 10_000);

/// An index. Rules and probes have numbers of their own in it, in the order of the lists.
#[derive(Debug)]
pub(super) struct Index {
    /// Numbers in the program, ascending.
    rules: Box<[usize]>,
    /// Rules that must always be evaluated.
    always: Bits,
    fields: Box<[Field]>,
    /// Fields that are looked up by themselves: selector and field.
    single: Box<[(u32, u32)]>,
    paths: Box<[Paths]>,
    /// Numbers in the program, ascending.
    probes: Box<[u32]>,
    /// By probe: the rules that it makes possible.
    waiting: Lists,
}

/// What was seen of a call.
#[derive(Debug)]
pub(super) struct Seen {
    /// Rules that can fire.
    pub(super) rules: Bits,
    /// Probes that are there, or may be.
    probes: Bits,
}

/// What is watched of one selector.
#[derive(Debug)]
struct Field {
    /// By kind of value: the rules that it makes possible.
    kinds: Lists,
    equal: Keys,
    prefix: Keys,
    suffix: Keys,
    needles: Needles,
    /// By literal: the probes it belongs to.
    literals: Lists,
    unions: Box<[(Union, Box<[u32]>)]>,
}

/// A rule to be indexed.
pub(super) struct Entry<'e> {
    /// Its number in the program.
    pub(super) rule: usize,
    /// None: it must always be evaluated.
    pub(super) guard: Option<&'e Guard>,
    /// Probes that its leaves ask.
    pub(super) probes: &'e [u32],
}

impl Index {
    /// An index of rules that come in ascending order.
    pub(super) fn new<'e>(
        entries: impl IntoIterator<Item = Entry<'e>>,
        selectors: &[Selector],
        probes: &Probes,
    ) -> Self {
        let mut draft = Draft::default();
        for entry in entries {
            draft.add(&entry);
        }
        draft.finish(selectors, probes)
    }

    /// Numbers of the rules in the program, ascending.
    pub(super) const fn rules(&self) -> &[usize] {
        &self.rules
    }

    /// The number in the program of the rule in this place.
    pub(super) fn rule(&self, place: usize) -> Option<usize> {
        self.rules.get(place).copied()
    }

    /// Looks at a call.
    pub(super) fn see(&self, selectors: &[Selector], subject: &Subject<'_>) -> Seen {
        let mut seen = Seen { rules: self.always.clone(), probes: Bits::empty(self.probes.len()) };
        let mut see = |field: u32, value: Resolved<'_>| {
            if let Some(field) = self.fields.get(field as usize) {
                self.see_field(field, value, &mut seen);
            }
        };
        for (selector, field) in &self.single {
            if let Some(selector) = selectors.get(*selector as usize) {
                see(*field, selector.resolve(subject));
            }
        }
        for paths in &self.paths {
            paths.walk(subject, &mut see);
        }
        seen
    }

    fn see_field(&self, field: &Field, value: Resolved<'_>, seen: &mut Seen) {
        let (kind, text) = match value {
            Resolved::Missing => return,
            Resolved::Failed(_) => (Kinds::FAILED, None),
            Resolved::Value(Value::Null) => return,
            Resolved::Value(Value::Bool(_) | Value::Number(_)) => (Kinds::NUMBER, None),
            Resolved::Value(Value::String(text)) => (Kinds::TEXT, Some(text)),
            Resolved::Value(Value::List(_)) => (Kinds::LIST, None),
            Resolved::Value(Value::Map(_)) => (Kinds::MAP, None),
        };
        seen.rules.insert_all(field.kinds.get(place_of(kind)));
        if let Some(text) = text {
            self.see_text(field, text, seen);
        }
    }

    fn see_text(&self, field: &Field, text: &str, seen: &mut Seen) {
        let Seen { rules, probes } = seen;
        if text.len() > MAX_SUBJECT {
            rules.insert_all(field.kinds.get(place_of(Kinds::LONG)));
        }
        if !field.equal.is_empty() {
            rules.insert_all(field.equal.equal(text.as_bytes()));
        }
        if !field.prefix.is_empty() {
            field.prefix.prefixes(|| text.bytes(), |found| rules.insert_all(found));
        }
        if !field.suffix.is_empty() {
            field.suffix.prefixes(|| text.bytes().rev(), |found| rules.insert_all(found));
        }
        let mut there = |found: &[u32]| {
            for probe in found {
                if probes.insert(*probe) {
                    rules.insert_all(self.waiting.get(*probe as usize));
                }
            }
        };
        if !field.needles.is_empty() {
            field.needles.find(text.as_bytes(), |needle| there(field.literals.get(needle)));
        }
        for (union, members) in &field.unions {
            if text.len() > MAX_SUBJECT || union.may_match(text) {
                there(members);
            }
        }
    }

    /// Whether a probe is there, or may be; none when it is not in this index.
    pub(super) fn probe(&self, seen: &Seen, probe: u32) -> Option<bool> {
        let place = self.probes.binary_search(&probe).ok()?;
        Some(seen.probes.contains(place as u32))
    }
}

/// The place of a single kind in lists by kind.
const fn place_of(kind: Kinds) -> usize {
    kind.0.trailing_zeros() as usize
}

/// An index being made.
#[derive(Default)]
struct Draft {
    rules: Vec<usize>,
    always: Vec<u32>,
    fields: BTreeMap<u32, FieldDraft>,
    /// By number in the program: the rules that wait for it.
    probes: BTreeMap<u32, Vec<u32>>,
}

#[derive(Default)]
struct FieldDraft {
    kinds: [Vec<u32>; Kinds::COUNT],
    equal: Vec<(Box<[u8]>, u32)>,
    prefix: Vec<(Box<[u8]>, u32)>,
    suffix: Vec<(Box<[u8]>, u32)>,
    needles: BTreeMap<Needle, Vec<u32>>,
    patterns: Vec<(Arc<super::Pattern>, u32)>,
}

impl Draft {
    fn add(&mut self, entry: &Entry<'_>) {
        let rule = self.rules.len() as u32;
        self.rules.push(entry.rule);
        for probe in entry.probes {
            self.probes.entry(*probe).or_default();
        }
        let Some(guard) = entry.guard else {
            self.always.push(rule);
            return;
        };
        for (selector, kinds) in &guard.kinds {
            let field = self.fields.entry(*selector).or_default();
            for (place, list) in field.kinds.iter_mut().enumerate() {
                if kinds.0 & (1 << place) != 0 {
                    list.push(rule);
                }
            }
        }
        for event in &guard.events {
            match event {
                Event::Equal(selector, text) => {
                    self.fields.entry(*selector).or_default().equal.push((text.as_bytes().into(), rule));
                }
                Event::Prefix(selector, text) => {
                    self.fields.entry(*selector).or_default().prefix.push((text.as_bytes().into(), rule));
                }
                Event::Suffix(selector, text) => {
                    self.fields.entry(*selector).or_default().suffix.push((text.bytes().rev().collect(), rule));
                }
                Event::Probe(probe) => self.probes.entry(*probe).or_default().push(rule),
            }
        }
    }

    fn finish(mut self, selectors: &[Selector], probes: &Probes) -> Index {
        let mut numbers = Vec::new();
        let mut waiting = Vec::new();
        for (number, rules) in std::mem::take(&mut self.probes) {
            let Some(probe) = probes.get(number) else { continue };
            let place = numbers.len() as u32;
            let field = self.fields.entry(probe.selector).or_default();
            match (probe.needles(), &probe.look) {
                (Some(needles), _) => {
                    for needle in needles {
                        field.needles.entry(needle).or_default().push(place);
                    }
                }
                (None, Look::Pattern(pattern)) if !rules.is_empty() => {
                    field.patterns.push((Arc::clone(pattern), place));
                }
                // Nothing to scan for: who asks must search.
                (None, _) => continue,
            }
            numbers.push(number);
            waiting.push(rules);
        }
        let mut always = Bits::empty(self.rules.len());
        always.insert_all(&self.always);
        let mut single = Vec::new();
        let mut nested = Vec::new();
        for (field, number) in (0..).zip(self.fields.keys()) {
            match selectors.get(*number as usize) {
                // Deeper paths lead nowhere, but their roots can still fail.
                Some(Selector::Nested(root, path)) if path.len() <= MAX_DEPTH => {
                    nested.push((root.clone(), path.clone(), field));
                }
                _ => single.push((*number, field)),
            }
        }
        Index {
            always,
            rules: self.rules.into(),
            fields: self.fields.into_values().map(FieldDraft::finish).collect(),
            single: single.into(),
            paths: Paths::new(nested),
            probes: numbers.into(),
            waiting: Lists::new(waiting),
        }
    }
}

impl FieldDraft {
    fn finish(self) -> Field {
        let literals = Lists::new(self.needles.values());
        let mut unions: Vec<(Vec<Arc<super::Pattern>>, Vec<u32>)> = Vec::new();
        let mut room = (0, 0);
        for (pattern, probe) in self.patterns {
            if room.0 == 0 || room.1 < pattern.cost() {
                unions.push((Vec::new(), Vec::new()));
                room = UNION;
            }
            room = (room.0 - 1, room.1.saturating_sub(pattern.cost()));
            if let Some((patterns, probes)) = unions.last_mut() {
                patterns.push(pattern);
                probes.push(probe);
            }
        }
        let unions = unions.into_iter().map(|(patterns, probes)| (Union::new(patterns), probes.into()));
        Field {
            kinds: Lists::new(self.kinds),
            equal: Keys::new(self.equal),
            prefix: Keys::new(self.prefix),
            suffix: Keys::new(self.suffix),
            needles: Needles::new(self.needles.into_keys().collect()),
            literals,
            unions: unions.collect(),
        }
    }
}
