//! Instances of one plugin: at most so many at the same time, any of which answers any question. One that ended
//! abnormally is dropped, and the next question gets a new one; whoever waits for his turn waits for nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::Store;

use super::bindings::plugin_info::Manifest;
use super::instance::{Ended, Instance, Recipe};
use super::sandbox::Sandbox;
use super::surface::Functions;
use crate::callback::Answered;

/// The most that is kept of a plugin's own words about an error, in characters.
const LONGEST_REASON: usize = 1000;

pub(super) struct Instances {
    name: String,
    recipe: Recipe,
    manifest: Manifest,
    idle: Mutex<Vec<Instance>>,
    permits: Arc<Semaphore>,
}

impl Instances {
    /// With the first instance, which said this about itself.
    pub fn new(recipe: Recipe, size: usize, first: Instance, manifest: Manifest) -> Self {
        print(&manifest.name, &first);
        Self {
            name: manifest.name.clone(),
            recipe,
            manifest,
            idle: Mutex::new(vec![first]),
            permits: Arc::new(Semaphore::new(size.max(1))),
        }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Asks for one answer, on a thread where the plugin may compute. Errors name the plugin.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(&Functions, &mut Store<Sandbox>) -> wasmtime::Result<Answered<T>> + Send + 'static,
    ) -> Answered<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| self.reason("the host is gone"))?;
        let instances = Arc::clone(self);
        let runtime = Handle::current();
        let asked = runtime.clone().spawn_blocking(move || {
            // Given back when the plugin is done, also when nobody waits for the answer any more.
            let _permit = permit;
            runtime.block_on(instances.answer(work))
        });
        asked.await.unwrap_or_else(|_| Err(self.reason("a thread of the host panicked")))
    }

    async fn answer<T>(
        &self,
        work: impl AsyncFnOnce(&Functions, &mut Store<Sandbox>) -> wasmtime::Result<Answered<T>>,
    ) -> Answered<T> {
        let idle = self.idle().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.make().await?,
        };
        let answer = instance.call(work).await;
        print(&self.name, &instance);
        match answer {
            Ok(answer) => {
                if instance.is_sound() {
                    self.idle().push(instance);
                }
                answer.map_err(|why| self.reason(&why))
            }
            Err(ended) => {
                tracing::warn!(plugin = self.name, reason = %ended, "an instance of a plugin is discarded");
                Err(self.reason(&ended.to_string()))
            }
        }
    }

    async fn make(&self) -> Answered<Instance> {
        let made: Result<_, Ended> = Instance::make(&self.recipe).await;
        match made {
            Ok(Ok((instance, manifest))) if manifest == self.manifest => Ok(instance),
            Ok(Ok(_)) => Err(self.reason("it says something else about itself than when it was loaded")),
            Ok(Err(why)) => Err(self.reason(&why)),
            Err(ended) => Err(self.reason(&ended.to_string())),
        }
    }

    fn reason(&self, why: &str) -> String {
        reason(&self.name, why)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a plugin gave no answer, with its name.
pub(super) fn reason(plugin: &str, why: &str) -> String {
    format!("plugin `{plugin}`: {}", shown(why))
}

/// A plugin's own words, on one line and not too long.
pub(super) fn shown(why: &str) -> String {
    why.chars().take(LONGEST_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn print(plugin: &str, instance: &Instance) {
    for (stream, lines) in instance.printed() {
        for line in lines {
            tracing::info!(plugin, stream, "{line}");
        }
    }
}
