//! Values on a tape: small copies that point into it.

use std::sync::LazyLock;

use super::number::Number;
use super::tape::{Builder, Kind, Tape};

/// A JSON value. Equality is that of the operators `equals` and `in` (engine.md §3.3): a bool is the number 0 or 1,
/// `1` equals `1.0`, NaN equals nothing, lists and maps compare element by element.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number with its exact value.
    Number(Number<'a>),
    /// A string, unescaped.
    String(&'a str),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
}

/// A list on a tape.
#[derive(Clone, Copy)]
pub struct List<'a> {
    tape: &'a Tape<'a>,
    index: usize,
}

/// A value on a tape that was not looked at yet.
#[derive(Clone, Copy)]
pub struct Unread<'a> {
    tape: &'a Tape<'a>,
    index: usize,
}

/// A map on a tape. Keys are unique.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    tape: &'a Tape<'a>,
    index: usize,
}

impl<'a> Value<'a> {
    #[inline]
    pub(super) fn at(tape: &'a Tape<'a>, index: usize) -> Self {
        let node = tape.node(index);
        match node.kind {
            Kind::Null => Self::Null,
            Kind::True => Self::Bool(true),
            Kind::False => Self::Bool(false),
            Kind::Integer => Self::Number(Number::integer(tape.raw(node))),
            Kind::Float => Self::Number(Number::float(tape.raw(node))),
            Kind::String | Kind::Escaped => Self::String(tape.characters(node)),
            Kind::List => Self::List(List { tape, index }),
            Kind::Map => Self::Map(Map { tape, index }),
        }
    }

    /// The characters of a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The map.
    #[must_use]
    pub fn as_map(self) -> Option<Map<'a>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The list.
    #[must_use]
    pub fn as_list(self) -> Option<List<'a>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The bool.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(flag) } else { None }
    }

    /// A non-negative integer that fits; not a float, not a bool.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        if let Self::Number(Number::Int(int)) = self { u64::try_from(int).ok() } else { None }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Bools count as 0 and 1 (Python).
    #[must_use]
    pub fn as_number(self) -> Option<Number<'a>> {
        match self {
            Self::Bool(flag) => Some(Number::Int(i64::from(flag))),
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Follows keys through maps. A list is never entered; a missing key ends it.
    pub fn path<'k>(self, keys: impl IntoIterator<Item = &'k str>) -> Option<Value<'a>> {
        keys.into_iter().try_fold(self, |value, key| value.as_map()?.get(key))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        if let (Some(one), Some(two)) = (self.as_number(), other.as_number()) {
            return one.compare(two).is_some_and(std::cmp::Ordering::is_eq);
        }
        match (*self, *other) {
            (Self::Null, Self::Null) => true,
            (Self::String(one), Self::String(two)) => one == two,
            (Self::List(one), Self::List(two)) => one.iter().eq(two.iter()),
            (Self::Map(one), Self::Map(two)) => {
                one.len() == two.len()
                    && one.iter().all(|(key, value)| two.get(key).is_some_and(|there| value == there))
            }
            _ => false,
        }
    }
}

impl<'a> List<'a> {
    /// The items in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        self.members().map(|(value, _)| value)
    }

    /// The items and their raw texts.
    pub fn members(self) -> impl Iterator<Item = (Value<'a>, &'a str)> {
        let end = self.tape.after(self.index);
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let member = (Value::at(self.tape, next), self.tape.raw(self.tape.node(next)));
                next = self.tape.after(next);
                member
            })
        })
    }

    /// The raw texts of the items in order.
    pub fn raw_items(self) -> impl Iterator<Item = &'a str> {
        let end = self.tape.after(self.index);
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let text = self.tape.raw(self.tape.node(next));
                next = self.tape.after(next);
                text
            })
        })
    }

    /// Number of items; walks them.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.tape.after(self.index) == self.index + 1
    }

    /// The text as it came.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.tape.raw(self.tape.node(self.index))
    }
}

impl<'a> Unread<'a> {
    /// The value.
    #[inline]
    #[must_use]
    pub fn read(self) -> Value<'a> {
        Value::at(self.tape, self.index)
    }
}

impl std::fmt::Debug for Unread<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.read().fmt(formatter)
    }
}

impl Map<'_> {
    /// The map without keys.
    #[must_use]
    pub fn empty() -> Map<'static> {
        static EMPTY: LazyLock<Tape<'static>> = LazyLock::new(|| {
            let mut builder = Builder::new();
            builder.map();
            builder.finish()
        });
        Map { tape: &EMPTY, index: 0 }
    }
}

impl<'a> Map<'a> {
    #[inline]
    fn entries(self) -> impl Iterator<Item = (&'a str, usize)> {
        let end = self.tape.after(self.index);
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let key = self.tape.characters(self.tape.node(next));
                let value = next + 1;
                next = self.tape.after(value);
                (key, value)
            })
        })
    }

    /// Keys and values in the order of the text, for who wants few of the values.
    #[inline]
    pub fn unread(self) -> impl Iterator<Item = (&'a str, Unread<'a>)> {
        self.entries().map(move |(key, index)| (key, Unread { tape: self.tape, index }))
    }

    /// Keys and values in the order of the text.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.entries().map(move |(key, index)| (key, Value::at(self.tape, index)))
    }

    /// Keys, values and the raw texts of the values.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Value<'a>, &'a str)> {
        self.entries().map(move |(key, index)| (key, Value::at(self.tape, index), self.tape.raw(self.tape.node(index))))
    }

    /// Keys and the raw texts of their values.
    pub fn raw_entries(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.entries().map(move |(key, index)| (key, self.tape.raw(self.tape.node(index))))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.entries().find(|(name, _)| *name == key).map(|(_, index)| Value::at(self.tape, index))
    }

    /// The raw text of a key's value.
    #[must_use]
    pub fn raw(self, key: &str) -> Option<&'a str> {
        self.raw_entries().find(|(name, _)| *name == key).map(|(_, text)| text)
    }

    /// Number of keys; walks them.
    #[must_use]
    pub fn len(self) -> usize {
        self.entries().count()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.tape.after(self.index) == self.index + 1
    }

    /// The text as it came.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.tape.raw(self.tape.node(self.index))
    }
}

impl std::fmt::Debug for List<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::fmt::Debug for Map<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.text())
    }
}
