//! The tables of engine.md §3.3 and appendix A.1, A.2.

use serde_json::{Value as Json, json};

use super::fixture::{Sample, outcome, pre, program};
use crate::json::{Builder, Literal};
use crate::options::Options;
use crate::program::{Phase, expression};

fn check(operator: &str, operand: &Json, args: &Json) -> char {
    outcome(&json!({"args.v": {operator: operand}}), args)
}

fn of(value: &Json) -> Json {
    json!({"v": value})
}

#[test]
fn equality_follows_python() {
    let columns = [
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!("NaN"),
        json!("1"),
        json!("true"),
        json!([1]),
        json!({"a": 1}),
        json!(null),
        json!("2024-01-01"),
    ];
    let rows = [
        (vec![json!(true)], "TFFTTFFFFFFFF"),
        (vec![json!(false)], "FTTFFFFFFFFFF"),
        (vec![json!(0)], "FTTFFFFFFFFFF"),
        (vec![json!(1), json!(1.0)], "TFFTTFFFFFFFF"),
        (vec![json!(1.5)], "FFFFFTFFFFFFF"),
        (vec![json!("1")], "FFFFFFFTFFFFF"),
        (vec![json!("true")], "FFFFFFFFTFFFF"),
        (vec![json!([1]), json!([1.0]), json!([true])], "FFFFFFFFFTFFF"),
        (vec![json!({"a": 1}), json!({"a": 1.0})], "FFFFFFFFFFTFF"),
    ];
    for (values, expected) in rows {
        for value in values {
            for (column, expected) in columns.iter().zip(expected.chars()) {
                assert_eq!(check("equals", column, &of(&value)), expected, "{value} equals {column}");
                let negation = if expected == 'T' { 'F' } else { 'T' };
                assert_eq!(check("not_equals", column, &of(&value)), negation, "{value} not_equals {column}");
                let list = json!([column, "other"]);
                if column != "NaN" {
                    assert_eq!(check("in", &list, &of(&value)), expected, "{value} in {list}");
                    assert_eq!(check("not_in", &list, &of(&value)), negation, "{value} not_in {list}");
                }
            }
        }
    }
    for column in &columns {
        for args in [json!({}), json!({"v": null})] {
            for operator in ["equals", "not_equals"] {
                assert_eq!(check(operator, column, &args), 'F', "{args} {operator} {column}");
            }
        }
    }
    assert_eq!(check("in", &json!([[1]]), &of(&json!([1]))), 'T');
    assert_eq!(check("in", &json!([[1]]), &of(&json!(1))), 'F');
    assert_eq!(check("equals", &json!({"a": 1, "b": 2}), &of(&json!({"b": 2, "a": 1}))), 'T');
    assert_eq!(check("equals", &json!(9_007_199_254_740_992_f64), &of(&json!(9_007_199_254_740_993_i64))), 'F');
}

#[test]
fn operators_know_which_types_they_take() {
    let values = [json!(null), json!(true), json!(5), json!("x"), json!(""), json!([]), json!({"x": 1})];
    for (operator, operand, expected) in [
        ("exists", json!(true), "FTTTTTT"),
        ("exists", json!(false), "TFFFFFF"),
        ("in", json!(["x"]), "FFFTFFF"),
        ("not_in", json!(["x"]), "FTTFTTT"),
        ("contains", json!("x"), "FEETFEE"),
        ("contains_any", json!(["y", "x"]), "FEETFEE"),
        ("contains", json!(""), "FEETTEE"),
        ("starts_with", json!("x"), "FEETFEE"),
        ("starts_with", json!(""), "FEETTEE"),
        ("ends_with", json!("x"), "FEETFEE"),
        ("ends_with", json!(""), "FEETTEE"),
        ("matches", json!("x"), "FEETFEE"),
        ("matches_any", json!(["y", "^x"]), "FEETFEE"),
        ("matches", json!(""), "FEETTEE"),
        ("gt", json!(0), "FTTEEEE"),
        ("lte", json!(4), "FTFEEEE"),
    ] {
        for (value, expected) in values.iter().zip(expected.chars()) {
            assert_eq!(check(operator, &operand, &of(value)), expected, "{value} {operator} {operand}");
        }
        let missing = if operator == "exists" && operand == json!(false) { 'T' } else { 'F' };
        assert_eq!(check(operator, &operand, &json!({})), missing, "{operator} {operand}");
        assert_eq!(
            check(operator, &operand, &json!({"v": {"w": 1}, "x": 1})),
            check(operator, &operand, &of(&json!({"w": 1})))
        );
    }
    // Lists are not strings, and numbers are not lists of digits.
    assert_eq!(check("contains", &json!("x"), &of(&json!(["x"]))), 'E');
    assert_eq!(check("gt", &json!(1000), &of(&json!("99999"))), 'E');
}

#[test]
fn ordering_follows_the_appendix() {
    let columns = [
        ("gt", json!(0)),
        ("gt", json!(1)),
        ("gte", json!(1)),
        ("gte", json!(1.5)),
        ("lt", json!(1)),
        ("lt", json!(1.5)),
        ("lte", json!(0)),
        ("lte", json!(1)),
        ("gt", json!("NaN")),
        ("gte", json!("NaN")),
        ("lt", json!("NaN")),
        ("lte", json!("NaN")),
    ];
    for (json, expected) in [
        ("true", "TFTFFTFTFFFF"),
        ("false", "FFFFTTTTFFFF"),
        ("0", "FFFFTTTTFFFF"),
        ("1", "TFTFFTFTFFFF"),
        ("1.0", "TFTFFTFTFFFF"),
        ("1.5", "TTTTFFFFFFFF"),
        ("1e400", "TTTTFFFFFFFF"),
        ("\"\"", "EEEEEEEEEEEE"),
        ("\"1\"", "EEEEEEEEEEEE"),
        ("[]", "EEEEEEEEEEEE"),
        ("[1]", "EEEEEEEEEEEE"),
        ("{}", "EEEEEEEEEEEE"),
        ("null", "FFFFFFFFFFFF"),
    ] {
        let args: Box<serde_json::value::RawValue> = serde_json::from_str(&format!("{{\"v\":{json}}}")).unwrap();
        for ((operator, operand), expected) in columns.iter().zip(expected.chars()) {
            assert_eq!(raw(operator, operand, args.get()), expected, "{json} {operator} {operand}");
        }
    }
    let above = json!({"v": 9_007_199_254_740_993_i64});
    for (operator, operand, expected) in [
        ("gt", json!(9_007_199_254_740_992_f64), 'T'),
        ("lte", json!(9_007_199_254_740_992_f64), 'F'),
        ("gte", json!(9_007_199_254_740_993_i64), 'T'),
    ] {
        assert_eq!(check(operator, &operand, &above), expected, "{operator} {operand}");
    }
    for (operator, expected) in [("gte", false), ("lt", true)] {
        let mut infinity = Builder::new();
        infinity.float(f64::INFINITY);
        let one = Builder::finish({
            let mut one = Builder::new();
            one.integer("9007199254740993");
            one
        });
        assert_eq!(holds(operator, &one, &infinity.finish()), expected, "{operator}");
    }
}

/// As `check`, with arguments that `serde_json` cannot hold.
fn raw(operator: &str, operand: &Json, args: &str) -> char {
    let mut rule = pre("r", "*", &json!({"args.v": {operator: 0}}), "m");
    if let crate::documents::ruleset::RuleBody::Pre(body) = &mut std::sync::Arc::get_mut(&mut rule.rule).unwrap().body {
        body.when = super::fixture::expression(&json!({"args.v": {operator: operand}}));
    }
    let program = program(vec![rule], &Options::default());
    let mut sample = Sample::new(&json!({"args": {}}));
    sample.set_args(args);
    match sample.fired(&program, Phase::Pre, &|_, _, _| Ok(false)).as_slice() {
        [] => 'F',
        [fired] if fired.policy_error => 'E',
        _ => 'T',
    }
}

fn holds(operator: &str, value: &Literal, operand: &Literal) -> bool {
    let order = expression::Order::read(operator).unwrap();
    order.holds(value.root().as_number().unwrap(), operand.root().as_number().unwrap())
}

#[test]
fn order_of_branches_decides_which_error_counts() {
    let any = json!({"any": [{"args.a": {"equals": 1}}, {"args.c": {"contains": "x"}}]});
    let all = json!({"all": [{"args.a": {"equals": 1}}, {"args.c": {"contains": "x"}}]});
    let swapped = json!({"all": [{"args.c": {"contains": "x"}}, {"args.a": {"equals": 1}}]});
    let not = json!({"not": {"args.c": {"starts_with": "https://"}}});
    let null = json!({"args.c": {"not_equals": null}});
    for (when, args, expected) in [
        (&any, json!({"a": 1, "c": 5}), 'T'),
        (&any, json!({"a": 2, "c": 5}), 'E'),
        (&all, json!({"a": 2, "c": 5}), 'F'),
        (&all, json!({"a": 1, "c": 5}), 'E'),
        (&swapped, json!({"a": 2, "c": 5}), 'E'),
        (&not, json!({}), 'T'),
        (&not, json!({"c": 5}), 'E'),
        (&not, json!({"c": "https://x"}), 'F'),
        (&null, json!({"c": null}), 'F'),
        (&null, json!({"c": 1}), 'T'),
        (&null, json!({}), 'F'),
    ] {
        assert_eq!(outcome(when, &args), expected, "{when} {args}");
    }
}

#[test]
fn selectors_reach_what_they_name_and_nothing_else() {
    let call = json!({
        "tool": "Bash",
        "args": {"a": {"b": {"": 1, "c": "deep"}}, "l": ["x"], "": {"": 2}, "__proto__x": 1, "dotted.key": 1, "null": null},
        "metadata": {"m": {"n": "x"}},
        "principal": {"role": "sre", "user_id": null, "claims": {"k": {"v": 1}}},
        "output": {"output": "text", "exit_code": 1},
    });
    for (selector, phase, there) in [
        ("environment", Phase::Pre, true),
        ("tool.name", Phase::Pre, true),
        ("args.a.b.c", Phase::Pre, true),
        ("args.a.b.", Phase::Pre, true),
        ("args..", Phase::Pre, true),
        ("args.", Phase::Pre, true),
        ("args.l", Phase::Pre, true),
        ("args.l.0", Phase::Pre, false),
        ("args.l[0]", Phase::Pre, false),
        ("args.l.length", Phase::Pre, false),
        ("args.dotted.key", Phase::Pre, false),
        ("args.__proto__", Phase::Pre, false),
        ("args.constructor", Phase::Pre, false),
        ("args.null", Phase::Pre, false),
        ("args.null.x", Phase::Pre, false),
        ("args.A", Phase::Pre, false),
        ("args", Phase::Pre, false),
        ("Args.a", Phase::Pre, false),
        ("tool", Phase::Pre, false),
        ("tool.side_effect", Phase::Pre, false),
        ("call.id", Phase::Pre, false),
        ("principal.role", Phase::Pre, true),
        ("principal.user_id", Phase::Pre, false),
        ("principal.claims", Phase::Pre, false),
        ("principal.claims.k", Phase::Pre, true),
        ("principal.claims.k.v", Phase::Pre, true),
        ("principal", Phase::Pre, false),
        ("principal.role.x", Phase::Pre, false),
        ("metadata.m.n", Phase::Pre, true),
        ("metadata", Phase::Pre, false),
        ("output.text", Phase::Pre, false),
        ("output.text", Phase::Post, true),
        ("output", Phase::Post, false),
        ("result.exit_code", Phase::Pre, false),
        ("result.exit_code", Phase::Post, true),
        ("result.output", Phase::Post, true),
        ("result.output.x", Phase::Post, false),
        ("env.SET", Phase::Pre, true),
        ("env.dotted.name", Phase::Pre, true),
        ("env.set", Phase::Pre, false),
        ("", Phase::Pre, false),
    ] {
        let options = Options {
            env: [("SET", "1"), ("dotted.name", "x")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            unknown_selectors: crate::options::UnknownSelectors::Warn,
            ..Options::default()
        };
        let when = json!({selector: {"exists": true}});
        let rule = match phase {
            Phase::Pre => pre("r", "*", &when, "m"),
            Phase::Post => super::fixture::post("r", "*", &when, crate::documents::ruleset::PostAction::Warn, "m"),
        };
        let program = program(vec![rule], &options);
        let fired = Sample::new(&call).fired(&program, phase, &|_, _, _| Ok(false));
        assert_eq!(!fired.is_empty(), there, "{selector} {phase:?}");
    }
}

#[test]
fn a_text_result_is_a_map_with_output() {
    let rule = |when| super::fixture::post("r", "*", &when, crate::documents::ruleset::PostAction::Warn, "m");
    for (output, when, fires) in [
        (json!("abc"), json!({"result.output": {"contains": "b"}}), true),
        (json!("abc"), json!({"result.output.x": {"exists": true}}), false),
        (json!("abc"), json!({"output.text": {"ends_with": "c"}}), true),
        (json!(5), json!({"result.output": {"exists": true}}), false),
        (json!(5), json!({"output.text": {"equals": "5"}}), true),
        (json!(5), json!({"output.text": {"gt": 1}}), true),
        (json!(null), json!({"output.text": {"exists": false}}), true),
        (json!({"a": [1, "é"]}), json!({"output.text": {"equals": "{\"a\": [1, \"é\"]}"}}), true),
    ] {
        let program = program(vec![rule(when.clone())], &Options::default());
        let fired =
            Sample::new(&json!({"args": {}, "output": output})).fired(&program, Phase::Post, &|_, _, _| Ok(false));
        assert_eq!(!fired.is_empty(), fires, "{output} {when}");
    }
}

#[test]
fn a_custom_selector_that_fails_is_a_policy_error_with_its_reason() {
    let options = Options { selectors: vec!["db".to_owned()], ..Options::default() };
    let rule = |when| pre("r", "*", &when, "m");
    for (custom, when, expected) in [
        (json!({"db": {"x": "a"}}), json!({"db.x": {"equals": "a"}}), Some((false, None))),
        (json!({"db": {"x": "a"}}), json!({"db.y": {"exists": false}}), Some((false, None))),
        (json!({"db": [1]}), json!({"db.x": {"exists": true}}), None),
        (json!({"db": "down"}), json!({"db.x": {"exists": true}}), Some((true, Some("down")))),
        (json!({"db": "down"}), json!({"not": {"db.x": {"equals": 1}}}), Some((true, Some("down")))),
        (json!({"db": "down"}), json!({"all": [{"args.a": {"equals": 1}}, {"db.x": {"equals": 1}}]}), None),
        (json!({}), json!({"db.x": {"exists": true}}), Some((true, Some("the host gave no answer")))),
    ] {
        let program = program(vec![rule(when.clone())], &options);
        let fired =
            Sample::new(&json!({"args": {}, "custom": custom})).fired(&program, Phase::Pre, &|_, _, _| Ok(false));
        let shown = fired.first().map(|fired| (fired.policy_error, fired.error_detail.as_deref()));
        assert_eq!(shown, expected, "{custom} {when}");
    }
}
