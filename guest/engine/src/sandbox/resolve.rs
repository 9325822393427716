//! A path to what it really names (engine.md §6.2): components one by one, links followed, `..` leaves the directory
//! that was reached, what is missing is taken as it is written. The host only says what single paths are.

use std::collections::{BTreeMap, BTreeSet};

use crate::inquiry::Link;

/// So many links are followed on one path; then it is a loop.
const MAX_LINKS: usize = 40;

/// So many bytes of paths are looked up for one call or one rule: enough for one path of two thousand components, each of
/// which is looked up with all before it, or for thousands of paths as there are.
pub(super) const MAX_WALKED_BYTES: usize = 4 * 1024 * 1024;

/// What is known of paths: absolute, without `.`, `..`, doubled or trailing slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, Link>);

impl Links {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes a host's answer about a path that was asked for.
    pub fn insert(&mut self, path: String, link: Link) {
        self.0.insert(path, link);
    }

    /// What a path is, links not followed.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Link> {
        self.0.get(path)
    }

    /// Everything known, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.0.iter().map(|(path, link)| (path.as_str(), link))
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here: absolute, without links, `.` and `..`; `/` for the root.
    At(String),
    /// A loop, something unreadable, or no path at all.
    Unknowable,
    /// More is to be looked up than is looked up.
    TooMuch,
}

/// Resolves several paths with what is known, and collects what is not.
#[derive(Debug)]
pub(super) struct Walk<'l> {
    links: &'l Links,
    left: usize,
    unknown: BTreeSet<String>,
}

impl<'l> Walk<'l> {
    pub(super) const fn new(links: &'l Links) -> Self {
        Self { links, left: MAX_WALKED_BYTES, unknown: BTreeSet::new() }
    }

    /// Paths that were met and of which nothing is known, in order.
    pub(super) fn into_unknown(self) -> Vec<String> {
        self.unknown.into_iter().collect()
    }

    pub(super) fn knows_all(&self) -> bool {
        self.unknown.is_empty()
    }

    /// Follows an absolute path. What is not known is taken for no link, so that everything below it is asked for in
    /// the same round; the result counts only when nothing was unknown.
    pub(super) fn follow<'p>(&mut self, path: &'p str) -> Place
    where
        'l: 'p,
    {
        let mut reached = String::with_capacity(path.len() + 1);
        let mut pending: Vec<&'p str> = Vec::new();
        push_components(&mut pending, path);
        let mut followed = 0;
        // Below something missing nothing can be a link.
        let mut missing: Option<usize> = None;
        while let Some(component) = pending.pop() {
            match component {
                "" | "." => continue,
                ".." => {
                    reached.truncate(reached.rfind('/').unwrap_or(0));
                    missing = missing.filter(|length| reached.len() >= *length);
                    continue;
                }
                _ => {}
            }
            let parent = reached.len();
            reached.push('/');
            reached.push_str(component);
            if missing.is_some() {
                continue;
            }
            let Some(left) = self.left.checked_sub(reached.len()) else { return Place::TooMuch };
            self.left = left;
            match self.links.get(&reached) {
                Some(Link::Plain) => {}
                Some(Link::Missing) => missing = Some(reached.len()),
                Some(Link::Unreadable) => return Place::Unknowable,
                Some(Link::Target(target)) => {
                    followed += 1;
                    if followed > MAX_LINKS || target.is_empty() {
                        return Place::Unknowable;
                    }
                    reached.truncate(if target.starts_with('/') { 0 } else { parent });
                    push_components(&mut pending, target);
                }
                None => {
                    if !self.unknown.contains(&reached) {
                        self.unknown.insert(reached.clone());
                    }
                }
            }
        }
        if reached.is_empty() {
            reached.push('/');
        }
        Place::At(reached)
    }
}

/// The next component is the last of the list.
fn push_components<'p>(pending: &mut Vec<&'p str>, path: &'p str) {
    pending.extend(path.split('/').rev());
}

/// Whether a place is a boundary or below it. Both come from [`Walk::follow`].
pub(super) fn contains(boundary: &str, place: &str) -> bool {
    let boundary = boundary.trim_end_matches('/');
    place.strip_prefix(boundary).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A relative path below a base; an absolute one stays.
pub(super) fn join(base: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{base}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(list: &[(&str, &str)]) -> Links {
        let mut links = Links::new();
        for (path, kind) in list {
            let link = match *kind {
                "plain" => Link::Plain,
                "missing" => Link::Missing,
                "unreadable" => Link::Unreadable,
                target => Link::Target(target.trim_start_matches("->").to_owned()),
            };
            links.insert((*path).to_owned(), link);
        }
        links
    }

    fn at(path: &str) -> Place {
        Place::At(path.to_owned())
    }

    #[test]
    fn follows_links_physically() {
        let known = links(&[
            ("/w", "plain"),
            ("/w/a", "plain"),
            ("/w/out", "->/etc"),
            ("/w/up", "->../etc"),
            ("/w/chain", "->out"),
            ("/w/deep", "->/usr/share/doc"),
            ("/w/root", "->/"),
            ("/w/empty", "->"),
            ("/w/loop", "->loop"),
            ("/w/ping", "->pong"),
            ("/w/pong", "->ping"),
            ("/w/secret", "unreadable"),
            ("/w/gone", "missing"),
            ("/w/x", "missing"),
            ("/etc", "plain"),
            ("/etc/x", "missing"),
            ("/etc/passwd", "plain"),
            ("/usr", "plain"),
            ("/usr/share", "plain"),
            ("/usr/share/x", "missing"),
            ("/usr/share/doc", "plain"),
            ("/out", "missing"),
        ]);
        for (path, expected) in [
            ("/", at("/")),
            ("//", at("/")),
            ("/../..", at("/")),
            ("/w", at("/w")),
            ("/w/", at("/w")),
            ("//w//./a/.", at("/w/a")),
            ("/w/a/..", at("/w")),
            ("/w/gone/../a", at("/w/a")),
            ("/w/gone/b/c", at("/w/gone/b/c")),
            ("/w/gone/../../out", at("/out")),
            ("/w/gone/../out/passwd", at("/etc/passwd")),
            ("/w/out/passwd", at("/etc/passwd")),
            ("/w/up/passwd", at("/etc/passwd")),
            ("/w/chain/passwd", at("/etc/passwd")),
            // The parent of what the link leads to, not of the link.
            ("/w/deep/../x", at("/usr/share/x")),
            ("/w/root/w/a", at("/w/a")),
            ("/w/root", at("/")),
            ("/w/loop", Place::Unknowable),
            ("/w/loop/../a", Place::Unknowable),
            ("/w/ping/a", Place::Unknowable),
            ("/w/empty", Place::Unknowable),
            ("/w/secret/a", Place::Unknowable),
        ] {
            let mut walk = Walk::new(&known);
            assert_eq!(walk.follow(path), expected, "{path}");
            assert_eq!(walk.into_unknown(), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn asks_for_everything_a_path_without_links_needs_at_once() {
        let nothing = Links::new();
        let mut walk = Walk::new(&nothing);
        let _ = walk.follow("/a/b/../c//d/.");
        let _ = walk.follow("/a/b");
        assert_eq!(walk.into_unknown(), ["/a", "/a/b", "/a/c", "/a/c/d"]);
    }

    #[test]
    fn forty_links_are_followed_and_no_more() {
        for (count, expected) in [(40, at("/end")), (41, Place::Unknowable)] {
            let mut known = links(&[("/end", "missing")]);
            for link in 0..count {
                let target = if link + 1 == count { "/end".to_owned() } else { format!("l{}", link + 1) };
                known.insert(format!("/l{link}"), Link::Target(target));
            }
            assert_eq!(Walk::new(&known).follow("/l0"), expected, "{count}");
        }
    }

    #[test]
    fn links_that_multiply_components_stay_bounded() {
        let mut known = Links::new();
        known.insert("/l".to_owned(), Link::Target(format!("/l{}", "/a".repeat(2000))));
        assert_eq!(Walk::new(&known).follow("/l"), Place::Unknowable);
        let long: String = "/a".repeat(2000);
        let mut walk = Walk::new(&known);
        let last = (0..100).map(|_| walk.follow(&long)).last();
        assert_eq!(last, Some(Place::TooMuch));
    }

    #[test]
    fn a_boundary_holds_itself_and_what_is_below() {
        for (boundary, place, expected) in [
            ("/workspace", "/workspace", true),
            ("/workspace", "/workspace/a", true),
            ("/workspace", "/workspaces", false),
            ("/workspace", "/", false),
            ("/workspace/a", "/workspace", false),
            ("/", "/", true),
            ("/", "/etc", true),
        ] {
            assert_eq!(contains(boundary, place), expected, "{boundary} {place}");
        }
    }

    proptest! {
        #[test]
        fn resolving_twice_changes_nothing(path in "(/|[a-c]{1,2}|\\.|\\.\\.|é){0,20}") {
            let nothing = Links::new();
            let Place::At(once) = Walk::new(&nothing).follow(&path) else { panic!("a place") };
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            prop_assert!(once.split('/').all(|component| component != "." && component != ".."));
            prop_assert_eq!(Walk::new(&nothing).follow(&once), at(&once));
        }

        #[test]
        fn safe_components_stay_inside(parts in prop::collection::vec("[a-z.]{0,3}[a-z]", 0..8)) {
            let nothing = Links::new();
            let Place::At(place) = Walk::new(&nothing).follow(&join("/w/x", &parts.join("/"))) else { panic!("a place") };
            prop_assert!(contains("/w/x", &place));
        }

        #[test]
        fn never_panics(path in any::<String>(), known in prop::collection::vec(("(/[a-c]){1,3}", any::<String>()), 0..5)) {
            let mut links = Links::new();
            for (from, target) in known {
                links.insert(from, Link::Target(target));
            }
            let _ = Walk::new(&links).follow(&path);
        }
    }
}
