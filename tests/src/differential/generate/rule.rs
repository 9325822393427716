//! Rules of all four types, and whole rulesets.

use super::expression::{Place, condition, message, pattern, tool_pattern};
use super::vocabulary::{BOUNDARIES, FIRST_WORDS, HOSTS, INNER, Profile};
use super::world::World;
use crate::differential::datum::Datum;
use crate::differential::random::Random;

/// What a ruleset has, beside pre and post rules. The combinations in which the two engines are meant to differ (a block
/// behind an `ask`, for one) are left to `territory`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// An `ask` as the last rule that may fire.
    pub ask: bool,
    /// Session rules.
    pub sessions: bool,
    /// Sandbox rules.
    pub sandboxes: bool,
    /// The file's `defaults.mode` is observe.
    pub observe: bool,
}

const NAMES: &[&str] =
    &["no-secrets", "pii-check", "monkey", "rename-files", "limit_x", "budget-guard", "r", "deploy-gate", "a1", "dob"];

/// An id that the ruleset does not have yet.
fn fresh(random: &mut Random, rules: &[Datum]) -> String {
    let name = random.word(NAMES);
    if rules.iter().any(|rule| rule.text("id") == name) { format!("{name}-{}", rules.len()) } else { name.to_owned() }
}

/// A ruleset.
pub fn ruleset(random: &mut Random, world: &World, plan: Plan) -> Datum {
    let mut rules: Vec<Datum> = Vec::new();
    for _ in 0..random.between(1, 4) {
        rules.push(pre(random, world, &rules, "block"));
    }
    for _ in 0..random.below(3) {
        rules.push(post(random, world, &rules));
    }
    if plan.sandboxes {
        for _ in 0..random.between(1, 2) {
            rules.push(sandbox(random, world, &rules, "block"));
        }
    }
    if plan.sessions {
        for _ in 0..random.between(1, 2) {
            rules.push(session(random, world, &rules, plan));
        }
    }
    // The order in the file counts only within a type; but files mix types.
    for index in (1..rules.len()).rev() {
        rules.swap(index, random.below(index + 1));
    }
    if plan.ask {
        let ask = if plan.sandboxes && random.percent(75) {
            sandbox(random, world, &rules, "ask")
        } else {
            pre(random, world, &rules, "ask")
        };
        rules.push(ask);
    }
    let mut document = Datum::map([
        ("apiVersion", "edictum/v1".into()),
        ("kind", "Ruleset".into()),
        ("metadata", Datum::map([("name", "generated".into())])),
        ("defaults", Datum::map([("mode", if plan.observe { "observe" } else { "enforce" }.into())])),
    ]);
    if random.percent(20) {
        document.set("metadata", Datum::map([("name", "gen-2.x".into()), ("description", "größer: ja".into())]));
    }
    let classes = world.classes.iter().map(|(name, class)| {
        let mut entry = Datum::map([("side_effect", (*class).into())]);
        if random.percent(20) {
            entry.set("idempotent", true);
        }
        (*name, entry)
    });
    let classes = Datum::map(classes.collect::<Vec<_>>());
    if !classes.entries().is_empty() {
        document.set("tools", classes);
    }
    document.set("rules", rules);
    document
}

fn common(random: &mut Random, rules: &[Datum], kind: &str) -> Datum {
    let mut rule = Datum::map([("id", fresh(random, rules).into()), ("type", kind.into())]);
    if random.percent(4) {
        rule.set("enabled", random.percent(30));
    }
    if random.percent(14) {
        rule.set("mode", if random.percent(75) { "observe" } else { "enforce" });
    }
    rule
}

fn then(random: &mut Random, world: &World, place: Place, action: &str) -> Datum {
    let mut then = Datum::map([("action", action.into()), ("message", message(random, world, place).into())]);
    if random.percent(30) {
        const TAGS: &[&str] = &["security", "pii", "größe", "a b", "security"];
        then.set("tags", Datum::list((0..random.below(4)).map(|_| Datum::from(random.word(TAGS))).collect::<Vec<_>>()));
    }
    if random.percent(20) {
        let mut metadata = Datum::map([]);
        for _ in 0..random.between(1, 3) {
            let (key, value) = match random.below(5) {
                0 => ("severity", Datum::from(random.between(1, 5) as i64)),
                1 => ("owner", "team-ü".into()),
                2 => ("field", "args.title".into()),
                3 => ("notes", Datum::list([Datum::from("a"), Datum::Float("1.5".to_owned()), Datum::Null])),
                _ => ("nested", Datum::map([("k", true.into())])),
            };
            metadata.set(key, value);
        }
        then.set("metadata", metadata);
    }
    then
}

/// A pre rule.
pub fn pre(random: &mut Random, world: &World, rules: &[Datum], action: &str) -> Datum {
    let mut then = then(random, world, Place::Pre, action);
    if action == "ask" {
        if random.percent(50) {
            then.set("timeout", i64::try_from(random.between(1, 900)).unwrap_or(1));
        }
        if random.percent(50) {
            then.set("timeout_action", if random.percent(40) { "allow" } else { "block" });
        }
    }
    common(random, rules, "pre")
        .with("tool", tool_pattern(random, world))
        .with("when", condition(random, world, Place::Pre, 3))
        .with("then", then)
}

/// A post rule. Redacts and suppresses only results of tools that do no harm, and redacts only what it has matched: all
/// else is told apart (engine.md §8.7).
pub fn post(random: &mut Random, world: &World, rules: &[Datum]) -> Datum {
    let harmless = world.harmless_tools();
    let taken = |tool: &str| {
        rules.iter().any(|rule| {
            rule.text("type") == "post"
                && rule.text("tool") == tool
                && rule.at(&["then", "action"]) != Some(&"warn".into())
        })
    };
    let free: Vec<&str> = harmless.into_iter().filter(|tool| !taken(tool)).collect();
    if free.is_empty() || random.percent(40) {
        return common(random, rules, "post")
            .with("tool", tool_pattern(random, world))
            .with("when", condition(random, world, Place::Post, 2))
            .with("then", then(random, world, Place::Post, "warn"));
    }
    let tool = *random.one(&free);
    let sample: Datum = random.one(&world.outputs).as_str().into();
    let rule = common(random, rules, "post").with("tool", tool);
    if random.percent(50) {
        let matched = if random.percent(70) {
            Datum::map([("matches", pattern(random, &sample).into())])
        } else {
            Datum::map([(
                "matches_any",
                Datum::list([pattern(random, &sample).into(), pattern(random, &sample).into()]),
            )])
        };
        let leaf = Datum::map([("output.text", matched)]);
        let when = if random.percent(70) {
            leaf
        } else {
            Datum::map([("all", Datum::list([leaf, condition(random, world, Place::Pre, 0)]))])
        };
        rule.with("when", when).with("then", closed(then(random, world, Place::Post, "redact")))
    } else {
        let then = closed(then(random, world, Place::Post, "block"));
        rule.with("when", condition(random, world, Place::Post, 2)).with("then", then)
    }
}

/// Without the output in its message.
fn closed(mut then: Datum) -> Datum {
    let message = then.text("message").replace("{output.text}", "the output");
    then.set("message", message.chars().take(500).collect::<String>());
    then
}

fn session(random: &mut Random, world: &World, rules: &[Datum], plan: Plan) -> Datum {
    let mut limits = Datum::map([]);
    let small = |random: &mut Random| Datum::from(i64::try_from(random.between(1, 6)).unwrap_or(1));
    if random.percent(45) {
        limits.set("max_tool_calls", small(random));
    }
    if random.percent(35) {
        limits.set("max_attempts", Datum::from(i64::try_from(random.between(2, 8)).unwrap_or(2)));
    }
    if random.percent(40) || limits.entries().is_empty() {
        let mut tools = Datum::map([]);
        for _ in 0..random.between(1, 2) {
            tools.set(random.one(&world.tools).name, small(random));
        }
        limits.set("max_calls_per_tool", tools);
    }
    let mut rule = common(random, rules, "session");
    // Observed session rules are told apart (engine.md §7.4).
    rule.remove("mode");
    if plan.observe || random.percent(10) {
        rule.set("mode", "enforce");
    }
    rule.with("limits", limits).with("then", then(random, world, Place::Pre, "block"))
}

fn sandbox(random: &mut Random, world: &World, rules: &[Datum], outside: &str) -> Datum {
    let mut rule = common(random, rules, "sandbox");
    let tool = *random.one(&world.tools);
    if random.percent(60) {
        rule.set("tool", tool.name);
    } else {
        rule.set("tools", Datum::list([tool.name.into(), tool_pattern(random, world).into()]));
    }
    let list = |random: &mut Random, most: usize, of: &[&str]| {
        Datum::list((0..random.between(1, most)).map(|_| Datum::from(*random.one(of))).collect::<Vec<_>>())
    };
    let mut paths = tool.profile == Profile::File || random.percent(20);
    let commands = tool.profile == Profile::Command && random.percent(70);
    let hosts = tool.profile == Profile::Address || random.percent(15);
    paths |= !commands && !hosts;
    if paths {
        rule.set("within", list(random, 2, BOUNDARIES));
        if random.percent(40) {
            rule.set("not_within", list(random, 2, INNER));
        }
    }
    let mut allows = Datum::map([]);
    if commands {
        allows.set("commands", list(random, 4, FIRST_WORDS));
    }
    if hosts {
        allows.set("domains", list(random, 3, HOSTS));
        if random.percent(40) {
            rule.set("not_allows", Datum::map([("domains", list(random, 2, HOSTS))]));
        }
    }
    if !allows.entries().is_empty() {
        rule.set("allows", allows);
    }
    if outside == "ask" {
        rule.set("outside", "ask");
        if random.percent(50) {
            rule.set("timeout", i64::try_from(random.between(1, 900)).unwrap_or(1));
            rule.set("timeout_action", if random.percent(40) { "allow" } else { "block" });
        }
    } else if random.percent(20) {
        rule.set("outside", "block");
    }
    rule.with("message", message(random, world, Place::Pre))
}
