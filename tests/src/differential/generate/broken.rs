//! Documents that neither engine may load: a good ruleset with one thing wrong.

use std::sync::Arc;

use super::rule::{Plan, ruleset};
use super::world::World;
use crate::differential::case::{Case, Document, Group, Opening};
use crate::differential::datum::Datum;
use crate::differential::random::Random;
use crate::differential::ruleset_text;

/// A group of one case that only opens.
pub fn group(random: &mut Random) -> Group {
    let world = World::new(random);
    let plan = Plan { sessions: random.percent(50), sandboxes: random.percent(50), ..Plan::default() };
    let mut content = ruleset(random, &world, plan);
    let mut text = None;
    match random.below(6) {
        0 => document_level(random, &mut content),
        1..=3 => rule_level(random, &mut content),
        4 => condition_level(random, &mut content),
        _ => text = Some(syntax(random, &ruleset_text::plainly(&content))),
    }
    let text = text.unwrap_or_else(|| ruleset_text::somehow(&content, random));
    let document = Document { name: "broken.yaml".to_owned(), content, text };
    let opening = Arc::new(Opening { documents: vec![document], settings: Datum::map([]), workflow: None });
    let begin = Datum::map([
        ("op", "begin".into()),
        ("session_id", "s".into()),
        ("call_id", "c".into()),
        ("call", Datum::map([("tool", "Read".into()), ("args", Datum::map([]))])),
    ]);
    Group { kind: "broken", cases: vec![Case { opening, steps: vec![begin] }] }
}

fn document_level(random: &mut Random, content: &mut Datum) {
    match random.below(12) {
        0 => drop(content.remove(random.word(&["apiVersion", "kind", "metadata", "defaults", "rules"]))),
        1 => content.set("apiVersion", "edictum/v2"),
        2 => content.set("kind", "ContractBundle"),
        3 => content.set("limits", Datum::map([("max_attempts", Datum::from(3))])),
        4 => content.set("defaults", Datum::map([("mode", "warn".into())])),
        5 => content.set("defaults", Datum::map([("mode", "enforce".into()), ("environment", "dev".into())])),
        6 => content.set("metadata", Datum::map([("name", "Not A Name".into())])),
        7 => content.set("rules", Vec::new()),
        8 => content.set("tools", Datum::map([("x", Datum::map([("side_effect", "harmless".into())]))])),
        9 => content.set("observability", Datum::map([("stdout", "yes, please".into())])),
        10 => content.set("observe_alongside", "true"),
        _ => *content = Datum::list([content.clone()]),
    }
}

fn rule_level(random: &mut Random, content: &mut Datum) {
    let Some(rules) = content.get_mut("rules") else { return };
    let copy = rules.items().first().cloned().unwrap_or_default();
    let index = random.below(rules.items().len());
    let Some(rule) = rules.items_mut().get_mut(index) else { return };
    let has_then = rule.get("then").is_some();
    match random.below(14) {
        0 => drop(rule.remove(random.word(&["id", "type"]))),
        1 => rule.set("id", random.word(&["UPPER", "a.b", "", "-x", "a b", "é"])),
        2 => rule.set("type", random.word(&["precondition", "Pre", ""])),
        3 => rule.set("enabled", "yes"),
        4 => rule.set("mode", random.word(&["observed", "", "ENFORCE"])),
        5 => rule.set("unexpected", Datum::from(1)),
        6 if has_then => rule.get_mut("then").into_iter().for_each(|then| then.set("message", "x".repeat(501))),
        7 if has_then => rule.get_mut("then").into_iter().for_each(|then| then.set("message", "")),
        8 if has_then => rule.get_mut("then").into_iter().for_each(|then| then.set("action", "deny")),
        9 if has_then => rule.get_mut("then").into_iter().for_each(|then| drop(then.remove("message"))),
        10 if has_then => rule.get_mut("then").into_iter().for_each(|then| then.set("tags", Datum::list(["".into()]))),
        11 if rule.get("tool").is_some() => {
            rule.set("tool", random.one(&[Datum::from(""), Datum::from(3), Datum::Null]).clone())
        }
        12 if rule.get("limits").is_some() => {
            rule.set(
                "limits",
                Datum::map([("max_attempts", random.one(&[Datum::from(0), true.into(), "3".into()]).clone())]),
            );
        }
        _ => {
            // Two rules of one id.
            if let Datum::List(rules) = rules {
                rules.push(copy);
            }
        }
    }
}

fn condition_level(random: &mut Random, content: &mut Datum) {
    const CONDITIONS: &[&str] = &[
        r#"{"args.a":{"equals":1,"in":[1]}}"#,
        r#"{"args.a":{"equals":1},"args.b":{"equals":1}}"#,
        r#"{"args.a":{}}"#,
        r#"{"args.a":3}"#,
        r#"{"all":[]}"#,
        r#"{"any":{"args.a":{"equals":1}}}"#,
        r#"{"not":[{"args.a":{"equals":1}}]}"#,
        r#"{"args.a":{"is":1}}"#,
        r#"{"args.a":{"exists":"true"}}"#,
        r#"{"args.a":{"in":"abc"}}"#,
        r#"{"args.a":{"in":[]}}"#,
        r#"{"args.a":{"contains":5}}"#,
        r#"{"args.a":{"contains_any":["x",5]}}"#,
        r#"{"args.a":{"matches":"("}}"#,
        r#"{"args.a":{"matches":"a**"}}"#,
        r#"{"args.a":{"matches":"[z-a]"}}"#,
        r#"{"args.a":{"matches":"\\p{L}"}}"#,
        r#"{"args.a":{"matches":"a{3,2}"}}"#,
        r#"{"args.a":{"matches":"x(?i)y"}}"#,
        r#"{"args.a":{"matches":""}}"#,
        r#"{"args.a":{"matches_any":["a","*"]}}"#,
        r#"{"args.a":{"gt":"5"}}"#,
        r#"{"args.a":{"gte":true}}"#,
        r#"{"output.text":{"contains":"x"}}"#,
        "[]",
        "{}",
        "null",
        "\"args.a\"",
    ];
    let condition = Datum::parse(random.word(CONDITIONS)).unwrap_or_default();
    let then = Datum::map([("action", "block".into()), ("message", "m".into())]);
    let rule = Datum::map([("id", "wrong".into()), ("type", "pre".into()), ("tool", "*".into())]);
    if let Some(Datum::List(rules)) = content.get_mut("rules") {
        rules.push(rule.with("when", condition).with("then", then));
    }
}

fn syntax(random: &mut Random, text: &str) -> String {
    match random.below(8) {
        0 => format!("{text}\n---\n{text}"),
        1 => text.replacen("kind: ", "kind:\t- ", 1),
        2 => format!("{text}  extra: [1, 2\n"),
        3 => format!("{text}x: \"\\d\"\n"),
        4 => format!("{text}x: *nobody\n"),
        5 => format!("{text}x: !!python/object:os.system {{}}\n"),
        6 => format!("{text}\u{1}\n"),
        _ => String::new(),
    }
}
