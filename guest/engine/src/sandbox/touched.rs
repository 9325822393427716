//! What a call touches.

use std::borrow::Cow;

use super::{Context, Links, Needs};
use crate::call::Call;

/// Everything that a call touches, extracted once and shared by the sandbox rules of its tool.
#[derive(Clone, Debug)]
pub struct Touched<'c> {
    paths: Vec<Cow<'c, str>>,
}

impl<'c> Touched<'c> {
    /// Looks through the arguments of a call, for what the rules of its tool need.
    #[must_use]
    pub fn of(call: &Call<'c>, context: &Context, needs: Needs) -> Self {
        let _ = (call, context, needs);
        Self { paths: Vec::new() }
    }

    /// Paths whose kind is needed to resolve everything the call touches, given what is known; empty: all resolved, or
    /// the verdict does not depend on them. A call without links needs one round, each link found may need another.
    #[must_use]
    pub fn unresolved(&self, links: &Links) -> Vec<String> {
        let _ = links;
        self.paths.iter().map(|path| path.clone().into_owned()).collect()
    }
}
