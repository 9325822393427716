//! Where in a document something is, as messages say it: `rules[0].then.action`.

use std::fmt;

use crate::yaml::shown;

/// A path made of the frames of whoever walks down; written out only for a finding.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    /// The document.
    Root,
    /// A key of a map.
    Key(&'p Self, &'p str),
    /// An item of a list.
    Item(&'p Self, usize),
}

impl<'p> Path<'p> {
    pub(super) const fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    pub(super) const fn item(&'p self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Root => formatter.write_str("the document"),
            Self::Item(above, index) => write!(formatter, "{above}[{index}]"),
            Self::Key(above, key) => {
                if !matches!(above, Self::Root) {
                    write!(formatter, "{above}.")?;
                }
                if is_word(key) { formatter.write_str(key) } else { formatter.write_str(&shown(key)) }
            }
        }
    }
}

fn is_word(key: &str) -> bool {
    const LONGEST: usize = 60;
    !key.is_empty()
        && key.len() <= LONGEST
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_document() {
        let rules = Path::Root.key("rules");
        let rule = rules.item(3);
        let then = rule.key("then");
        assert_eq!(then.key("action").to_string(), "rules[3].then.action");
        assert_eq!(then.key("a\nb").to_string(), "rules[3].then.`a\\nb`");
        assert_eq!(Path::Root.to_string(), "the document");
    }
}
