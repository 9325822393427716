//! Puts the component into the library, with its content hash. Without a component the library still builds; it then says
//! at run time how to make one (`src/component.rs`).

use std::path::PathBuf;
use std::{env, fs};

use sha2::{Digest, Sha256};

fn main() {
    let source = component();
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rerun-if-env-changed=CARGO_TARGET_DIR");
    println!("cargo:rustc-env=EDICTUM_TARGET_TRIPLE={}", env::var("TARGET").unwrap_or_default());

    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let bytes = fs::read(&source).unwrap_or_default();
    let hash = hex::encode(Sha256::digest(&bytes));
    println!("cargo:rustc-env=EDICTUM_COMPONENT_HASH={hash}");
    if let Err(error) = fs::write(out.join("component.wasm"), &bytes) {
        println!("cargo:warning=the component cannot be embedded: {error}");
        std::process::exit(1);
    }
}

/// `target/component/edictum-decider.wasm`, where `cargo xtask build` leaves it.
fn component() -> PathBuf {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("component/edictum-decider.wasm")
}
