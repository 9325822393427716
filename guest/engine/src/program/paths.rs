//! The selectors of an index that are paths, as trees: a call's maps are walked once for all of them.

use std::collections::BTreeMap;

use super::selector::{Path, Resolved, Root, TEXT_KEY, text_result};
use crate::call::Subject;
use crate::json::{Map, Value, fingerprint};

/// Up to so many keys in a tree are looked at one after the other.
const FEW: usize = 8;

/// Paths from one root.
#[derive(Debug)]
pub(super) struct Paths {
    root: Root,
    tree: Tree,
}

#[derive(Debug, Default)]
struct Tree {
    /// Sorted by key.
    children: Box<[(Box<str>, Tree)]>,
    /// A bit for the fingerprint of each key: most keys of a call that no rule asks for need no look-up.
    marks: u64,
    /// The field whose path ends here.
    field: Option<u32>,
}

impl Paths {
    /// Trees for paths with the numbers of their fields.
    pub(super) fn new(paths: impl IntoIterator<Item = (Root, Path, u32)>) -> Box<[Self]> {
        let mut roots: BTreeMap<Root, Draft> = BTreeMap::new();
        for (root, path, field) in paths {
            let mut place = roots.entry(root).or_default();
            for key in path {
                place = place.children.entry(key).or_default();
            }
            place.field = Some(field);
        }
        roots.into_iter().map(|(root, draft)| Self { root, tree: draft.finish() }).collect()
    }

    /// Calls back with the fields that are there.
    pub(super) fn walk<'v>(&self, subject: &Subject<'v>, found: &mut impl FnMut(u32, Resolved<'v>)) {
        match self.root.map(subject) {
            Ok(Some(map)) => self.tree.walk(map, found),
            Ok(None) if self.root == Root::Result => {
                let place = self.tree.children.binary_search_by(|(key, _)| (**key).cmp(TEXT_KEY));
                let field = place.ok().and_then(|place| self.tree.children.get(place)?.1.field);
                if let (Some(field), Some(text)) = (field, text_result(subject)) {
                    found(field, Resolved::Value(text));
                }
            }
            Ok(None) => {}
            Err(error) => self.tree.all(&mut |field| found(field, Resolved::Failed(error))),
        }
    }
}

impl Tree {
    fn walk<'v>(&self, map: Map<'v>, found: &mut impl FnMut(u32, Resolved<'v>)) {
        for (key, value) in map.unread() {
            if self.marks & mark(key) == 0 {
                continue;
            }
            let child = if self.children.len() <= FEW {
                self.children.iter().find(|(own, _)| **own == *key)
            } else {
                let place = self.children.binary_search_by(|(own, _)| (**own).cmp(key));
                place.ok().and_then(|place| self.children.get(place))
            };
            if let Some((_, child)) = child {
                child.enter(value.read(), found);
            }
        }
    }

    fn enter<'v>(&self, value: Value<'v>, found: &mut impl FnMut(u32, Resolved<'v>)) {
        if let Some(field) = self.field {
            found(field, Resolved::of(value));
        }
        if let (false, Value::Map(map)) = (self.children.is_empty(), value) {
            self.walk(map, found);
        }
    }

    fn all(&self, found: &mut impl FnMut(u32)) {
        self.field.into_iter().for_each(&mut *found);
        self.children.iter().for_each(|(_, child)| child.all(found));
    }
}

#[derive(Default)]
struct Draft {
    children: BTreeMap<Box<str>, Draft>,
    field: Option<u32>,
}

impl Draft {
    fn finish(self) -> Tree {
        let marks = self.children.keys().fold(0, |marks, key| marks | mark(key));
        let children = self.children.into_iter().map(|(key, draft)| (key, draft.finish())).collect();
        Tree { children, marks, field: self.field }
    }
}

#[inline]
fn mark(key: &str) -> u64 {
    1 << (fingerprint(key.as_bytes()) % 64)
}
