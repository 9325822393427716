//! Generates cases: rulesets, openings and call sequences from a seed. The same seed gives the same cases for ever.
//!
//! A group of cases has one guard. Most groups keep to where both engines are meant to agree; a few go where they differ
//! on purpose ([`territory`]), and a few have a document that neither may load ([`broken`]).

use std::sync::Arc;

use super::case::{Case, Document, Group, Opening};
use super::datum::Datum;
use super::random::Random;
use super::ruleset_text;

mod broken;
mod call;
mod expression;
mod loading;
mod rule;
pub mod territory;
mod vocabulary;
mod world;

use call::Interests;
use rule::Plan;
use world::World;

/// Cases of a group.
pub const GROUP: usize = 8;

/// Of a thousand groups, so many go where the engines differ on purpose.
const TERRITORY: usize = 38;

/// Of a thousand groups, so many have a document that does not load.
const BROKEN: usize = 40;

/// The group at an index.
#[must_use]
pub fn group(seed: u64, index: u64, compat: bool) -> Group {
    let mut random = Random::part(seed, index);
    let roll = random.below(1_000);
    let mut group = if roll < TERRITORY {
        territory::group(&mut random)
    } else if roll < TERRITORY + BROKEN {
        broken::group(&mut random)
    } else {
        plain(&mut random)
    };
    if compat {
        let mut opening = group.cases.first().map(|case| case.opening.as_ref().clone()).unwrap_or_default();
        opening.settings.set("compat", "python-0.19");
        let opening = Arc::new(opening);
        for case in &mut group.cases {
            case.opening = Arc::clone(&opening);
        }
    }
    group
}

/// A group where the engines are meant to agree.
fn plain(random: &mut Random) -> Group {
    let mut world = World::new(random);
    let kind = random.below(100);
    let plan = Plan {
        ask: kind < 16,
        sessions: (16..36).contains(&kind),
        sandboxes: (8..16).contains(&kind) || (28..58).contains(&kind),
        observe: random.percent(10),
    };
    // Dry runs, which tell what stands behind an ask, know no metadata.
    world.metadata &= !plan.ask && !plan.sessions;
    let first = rule::ruleset(random, &world, plan);
    let mut contents = vec![first];
    let mut candidates = false;
    if !plan.ask && random.percent(12) {
        candidates = random.percent(50);
        contents.push(layer(random, &world, plan, candidates, contents.first()));
    }
    let interests = Interests {
        ask: plan.ask,
        sessions: plan.sessions,
        posts: contents.iter().any(|content| content.list_of("rules").iter().any(|rule| rule.text("type") == "post")),
        no_dry_runs: candidates,
        paths: plan.sandboxes,
        hosts: plan.sandboxes,
    };
    let settings = settings(random, &world, plan);
    let documents = contents.into_iter().enumerate().map(|(index, content)| {
        let text = ruleset_text::somehow(&content, random);
        Document { name: format!("file-{index}.yaml"), content, text }
    });
    let opening = Arc::new(Opening { documents: documents.collect(), settings, workflow: None });
    let cases = (0..GROUP).map(|case| Case {
        opening: Arc::clone(&opening),
        steps: call::steps(random, &world, interests, opening.settings.get("principal"), case),
    });
    Group { kind: "plain", cases: cases.collect() }
}

/// A second file: over the first, or beside it.
fn layer(random: &mut Random, world: &World, plan: Plan, candidate: bool, first: Option<&Datum>) -> Datum {
    // Session limits of candidates, their tool classes, and modes that reach from file to file are told apart.
    let plan = Plan { sessions: plan.sessions && !candidate, ask: false, ..plan };
    let mut layer = rule::ruleset(random, world, plan);
    if candidate {
        layer.set("observe_alongside", true);
        layer.remove("tools");
    }
    // One of its rules often has the id of one in the first file: of any type.
    let ids: Vec<&str> =
        first.map_or(&[][..], |first| first.list_of("rules")).iter().map(|rule| rule.text("id")).collect();
    if let (true, Some(id)) = (random.percent(70) && !ids.is_empty(), ids.first())
        && let Some(rules) = layer.get_mut("rules")
        && !rules.items().iter().any(|rule| rule.text("id") == *id)
        && let Some(rule) = rules.items_mut().first_mut()
    {
        rule.set("id", *id);
    }
    layer
}

fn settings(random: &mut Random, world: &World, plan: Plan) -> Datum {
    let variables = vocabulary::VARIABLES.iter().filter(|_| random.percent(85));
    let variables = variables.map(|(name, value)| (*name, Datum::from(*value)));
    let mut settings = Datum::map([("env", Datum::map(variables.collect::<Vec<_>>()))]);
    if random.percent(15) {
        settings.set("mode", if random.percent(70) { "observe" } else { "enforce" });
    }
    if random.percent(12) {
        settings.set("environment", random.word(vocabulary::ENVIRONMENTS));
    }
    if random.percent(12) {
        let name = random.one(&world.tools).name;
        // Never such that the file's own choice of a harmless tool is undone.
        if world.class(name).is_none() {
            settings.set("tools", Datum::map([(name, Datum::map([("side_effect", "read".into())]))]));
        }
    }
    if random.percent(25) {
        let principal = call::principal(random, world);
        settings.set("principal", principal);
    }
    if !plan.sessions && random.percent(6) {
        // With session rules the reference replaces these; only without do they mean the same.
        let per_tool = Datum::map([(random.one(&world.tools).name, Datum::from(1))]);
        settings.set("limits", Datum::map([("max_calls_per_tool", per_tool), ("max_tool_calls", Datum::from(3))]));
    }
    settings
}
