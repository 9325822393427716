//! One instance of the component that talks to edictum-api: its memory, its deadlines, and the two resources of a lane in it.
//! It does one call at a time, and after any abnormal end it is never used again. Who makes a new one is
//! [`super::lane`].

use std::time::Duration;

use futures_util::future::BoxFuture;
use wasmtime::component::{Linker, Resource, ResourceAny, ResourceTable};
use wasmtime::{Engine, Store, StoreContextMut, Trap, UpdateDeadline};
use wasmtime_wasi::p2::bindings::io::error::Error as IoError;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::{self, LanesPre, api};
use super::http::{self, Gate};
use crate::bindings::decide::Fault;
use crate::component::{self, ComponentSource};
use crate::decider::{Abnormal, Bounds, Limits, TICK};
use crate::error::Error;

/// The component, linked to our client of HTTP and the clock, and to nothing else.
pub(super) fn load(engine: &Engine, source: &ComponentSource) -> Result<LanesPre<State>, Error> {
    let fail = |error: wasmtime::Error| Error::Component(format!("the component is not a guard: {error:#}"));
    let component = component::compile(engine, "guard", source).map_err(component::broken)?;
    let mut linker = Linker::new(engine);
    wasmtime_wasi_http::p2::add_to_linker_async(&mut linker).map_err(fail)?;
    // The one that is there knows no error of a body.
    linker.allow_shadowing(true);
    let error_code = |store: StoreContextMut<'_, State>, (error,): (Resource<IoError>,)| {
        Ok((http::error_code(store.data().table.get(&error)?),))
    };
    let mut types = linker.instance("wasi:http/types@0.2.12").map_err(fail)?;
    types.func_wrap("http-error-code", error_code).map_err(fail)?;
    let instance = linker.instantiate_pre(&component).map_err(fail)?;
    LanesPre::new(instance).map_err(fail)
}

/// What the host keeps for an instance.
pub(super) struct State {
    limits: Limits,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    gate: Gate,
    /// Ticks that have passed inside the component since it last called the host.
    busy: u32,
    most_busy: u32,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.busy = 0;
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.busy = 0;
        WasiHttpCtxView { hooks: &mut self.gate, table: &mut self.table, ctx: &mut self.http }
    }
}

/// An instance, and what a lane has in it.
pub(super) struct Instance {
    store: Store<State>,
    lanes: bindings::Lanes,
    /// The lane's own resource; of the endpoint itself, that.
    resource: ResourceAny,
    deadline: Duration,
}

/// What a call into the component has: its functions, the store, and the lane's resource.
pub(super) struct Inside<'i> {
    pub store: &'i mut Store<State>,
    pub api: &'i api::Guest,
    pub resource: ResourceAny,
}

/// A call into the component.
pub(super) type Work<'i, T> = BoxFuture<'i, wasmtime::Result<T>>;

/// What a lane makes of an endpoint in an instance, and tells it of the one before.
pub(super) trait Opens: Send + Sync + 'static {
    /// The lane's resource.
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, api::Failure>>;
}

impl Instance {
    /// Makes one, with what `opens` makes in it of an endpoint. The inner error is the options', the outer one the instance's.
    /// `deadline`: for all of a call, requests and their waiting included.
    pub async fn new(
        component: &LanesPre<State>,
        bounds: Bounds,
        gate: Gate,
        deadline: Duration,
        (options, api_key): (String, &str),
        opens: &impl Opens,
    ) -> Result<Result<Self, api::Failure>, Abnormal> {
        let most_busy = u32::try_from(bounds.step.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX);
        let state = State {
            limits: Limits::new(bounds.memory),
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            gate,
            busy: 0,
            most_busy,
        };
        let mut store = Store::new(component.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.epoch_deadline_callback(tick);
        store.set_epoch_deadline(1);
        let lanes = component.instantiate_async(&mut store).await;
        let lanes = lanes.map_err(|error| Abnormal::host(format!("no instance can be made: {error:#}")))?;
        let endpoint = run(&mut store, deadline, async |store| {
            lanes.edictum_server_api().endpoint().call_open(store, &options, api_key).await
        })
        .await?;
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(failure) => return Ok(Err(failure)),
        };
        let resource = run(&mut store, deadline, async |store| {
            opens.open(Inside { store, api: lanes.edictum_server_api(), resource: endpoint }).await
        })
        .await?;
        Ok(resource.map(|resource| Self { store, lanes, resource, deadline }))
    }

    /// One call. After an error the instance must not be used again.
    pub async fn call<T>(&mut self, work: impl for<'i> FnOnce(Inside<'i>) -> Work<'i, T>) -> Result<T, Abnormal> {
        let (lanes, resource) = (&self.lanes, self.resource);
        run(&mut self.store, self.deadline, async |store| {
            work(Inside { store, api: lanes.edictum_server_api(), resource }).await
        })
        .await
    }
}

/// Every entry into the instance goes through here.
async fn run<T>(
    store: &mut Store<State>,
    deadline: Duration,
    work: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, Abnormal> {
    store.data_mut().limits.begin();
    store.data_mut().busy = 0;
    let Ok(result) = tokio::time::timeout(deadline, work(store)).await else {
        return Err(Abnormal { fault: Fault::Deadline, reason: "a call of edictum-api takes too long".to_owned() });
    };
    result.map_err(|error| {
        let fault = match error.downcast_ref::<Trap>() {
            _ if store.data().limits.refused() => Fault::OutOfMemory,
            Some(Trap::Interrupt) => Fault::Deadline,
            _ => Fault::Trap,
        };
        Abnormal { fault, reason: format!("{error:#}") }
    })
}

/// Between two ticks the component lets others go on; one that only computes for too long is ended.
fn tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    state.busy += 1;
    if state.busy > state.most_busy {
        return Err(Trap::Interrupt.into());
    }
    Ok(UpdateDeadline::Yield(1))
}
