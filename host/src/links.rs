//! What a path is, links not followed. The engine walks paths itself and asks for one step at a time.

use std::fs;
use std::io::ErrorKind;

use crate::bindings::decide::Link;

/// Looks every path up.
pub(crate) fn read(paths: &[String]) -> Vec<Link> {
    paths.iter().map(|path| look(path)).collect()
}

fn look(path: &str) -> Link {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // Below a file there is nothing.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Link::Missing,
        Err(_) => return Link::Unreadable,
    };
    if !metadata.is_symlink() {
        return Link::Plain;
    }
    let target = fs::read_link(path).ok().and_then(|target| target.into_os_string().into_string().ok());
    target.map_or(Link::Unreadable, Link::Target)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_missing_plain_a_link_or_unknowable() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("../else where", at("link")).unwrap();
        symlink("link2", at("loop")).unwrap();
        symlink(std::ffi::OsStr::from_bytes(b"\xff"), at("not-text")).unwrap();

        let cases = [
            ("file", Link::Plain),
            (".", Link::Plain),
            ("nothing", Link::Missing),
            ("file/below", Link::Missing),
            ("link", Link::Target("../else where".to_owned())),
            ("loop", Link::Target("link2".to_owned())),
            ("loop/below", Link::Missing),
            ("not-text", Link::Unreadable),
            ("nul\0byte", Link::Unreadable),
        ];
        let paths: Vec<_> = cases.iter().map(|(name, _)| at(name).to_str().unwrap().to_owned()).collect();
        for ((name, expected), found) in cases.into_iter().zip(read(&paths)) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(look(&format!("/{}", "a".repeat(10_000))), Link::Unreadable, "too long to be known");
    }
}
