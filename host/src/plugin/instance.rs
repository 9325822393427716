//! One instance of a plugin: made, asked who it is, asked for answers within a deadline. It does one call at a time, and
//! after any abnormal end it is never used again. Who shares instances out is [`super::instances`].

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store, Trap};

use super::bindings::plugin_info::Manifest;
use super::sandbox::{Grants, MAX_ANSWER, Sandbox};
use super::surface::{Functions, Surface};
use crate::decider::ticks;

/// What every instance of a plugin is made from.
pub(super) struct Recipe {
    pub engine: Engine,
    pub component: InstancePre<Sandbox>,
    pub surface: Surface,
    /// What the user gave this plugin, JSON.
    pub configuration: String,
    pub grants: Grants,
    /// Bytes of memory.
    pub memory: usize,
    /// Time for one call.
    pub deadline: Duration,
}

/// An abnormal end. The instance is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It gave up, or broke a rule of the runtime.
    Trapped(String),
    /// It gave no answer in time.
    Late(Duration),
    /// It asked for more memory than it may have, in bytes.
    Overran(usize),
    /// It wanted to hand over more than it may.
    TooLarge,
    /// There is not what was granted to it.
    Ungranted(String),
    /// It exports functions of other types than the WIT says.
    Mistyped(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trapped(why) => write!(formatter, "it trapped: {why}"),
            Self::Late(deadline) => write!(formatter, "it gave no answer within {deadline:?}"),
            Self::Overran(cap) => write!(formatter, "it needed more than {} KiB of memory", cap >> 10),
            Self::TooLarge => write!(formatter, "it handed over more than {} MiB", MAX_ANSWER >> 20),
            Self::Ungranted(why) => write!(formatter, "what was granted to it cannot be had: {why}"),
            Self::Mistyped(why) => write!(formatter, "its functions are not those of the WIT: {why}"),
        }
    }
}

/// An instance that has been told its configuration.
pub(super) struct Instance {
    store: Store<Sandbox>,
    functions: Functions,
    deadline: Duration,
}

impl Instance {
    /// A new instance, and what it says about itself; or its own words why it does not work with this configuration.
    pub async fn make(recipe: &Recipe) -> Result<Result<(Self, Manifest), String>, Ended> {
        let mut store = Sandbox::store(&recipe.engine, recipe.memory, &recipe.grants)
            .map_err(|error| Ended::Ungranted(format!("{error:#}")))?;
        let deadline = recipe.deadline;
        let instance = within(&mut store, deadline, async |store| recipe.component.instantiate_async(store).await);
        let instance = instance.await?;
        let functions = recipe.surface.load(&mut store, &instance);
        let functions = functions.map_err(|error| Ended::Mistyped(format!("{error:#}")))?;
        let mut instance = Self { store, functions, deadline };
        let manifest =
            instance.call(async |functions, store| functions.info.call_describe(store, &recipe.configuration).await);
        Ok(manifest.await?.map(|manifest| (instance, manifest)))
    }

    /// Every entry into the plugin goes through here.
    pub async fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&Functions, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<T, Ended> {
        let Self { store, functions, deadline } = self;
        within(store, *deadline, async |store| work(functions, store).await).await
    }

    /// What it printed since the last time, by stream.
    pub fn printed(&self) -> [(&'static str, Vec<String>); 2] {
        let sandbox = self.store.data();
        [("stdout", sandbox.stdout.take()), ("stderr", sandbox.stderr.take())]
    }

    /// Whether another call can be asked of it.
    pub fn is_sound(&self) -> bool {
        !self.store.data().is_bloated()
    }
}

/// Bounds the time of one entry. Epochs end what computes, and the timeout ends what waits in the host.
async fn within<T>(
    store: &mut Store<Sandbox>,
    deadline: Duration,
    work: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<T>,
) -> Result<T, Ended> {
    store.set_epoch_deadline(ticks(deadline));
    store.data_mut().overran = false;
    let worked = timeout(deadline, work(store)).await;
    let error = match worked {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => return Err(Ended::Late(deadline)),
    };
    let trap = error.downcast_ref::<Trap>();
    if store.data().overran {
        return Err(Ended::Overran(store.data().cap()));
    }
    let root = error.root_cause().to_string();
    Err(match trap {
        Some(Trap::Interrupt) => Ended::Late(deadline),
        // The runtime does not name this error otherwise.
        _ if root.contains(TOO_MUCH) => Ended::TooLarge,
        Some(trap) => Ended::Trapped(trap.to_string()),
        None => Ended::Trapped(root),
    })
}

const TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";
