//! Puts the components into the library, each with its content hash. Without a component the library still builds; it then
//! says at run time how to make one (`src/component.rs`).

use std::path::PathBuf;
use std::{env, fs};

use sha2::{Digest, Sha256};

fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_TARGET_DIR");
    println!("cargo:rustc-env=EDICTUM_TARGET_TRIPLE={}", env::var("TARGET").unwrap_or_default());
    embed("edictum-decider.wasm", "EDICTUM_COMPONENT_HASH");
    embed("edictum-guard.wasm", "EDICTUM_GUARD_COMPONENT_HASH");
}

/// Empty when there is none.
fn embed(name: &str, hash_variable: &str) {
    let source = folder().join(name);
    println!("cargo:rerun-if-changed={}", source.display());
    let bytes = fs::read(&source).unwrap_or_default();
    println!("cargo:rustc-env={hash_variable}={}", hex::encode(Sha256::digest(&bytes)));
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = fs::write(out.join(name), &bytes) {
        println!("cargo:warning=`{name}` cannot be embedded: {error}");
        std::process::exit(1);
    }
}

/// `target/component`, where `cargo xtask build` leaves them.
fn folder() -> PathBuf {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("component")
}
