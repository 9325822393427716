//! Which rules are for which tool: every tool that a rule names has its rules in one place, globs that match it included;
//! globs are only tried for names that no rule spells out.

use std::collections::BTreeMap;

use super::glob::Glob;
use super::index::Index;

/// Rules for one tool, or for the tools of one glob.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) pre: Index,
    pub(super) post: Index,
    /// Numbers of sandbox rules, ascending.
    pub(super) sandbox: Box<[usize]>,
}

/// The sections of a program, by tool.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pub(super) sections: Vec<Section>,
    /// Sorted by name.
    pub(super) named: Vec<Named>,
    /// Globs with their sections.
    pub(super) globs: Vec<(Glob, usize)>,
}

/// A tool that rules name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Box<str>,
    pub(super) section: usize,
    /// The rules of its globs are in its own section too. There is a bound to that (see [`Plan`]).
    pub(super) merged: bool,
}

impl Tools {
    /// The sections that hold the rules for a tool; a rule is in one of them, a sandbox rule perhaps in more.
    pub(super) fn sections<'t, 'n>(&'t self, tool: &'n str) -> impl Iterator<Item = &'t Section> + use<'t, 'n> {
        let named = self.named.binary_search_by(|named| (*named.name).cmp(tool)).ok();
        let named = named.and_then(|place| self.named.get(place));
        let merged = named.is_some_and(|named| named.merged);
        let globs = if merged { &[] } else { self.globs.as_slice() };
        let globs = globs.iter().filter(move |(glob, _)| glob.matches(tool)).map(|(_, section)| *section);
        named.map(|named| named.section).into_iter().chain(globs).filter_map(|section| self.sections.get(section))
    }
}

/// Numbers of rules, by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub(super) pre: Vec<usize>,
    pub(super) post: Vec<usize>,
    pub(super) sandbox: Vec<usize>,
    /// What the rules weigh together in an index: one each, and one for each literal.
    weight: usize,
}

impl Members {
    fn add(&mut self, other: &Self) {
        for (own, others) in
            [(&mut self.pre, &other.pre), (&mut self.post, &other.post), (&mut self.sandbox, &other.sandbox)]
        {
            own.extend(others);
            own.sort_unstable();
            own.dedup();
        }
    }
}

/// Rules by the tools they are written for, while a program is made: what sections there are to be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    named: BTreeMap<String, Members>,
    globs: BTreeMap<String, (Glob, Members)>,
    weight: usize,
    /// How much of globs' rules was copied into sections of named tools.
    copied: usize,
    /// The last glob that was given out.
    last_glob: Option<String>,
}

/// What may be copied into sections of named tools: this much, and so many times the weight of all rules. A policy of many
/// globs and many names takes memory in proportion to its size, and not to its square.
const COPIES: (usize, usize) = (4096, 4);

impl Plan {
    /// Enters a rule into the lists of a tool or glob.
    pub(super) fn add(&mut self, tool: &str, weight: usize, enter: impl FnOnce(&mut Members)) {
        self.weight += weight;
        let glob = Glob::compile(tool);
        let members = match glob.literal() {
            Some(name) => self.named.entry(name.to_owned()).or_default(),
            None => &mut self.globs.entry(tool.to_owned()).or_insert((glob, Members::default())).1,
        };
        members.weight += weight;
        enter(members);
    }

    /// The next section to be built: globs first, then named tools. Nothing may be added any more.
    pub(super) fn next(&mut self) -> Option<Planned> {
        let unseen = match &self.last_glob {
            None => self.globs.iter().next(),
            Some(last) => {
                let after = (std::ops::Bound::Excluded(last.as_str()), std::ops::Bound::Unbounded);
                self.globs.range::<str, _>(after).next()
            }
        };
        if let Some((source, (glob, members))) = unseen {
            let planned = Planned { owner: Owner::Glob(glob.clone()), members: members.clone() };
            self.last_glob = Some(source.clone());
            return Some(planned);
        }
        let (name, mut members) = self.named.pop_first()?;
        let matching: Vec<&Members> =
            self.globs.values().filter(|(glob, _)| glob.matches(&name)).map(|(_, members)| members).collect();
        let copies = matching.iter().fold(self.copied, |sum, members| sum.saturating_add(members.weight));
        let merged = copies <= self.weight.saturating_mul(COPIES.1).saturating_add(COPIES.0);
        if merged {
            self.copied = copies;
            matching.into_iter().for_each(|others| members.add(others));
        }
        Some(Planned { owner: Owner::Name { name, merged }, members })
    }
}

/// A section to be built.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) owner: Owner,
    pub(super) members: Members,
}

/// Whose rules a section holds.
#[derive(Debug)]
pub(super) enum Owner {
    Glob(Glob),
    Name { name: String, merged: bool },
}
