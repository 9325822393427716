//! Symbolic links and sandboxes, on a real file system (engine.md §6.2): a path is judged by where it leads, and boundaries
//! by where they led when the guard was opened.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use edictum_tests::victim::{Victim, member};
use serde_json::json;

struct Sandboxed {
    root: tempfile::TempDir,
    victim: Victim,
}

impl Sandboxed {
    /// A directory `in` that is the boundary, beside a directory `out`; `lay` makes links before the guard is opened.
    fn with(boundary: &str, lay: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("in/sub")).unwrap();
        std::fs::create_dir_all(base.join("out/sub")).unwrap();
        std::fs::write(base.join("out/file"), "x").unwrap();
        lay(&base);
        let within = base.join(boundary);
        let rules = format!(
            "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: links}}\ndefaults: {{mode: enforce}}\nrules:\n  - {{id: box, type: sandbox, tool: '*', within: ['{}'], message: outside}}\n",
            within.display()
        );
        Self { root, victim: Victim::with(json!({ "rulesets": [{ "name": "links", "yaml": rules }] })) }
    }

    fn base(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap()
    }

    fn action(&self, path: &str) -> String {
        let path = self.base().join(path);
        let call = json!({ "tool": "Read", "args": { "file_path": path } });
        let answer = self.victim.ask("begin", json!({ "session_id": "s", "call": call }));
        assert_eq!(answer.refusal(), None, "{}", answer.line());
        member(&answer, "action")
    }
}

#[test]
fn links_lead_where_they_lead() {
    let sandbox = Sandboxed::with("in", |base| {
        symlink(base.join("out"), base.join("in/to-out")).unwrap();
        symlink("../out/file", base.join("in/to-file")).unwrap();
        symlink("to-out", base.join("in/chain")).unwrap();
        symlink("chain", base.join("in/long-chain")).unwrap();
        symlink(base.join("out/nothing"), base.join("in/dangling-out")).unwrap();
        symlink(base.join("in/nothing"), base.join("in/dangling-in")).unwrap();
        symlink("sub", base.join("in/to-sub")).unwrap();
        symlink(base.join("in"), base.join("out/to-in")).unwrap();
        symlink("loop-b", base.join("in/loop-a")).unwrap();
        symlink("loop-a", base.join("in/loop-b")).unwrap();
        symlink("itself", base.join("in/itself")).unwrap();
    });
    let rows = [
        ("in/sub/file", "allow"),
        ("in/to-sub/file", "allow"),
        ("in/dangling-in", "allow"),
        ("out/to-in/file", "allow"),
        ("in/to-out", "block"),
        ("in/to-out/file", "block"),
        ("in/to-out/nothing/at/all", "block"),
        ("in/to-file", "block"),
        ("in/chain/file", "block"),
        ("in/long-chain/file", "block"),
        ("in/dangling-out", "block"),
        // `..` is taken after the link: the parent of where it leads.
        ("in/to-out/../in/sub", "allow"),
        ("in/to-out/../out/file", "block"),
        ("in/to-sub/../file", "allow"),
        ("in/to-out/sub/../../in/x", "allow"),
        // A loop leads nowhere that can be known.
        ("in/loop-a", "block"),
        ("in/loop-a/file", "block"),
        ("in/itself", "block"),
        ("out/to-in/to-out/file", "block"),
    ];
    for (path, action) in rows {
        assert_eq!(sandbox.action(path), action, "{path}");
    }
}

#[test]
fn a_boundary_is_where_its_link_led_when_the_guard_was_opened() {
    let sandbox = Sandboxed::with("link", |base| symlink(base.join("in"), base.join("link")).unwrap());
    assert_eq!(sandbox.action("in/file"), "allow");
    assert_eq!(sandbox.action("link/file"), "allow");
    let base = sandbox.base();
    std::fs::remove_file(base.join("link")).unwrap();
    symlink(base.join("out"), base.join("link")).unwrap();
    assert_eq!(sandbox.action("out/file"), "block");
    assert_eq!(sandbox.action("link/file"), "block");
    assert_eq!(sandbox.action("in/file"), "allow");
}

#[test]
fn a_link_made_after_the_guard_was_opened_is_seen() {
    let sandbox = Sandboxed::with("in", |_| ());
    assert_eq!(sandbox.action("in/later/file"), "allow");
    symlink(sandbox.base().join("out"), sandbox.base().join("in/later")).unwrap();
    assert_eq!(sandbox.action("in/later/file"), "block");
}

#[test]
fn a_boundary_that_is_not_there_yet_is_a_boundary() {
    let sandbox = Sandboxed::with("missing/box", |_| ());
    assert_eq!(sandbox.action("missing/box/file"), "allow");
    assert_eq!(sandbox.action("missing/other"), "block");
    assert_eq!(sandbox.action("missing/box/../other"), "block");
}

#[test]
fn a_long_chain_of_links_is_answered() {
    const LINKS: usize = 500;
    let sandbox = Sandboxed::with("in", |base| {
        symlink(base.join("out"), base.join("in/l0")).unwrap();
        (1..LINKS).for_each(|index| symlink(format!("l{}", index - 1), base.join(format!("in/l{index}"))).unwrap());
    });
    // Where it leads is out, and too far for a system to follow: either way it is not inside.
    assert_eq!(sandbox.action(&format!("in/l{}/file", LINKS - 1)), "block");
    assert_eq!(sandbox.action(&format!("in/{}file", "sub/../".repeat(100))), "allow");
}
