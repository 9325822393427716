//! A lane: an instance of the component that is made anew, from the same options, when one has ended abnormally or a call was
//! dropped on its way. Calls are done one at a time, on the host's threads: whoever waits for one may be in any runtime, or in none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::Lanes;
use super::connect::ConnectOptions;
use super::http::{Gate, Origin};
use super::instance::{Inside, Instance, Opens, Work};
use crate::decider::Abnormal;
use crate::error::Error;

/// A call makes several requests one after the other at most: so many times the time of one.
const ATTEMPTS: u32 = 8;

/// And for everything else that a call does.
const BESIDE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Lane<O> {
    shared: Arc<Shared<O>>,
}

struct Shared<O> {
    lanes: Lanes,
    connect: ConnectOptions,
    opens: O,
    slot: Mutex<Option<Instance>>,
}

impl<O: Opens> Lane<O> {
    /// Makes the first instance: what is wrong with the options is told now.
    pub async fn open(lanes: &Lanes, connect: &ConnectOptions, opens: O) -> Result<Self, Error> {
        let (lanes, connect) = (lanes.clone(), connect.clone());
        let lane = Self { shared: Arc::new(Shared { lanes, connect, opens, slot: Mutex::new(None) }) };
        lane.call(|_| Box::pin(std::future::ready(Ok(())))).await?;
        Ok(lane)
    }

    /// One call. Whatever of it was on its way when its caller goes away is dropped, and the instance with it.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl for<'i> FnOnce(Inside<'i>) -> Work<'i, T> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        let called = self.lanes().on_threads(async move { shared.call(work).await }).await;
        called.unwrap_or_else(|| Err(Error::Abnormal("a thread of the host panicked".to_owned())))
    }

    /// What it was opened with.
    pub fn opens(&self) -> &O {
        &self.shared.opens
    }

    pub fn lanes(&self) -> &Lanes {
        &self.shared.lanes
    }

    /// Where it may send requests to.
    pub fn origin(&self) -> Option<Origin> {
        Origin::parse(self.shared.connect.url())
    }
}

impl<O: Opens> Shared<O> {
    async fn call<T>(&self, work: impl for<'i> FnOnce(Inside<'i>) -> Work<'i, T>) -> Result<T, Error> {
        let mut slot = self.slot.lock().await;
        // Taken out while it works: when this is dropped, or ends abnormally, there is none, and the next call makes one.
        let mut instance = match slot.take() {
            Some(instance) => instance,
            None => self.make().await?,
        };
        let result = instance.call(work).await.map_err(abnormal)?;
        *slot = Some(instance);
        Ok(result)
    }

    async fn make(&self) -> Result<Instance, Error> {
        let component = self.lanes.component().await?;
        let gate = Gate { client: self.lanes.client().clone(), origin: Origin::parse(self.connect.url()) };
        let deadline = self.connect.attempt().saturating_mul(ATTEMPTS).saturating_add(BESIDE);
        let endpoint = (self.connect.json(), self.connect.api_key());
        let instance = Instance::new(component, self.lanes.bounds(), gate, deadline, endpoint, &self.opens).await;
        instance.map_err(abnormal)?.map_err(Error::Refused)
    }
}

fn abnormal(abnormal: Abnormal) -> Error {
    Error::Abnormal(format!("{}: {}", abnormal.fault_name(), abnormal.reason))
}
