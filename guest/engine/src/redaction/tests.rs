//! Tables of engine.md §10 and appendix A.8.

use super::*;
use crate::json::Tape;

fn value(json: &str) -> String {
    let tape = Tape::read(json).unwrap();
    let mut out = String::new();
    Redactor::default().value(&mut out, tape.root());
    assert!(Tape::read(&out).is_ok(), "{out}");
    out
}

fn command(text: &str) -> String {
    Redactor::default().command(text).into_owned()
}

#[test]
fn commands_of_the_appendix() {
    for (text, expected) in [
        ("export API_KEY=abc", "export API_KEY=[REDACTED]"),
        ("export FOO_TOKEN=\"a b\"", "export FOO_TOKEN=[REDACTED]"),
        ("export api_key=abc", "export api_key=[REDACTED]"),
        ("API_KEY=abc cmd", "API_KEY=[REDACTED] cmd"),
        ("EXPORT KEY=1", "EXPORT KEY=[REDACTED]"),
        ("mysql -psecret", "mysql -p[REDACTED]"),
        ("mysql -p secret", "mysql -p [REDACTED]"),
        ("mkdir -p /a/b", "mkdir -p /a/b"),
        ("docker run -p 80:80", "docker run -p 80:80"),
        ("x -prune", "x -prune"),
        ("--no-password x", "--no-password x"),
        ("--password=x y", "--password=[REDACTED] y"),
        ("--password x", "--password [REDACTED]"),
        ("https://u:p@h/x", "https://u:[REDACTED]@h/x"),
        ("https://u:p@h/x@y", "https://u:[REDACTED]@h/x@y"),
        ("http://u.x:p@h", "http://u.x:[REDACTED]@h"),
        ("https://tok@h", "https://tok@h"),
    ] {
        assert_eq!(command(text), expected, "{text}");
        assert_eq!(command(expected), expected);
    }
}
