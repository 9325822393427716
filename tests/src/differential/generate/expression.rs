//! Conditions and messages: selectors of every kind, every operator on fitting and unfitting types, nested expressions,
//! patterns that mean the same to Python and to a linear-time engine.

use super::vocabulary::{ENVIRONMENTS, TOOLS, VARIABLES, any, float, integer, text};
use super::world::World;
use crate::differential::datum::Datum;
use crate::differential::random::Random;

/// Where a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the tool runs.
    Pre,
    /// After it ran.
    Post,
}

const OPERATORS: &[&str] = &[
    "exists",
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "contains_any",
    "starts_with",
    "ends_with",
    "matches",
    "matches_any",
    "gt",
    "gte",
    "lt",
    "lte",
];

/// A condition, nested at most so deep.
pub fn condition(random: &mut Random, world: &World, place: Place, depth: usize) -> Datum {
    if depth == 0 || random.percent(60) {
        return leaf(random, world, place);
    }
    match random.below(5) {
        0 | 1 => Datum::map([("all", several(random, world, place, depth))]),
        2 | 3 => Datum::map([("any", several(random, world, place, depth))]),
        _ => Datum::map([("not", condition(random, world, place, depth - 1))]),
    }
}

fn several(random: &mut Random, world: &World, place: Place, depth: usize) -> Datum {
    Datum::list((0..random.between(1, 3)).map(|_| condition(random, world, place, depth - 1)).collect::<Vec<_>>())
}

fn leaf(random: &mut Random, world: &World, place: Place) -> Datum {
    let (selector, sample) = selector(random, world, place);
    let operator = if random.percent(88) { fitting(random, &sample) } else { random.word(OPERATORS) };
    let operand = operand(random, operator, &sample);
    Datum::map([(selector.as_str(), Datum::map([(operator, operand)]))])
}

/// A selector and a value that it may give.
fn selector(random: &mut Random, world: &World, place: Place) -> (String, Datum) {
    if place == Place::Post && random.percent(55) {
        return ("output.text".to_owned(), random.one(&world.outputs).as_str().into());
    }
    match random.below(100) {
        0..=54 => {
            let field = random.one(&world.fields);
            (format!("args.{}", field.path), random.one(&field.samples).clone())
        }
        55..=62 => {
            let (path, samples) = random.one(&world.special);
            ((*path).to_owned(), (*random.one(samples)).into())
        }
        63..=67 => ("tool.name".to_owned(), random.one(&world.tools).name.into()),
        68..=71 => ("environment".to_owned(), random.word(ENVIRONMENTS).into()),
        72..=80 => {
            let (path, samples) = random.one(&world.principal);
            (format!("principal.{path}"), random.one(samples).clone())
        }
        81..=88 => {
            let (name, value) = *random.one(VARIABLES);
            (format!("env.{name}"), coerced(value))
        }
        89..=92 if world.metadata => {
            let path = random.word(&["run", "source", "deep.x"]);
            (format!("metadata.{path}"), random.word(&["batch", "ci", "alpha"]).into())
        }
        _ => {
            let missing =
                ["args.nope", "args.title.deeper", "args.", "args.items.0", "principal.claims.none", "env.NONE"];
            ((*random.one(&missing)).to_owned(), text(random).into())
        }
    }
}

/// What an environment variable is to operators.
fn coerced(value: &str) -> Datum {
    match value {
        "TRUE" => true.into(),
        "10" | "007" | "1_000" | " 5 " => Datum::Int(match value {
            "007" => "7".to_owned(),
            _ => value.trim().replace('_', ""),
        }),
        "1.5" | "1e3" => Datum::Float(value.to_owned()),
        value => value.into(),
    }
}

fn fitting(random: &mut Random, sample: &Datum) -> &'static str {
    const TEXT: &[(usize, &str)] = &[
        (3, "equals"),
        (1, "not_equals"),
        (2, "in"),
        (1, "not_in"),
        (4, "contains"),
        (2, "contains_any"),
        (2, "starts_with"),
        (2, "ends_with"),
        (5, "matches"),
        (2, "matches_any"),
        (1, "exists"),
    ];
    const NUMBER: &[(usize, &str)] = &[
        (2, "equals"),
        (1, "not_equals"),
        (2, "in"),
        (1, "not_in"),
        (2, "gt"),
        (2, "gte"),
        (2, "lt"),
        (2, "lte"),
        (1, "exists"),
    ];
    const OTHER: &[(usize, &str)] = &[(4, "equals"), (2, "not_equals"), (2, "in"), (1, "not_in"), (2, "exists")];
    *random.weighted(match sample {
        Datum::String(_) => TEXT,
        Datum::Int(_) | Datum::Float(_) | Datum::Bool(_) => NUMBER,
        _ => OTHER,
    })
}

/// An operand of the type that the operator demands, near to the sample.
fn operand(random: &mut Random, operator: &str, sample: &Datum) -> Datum {
    match operator {
        "exists" => random.percent(70).into(),
        "equals" | "not_equals" => near(random, sample),
        "in" | "not_in" => Datum::list((0..random.between(1, 4)).map(|_| near(random, sample)).collect::<Vec<_>>()),
        "contains" => part(random, sample).into(),
        "contains_any" => {
            Datum::list((0..random.between(1, 3)).map(|_| Datum::from(part(random, sample))).collect::<Vec<_>>())
        }
        "starts_with" => start(random, sample).into(),
        "ends_with" => end(random, sample).into(),
        "matches" => pattern(random, sample).into(),
        "matches_any" => {
            Datum::list((0..random.between(1, 3)).map(|_| Datum::from(pattern(random, sample))).collect::<Vec<_>>())
        }
        _ => match sample {
            Datum::Int(_) | Datum::Float(_) if random.percent(50) => sample.clone(),
            _ if random.percent(70) => integer(random),
            _ => float(random),
        },
    }
}

/// The sample, a number or flag that equals it, or something else.
fn near(random: &mut Random, sample: &Datum) -> Datum {
    match (random.below(10), sample) {
        (0..=5, sample) => sample.clone(),
        (6, Datum::Bool(flag)) => Datum::from(i64::from(*flag)),
        (6, Datum::Int(number)) if number.len() < 12 => Datum::Float(format!("{number}.0")),
        (6, Datum::Int(number)) if matches!(number.as_str(), "0" | "1") => (number == "1").into(),
        (6, Datum::String(text)) => text.to_uppercase().into(),
        _ => any(random, 1),
    }
}

fn sample_text(random: &mut Random, sample: &Datum) -> Vec<char> {
    let text = match sample {
        Datum::String(text) if !text.is_empty() && random.percent(80) => text.clone(),
        _ => text(random),
    };
    text.chars().take(200).collect()
}

/// Some characters in a row of the sample; never none.
fn part(random: &mut Random, sample: &Datum) -> String {
    let text = sample_text(random, sample);
    let from = random.below(text.len());
    let length = random.between(1, 12);
    text.into_iter().skip(from).take(length).collect()
}

fn start(random: &mut Random, sample: &Datum) -> String {
    let length = random.between(1, 9);
    sample_text(random, sample).into_iter().take(length).collect()
}

fn end(random: &mut Random, sample: &Datum) -> String {
    let text = sample_text(random, sample);
    let length = random.between(1, 9);
    text.iter().skip(text.len().saturating_sub(length)).collect()
}

/// A pattern made from a part of the sample: it often matches, and means the same to both engines. No pattern matches
/// the empty text.
pub fn pattern(random: &mut Random, sample: &Datum) -> String {
    const READY: &[&str] = &[
        r"\d{3}-\d{2}-\d{4}",
        r"[a-z]+@[a-z]+\.(com|org)",
        r"\b(DROP|DELETE)\b",
        r"(?i)select\s+\d",
        r"id-(\d+)",
        r"^[A-Za-z ]+$",
        r"[^\x00-\x7f]+",
        r"(?P<word>\w+) \w+",
        r"x-[a-z]{2}",
        r"a{1,3}b?",
        r"(?:ab|cd)+",
        r"\S+\s\S+$",
        r".+?e",
        r"[\w.-]+",
        r"^\d+\Z",
        r"(?s)one.line",
        r"(?m)^line",
        r"[[]d]",
        r"\x41|é",
        r"[^a-z\s]",
        r"(alpha|beta)(\d|x)?",
    ];
    if random.percent(35) {
        return random.word(READY).to_owned();
    }
    let part = part(random, sample);
    let mut pattern = String::new();
    if random.percent(8) && part.is_ascii() {
        pattern.push_str("(?i)");
    }
    if random.percent(10) {
        pattern.push('^');
    }
    let mut solid = false;
    for char in part.chars() {
        solid |= general(random, &mut pattern, char);
    }
    if !solid {
        pattern.push_str(random.word(&["e", "[a-m]", r"\w", r"\d"]));
    }
    if random.percent(6) {
        pattern = format!("{pattern}|{}", random.word(&["zzz", r"\bq+\b", "ü"]));
    } else if random.percent(10) {
        pattern.push('$');
    }
    pattern
}

/// Adds something that matches the character. Says whether it cannot match the empty text.
fn general(random: &mut Random, pattern: &mut String, char: char) -> bool {
    if char == '\n' {
        pattern.push_str(random.word(&[r"\n", r"\s", r"[\r\n]"]));
        return true;
    }
    let class = match char {
        '0'..='9' => r"\d",
        'a'..='z' => "[a-z]",
        'A'..='Z' => "[A-Z]",
        ' ' => r"\s",
        _ => ".",
    };
    match random.below(12) {
        0 => pattern.push_str(class),
        1 => {
            pattern.push_str(class);
            pattern.push('+');
        }
        2 => {
            pattern.push_str(class);
            pattern.push_str(random.word(&["{1,2}", "+?"]));
        }
        3 => {
            pattern.push_str(class);
            pattern.push_str(random.word(&["?", "*", "{0,3}"]));
            return false;
        }
        4 => pattern.push('.'),
        _ => {
            if char.is_ascii_punctuation() {
                pattern.push('\\');
            }
            pattern.push(char);
        }
    }
    true
}

/// A message template with placeholders that resolve, and some that do not.
pub fn message(random: &mut Random, world: &World, place: Place) -> String {
    const OPENINGS: &[&str] =
        &["refused", "not allowed: ", "⚠ stop — ", "use another tool ", "値が不正です ", "limit of budget", "a\nb "];
    const LITERAL: &[&str] =
        &["{nope}", "{}", "{ }", "{{args.title}}", "{tool}", "{ args.title }", "{args.title!r}", "{"];
    let mut message = random.word(OPENINGS).to_owned();
    for _ in 0..random.below(4) {
        match random.below(12) {
            0 => message.push_str(random.word(LITERAL)),
            1 => message.push_str("{tool.name}"),
            2 => message.push_str("{environment}"),
            3 => message.push_str(&format!("{{principal.{}}}", random.one(&world.principal).0)),
            4 => message.push_str(&format!("{{env.{}}}", random.one(VARIABLES).0)),
            5 if place == Place::Post => message.push_str("{output.text}"),
            6 => message.push_str(&format!("{{{}}}", random.one(&world.special).0)),
            _ => message.push_str(&format!("{{args.{}}}", random.one(&world.fields).path)),
        }
        message.push_str(random.word(&[" ", ", ", " — ", ". "]));
    }
    if random.percent(3) {
        message.push_str(&"padding ".repeat(60));
    }
    message.chars().take(500).collect()
}

/// The name of a tool, or a glob that may match it.
pub fn tool_pattern(random: &mut Random, world: &World) -> &'static str {
    match random.below(10) {
        0..=5 => random.one(&world.tools).name,
        6 | 7 => "*",
        8 => random.word(super::vocabulary::GLOBS),
        _ => random.one(TOOLS).name,
    }
}
