//! Compiled code on disk, so that a process starts in milliseconds: one file for each component, runtime and
//! configuration, in `EDICTUM_CACHE_DIR`, else `$XDG_CACHE_HOME/edictum`, else `~/.cache/edictum`.
//!
//! Whoever can write such a file can run code as us, so it is used only when nobody else can write it or the folder it is
//! in. A cache that cannot be used or written costs time and nothing else.

use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The component whose bytes have this hash: from the cache, or else compiled, and then put there.
pub(super) fn load(
    engine: &Engine,
    kind: &str,
    component_hash: &str,
    compile: impl FnOnce() -> wasmtime::Result<Component>,
) -> wasmtime::Result<Component> {
    match folder() {
        Some(folder) => load_from(&folder, engine, kind, component_hash, compile),
        None => compile(),
    }
}

fn load_from(
    folder: &Path,
    engine: &Engine,
    kind: &str,
    component_hash: &str,
    compile: impl FnOnce() -> wasmtime::Result<Component>,
) -> wasmtime::Result<Component> {
    let path = folder.join(file_name(engine, kind, component_hash));
    match read(engine, folder, &path) {
        Ok(Some(component)) => return Ok(component),
        Ok(None) => {}
        Err(reason) => tracing::warn!(path = %path.display(), reason, "the cached code is not used"),
    }
    let component = compile()?;
    if let Err(error) = write(folder, &path, &component) {
        tracing::debug!(path = %path.display(), %error, "the compiled code is not cached");
    }
    Ok(component)
}

fn folder() -> Option<PathBuf> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("EDICTUM_CACHE_DIR")
        .or_else(|| named("XDG_CACHE_HOME").map(|cache| cache.join("edictum")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/edictum")))
        .filter(|folder| folder.is_absolute())
}

/// Names everything that the code depends on.
fn file_name(engine: &Engine, kind: &str, component_hash: &str) -> String {
    let mut hash = HashOf(Sha256::new());
    component_hash.hash(&mut hash);
    engine.precompile_compatibility_hash().hash(&mut hash);
    let name = hex::encode(hash.0.finalize());
    // Half of it tells builds apart just as well.
    format!("{kind}-{}.cwasm", name.get(..32).unwrap_or(&name))
}

struct HashOf(Sha256);

impl Hasher for HashOf {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// None: there is nothing yet.
#[cfg(unix)]
#[expect(unsafe_code, reason = "compiled code is mapped from a file, see SAFETY")]
fn read(engine: &Engine, folder: &Path, path: &Path) -> Result<Option<Component>, String> {
    use std::os::unix::fs::MetadataExt as _;

    let ours = |path: &Path| -> Result<Option<fs::Metadata>, String> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err("it belongs to somebody else".to_owned());
        }
        if metadata.mode() & 0o022 != 0 {
            return Err("others may write it".to_owned());
        }
        Ok(Some(metadata))
    };
    let (Some(around), Some(file)) = (ours(folder)?, ours(path)?) else { return Ok(None) };
    if !around.is_dir() || !file.is_file() {
        return Err("it is a link".to_owned());
    }
    // SAFETY: the file was written by `write` below (the name has the hash of what it depends on, and the runtime checks
    // its own version and configuration again), and only this user can have written or exchanged it since: the file and
    // its folder are ours, are no links, and nobody else may write them. We only ever replace it as a whole, by renaming,
    // so what is mapped does not change under us.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map(Some).map_err(|error| format!("{error:#}"))
}

/// Nowhere else do we know how to see that a file is only ours.
#[cfg(not(unix))]
fn read(_: &Engine, _: &Path, _: &Path) -> Result<Option<Component>, String> {
    Ok(None)
}

fn write(folder: &Path, path: &Path, component: &Component) -> wasmtime::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    make_private(folder)?;
    let code = component.serialize()?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(&code)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot have ends it")]

    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The empty component: its header.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Whether it had to be compiled.
    fn compiles(folder: &Path, engine: &Engine, hash: &str) -> bool {
        let compiled = Cell::new(false);
        load_from(folder, engine, "decider", hash, || {
            compiled.set(true);
            Component::new(engine, EMPTY)
        })
        .unwrap();
        compiled.get()
    }

    fn only_file(folder: &Path) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn code_is_compiled_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        let engine = crate::component::engine().unwrap();
        assert!(compiles(&folder, &engine, "one"));
        assert!(!compiles(&folder, &engine, "one"));
        assert!(compiles(&folder, &engine, "two"), "another component has code of its own");
    }

    #[test]
    fn code_of_another_configuration_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = wasmtime::Config::new();
        other.concurrency_support(false);
        let other = Engine::new(&other).unwrap();
        assert!(compiles(folder.path(), &other, "one"));
        assert!(compiles(folder.path(), &crate::component::engine().unwrap(), "one"));
    }

    #[test]
    fn broken_code_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let engine = crate::component::engine().unwrap();
        compiles(folder.path(), &engine, "one");
        let file = only_file(folder.path());
        let length = fs::metadata(&file).unwrap().len();
        for broken in
            [Vec::new(), b"garbage".to_vec(), fs::read(&file).unwrap()[..usize::try_from(length / 2).unwrap()].to_vec()]
        {
            fs::remove_file(&file).unwrap();
            fs::write(&file, broken).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(compiles(folder.path(), &engine, "one"));
            assert!(!compiles(folder.path(), &engine, "one"));
        }
    }

    #[test]
    fn code_that_others_can_write_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let engine = crate::component::engine().unwrap();
        compiles(folder.path(), &engine, "one");
        let file = only_file(folder.path());
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

        set(&file, 0o666);
        assert!(compiles(folder.path(), &engine, "one"), "and what took its place is ours again");
        assert!(!compiles(folder.path(), &engine, "one"));

        set(folder.path(), 0o777);
        assert!(compiles(folder.path(), &engine, "one"));
        set(folder.path(), 0o700);

        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(compiles(folder.path(), &engine, "one"), "a link is not followed");
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_only_time() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let engine = crate::component::engine().unwrap();
        assert!(compiles(&blocked, &engine, "one"));
        assert!(compiles(&blocked, &engine, "one"));
    }
}
