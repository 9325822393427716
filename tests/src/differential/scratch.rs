//! A folder with symbolic links, for sandbox rules. Cases call it `@SCRATCH@`; where it really is, both sides see the
//! same path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// What cases write instead of its path.
pub const NAME: &str = "@SCRATCH@";

/// Makes it: `w` is the folder that rules draw a boundary around, `out` lies outside.
///
/// # Errors
/// When the disk is full or not ours to write on.
pub fn make() -> io::Result<TempDir> {
    // No hyphen: `-p…` in a random name is a password to the reference (§10.4), and one run in sixty has it.
    let scratch = tempfile::Builder::new().prefix("differential.").tempdir()?;
    let at = |path: &str| scratch.path().join(path);
    fs::create_dir_all(at("w/real"))?;
    fs::create_dir_all(at("out/deep"))?;
    File::create(at("w/plain"))?;
    let links: &[(&str, &str)] = &[
        ("w/inside", "real"),
        ("w/outside", "../out/deep"),
        ("w/dangling", "../nowhere/at/all"),
        ("w/chain", "link-2"),
        ("w/link-2", "../w/outside"),
        ("w/loop", "loop"),
    ];
    for (link, target) in links {
        symlink(Path::new(target), at(link))?;
    }
    Ok(scratch)
}
