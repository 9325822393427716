//! What agents and operators ask about rulesets.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `GET /v1/rulesets/{name}/current` | agents | the version they are to use |
//! | `GET /v1/rulesets` | operators | what is published, and what is wrong in the folder |
//! | `PUT /v1/rulesets/{name}` | operators | publishes: `{"yaml", "env"?, "signature"?}`, or the YAML itself |
//! | `POST /v1/rulesets` | operators | the same, under the name that the ruleset gives itself |
//! | `GET /v1/rulesets/{name}/versions` | operators | all versions, the latest first |
//! | `GET /v1/rulesets/{name}/versions/{version}` | operators | one of them, with its text |

use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rusqlite::OptionalExtension as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::release::Release;
use super::{ALL, Publication, publish};
use crate::serve::App;
use crate::serve::moment;
use crate::serve::problem::Problem;
use crate::serve::rate::Class;
use crate::serve::request::{Caller, Part, Query, answer, body, is_identifier, ok, read};
use crate::serve::settings::{Dialect, MAX_PAGE, MAX_RULESET_BODY};

/// `GET …/{name}/current`
pub async fn current(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(name): Part,
    query: Query,
) -> Result<Response<Body>, Problem> {
    if dialect == Dialect::Console && query.get("env").is_none() {
        return Err(Problem::invalid(json!(["query", "env"]), "field required"));
    }
    let environment = caller.environment(query.get("env"))?;
    app.rates.take(Class::Rulesets, &caller.key.prefix)?;
    let missing = || Problem::not_found(format!("no ruleset of this name is published for `{environment}`"));
    let release = app.rulesets.current(&name, &environment).ok_or_else(missing)?;
    Ok(ok(&release.document(dialect, &environment)))
}

/// `GET /v1/rulesets`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let rulesets: Vec<Value> = app.rulesets.all().iter().map(|release| Value::Object(summary(release))).collect();
    let troubles = app.rulesets.troubles.read().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(ok(&json!({ "rulesets": rulesets, "troubles": troubles, "public_key": app.rulesets.public_key() })))
}

fn summary(release: &Release) -> Map<String, Value> {
    let mut members = release.summary();
    let environment = Some(&release.environment).filter(|environment| *environment != ALL);
    members.insert("environment".to_owned(), environment.cloned().into());
    members.insert("signed".to_owned(), release.signature.is_some().into());
    members.insert("published_by".to_owned(), release.by.as_str().into());
    members
}

#[derive(Deserialize)]
struct Push {
    #[serde(alias = "yaml_content")]
    yaml: Option<String>,
    yaml_bytes: Option<String>,
    env: Option<String>,
    signature: Option<String>,
}

/// `PUT /v1/rulesets/{name}`
pub async fn push(
    State(app): State<Arc<App>>,
    caller: Caller,
    Part(name): Part,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    publish_request(&app, &caller, Some(name), &query, request).await
}

/// `POST /v1/rulesets`
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    publish_request(&app, &caller, None, &query, request).await
}

async fn publish_request(
    app: &Arc<App>,
    caller: &Caller,
    name: Option<String>,
    query: &Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"application/json"));
    let bytes = body(request, MAX_RULESET_BODY).await?;
    let push = if is_json { read(&bytes)? } else { plain(&bytes, query)? };
    let environment = push.env.unwrap_or_else(|| ALL.to_owned());
    if environment != ALL && !is_identifier(&environment) {
        return Err(Problem::invalid(json!(["body", "env"]), "not the name of an environment"));
    }
    let wrong = |name: &str, message: &str| Problem::invalid(json!(["body", name]), message);
    let decoded = match &push.yaml_bytes {
        None => None,
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| wrong("yaml_bytes", "not base64"))?;
            Some(String::from_utf8(bytes).map_err(|_| wrong("yaml_bytes", "not UTF-8"))?)
        }
    };
    let yaml = match (push.yaml, decoded) {
        (Some(yaml), Some(bytes)) if yaml != bytes => {
            return Err(wrong("yaml_bytes", "`yaml` and `yaml_bytes` are not the same text"));
        }
        (Some(yaml), _) | (None, Some(yaml)) => yaml,
        (None, None) => return Err(wrong("yaml", "field required")),
    };
    let malformed = || wrong("signature", "not 64 bytes of base64 or hex");
    let signature = push.signature.map(|text| signature(&text).ok_or_else(malformed)).transpose()?;
    let by = caller.key.name.clone();
    let published = publish(app, Publication { yaml, environment, name, signature, by }).await?;
    let mut members = summary(&published.release);
    members.insert("changed".to_owned(), published.changed.into());
    members.insert("diagnostics".to_owned(), published.warnings);
    let status = if published.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, Value::Object(members).to_string()))
}

/// The body is the ruleset.
fn plain(bytes: &[u8], query: &Query) -> Result<Push, Problem> {
    let yaml = std::str::from_utf8(bytes).map_err(|_| Problem::invalid(json!(["body"]), "not UTF-8"))?;
    Ok(Push {
        yaml: Some(yaml.to_owned()),
        yaml_bytes: None,
        env: query.get("env").map(ToOwned::to_owned),
        signature: query.get("signature").map(ToOwned::to_owned),
    })
}

/// As clients take it: base64 of either alphabet, padded or not, or hex.
fn signature(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if text.len() == 128 {
        return hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes);
    }
    let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(plain).ok()?.try_into().ok()
}

/// `GET /v1/rulesets/{name}/versions`
pub async fn versions(
    State(app): State<Arc<App>>,
    caller: Caller,
    Part(name): Part,
    query: Query,
) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let limit = query.limit(100, MAX_PAGE)?;
    let versions = app.database.read(move |connection| {
        let mut statement = connection.prepare_cached(
            "SELECT version, revision, created_ms, created_by, signature IS NOT NULL FROM ruleset
             WHERE name = ?1 ORDER BY version DESC LIMIT ?2",
        )?;
        let rows = statement.query_map((name, limit), |row| {
            Ok(json!({
                "version": row.get::<_, i64>(0)?,
                "revision_hash": row.get::<_, String>(1)?,
                "created_at": moment::text(row.get(2)?),
                "published_by": row.get::<_, String>(3)?,
                "signed": row.get::<_, bool>(4)?,
            }))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    match versions.await? {
        versions if versions.is_empty() => Err(Problem::not_found("no ruleset of this name was ever published")),
        versions => Ok(ok(&json!({ "versions": versions }))),
    }
}

/// `GET /v1/rulesets/{name}/versions/{version}`
pub async fn version(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let missing = || Problem::not_found("this version was never published");
    let Path((name, version)) = path;
    let number: i64 = version.parse().map_err(|_| missing())?;
    let found = app.database.read(move |connection| {
        let mut statement = connection.prepare_cached(
            "SELECT revision, yaml, signature, created_ms, created_by FROM ruleset WHERE name = ?1 AND version = ?2",
        )?;
        let row = statement.query_row((&name, number), |row| {
            Ok(json!({
                "name": name,
                "version": number,
                "revision_hash": row.get::<_, String>(0)?,
                "yaml": row.get::<_, String>(1)?,
                "signature_hex": row.get::<_, Option<String>>(2)?,
                "created_at": moment::text(row.get(3)?),
                "published_by": row.get::<_, String>(4)?,
            }))
        });
        row.optional()
    });
    found.await?.map(|found| ok(&found)).ok_or_else(missing)
}
