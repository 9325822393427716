//! How the server is: `GET /health` for everybody, `GET /v1/health` for operators.

use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::App;
use super::moment;
use super::problem::Problem;
use super::request::{Caller, answer, ok};

/// `GET /health`: 200 when the file can be read, else 503. It tells nothing else.
pub async fn simple(State(app): State<Arc<App>>) -> Response<Body> {
    let reads = app.database.read(|connection| connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))).await;
    let (status, word) = match reads {
        Ok(_) => (StatusCode::OK, "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    answer(status, json!({ "status": word }).to_string())
}

/// `GET /v1/health`: `degraded` when something in the folder of rulesets is not as it should be.
pub async fn full(State(app): State<Arc<App>>, caller: Caller) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let (events, pending) = app
        .database
        .read(|connection| {
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok((
                count("SELECT count(*) FROM event")?,
                count(&format!(
                    "SELECT count(*) FROM approval WHERE status = 'pending' AND expires_ms > {}",
                    moment::now()
                ))?,
            ))
        })
        .await?;
    let troubles = app.rulesets.troubles.read().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(ok(&json!({
        "status": if troubles.is_empty() { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": app.started.elapsed().as_secs(),
        "time": moment::text(moment::now()),
        "rulesets": app.rulesets.all().len(),
        "troubles": troubles,
        "agents": app.agents.count(),
        "pending_approvals": pending,
        "events": events,
        "public_key": app.rulesets.public_key(),
    })))
}
