//! What is asked of a guard: dry runs, calls with their approvals and results, counters near their bounds.

use super::vocabulary::{ENVIRONMENTS, FAILURES, Profile, TOOLS, Tool, any, float, integer, text};
use super::world::World;
use crate::differential::datum::Datum;
use crate::differential::random::Random;

/// What the group's rules make worth asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interests {
    /// There is an `ask`.
    pub ask: bool,
    /// There are limits.
    pub sessions: bool,
    /// There are post rules.
    pub posts: bool,
    /// Dry runs would show candidates (engine.md §11), which are told apart.
    pub no_dry_runs: bool,
    /// Paths are watched.
    pub paths: bool,
    /// Addresses are watched.
    pub hosts: bool,
}

/// Requests of one case on a guard with a static principal, or none.

pub fn steps(
    random: &mut Random,
    world: &World,
    interests: Interests,
    fixed: Option<&Datum>,
    case: usize,
) -> Vec<Datum> {
    let session = match random.below(20) {
        0 => format!("sitzung-ü {case}"),
        _ => format!("s{case}"),
    };
    let mut steps = Vec::new();
    if interests.sessions && random.percent(75) {
        steps.push(set_counters(random, world, &session));
    }
    let acts = *random.weighted(&[(45, 1), (25, 2), (14, 3), (8, 4), (5, 5), (3, 6)]);
    let mut open: Vec<Datum> = Vec::new();
    for act in 0..acts {
        let tool = if random.percent(93) { *random.one(&world.tools) } else { *random.one(TOOLS) };
        let call = call(random, world, tool, interests);
        let output = result(random, world, tool, interests);
        if !interests.no_dry_runs && (interests.ask || interests.sessions || random.percent(70)) {
            steps.push(dry_run(random, &call, &output, fixed));
            if random.percent(20) {
                continue;
            }
        }
        let id = format!("c{case}-{act}");
        let mut begin = Datum::map([
            ("op", "begin".into()),
            ("session_id", session.as_str().into()),
            ("call_id", id.as_str().into()),
            ("call", call),
        ]);
        if random.percent(4) {
            begin.set("parent_session_id", random.word(&["parent-1", "not:valid", ""]));
        }
        steps.push(begin);
        if interests.ask || random.permille(15) {
            steps.push(approve(random, &id));
        }
        let mut finish = Datum::map([("op", "finish".into()), ("call_id", id.into()), ("result", output)]);
        if random.percent(6) {
            finish.set("success", random.percent(50));
        }
        // Few calls are in flight while others begin, and few are never finished.
        match random.below(100) {
            0..=2 => open.push(finish),
            3..=5 => {}
            _ => steps.push(finish),
        }
    }
    steps.append(&mut open);
    if random.percent(30) {
        steps.push(Datum::map([("op", "counters".into()), ("session_id", session.into())]));
    }
    if steps.is_empty() {
        steps.push(Datum::map([("op", "counters".into()), ("session_id", "nobody".into())]));
    }
    steps
}

fn set_counters(random: &mut Random, world: &World, session: &str) -> Datum {
    let mut set = Datum::map([]);
    let count = |random: &mut Random| Datum::from(i64::try_from(random.below(8)).unwrap_or(0));
    if random.percent(60) {
        set.set("attempts", count(random));
    }
    if random.percent(60) {
        set.set("execs", count(random));
    }
    if random.percent(30) {
        set.set("consec_fail", count(random));
    }
    if random.percent(60) {
        set.set(&format!("tool:{}", random.one(&world.tools).name), count(random));
    }
    if random.percent(2) {
        set.set("attempts", *random.one(&[498, 499, 500]));
        set.set("execs", *random.one(&[198, 199, 200]));
    }
    Datum::map([("op", "counters".into()), ("session_id", session.into()), ("set", set)])
}

/// The outcomes that both engines log alike, mostly: after a granted `ask` ours also logs that the call was allowed.
fn approve(random: &mut Random, id: &str) -> Datum {
    let outcome = *random.weighted(&[(45, "rejected"), (42, "timed_out"), (13, "approved")]);
    let mut approve = Datum::map([
        ("op", "approve".into()),
        ("call_id", id.into()),
        ("outcome", outcome.into()),
        ("approver", "ana".into()),
    ]);
    if outcome != "timed_out" && random.percent(40) {
        approve.set("reason", random.word(&["too risky", "fine", "nein, größer"]));
    }
    approve
}

fn dry_run(random: &mut Random, call: &Datum, output: &Datum, fixed: Option<&Datum>) -> Datum {
    let mut call = call.clone();
    // A dry run of the reference knows no metadata and no static principal.
    call.remove("metadata");
    if let (None, Some(fixed)) = (call.get("principal"), fixed) {
        call.set("principal", fixed.clone());
    }
    let mut request = Datum::map([("op", "evaluate".into()), ("call", call)]);
    if let (Datum::String(_), true) = (output, random.percent(70)) {
        request.set("output", output.clone());
    }
    request
}

/// A call of a tool.
pub fn call(random: &mut Random, world: &World, tool: Tool, interests: Interests) -> Datum {
    let mut args = Datum::map([]);
    for field in &world.fields {
        if random.percent(80) {
            let value = if random.percent(82) { random.one(&field.samples).clone() } else { any(random, 1) };
            put(&mut args, field.path, value);
        }
    }
    let meant = match tool.profile {
        Profile::File if random.percent(50) => Some("args.path"),
        Profile::File => Some("args.file_path"),
        Profile::Command => Some("args.command"),
        Profile::Address => Some("args.url"),
        Profile::Data => None,
    };
    for (path, samples) in &world.special {
        let watched = (*path == "args.url" && interests.hosts) || (*path != "args.url" && interests.paths);
        if meant == Some(path) && random.percent(94)
            || meant != Some(path) && random.percent(if watched { 20 } else { 8 })
        {
            let name = path.trim_start_matches("args.");
            args.set(name, *random.one(samples));
        }
    }
    if random.percent(5) {
        // Both engines know these keys and these values for secrets.
        match random.below(4) {
            0 => args.set("password", "hunter2"),
            1 => args.set("api_key", Datum::from(12)),
            2 => args.set("x_y", "sk-abcdefghijklmnopqrstuv"),
            _ => args.set("opts", Datum::map([("token", text(random).into()), ("max_tokens", Datum::from(9))])),
        }
    }
    if random.percent(10) {
        let value = if random.percent(50) { integer(random) } else { float(random) };
        args.set("extra", value);
    }
    let mut call = Datum::map([("tool", tool.name.into()), ("args", args)]);
    if random.percent(55) {
        call.set("principal", principal(random, world));
    }
    if random.percent(15) {
        call.set("environment", random.word(ENVIRONMENTS));
    }
    if world.metadata && random.percent(80) {
        let mut metadata = Datum::map([("run", random.word(&["batch", "alpha"]).into())]);
        metadata.set("deep", Datum::map([("x", any(random, 0))]));
        call.set("metadata", metadata);
    }
    call
}

/// Sets a value at the end of a path.
fn put(args: &mut Datum, path: &str, value: Datum) {
    match path.split_once('.') {
        Some((first, rest)) => {
            if !matches!(args.get(first), Some(Datum::Map(_))) {
                args.set(first, Datum::map([]));
            }
            if let Some(below) = args.get_mut(first) {
                put(below, rest, value);
            }
        }
        None => args.set(path, value),
    }
}

/// A principal with some of its fields; sometimes nobody.
pub fn principal(random: &mut Random, world: &World) -> Datum {
    if random.percent(8) {
        return Datum::Null;
    }
    let mut principal = Datum::map([]);
    for (path, samples) in &world.principal {
        if random.percent(45) {
            put(&mut principal, path, random.one(samples).clone());
        }
    }
    principal
}

/// What the tool returns.
fn result(random: &mut Random, world: &World, tool: Tool, interests: Interests) -> Datum {
    if random.percent(9) {
        return random.word(FAILURES).into();
    }
    if !interests.posts && random.percent(25) {
        // Results of other types have other texts (engine.md §8.8): only where no rule reads them.
        return match random.below(5) {
            0 => Datum::map([("is_error", random.percent(50).into()), ("output", "x".into())]),
            1 => Datum::Null,
            2 => integer(random),
            _ => any(random, 2),
        };
    }
    match random.below(40) {
        0 => Datum::Null,
        1 => Datum::from(5),
        2 => text(random).into(),
        3 if tool.profile == Profile::Data => "".into(),
        _ => random.one(&world.outputs).as_str().into(),
    }
}
