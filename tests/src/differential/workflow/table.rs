//! Where workflows differ on purpose: each with its place in the specification, its row in DIVERGENCES.md and what it does
//! to the model.

use super::guard::Semantics;
use super::loading;
use crate::differential::case::Case;
use crate::differential::datum::Datum;

/// A way in which we differ on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// `D-040` and so on; never given twice.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where engine.md asks for it.
    pub source: &'static str,
    /// Whether `compat: python-0.19` brings the reference's behaviour back.
    pub restored: bool,
    /// What it does.
    pub effect: Effect,
}

/// What a divergence does.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Only one of the two opens the guard.
    Loading(fn(&Case, &[Datum]) -> Option<Vec<Datum>>),
    /// The guard goes on differently.
    Switch(fn(&mut Semantics)),
}

use Effect::{Loading, Switch};

macro_rules! divergences {
    ($($id:literal $restored:literal $title:literal $source:literal $effect:expr;)*) => {
        /// All of them.
        pub const DIVERGENCES: &[Divergence] = &[$(Divergence {
            id: $id,
            title: $title,
            source: $source,
            restored: $restored,
            effect: $effect,
        },)*];
    };
}

divergences! {
    "D-040" true "a failing check may lead on to the next stage" "§13.5, §16 row 22" Switch(|ours| ours.reconciled_checks = true);
    "D-041" true "results of tools are evidence" "§13.6, §16 row 37" Switch(|ours| ours.records_results = true);
    "D-042" false "values of results are JSON to gates" "§13.3, §16 row 37" Switch(|ours| ours.json_texts = true);
    "D-043" false "a stored workflow needs an active stage" "§13.1" Switch(|ours| ours.needs_active_stage = true);
    "D-044" false "of a stored workflow only what it knows counts" "§13.1" Switch(|ours| ours.keeps_only_known = true);
    "D-045" false "what only ran because the guard observes is no evidence" "§8.4" Switch(|ours| ours.blocked_leave_nothing = true);
    "D-046" false "the log shows the workflow after the tool ran" "§8.10, §16 row 34" Switch(|ours| ours.fresh_snapshots = true);
    "D-047" false "an observing rule is no error of the workflow" "§8.2" Switch(|ours| ours.only_own_errors = true);
    "D-048" false "errors of a workflow stay out of the reason" "§8.2, §16 row 52" Switch(|ours| ours.plain_errors = true);
    "D-049" false "a gate without a message names its condition" "§13.4" Switch(|ours| ours.names_conditions = true);
    "D-050" false "scalars that are no text are refused in workflows" "§1.6, §16 row 40" Loading(loading::scalars);
    "D-051" false "a list of tools is a list" "§1.6, §16 row 40" Loading(loading::lists);
    "D-052" false "gates name stages that exist" "§1.6" Loading(loading::unknown_stages);
    "D-053" false "patterns that match everything or nothing are refused in workflows" "§1.6, §13.3" Loading(loading::empty);
    "D-054" false "escapes in conditions are two: of the backslash and of the quote" "§13.3, §16 row 39" Switch(|ours| ours.plain_escapes = true);
    "D-055" false "keys of workflows are there once" "§1.7, §16 row 17" Loading(loading::keys);
    "D-056" false "patterns of workflows that need backtracking are refused" "§4.2, §16 row 1" Loading(loading::backtracking);
    "D-057" false "a key with nothing behind it is as if it were not there" "§1.6, §16 row 40" Switch(|ours| ours.null_is_absent = true);
    "D-058" false "a limit outweighs a stage that asks" "§8.1" Switch(|ours| ours.limits_beat_stages = true);
}
