//! Deciders for the whole process: about one per core, any of which serves any call of any guard. One that ended
//! abnormally is dropped, and the next caller gets a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;
use wasmtime::component::ResourceAny;

use crate::bindings::DeciderPre;
use crate::component::{self, ComponentSource};
use crate::decider::{Abnormal, Bounds, Decider, Limits, TICK};
use crate::error::Error;
use crate::policy::Policy;

/// How long to wait until one of them is free. Longer than a step may take.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Pool {
    engine: Engine,
    component: DeciderPre<Limits>,
    bounds: Bounds,
    size: usize,
    idle: Mutex<Vec<Decider>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub fn new(source: &ComponentSource, bounds: Bounds, size: usize) -> Result<Self, Error> {
        let engine = component::engine()?;
        let component = component::load(&engine, source)?;
        tick(&engine)?;
        let size = size.max(1);
        Ok(Self { engine, component, bounds, size, idle: Mutex::default(), permits: Arc::new(Semaphore::new(size)) })
    }

    /// How many calls are decided at the same time.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What runs them; the lanes of edictum-api run on it, too.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// When one is free.
    pub fn try_seat(self: &Arc<Self>) -> Option<Seat> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Seat { pool: Arc::clone(self), _permit: permit })
    }

    /// Waits for its turn.
    pub async fn seat(self: &Arc<Self>) -> Result<Seat, Abnormal> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Abnormal::host("the host is gone"))?;
        Ok(Seat { pool: Arc::clone(self), _permit: permit })
    }

    /// Lets idle deciders give back what no guard uses any more.
    pub fn tidy(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for decider in idle {
            self.give_back(decider);
        }
    }

    fn give_back(&self, mut decider: Decider) {
        if decider.tidy() {
            let mut idle = self.idle();
            // While some were being tidied, others may have been made.
            if idle.len() < self.size {
                idle.push(decider);
            }
        }
    }

    fn make(&self) -> Result<Decider, Abnormal> {
        Decider::new(&self.engine, &self.component, self.bounds)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Decider>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use one decider.
pub(crate) struct Seat {
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// An idle decider that holds the policy, or else any.
    pub fn take(&self, policy: Option<&Policy>) -> Option<Decider> {
        let mut idle = self.pool.idle();
        let holder = policy.and_then(|policy| idle.iter().rposition(|decider| decider.holds(policy)));
        match holder {
            Some(place) => Some(idle.swap_remove(place)),
            None => idle.pop(),
        }
    }

    /// An idle decider that does not hold the policy.
    pub fn take_without(&self, policy: &Policy) -> Option<Decider> {
        let mut idle = self.pool.idle();
        let place = idle.iter().position(|decider| !decider.holds(policy))?;
        Some(idle.swap_remove(place))
    }

    /// Does one thing in a decider, which then is free for others.
    pub fn work<T>(
        self,
        decider: Option<Decider>,
        work: impl FnOnce(&mut Decider) -> Result<T, Abnormal>,
    ) -> Result<T, Abnormal> {
        let mut decider = match decider {
            Some(decider) => decider,
            None => self.pool.make()?,
        };
        let result = work(&mut decider)?;
        self.pool.give_back(decider);
        Ok(result)
    }

    /// The same with a policy, compiled now where it is not.
    pub fn decide<T>(
        self,
        decider: Option<Decider>,
        policy: &Arc<Policy>,
        work: impl FnOnce(&mut Decider, ResourceAny) -> Result<T, Abnormal>,
    ) -> Result<T, Abnormal> {
        let (decider, resource) = self.ready(decider, policy)?;
        self.work(Some(decider), |decider| work(decider, resource))
    }

    /// A decider with much in it may fail to compile one more policy where a new one does not.
    fn ready(&self, decider: Option<Decider>, policy: &Arc<Policy>) -> Result<(Decider, ResourceAny), Abnormal> {
        if let Some(mut decider) = decider {
            match decider.policy(policy) {
                Ok(resource) => return Ok((decider, resource)),
                Err(abnormal) if decider.is_fresh() => return Err(abnormal),
                Err(_) => {}
            }
        }
        let mut decider = self.pool.make()?;
        let resource = decider.policy(policy)?;
        Ok((decider, resource))
    }
}

/// Advances the clock that instances look at, until the engine is gone.
pub(crate) fn tick(engine: &Engine) -> Result<(), Error> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let thread = thread::Builder::new().name("edictum-epochs".to_owned()).spawn(ticker);
    thread.map(drop).map_err(|error| Error::Component(format!("no thread can be started: {error}")))
}
