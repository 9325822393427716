//! Where the engines differ on purpose.

use super::{Group, Random, plain};

/// A group that goes there.
pub fn group(random: &mut Random) -> Group {
    plain(random)
}
