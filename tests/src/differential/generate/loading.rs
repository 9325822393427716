//! Documents that only one of the two engines loads.

use std::sync::Arc;

use super::territory::{conditional, ruleset};
use crate::differential::case::{Case, Document, Group, Opening};
use crate::differential::datum::Datum;
use crate::differential::random::Random;
use crate::differential::ruleset_text;

fn json(text: &str) -> Datum {
    Datum::parse(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}

/// A group of one case.
pub fn group(random: &mut Random) -> Group {
    let nothing = Datum::map([]);
    let with = |when: &str, action: &str| {
        let kind = if action == "block" { "pre" } else { "post" };
        ruleset("enforce", &nothing, vec![conditional("a", kind, "*", json(when), action, "no")])
    };
    let pattern = |pattern: &str| {
        let when = Datum::map([("args.a", Datum::map([("matches", pattern.into())]))]);
        ruleset("enforce", &nothing, vec![conditional("a", "pre", "*", when, "block", "no")])
    };
    let good = with(r#"{"args.a":{"equals":1}}"#, "block");
    let mut steps = vec![Datum::map([
        ("op", "begin".into()),
        ("session_id", "s".into()),
        ("call_id", "c".into()),
        ("call", json(r#"{"tool":"db_query","args":{"a":1}}"#)),
    ])];
    let mut text = None;
    let content = match random.below(8) {
        // D-030
        0 => pattern(random.word(&[
            r"a(?=b)",
            r"a(?!b)",
            r"(?<=a)b",
            r"(?<!a)b",
            r"(a)\1",
            r"(?P<x>a)(?P=x)",
            "a++b",
            "(?>a+)b",
            "(a)?(?(1)b|c)",
            "a*+",
        ])),
        // D-031
        1 => {
            let plain = ruleset_text::plainly(&good);
            text = Some(match random.below(3) {
                0 => plain.replacen("kind: Ruleset", "kind: Ruleset\nkind: Ruleset", 1),
                1 => plain.replacen("    type: pre", "    type: pre\n    type: pre", 1),
                _ => plain.replacen("      message: no", "      message: no\n      metadata:\n        on: 1", 1),
            });
            good
        }
        // D-032
        2 => match random.below(4) {
            0 => with(
                random.word(&[
                    r#"{"args.a":{"contains":""}}"#,
                    r#"{"args.a":{"starts_with":""}}"#,
                    r#"{"args.a":{"contains_any":["x",""]}}"#,
                ]),
                "block",
            ),
            1 => with(r#"{"args.a":{"gt":NaN}}"#, "block"),
            2 => with(
                random.word(&[r#"{"output.text":{"matches":"x*"}}"#, r#"{"output.text":{"matches":"a?"}}"#]),
                "redact",
            ),
            _ => ruleset(
                "enforce",
                &nothing,
                vec![json(r#"{"id":"a","type":"sandbox","tool":"*","allows":{},"message":"no"}"#)],
            ),
        },
        // D-033
        3 => with(
            random.word(&[
                r#"{"arg.a":{"equals":1}}"#,
                r#"{"args":{"exists":true}}"#,
                r#"{"tool.side_effect":{"equals":"read"}}"#,
                r#"{"principal.name":{"equals":"x"}}"#,
                r#"{"any":[{"args.a":{"equals":1}},{"foo":{"exists":true}}]}"#,
                r#"{"result.exit_code":{"gt":0}}"#,
            ]),
            "block",
        ),
        // D-034
        4 => {
            let mut rule = conditional("a", "pre", "*", json(r#"{"args.a":{"equals":1}}"#), "block", "no");
            let key = random.word(&["tags", "message", "policy_error", "error_detail", "cls"]);
            rule.get_mut("then").into_iter().for_each(|then| then.set("metadata", Datum::map([(key, true.into())])));
            ruleset("enforce", &nothing, vec![rule])
        }
        // D-035
        5 => {
            let rule = conditional("a\n", "pre", "*", json(r#"{"args.a":{"equals":1}}"#), "block", "no");
            if random.percent(50) {
                ruleset("enforce", &nothing, vec![rule])
            } else {
                good.with("metadata", Datum::map([("name", "a\n".into())]))
            }
        }
        // D-036
        _ => {
            steps.clear();
            let sandbox =
                json(r#"{"id":"box","type":"sandbox","tool":"*","within":["/w"],"outside":"approve","message":"no"}"#);
            let mut rule = conditional("a", "pre", "*", json(r#"{"args.a":{"equals":1}}"#), "ask", "no");
            rule.get_mut("then").into_iter().for_each(|then| then.set("timeout_effect", "allow"));
            ruleset("enforce", &nothing, vec![if random.percent(50) { sandbox } else { rule }])
        }
    };
    let text = text.unwrap_or_else(|| ruleset_text::somehow(&content, random));
    let document = Document { name: "file.yaml".to_owned(), content, text };
    let opening = Arc::new(Opening { documents: vec![document], settings: json(r#"{"env":{}}"#), workflow: None });
    Group { kind: "loading", cases: vec![Case { opening, steps }] }
}
