//! What a call touches, and where its paths lead once links are known. How it is found is `search`; whether it is permitted
//! is the rules' matter.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::address::Hosts;
use super::resolve::{Links, Place, Walk};
use super::search::Search;
use super::shell::Word;
use super::{Context, Needs, Reason};
use crate::call::Call;

/// Everything that a call touches, extracted once and shared by the sandbox rules of its tool.
#[derive(Clone, Debug, Default)]
pub struct Touched<'c> {
    /// What was looked for.
    pub(super) needs: Needs,
    /// Absolute, links not followed; every spelling of every path.
    pub(super) paths: BTreeSet<Cow<'c, str>>,
    /// Some path cannot be known.
    pub(super) unknowable: bool,
    /// First words of each command that has any.
    pub(super) commands: Vec<Vec<Word>>,
    pub(super) hosts: Hosts,
    /// Why every rule refuses the call, whatever it permits.
    pub(super) refused: Option<Reason>,
    /// Where the paths lead; set when all links are known, after which it cannot change.
    places: OnceCell<Vec<Place>>,
}

impl<'c> Touched<'c> {
    /// Looks through the arguments of a call, for what the rules of its tool need.
    #[must_use]
    pub fn of(call: &Call<'c>, context: &Context, needs: Needs) -> Self {
        Search::new(context, needs).through(call)
    }

    /// Paths whose kind is needed to resolve everything the call touches, given what is known; empty: all resolved, or
    /// no verdict depends on them. A call without links needs one round, each link found may need another; at most 40
    /// are followed on one path.
    #[must_use]
    pub fn unresolved(&self, links: &Links) -> Vec<String> {
        if self.refused.is_some() || self.unknowable || self.places.get().is_some() {
            return Vec::new();
        }
        let mut walk = Walk::new(links);
        for path in &self.paths {
            if walk.follow(path) == Place::TooMuch {
                return Vec::new();
            }
        }
        walk.into_unknown()
    }

    /// Where the paths lead; none when links are missing.
    pub(super) fn places(&self, links: &Links) -> Option<&[Place]> {
        if let Some(places) = self.places.get() {
            return Some(places);
        }
        let mut walk = Walk::new(links);
        let mut places = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let place = walk.follow(path);
            if place == Place::TooMuch {
                return Some(self.places.get_or_init(|| vec![Place::TooMuch]));
            }
            places.push(place);
        }
        walk.knows_all().then(|| self.places.get_or_init(|| places).as_slice())
    }

    /// Nothing found yet.
    pub(super) fn looking_for(needs: Needs) -> Self {
        Self { needs, ..Self::default() }
    }

    /// No rule permits the call; the first reason stays.
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.refused.get_or_insert(reason);
    }
}
