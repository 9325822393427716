//! The tables of engine.md §1.7, place by place, and what hostile texts do not achieve.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{MAX_EXPANDED, Node, Reader, Value, read, write};
use crate::diagnostics::{Code, Diagnostic, Span};

/// A value with its type, as in `int 90`.
fn typed(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("bool {flag}"),
        Value::Int(decimal) => format!("int {decimal}"),
        Value::Float(float) => format!("float {float:?}"),
        Value::String(text) => format!("str {text}"),
        Value::Date(text) => format!("date {text}"),
        Value::Sequence(list) => format!("[{}]", list.iter().map(typed).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", key.as_str().unwrap(), typed(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Invalid => "invalid".to_owned(),
    }
}

fn fine(text: &str) -> String {
    let (root, findings) = read("t", text);
    assert!(findings.is_empty(), "{text:?}: {findings:?}");
    typed(&root.unwrap_or_else(|| panic!("{text:?} has no content")))
}

fn codes(text: &str) -> Vec<&'static str> {
    read("t", text).1.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn plain_scalars_mean_what_yaml_1_1_says() {
    for (text, expected) in [
        ("yes", "bool true"),
        ("No", "bool false"),
        ("ON", "bool true"),
        ("off", "bool false"),
        ("True", "bool true"),
        ("FALSE", "bool false"),
        ("yEs", "str yEs"),
        ("tRUE", "str tRUE"),
        ("y", "str y"),
        ("N", "str N"),
        ("~", "null"),
        ("Null", "null"),
        ("NULL", "null"),
        ("nUll", "str nUll"),
        ("0", "int 0"),
        ("+12", "int 12"),
        ("-0", "int 0"),
        ("1_000", "int 1000"),
        ("9999999999999999999999999", "int 9999999999999999999999999"),
        ("017", "int 15"),
        ("0_7", "int 7"),
        ("-017", "int -15"),
        ("08", "str 08"),
        ("0o17", "str 0o17"),
        ("0x1F", "int 31"),
        ("-0xff_f", "int -4095"),
        ("0X1F", "str 0X1F"),
        ("0b101", "int 5"),
        ("0b12", "str 0b12"),
        ("1:30", "int 90"),
        ("-1:30", "int -90"),
        ("190:20:30", "int 685230"),
        ("1:60", "str 1:60"),
        ("01:30", "str 01:30"),
        ("1:2:3.5", "float 3723.5"),
        ("0:1.5", "float 1.5"),
        ("1:30.", "float 90.0"),
        ("1.", "float 1.0"),
        ("1.5", "float 1.5"),
        ("1.0e+3", "float 1000.0"),
        ("1_0.5", "float 10.5"),
        (".5", "float 0.5"),
        ("-.5", "str -.5"),
        ("+.5", "str +.5"),
        ("1e3", "str 1e3"),
        ("1e+3", "str 1e+3"),
        ("1.0e3", "str 1.0e3"),
        ("1.0e+400", "float inf"),
        (".inf", "float inf"),
        ("-.INF", "float -inf"),
        (".NaN", "float NaN"),
        ("-.nan", "str -.nan"),
        ("inf", "str inf"),
        ("2024-01-01", "date 2024-01-01"),
        ("2024-01-01T1:02:03.5Z", "date 2024-01-01T1:02:03.5Z"),
        ("2024-01-01 01:02:03 +05:30", "date 2024-01-01 01:02:03 +05:30"),
        ("2024-1-1", "str 2024-1-1"),
        ("2024-02-29", "date 2024-02-29"),
        ("'yes'", "str yes"),
        ("\"0x1F\"", "str 0x1F"),
        ("|\n  017\n", "str 017\n"),
        ("k:", "{k: null}"),
        ("k: =x", "{k: str =x}"),
        ("[a, , b]", ""),
    ] {
        if expected.is_empty() {
            assert_eq!(codes(text), ["E_YAML_SYNTAX"], "{text}");
        } else {
            assert_eq!(fine(text), expected, "{text}");
        }
    }
}

#[test]
fn scalars_that_are_nothing_are_findings_and_the_rest_is_read() {
    for text in [
        "2024-13-01",
        "2023-02-29",
        "0000-01-01",
        "2024-01-01 25:00:00",
        "2024-01-01 01:02:60",
        "2024-01-01 01:02:03 +24:00",
        "0x_",
        "0b_",
        "=",
        "<<",
        "!!int x",
        "!!int '1.5'",
        "!!bool maybe",
        "!!float x",
        "!!timestamp x",
    ] {
        let (root, findings) = read("t", &format!("a: {text}\nb: fine\n"));
        assert_eq!(findings.len(), 1, "{text}: {findings:?}");
        assert_eq!(findings[0].code, Code::YamlScalar, "{text}");
        assert_eq!((findings[0].span.line, findings[0].span.column), (1, 4), "{text}");
        assert_eq!(typed(&root.unwrap()), "{a: invalid, b: str fine}", "{text}");
    }
    let long = "9".repeat(4301);
    assert_eq!(codes(&long), ["E_YAML_SCALAR"]);
    assert_eq!(fine(&long[1..]), format!("int {}", &long[1..]));
}

#[test]
fn tags_are_the_seven_and_no_others() {
    for (text, expected) in [
        ("!!str 5", "str 5"),
        ("!!int '0x10'", "int 16"),
        ("!!float 1", "float 1.0"),
        ("!!float '1e3'", "float 1000.0"),
        ("!!bool Yes", "bool true"),
        ("!!null x", "null"),
        ("!!seq [1]", "[int 1]"),
        ("!!map {a: 1}", "{a: int 1}"),
        ("!<tag:yaml.org,2002:str> 5", "str 5"),
    ] {
        assert_eq!(fine(text), expected, "{text}");
    }
    for text in [
        "!x a",
        "!!set {a}",
        "!!binary aGk=",
        "!!python/object:x {}",
        "!!timestamp 2024-01-01",
        "!!seq {}",
        "!!map a",
        "! a",
    ] {
        assert_eq!(codes(&format!("k: {text}")), ["E_YAML_TAG"], "{text}");
    }
}

#[test]
fn merge_keys_give_way_to_own_keys() {
    let base = "base: &base {a: 1, b: 1}\nother: &other {b: 2, c: 2}\n";
    for (text, expected) in [
        ("m: {<<: *base, b: 9}", "{a: int 1, b: int 9}"),
        ("m: {b: 9, <<: *base}", "{a: int 1, b: int 9}"),
        ("m: {<<: [*base, *other]}", "{b: int 1, c: int 2, a: int 1}"),
        ("m: {<<: *base, <<: *other}", "{a: int 1, b: int 2, c: int 2}"),
        ("m: {'<<': *base}", "{<<: {a: int 1, b: int 1}}"),
        ("m: *base", "{a: int 1, b: int 1}"),
    ] {
        let (root, findings) = read("t", &format!("{base}{text}\n"));
        assert!(findings.is_empty(), "{text}: {findings:?}");
        assert_eq!(typed(root.unwrap().get("m").unwrap()), expected, "{text}");
    }
    for text in ["m: {<<: 5}", "m: {<<: [*base, 5]}"] {
        assert_eq!(codes(&format!("{base}{text}")), ["E_YAML_KEY"], "{text}");
    }
}

#[test]
fn a_second_key_of_one_name_hides_nothing() {
    let (root, findings) = read("t", "rules: [a]\nname: x\nrules: []\nname: 2024-13-01\n");
    let found: Vec<_> = findings.iter().map(|finding| (finding.code.as_str(), finding.span.line)).collect();
    assert_eq!(found, [("E_YAML_DUP_KEY", 3), ("E_YAML_DUP_KEY", 4), ("E_YAML_SCALAR", 4)]);
    assert_eq!(typed(&root.unwrap()), "{rules: [str a], name: str x}");
    let many: String = (0..1000).fold(String::new(), |mut text, key| {
        let _ = writeln!(text, "k{key}: 1");
        text
    });
    assert_eq!(codes(&format!("{many}k500: 2\n")), ["E_YAML_DUP_KEY"]);
    assert_eq!(codes("a: 1\n\"\\u0061\": 2\n"), ["E_YAML_DUP_KEY"]);
}

#[test]
fn keys_that_are_no_strings_are_named() {
    for (text, part) in [
        ("on: x", "`on`"),
        ("1: x", "`1`"),
        ("~: x", "`~`"),
        ("2024-01-01: x", "`2024-01-01`"),
        ("? [a]\n: x", "a list"),
        ("{? {a: b} : x}", "a map"),
        (": x", "missing"),
    ] {
        let (_, findings) = read("t", text);
        assert_eq!(findings.len(), 1, "{text}: {findings:?}");
        assert_eq!(findings[0].code, Code::YamlKey, "{text}");
        assert!(findings[0].message.contains(part), "{text}: {}", findings[0].message);
    }
    let help = read("t", "on: x").1.remove(0).help.unwrap();
    assert!(help.contains("\"on\""), "{help}");
}

#[test]
fn one_document_and_no_more() {
    for text in ["a: 1\n---\n", "a: 1\n---\nb: 2\n", "---\na\n---\n"] {
        assert_eq!(codes(text), ["E_YAML_MULTI_DOC"], "{text}");
    }
    for text in ["---\na: 1\n", "a: 1\n...\n", "%YAML 1.2\n---\na: 1\n", "%FOO x\n---\na: 1\n", "\u{feff}a: 1"] {
        assert_eq!(fine(text), "{a: int 1}", "{text}");
    }
    for text in ["", "# only a comment\n", "\n \n"] {
        let (root, findings) = read("t", text);
        assert!(root.is_none() && findings.is_empty(), "{text:?}");
    }
    assert_eq!(fine("---\n"), "null");
    assert_eq!(codes("%YAML 2.0\n---\na: 1\n"), ["E_YAML_SYNTAX"]);
}

#[test]
fn deep_nesting_ends_cleanly() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(codes(&nested(100)).is_empty());
    for levels in [101, 254, 300, 100_000] {
        assert_eq!(codes(&nested(levels)), ["E_YAML_DEPTH"], "{levels}");
    }
    let block: String = (0..150).fold(String::new(), |mut text, level| {
        let _ = writeln!(text, "{}a:", " ".repeat(level));
        text
    });
    assert_eq!(codes(&format!("{block}b: 2024-13-01\n")), ["E_YAML_DEPTH", "E_YAML_SCALAR"]);
    // Expressions have a cap of their own, and an end all the same.
    let expression = |levels: usize| {
        let nested = (0..levels).map(|level| format!("{}not:\n", " ".repeat(level))).collect::<String>();
        format!("{nested}{}x: 1\n", " ".repeat(levels))
    };
    assert!(codes(&expression(300)).is_empty());
    assert_eq!(codes(&expression(400)), ["E_YAML_DEPTH"]);
}

#[test]
fn aliases_neither_loop_nor_explode() {
    assert_eq!(codes("a: &a [*a]"), ["E_YAML_ALIAS"]);
    assert_eq!(codes("a: &a {b: {c: *a}}"), ["E_YAML_ALIAS"]);
    assert_eq!(codes("a: *nobody"), ["E_YAML_ALIAS"]);
    assert_eq!(codes("a: &x 1\nb: &x 2\n"), ["E_YAML_ALIAS"]);
    assert_eq!(fine("a: &x 1\nb: [*x, *x]\n"), "{a: int 1, b: [int 1, int 1]}");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let (_, findings) = read("t", &bomb);
    assert!(findings.iter().all(|finding| finding.code == Code::YamlAlias) && !findings.is_empty());
    let chain = (1..200).fold("a0: &a0 [x]\n".to_owned(), |mut text, level| {
        let _ = writeln!(text, "a{level}: &a{level} [*a{}]", level - 1);
        text
    });
    assert!(codes(&chain).contains(&"E_YAML_DEPTH"));
    // The cap itself is permitted: the anchored list counts once for its anchor and once for its alias.
    let list = vec!["x"; MAX_EXPANDED / 2 - 1].join(",");
    assert!(codes(&format!("a: &a [{list}]\nb: *a\n")).is_empty());
    assert_eq!(codes(&format!("a: &a [{list},x]\nb: *a\n")), ["E_YAML_ALIAS"]);
}

#[test]
fn bad_escapes_do_not_end_the_reading() {
    let text = "a: \"\\d+\"\nb: \"x\\s \\q\"\nc: \"\\ud83d\\ude00\"\nd: '\\d'\ne: \"\\x4\"\nf: 2024-13-01\n";
    let (root, findings) = read("t", text);
    let found: Vec<_> =
        findings.iter().map(|finding| (finding.code.as_str(), finding.span.line, finding.span.column)).collect();
    assert_eq!(
        found,
        [
            ("E_YAML_SYNTAX", 1, 5),
            ("E_YAML_SYNTAX", 2, 6),
            ("E_YAML_SYNTAX", 2, 9),
            ("E_YAML_SYNTAX", 3, 5),
            ("E_YAML_SYNTAX", 3, 11),
            ("E_YAML_SYNTAX", 5, 5),
            ("E_YAML_SCALAR", 6, 4),
        ]
    );
    assert!(findings[0].help.as_ref().unwrap().contains("single quotes"));
    assert!(findings[0].message.contains("YAML parse error at line 1, column 5"));
    assert_eq!(root.unwrap().get("d").unwrap().as_str(), Some("\\d"));
    assert_eq!(fine("\"\\0\\x41\\u00e9\\U0001F600\\/\\e\""), "str \0Aé😀/\u{1b}");
}

#[test]
fn flow_collections_may_end_in_the_column_of_their_key() {
    for (text, expected) in [
        ("tools: [\n  a,\n  b\n]\nname: x\n", "{tools: [str a, str b], name: str x}"),
        ("tools: {\na: 1,\nb: {\n}\n}\n", "{tools: {a: int 1, b: {}}}"),
        ("- x: [\n  1,\n2]\n  y: 2\n", "[{x: [int 1, int 2], y: int 2}]"),
        ("m: \"one\ntwo\n\nthree\"\nn: 'a\nb'\n", "{m: str one two\nthree, n: str a b}"),
    ] {
        assert_eq!(fine(text), expected, "{text}");
    }
    let (_, findings) = read("t", "tools: [\n  a,\n]\nx: [\nb: 2024-13-01\n]\ny: 2024-13-01\n");
    let places: Vec<_> = findings.iter().map(|finding| (finding.span.line, finding.span.column)).collect();
    assert_eq!(places, [(5, 4), (7, 4)], "moved lines keep their columns");
    // A bracket that closes nothing is still a mistake.
    assert_eq!(codes("a: text\n}\n"), ["E_YAML_SYNTAX"]);
    assert_eq!(codes("a:\n  b: 1\n c: 2\n"), ["E_YAML_SYNTAX"]);
}

#[test]
fn tabs_are_refused_where_readers_disagree() {
    for text in ["-\ta\n", "a: {b:\t'c'}\n", "a:\n\tb: 1\n", "[a,\tb]\n", "a: b\tc\n"] {
        let found = codes(text);
        assert!(!found.is_empty() && found.iter().all(|code| *code == "E_YAML_SYNTAX"), "{text:?}: {found:?}");
    }
    assert_eq!(fine("a: 'b\tc'\nd: |\n  \te\n"), "{a: str b\tc, d: str \te\n}");
    assert_eq!(codes("a: x\u{2028}y\n"), ["E_YAML_SYNTAX"]);
}

#[test]
fn spans_fit_the_offending_text() {
    let text = "é: 'it''s' # note 'x'\nb: \"q\\\"\"  \nc: plain text # note\nd: |\n  line\n  last\n\ne: [1, 22 ]\nf: {g: h}\ni:\n  - j: k\n";
    let (root, findings) = read("t", text);
    assert!(findings.is_empty());
    let root = root.unwrap();
    let span = |key: &str| {
        let Span { line, column, end_line, end_column } = root.get(key).unwrap().span;
        (line, column, end_line, end_column)
    };
    assert_eq!(span("é"), (1, 4, 1, 11));
    assert_eq!(span("b"), (2, 4, 2, 9));
    assert_eq!(span("c"), (3, 4, 3, 14));
    assert_eq!(span("d"), (5, 3, 6, 7));
    assert_eq!(span("e"), (8, 4, 8, 12));
    assert_eq!(span("f"), (9, 4, 9, 10));
    assert_eq!(span("i").2, 11);
    assert_eq!(root.entries().unwrap()[0].0.span, Span { line: 1, column: 1, end_line: 1, end_column: 2 });
}

#[test]
fn texts_without_end_are_syntax_errors_with_a_place() {
    for (text, line) in [
        ("a: 'x", 1),
        ("a: [b", 2),
        ("a: b: c", 1),
        ("a: @x", 1),
        ("a: `x`", 1),
        ("a: %x", 1),
        ("{a: b", 2),
        ("a\nb: c", 2),
    ] {
        let (root, findings) = read("t", text);
        assert!(root.is_none(), "{text}");
        assert_eq!(findings.len(), 1, "{text}: {findings:?}");
        assert_eq!((findings[0].code, findings[0].span.line), (Code::YamlSyntax, line), "{text}");
        assert!(findings[0].message.starts_with("YAML parse error at line "), "{text}: {}", findings[0].message);
    }
}

#[test]
fn size_is_capped_before_anything_else() {
    let text = format!("a: {}", "x".repeat(super::MAX_BYTES - 3));
    assert!(codes(&text).is_empty());
    assert_eq!(codes(&format!("{text}\u{0}")), ["E_DOC_TOO_LARGE"]);
    let (root, findings) = Reader::with_cap("t", format!("{text}x"), 2 * super::MAX_BYTES).finish();
    assert!(root.is_some() && findings.is_empty());
}

#[test]
fn slices_read_the_same_as_one_go() {
    let text = "a: [\n1, 2]\nb: {c: \"\\d\"}\nc: 2024-13-01\n";
    let mut reader = Reader::new("t", text);
    let mut slices = 0;
    while !reader.advance(1) {
        slices += 1;
        assert!(slices < 1000, "no progress");
    }
    let (root, findings) = reader.finish();
    let (whole, expected) = read("t", text);
    assert!(slices > 10);
    assert_eq!(typed(&root.unwrap()), typed(&whole.unwrap()));
    assert_eq!(findings, expected);
}

#[test]
fn numbers_stay_exact_as_operands() {
    let (root, _) = read("t", "[1, -99999999999999999999, 1.0, 2024-01-01, .inf, {a: ~}]");
    let literal = root.as_ref().unwrap().to_literal();
    assert_eq!(literal.text(), "[1,-99999999999999999999,1.0,\"2024-01-01\",1e999,{\"a\":null}]");
    assert_eq!(
        root.unwrap().to_json(),
        serde_json::json!([1, -99_999_999_999_999_999_999.0, 1.0, "2024-01-01", null, { "a": null }])
    );
}

fn node() -> impl Strategy<Value = Node> {
    let float = prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(1e300), Just(-1e-300), Just(0.0)];
    let text = prop_oneof![
        "\\PC{0,12}",
        "[ -~\u{0}\t\n\u{85}\u{2028}\u{feff}é']{0,12}",
        "[a-z: #'\"\\\\&*!|>%@\\[\\]{},?-]{0,8}",
        Just("yes".to_owned()),
        Just("0x1F".to_owned()),
        Just("<<".to_owned()),
        Just("k".repeat(1200)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(|int| Value::Int(int.to_string())),
        float.prop_filter("NaN equals nothing", |float| !float.is_nan()).prop_map(Value::Float),
        text.clone().prop_map(Value::String),
        Just(Value::Date("2024-02-29".to_owned())),
    ]
    .prop_map(|value| Node::new(Span::default(), value));
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Sequence),
            proptest::collection::btree_map(text.clone(), inner, 0..5).prop_map(|entries| {
                Value::Mapping(
                    entries
                        .into_iter()
                        .map(|(key, value)| (Node::new(Span::default(), Value::String(key)), value))
                        .collect(),
                )
            }),
        ]
        .prop_map(|value| Node::new(Span::default(), value))
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(node in node()) {
        let text = write(&node);
        let (root, findings) = read("t", &text);
        prop_assert!(findings.is_empty(), "{text}\n{findings:?}");
        prop_assert_eq!(typed(&root.unwrap()), typed(&node), "{}", text);
    }

    #[test]
    fn any_text_gets_an_answer_with_places_inside_it(text in "([a-z0-9: \\-\\[\\]{},#'\"&*!|>%?\\\\\t\u{85}é~<=.]|\n|\n  |: |- |\"\\\\d\"|yes|<<: |\\*a|&a ){0,40}") {
        let (root, findings) = read("t", &text);
        let lines = u32::try_from(text.split('\n').count()).unwrap() + 1;
        for Diagnostic { span, .. } in &findings {
            prop_assert!(span.line >= 1 && span.line <= lines && span.column >= 1, "{:?}", span);
            prop_assert!((span.end_line, span.end_column) >= (span.line, span.column), "{:?}", span);
        }
        if let (Some(root), true) = (root, findings.is_empty()) {
            let again = write(&root);
            prop_assert_eq!(typed(&read("t", &again).0.unwrap()), typed(&root), "{}", again);
        }
    }
}
