//! Which path is whose. Agents' paths are spoken in a dialect; operators' paths have one form, below `/v1`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Extension;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response};
use axum::middleware::map_response;
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};

use super::problem::Problem;
use super::settings::Dialect;
use super::{App, agents, approvals, events, health, keys, page, rulesets, sessions, stream};
use rulesets::endpoints;

/// All of them.
pub fn routes(app: &Arc<App>) -> Router {
    let paths = match app.settings.dialect {
        Dialect::Superset => Router::new()
            .nest("/v1", operators().merge(agents_of(Dialect::Superset)))
            .nest("/api/v1", agents_of(Dialect::Console)),
        Dialect::Canonical => Router::new().nest("/v1", operators().merge(agents_of(Dialect::Canonical))),
        Dialect::Console => {
            // Of the paths below `/v1` only those that operators use.
            let stream = Router::new()
                .route("/stream", get(stream::open))
                .layer(middleware::from_extractor_with_state::<Operator, _>(Arc::clone(app)))
                .layer(Extension(Dialect::Superset));
            Router::new().nest("/v1", operators().merge(stream)).nest("/api/v1", agents_of(Dialect::Console))
        }
    };
    paths
        .route("/health", get(health::simple))
        .route("/", get(page::index))
        .route("/page.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/favicon.svg", get(page::icon))
        .fallback(async || Problem::not_found("there is nothing under this path"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(map_response(finish))
        .with_state(Arc::clone(app))
}

/// What agents use.
fn agents_of(dialect: Dialect) -> Router<Arc<App>> {
    let (rulesets, approval) = match dialect {
        Dialect::Console => ("/bundles/{name}/current", get(approvals::get).put(approvals::decide)),
        Dialect::Superset | Dialect::Canonical => ("/rulesets/{name}/current", get(approvals::get)),
    };
    Router::new()
        .route(rulesets, get(endpoints::current))
        .route("/stream", get(stream::open))
        .route("/sessions/batch", post(sessions::batch))
        .route("/sessions/{key}", get(sessions::get).put(sessions::set).delete(sessions::delete))
        .route("/sessions/{key}/increment", post(sessions::increment))
        .route("/approvals", post(approvals::create))
        .route("/approvals/{id}", approval)
        .route("/events", post(events::ingest))
        .layer(Extension(dialect))
}

/// What operators use.
fn operators() -> Router<Arc<App>> {
    Router::new()
        .route("/rulesets", get(endpoints::list).post(endpoints::post))
        .route("/rulesets/{name}", put(endpoints::push))
        .route("/rulesets/{name}/versions", get(endpoints::versions))
        .route("/rulesets/{name}/versions/{version}", get(endpoints::version))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}/decide", post(approvals::decide))
        .route("/events", get(events::list))
        .route("/events/stream", get(events::live))
        .route("/agents", get(agents::list))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/health", get(health::full))
        .layer(Extension(Dialect::Superset))
}

/// Lets operators through.
struct Operator;

impl axum::extract::FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = super::request::Caller::from_request_parts(parts, app).await?;
        caller.operator().map(|()| Self)
    }
}

/// What every answer has: a number to speak of it, and nothing that anybody may keep.
async fn finish(mut response: Response<Body>) -> Response<Body> {
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
