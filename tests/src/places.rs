//! Where things are: the workspace, the shared suites, our fixtures, the driver. All of it can be set from outside.

use std::env;
use std::path::{Path, PathBuf};

/// The command line of the driver under test, separated by white space.
pub const DRIVER_VARIABLE: &str = "EDICTUM_DRIVER";

/// The directory that holds `conformance/`.
pub const SHARED_VARIABLE: &str = "EDICTUM_SHARED";

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The suites that all implementations share.
#[must_use]
pub fn conformance() -> PathBuf {
    let shared = env::var_os(SHARED_VARIABLE).map_or_else(|| workspace().join("../shared"), PathBuf::from);
    shared.join("conformance")
}

/// Our own fixtures.
#[must_use]
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The driver under test: `EDICTUM_DRIVER`, else the Rust host of the release build.
#[must_use]
pub fn driver_command() -> Vec<String> {
    let given = env::var(DRIVER_VARIABLE).unwrap_or_default();
    let words: Vec<String> = given.split_whitespace().map(ToOwned::to_owned).collect();
    if words.is_empty() {
        let host = workspace().join("target/release/edictum-host");
        return vec![host.to_string_lossy().into_owned(), "driver".to_owned()];
    }
    words
}
