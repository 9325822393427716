//! Against a real file system: what the kernel resolves to outside must never be judged inside. The oracle is
//! `std::fs::canonicalize`, with plain text for what does not exist.

#![expect(clippy::disallowed_methods, reason = "the kernel is the oracle")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path as FsPath, PathBuf};

use proptest::prelude::*;

use super::*;

/// A tree with links of every kind; removed at the end.
struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Tree {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("sandbox-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for directory in ["w/a/b", "w/secrets", "out/deep/er"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["w/f", "w/a/f", "w/a/b/f", "w/secrets/f", "out/f", "out/deep/f"] {
            fs::write(root.join(file), "").unwrap();
        }
        let absolute = |path: &str| root.join(path).to_str().unwrap().to_owned();
        for (link, target) in [
            ("w/l", absolute("out")),
            ("w/a/l", "../../out/deep".to_owned()),
            ("w/in", "a/b".to_owned()),
            ("w/up", "..".to_owned()),
            ("w/chain", "l".to_owned()),
            ("w/gone", absolute("out/missing")),
            ("w/loop", "loop".to_owned()),
            ("w/ping", "a/pong".to_owned()),
            ("w/a/pong", "../ping".to_owned()),
            ("w/s", "secrets".to_owned()),
            ("w/root", "/".to_owned()),
            ("out/back", absolute("w/a")),
            ("link-to-w", "w".to_owned()),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        Self(fs::canonicalize(&root).unwrap())
    }

    fn path(&self, below: &str) -> String {
        self.0.join(below).to_str().unwrap().to_owned()
    }
}

/// As a host answers.
fn read_link(path: &str) -> Link {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_symlink() => {
            Link::Target(fs::read_link(path).unwrap().to_str().unwrap().to_owned())
        }
        Ok(_) => Link::Plain,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Link::Missing
        }
        Err(_) => Link::Unreadable,
    }
}

/// What the kernel makes of the longest prefix that exists, and the rest as it is written. None: a loop.
fn real(path: &FsPath) -> Option<PathBuf> {
    let mut reached = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                reached.pop();
            }
            Component::Normal(name) => {
                reached.push(name);
                if fs::symlink_metadata(&reached).is_ok() {
                    reached = match fs::canonicalize(&reached) {
                        Ok(real) => real,
                        // A link to something missing: where it points to is what would be made.
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                            let target = fs::read_link(&reached).unwrap();
                            real(&reached.parent().unwrap().join(target))?
                        }
                        Err(_) => return None,
                    };
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(reached)
}

#[test]
fn links_of_every_kind_lead_where_the_kernel_goes() {
    let tree = Tree::new("kinds");
    let rule = Given::within(&[&tree.path("w")]).not_within(&[&tree.path("w/secrets")]).cwd(&tree.path("w"));
    for (path, expected) in [
        ("f", Verdict::Inside),
        ("in/f", Verdict::Inside),
        ("in/../f", Verdict::Inside),
        ("new/file", Verdict::Inside),
        ("up/w/f", Verdict::Inside),
        ("l/back/f", Verdict::Inside),
        ("f/../a/f", Verdict::Inside),
        ("l", outside(Path)),
        ("l/f", outside(Path)),
        ("a/l/f", outside(Path)),
        ("a/l/../f", outside(Path)),
        ("chain/f", outside(Path)),
        ("gone", outside(Path)),
        ("up", outside(Path)),
        ("root/etc/passwd", outside(Path)),
        ("loop", outside(UnknowablePath)),
        ("ping/f", outside(UnknowablePath)),
        ("s/f", outside(ExcludedPath)),
        ("up/link-to-w/s/../secrets", outside(ExcludedPath)),
    ] {
        for path in [path.to_owned(), tree.path("w") + "/" + path] {
            assert_eq!(rule.judge_on(&args("path", &path), &read_link).0, expected, "{path}");
        }
    }
    // The boundary may itself be a link.
    let rule = Given::within(&[&tree.path("link-to-w")]);
    assert_eq!(rule.judge_on(&args("path", &tree.path("w/f")), &read_link).0, Verdict::Inside);
    assert_eq!(rule.judge_on(&args("path", &tree.path("link-to-w/l/f")), &read_link).0, outside(Path));
}

#[test]
fn what_the_kernel_resolves_to_outside_is_never_inside() {
    let tree = Tree::new("laws");
    let (w, secrets) = (tree.path("w"), tree.path("w/secrets"));
    let rule = Given::within(&[&w]).not_within(&[&secrets]).cwd(&w);
    let names = vec![
        "a",
        "b",
        "f",
        "l",
        "in",
        "up",
        "chain",
        "gone",
        "loop",
        "ping",
        "pong",
        "s",
        "secrets",
        "w",
        "out",
        "deep",
        "back",
        "..",
        "..",
        ".",
        "",
        "new",
        "link-to-w",
    ];
    let strategy = prop::collection::vec(prop::sample::select(names), 0..8);
    proptest!(ProptestConfig::with_cases(2000), |(parts in strategy, absolute in any::<bool>())| {
        let relative = parts.join("/");
        let path = if absolute { format!("{w}/{relative}") } else { relative.trim_start_matches('/').to_owned() };
        prop_assume!(!path.is_empty());
        let expected = real(&PathBuf::from(&w).join(&path));
        let (verdict, rounds) = rule.judge_on(&args("path", &path), &read_link);
        let good = expected.as_ref().is_some_and(|real| real.starts_with(&w) && !real.starts_with(&secrets));
        prop_assert_eq!(verdict == Verdict::Inside, good, "{} -> {:?}: {:?}", path, expected, verdict);
        prop_assert!(rounds <= 10);
        let command = format!("cat ./{path}");
        if !absolute {
            prop_assert_eq!(rule.judge_on(&args("command", &command), &read_link).0 == Verdict::Inside, good, "{}", command);
        }
    });
}
