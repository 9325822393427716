//! Several patterns, asked all at once whether any of them may match: for patterns without literals, of which most match
//! nothing in most texts.

use std::sync::{Arc, OnceLock};

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;

use super::lower::Alphabet;
use super::standin::StandIns;
use super::{Pattern, Use, lowered, parser, program};

/// Patterns with one program for all.
pub(in crate::program) struct Union {
    patterns: Box<[Arc<Pattern>]>,
    stand_ins: StandIns,
    program: OnceLock<Option<Regex>>,
}

impl Union {
    pub(in crate::program) fn new(patterns: Vec<Arc<Pattern>>) -> Self {
        let trees: Vec<_> = patterns.iter().filter_map(|pattern| parser::parse(&pattern.source).ok()).collect();
        Self { stand_ins: StandIns::of(&trees), patterns: patterns.into(), program: OnceLock::new() }
    }

    /// False only when none of the patterns matches.
    pub(in crate::program) fn may_match(&self, text: &str) -> bool {
        // One by itself is searched for when it is asked about; and so are all in a text that needs all of Unicode, for
        // which a program of many patterns would be huge.
        let (readable, alphabet) = self.stand_ins.readable(text);
        if self.patterns.len() < 2 || alphabet == Alphabet::Unicode {
            return true;
        }
        let program = self.program.get_or_init(|| {
            let mut mains = Vec::new();
            for pattern in &self.patterns {
                let lowered = lowered(parser::parse(&pattern.source).ok()?, Use::Search, Alphabet::Ascii).ok()?;
                mains.extend(lowered.into_iter().map(|(_, main)| main));
            }
            program(&mains, WhichCaptures::None)
        });
        program.as_ref().is_none_or(|program| program.is_match(&*readable))
    }
}

impl std::fmt::Debug for Union {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(&self.patterns).finish()
    }
}
