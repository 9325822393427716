//! Where the components come from, and how they become code that runs. What runs the decider is [`crate::decider`]; what
//! runs the guard, with edictum-api, is [`crate::lanes`].
//!
//! The bytes: the file that `EDICTUM_COMPONENT` or `EDICTUM_GUARD_COMPONENT` names, or else those that the build put into this
//! library. The code: from the [cache], or else compiled now.

mod cache;

use std::borrow::Cow;
use std::env;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine};

use crate::bindings::DeciderPre;
use crate::decider::Limits;
use crate::error::Error;

/// Names a file that is used instead of the component inside this library.
pub const COMPONENT_VARIABLE: &str = "EDICTUM_COMPONENT";

/// The same for the component with edictum-api.
pub const GUARD_COMPONENT_VARIABLE: &str = "EDICTUM_GUARD_COMPONENT";

static DECIDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/edictum-decider.wasm"));
const DECIDER_HASH: &str = env!("EDICTUM_COMPONENT_HASH");

static GUARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/edictum-guard.wasm"));
const GUARD_HASH: &str = env!("EDICTUM_GUARD_COMPONENT_HASH");

/// A component as it was built.
#[derive(Clone, Debug)]
pub struct ComponentSource {
    bytes: Cow<'static, [u8]>,
    /// SHA-256, hex.
    hash: String,
}

impl ComponentSource {
    /// The decider: from `EDICTUM_COMPONENT`, or from inside this library.
    ///
    /// # Errors
    /// There is none, or the file cannot be read.
    pub fn find() -> Result<Self, Error> {
        Self::named_or_embedded(COMPONENT_VARIABLE, DECIDER, DECIDER_HASH)
    }

    /// The guard with edictum-api: from `EDICTUM_GUARD_COMPONENT`, or from inside this library.
    ///
    /// # Errors
    /// There is none, or the file cannot be read.
    pub fn find_guard() -> Result<Self, Error> {
        Self::named_or_embedded(GUARD_COMPONENT_VARIABLE, GUARD, GUARD_HASH)
    }

    fn named_or_embedded(variable: &str, embedded: &'static [u8], hash: &str) -> Result<Self, Error> {
        if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let bytes = std::fs::read(&path).map_err(|error| {
                Error::Component(format!("{variable}=`{}` cannot be read: {error}", path.display()))
            })?;
            return Ok(Self::from_bytes(bytes));
        }
        if embedded.is_empty() {
            return Err(Error::Component(format!(
                "this build holds no component: run `cargo xtask build`, or name one in {variable}"
            )));
        }
        Ok(Self { bytes: Cow::Borrowed(embedded), hash: hash.to_owned() })
    }

    /// From bytes at hand.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let hash = hex::encode(Sha256::digest(&bytes));
        Self { bytes: Cow::Owned(bytes), hash }
    }
}

/// An engine for deciders: sync, without what async components need, and interruptible.
pub(crate) fn engine() -> Result<Engine, Error> {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    Engine::new(&config).map_err(|error| Error::Component(format!("the runtime does not start: {error:#}")))
}

/// The decider, linked to nothing: it imports nothing, and would not load if it did.
pub(crate) fn load(engine: &Engine, source: &ComponentSource) -> Result<DeciderPre<Limits>, Error> {
    let component = compile(engine, "decider", source).map_err(broken)?;
    let instance = Linker::new(engine)
        .instantiate_pre(&component)
        .map_err(|error| Error::Component(format!("the component is not a decider: {error:#}")))?;
    DeciderPre::new(instance).map_err(|error| Error::Component(format!("the component is not a decider: {error:#}")))
}

/// The code of a component; `kind` is for whoever looks into the cache.
pub(crate) fn compile(engine: &Engine, kind: &str, source: &ComponentSource) -> wasmtime::Result<Component> {
    cache::load(engine, kind, &source.hash, || Component::new(engine, &source.bytes))
}

/// What is said of a component of ours that does not compile.
pub(crate) fn broken(error: wasmtime::Error) -> Error {
    Error::Component(format!("the component cannot be compiled: {error:#}"))
}
