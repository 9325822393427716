//! Where the component comes from, and how it becomes code that runs. What runs it is [`crate::decider`].
//!
//! The bytes: the file that `EDICTUM_COMPONENT` names, or else those that the build put into this library. The code: from
//! the [cache], or else compiled now.

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

static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));
const EMBEDDED_HASH: &str = env!("EDICTUM_COMPONENT_HASH");

/// A component as it was built.
#[derive(Clone, Debug)]
pub struct ComponentSource {
    bytes: Cow<'static, [u8]>,
    /// SHA-256, hex.
    hash: String,
}

impl ComponentSource {
    /// From `EDICTUM_COMPONENT`, or from inside this library.
    ///
    /// # Errors
    /// There is none, or the file cannot be read.
    pub fn find() -> Result<Self, Error> {
        if let Some(path) = env::var_os(COMPONENT_VARIABLE).filter(|path| !path.is_empty()) {
            let bytes = std::fs::read(&path).map_err(|error| {
                Error::Component(format!("{COMPONENT_VARIABLE}=`{}` cannot be read: {error}", path.display()))
            })?;
            return Ok(Self::from_bytes(bytes));
        }
        if EMBEDDED.is_empty() {
            return Err(Error::Component(format!(
                "this build holds no component: run `cargo xtask build`, or name one in {COMPONENT_VARIABLE}"
            )));
        }
        Ok(Self { bytes: Cow::Borrowed(EMBEDDED), hash: EMBEDDED_HASH.to_owned() })
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

/// Anybody's component, for this engine: from the cache, or else compiled now.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    cache::load(engine, &hex::encode(Sha256::digest(bytes)), || Component::from_binary(engine, bytes))
}

/// The component, linked to nothing: it imports nothing, and would not load if it did.
pub(crate) fn load(engine: &Engine, source: &ComponentSource) -> Result<DeciderPre<Limits>, Error> {
    let component = cache::load(engine, &source.hash, || Component::new(engine, &source.bytes))
        .map_err(|error| Error::Component(format!("the component cannot be compiled: {error:#}")))?;
    let instance = Linker::new(engine)
        .instantiate_pre(&component)
        .map_err(|error| Error::Component(format!("the component is not a decider: {error:#}")))?;
    DeciderPre::new(instance).map_err(|error| Error::Component(format!("the component is not a decider: {error:#}")))
}
