//! Calls made to be expensive, and calls made of noise.

use proptest::prelude::*;

use super::*;

fn everything() -> Given {
    project().commands(&["ls"]).domains(&["a.com"], &["b.com"])
}

#[test]
fn a_call_with_more_than_is_judged_is_outside() {
    let many =
        |count: usize, item: &dyn Fn(usize) -> String| -> String { (0..count).map(item).collect::<Vec<_>>().join(",") };
    let paths = many(MAX_PATHS + 1, &|index| format!("\"a{index}\""));
    assert_eq!(project().judge(&format!("{{\"files\":[{paths}]}}")), outside(Reason::TooMuch));
    let paths = many(MAX_PATHS, &|index| format!("\"a{index}\""));
    assert_eq!(project().judge(&format!("{{\"files\":[{paths}]}}")), Verdict::Inside);
    let same = many(MAX_PATHS * 2, &|_| "\"a\"".to_owned());
    assert_eq!(project().judge(&format!("{{\"files\":[{same}]}}")), Verdict::Inside);
    let commands = many(MAX_COMMANDS + 1, &|index| format!("{{\"cmd\":\"ls {index}\"}}"));
    assert_eq!(everything().judge(&format!("{{\"steps\":[{commands}]}}")), outside(Reason::TooMuch));
    let words = "a/b ".repeat(MAX_PATHS + 1);
    assert_eq!(project().judge(&args("command", &format!("ls {words}"))), outside(Reason::TooMuch));
    let deep = format!("/{}", "a/".repeat(2000));
    assert_eq!(project().judge(&args("path", &deep)), outside(Path));
    assert_eq!(project().judge(&args("path", &"a".repeat(4097))), outside(UnknowablePath));
    let long = many(3000, &|index| format!("\"{index}{}\"", "/a".repeat(1000)));
    assert_eq!(project().judge(&format!("{{\"files\":[{long}]}}")), outside(Reason::TooMuch));
}

/// More than the largest texts that are looked into; with work that grew with the square, this would not end.
const LARGE: usize = 200_000;

#[test]
fn large_texts_of_anything_get_an_answer() {
    for unit in [
        "a",
        "/",
        "../",
        "%25",
        "\\",
        "'",
        "\"",
        "=",
        "@",
        ":",
        ",",
        "-",
        "$",
        "<",
        " a/b",
        "://",
        "https://a",
        "https://a.com/ ",
        "a=/",
        "~",
        "file:",
        "a:@=,/",
        "%2e/",
        "\u{0}",
        "é",
        "{",
        "x://",
        "http:",
        "\\\"",
        "a ",
        "a= ",
    ] {
        let text = unit.repeat(LARGE / unit.len());
        for key in ["path", "command", "text", "url", "args", "x"] {
            let verdict = everything().judge(&args(key, &text));
            assert!(!matches!(verdict, Verdict::Error(_)), "{key}: {unit:?}");
        }
    }
}

#[test]
fn ten_megabytes_get_an_answer() {
    for (key, unit) in [("command", "a= "), ("text", "see http:// "), ("x", "a/b ")] {
        let text = unit.repeat(10_000_000 / unit.len());
        assert!(!matches!(everything().judge(&args(key, &text)), Verdict::Error(_)), "{key}: {unit}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics_and_is_never_an_error(
        key in prop::sample::select(vec!["path", "command", "content", "url", "args", "cwd", "x"]),
        first in any::<String>(),
        second in "[a-z /.~$%2e5c\\\\'\"=:@<>-]{0,30}",
    ) {
        for text in [first, second] {
            prop_assert!(!matches!(everything().judge(&args(key, &text)), Verdict::Error(_)));
        }
    }

    #[test]
    fn safe_paths_pass_however_they_are_given(
        parts in prop::collection::vec("[a-z][a-z0-9._-]{0,8}", 1..6),
        key in prop::sample::select(vec!["path", "file_path", "files", "x"]),
    ) {
        let path = format!("{W}/{}", parts.join("/"));
        prop_assert_eq!(project().judge(&args(key, &path)), Verdict::Inside);
        prop_assert_eq!(project().judge(&args("command", &format!("cat {path} --out={path}"))), Verdict::Inside);
    }

    #[test]
    fn a_path_outside_is_stopped_whatever_is_around_it(
        before in "(cat |cat x |cat <|x >|tar --file=|tar -f|x @|x a:|x a=|sh -c 'cat |cat \"|cat ')",
        path in "/etc(/[a-z]{1,5}){1,3}",
    ) {
        let verdict = project().judge(&args("command", &format!("{before}{path}")));
        prop_assert!(matches!(verdict, Verdict::Outside(_)));
    }
}
