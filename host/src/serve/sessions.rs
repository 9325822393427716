//! Counters and workflow state that agents of one environment share. Values are texts; a counter is a text that reads as a
//! number. Each write gives the value a `version`, which no other value of the file ever had (0: nothing is there): who
//! writes with `If-Match` writes only over what it has read.
//!
//! | method and path | request | answer |
//! |---|---|---|
//! | `GET /v1/sessions/{key}` | | `{"value", "version"}`, or 404 with `version` |
//! | `PUT /v1/sessions/{key}` | `{"value"}`, `If-Match: "VERSION"`? | `{"value", "version"}`, or 412 with those that are there |
//! | `DELETE /v1/sessions/{key}` | | `{"value": null}` |
//! | `POST /v1/sessions/{key}/increment` | `{"amount"?}` | `{"value", "version"}`: the new total |
//! | `POST /v1/sessions/batch` | `{"keys"}` | `{"values", "versions"}`, `null` and 0 for what is not there |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, Response};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::App;
use super::moment::{self, Moment};
use super::problem::Problem;
use super::rate::Class;
use super::request::{Caller, Part, Query, json_body, ok, reference};
use super::settings::{Dialect, MAX_BATCH, MAX_BODY, MAX_KEY, MAX_SESSION_BODY, MAX_VALUE, REMEMBER_REQUESTS};

/// The version of a key without a value.
const MISSING: i64 = 0;

/// Where a value is.
struct Place {
    environment: String,
    key: String,
}

fn place(app: &App, dialect: Dialect, caller: &Caller, query: &Query, key: String) -> Result<Place, Problem> {
    app.rates.take(Class::Sessions, &caller.key.prefix)?;
    check_key(dialect, &key, || json!(["path", "key"]))?;
    Ok(Place { environment: caller.environment(query.get("env"))?, key })
}

fn check_key(dialect: Dialect, key: &str, at: impl Fn() -> Value) -> Result<(), Problem> {
    if key.is_empty() || key.len() > MAX_KEY || key == "." || key == ".." || key.chars().any(char::is_control) {
        return Err(Problem::invalid(at(), format!("not a key of 1 to {MAX_KEY} bytes without control characters")));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if dialect == Dialect::Console && !key.bytes().all(plain) {
        return Err(Problem::invalid(at(), "a key has letters, digits and `_-.:/` only"));
    }
    Ok(())
}

fn expiry(now: Moment, ttl: Duration) -> Moment {
    now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

/// `value` and, where the dialect has it, `version`.
fn answer(dialect: Dialect, value: Value, version: Option<i64>) -> Response<Body> {
    let mut members = Map::from_iter([("value".to_owned(), value)]);
    if dialect == Dialect::Superset
        && let Some(version) = version
    {
        members.insert("version".to_owned(), version.into());
    }
    ok(&Value::Object(members))
}

/// A value that has not expired, with its version.
fn find(connection: &Connection, place: &Place, now: Moment) -> rusqlite::Result<Option<(String, i64)>> {
    connection
        .prepare_cached(
            "SELECT value, version FROM session_value WHERE environment = ?1 AND key = ?2 AND expires_ms > ?3",
        )?
        .query_row((&place.environment, &place.key, now), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn put(connection: &Connection, place: &Place, value: &str, expires: Moment) -> rusqlite::Result<i64> {
    let version = connection
        .prepare_cached("UPDATE sequence SET last = last + 1 WHERE name = 'session_version' RETURNING last")?
        .query_row([], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT INTO session_value VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (environment, key)
             DO UPDATE SET value = excluded.value, version = excluded.version, expires_ms = excluded.expires_ms",
        )?
        .execute((&place.environment, &place.key, value, version, expires))?;
    Ok(version)
}

/// `GET /v1/sessions/{key}`
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(key): Part,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let place = place(&app, dialect, &caller, &query, key)?;
    let found = app.database.read(move |connection| find(connection, &place, moment::now())).await?;
    let (value, version) = found.ok_or_else(|| missing(dialect))?;
    Ok(answer(dialect, value.into(), Some(version)))
}

fn missing(dialect: Dialect) -> Problem {
    let missing = Problem::not_found("no value is kept under this key");
    if dialect == Dialect::Superset { missing.with("version", MISSING) } else { missing }
}

#[derive(Deserialize)]
struct Put {
    value: String,
}

/// What `If-Match` names: one version, as this server gives them.
fn expected_version(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(given) = headers.get(IF_MATCH) else { return Ok(None) };
    let version = given.to_str().ok().and_then(|given| given.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    let wrong = || Problem::invalid(json!(["header", "if-match"]), "not a version of this server in quotes");
    version.map(Some).ok_or_else(wrong)
}

/// `PUT /v1/sessions/{key}`
pub async fn set(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(key): Part,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let place = place(&app, dialect, &caller, &query, key)?;
    let expected = expected_version(request.headers())?;
    let Put { value } = json_body(request, MAX_SESSION_BODY).await?;
    if value.chars().nth(MAX_VALUE).is_some() {
        return Err(Problem::invalid(json!(["body", "value"]), format!("longer than {MAX_VALUE} characters")));
    }
    let ttl = app.settings.session_ttl;
    let written = app.database.write(move |connection| {
        let now = moment::now();
        if let Some(expected) = expected {
            let (value, version) = find(connection, &place, now)?.unzip();
            let version = version.unwrap_or(MISSING);
            if version != expected {
                return Ok(Err((value, version)));
            }
        }
        put(connection, &place, &value, expiry(now, ttl)).map(|version| Ok((value, version)))
    });
    match written.await? {
        Ok((value, version)) => Ok(answer(dialect, value.into(), Some(version))),
        Err((value, version)) => {
            let changed = Problem::precondition_failed("another value is there by now");
            Err(changed.with("value", value).with("version", version))
        }
    }
}

/// `DELETE /v1/sessions/{key}`. What is not there need not be removed.
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(key): Part,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let place = place(&app, dialect, &caller, &query, key)?;
    let deleted = app.database.write(move |connection| {
        let mut statement =
            connection.prepare_cached("DELETE FROM session_value WHERE environment = ?1 AND key = ?2")?;
        statement.execute((place.environment, place.key))
    });
    deleted.await?;
    Ok(answer(dialect, Value::Null, None))
}

#[derive(Deserialize)]
struct Increment {
    amount: Option<Number>,
}

/// `POST /v1/sessions/{key}/increment`
pub async fn increment(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    Part(key): Part,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let place = place(&app, dialect, &caller, &query, key)?;
    let reference = reference(request.headers())?;
    let Increment { amount } = json_body(request, MAX_BODY).await?;
    let amount = amount.unwrap_or_else(|| 1.into());
    let ttl = app.settings.session_ttl;
    // A key of its own for each counter: who uses one `Idempotency-Key` twice by mistake loses nothing.
    let scope = format!("increment {} {} {}", caller.key.prefix, place.environment, place.key);
    let counted = app.database.write(move |connection| {
        let now = moment::now();
        if let Some(reference) = &reference
            && let Some(answer) = answered(connection, &scope, reference)?
        {
            return Ok(serde_json::from_str(&answer).map_err(|_| "the first answer is damaged"));
        }
        let before = find(connection, &place, now)?.map_or_else(|| "0".to_owned(), |(value, _)| value);
        let Some(total) = sum(&before, &amount) else { return Ok(Err("not a number that can be counted up")) };
        let version = put(connection, &place, &total.to_string(), expiry(now, ttl))?;
        let counted = (total, version);
        if let Some(reference) = &reference {
            let text = serde_json::to_string(&counted).unwrap_or_default();
            remember(connection, &scope, reference, &text, now)?;
        }
        Ok(Ok(counted))
    });
    let (total, version) = counted.await?.map_err(Problem::conflict)?;
    Ok(answer(dialect, Value::Number(total), Some(version)))
}

/// Whole numbers stay exact. None: not a number, or beyond what a number can hold.
fn sum(before: &str, amount: &Number) -> Option<Number> {
    if let (Ok(before), Some(amount)) = (before.parse::<i64>(), amount.as_i64()) {
        return before.checked_add(amount).map(Number::from);
    }
    let before: f64 = before.parse().ok().filter(|number: &f64| number.is_finite())?;
    let total = before + amount.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number that a float holds exactly")]
    if total.fract() == 0.0 && total.abs() < 9_007_199_254_740_992.0 {
        return Some((total as i64).into());
    }
    Number::from_f64(total)
}

#[derive(Deserialize)]
struct Batch {
    keys: Vec<String>,
}

/// `POST /v1/sessions/batch`
pub async fn batch(
    State(app): State<Arc<App>>,
    Extension(dialect): Extension<Dialect>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response<Body>, Problem> {
    app.rates.take(Class::Sessions, &caller.key.prefix)?;
    let environment = caller.environment(query.get("env"))?;
    let Batch { keys } = json_body(request, MAX_BODY).await?;
    if keys.len() > MAX_BATCH {
        return Err(Problem::invalid(json!(["body", "keys"]), format!("more than {MAX_BATCH} keys")));
    }
    for (index, key) in keys.iter().enumerate() {
        check_key(dialect, key, || json!(["body", "keys", index]))?;
    }
    // One transaction: all of them as they were at one moment.
    let found = app.database.read(move |connection| {
        let (now, transaction) = (moment::now(), connection.unchecked_transaction()?);
        let find = |key: String| {
            let place = Place { environment: environment.clone(), key };
            let found = find(&transaction, &place, now)?;
            Ok((place.key, found))
        };
        keys.into_iter().map(find).collect::<rusqlite::Result<BTreeMap<_, _>>>()
    });
    let (mut values, mut versions) = (Map::new(), Map::new());
    for (key, found) in found.await? {
        let (value, version) = found.unzip();
        values.insert(key.clone(), value.into());
        versions.insert(key, version.unwrap_or(MISSING).into());
    }
    let mut members = Map::from_iter([("values".to_owned(), Value::Object(values))]);
    if dialect == Dialect::Superset {
        members.insert("versions".to_owned(), Value::Object(versions));
    }
    Ok(ok(&Value::Object(members)))
}

/// The answer that a request with this `Idempotency-Key` got.
pub fn answered(connection: &Connection, scope: &str, reference: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT answer FROM answered WHERE scope = ?1 AND reference = ?2")?
        .query_row([scope, reference], |row| row.get(0))
        .optional()
}

/// Keeps an answer for the next request with this `Idempotency-Key`.
pub fn remember(
    connection: &Connection,
    scope: &str,
    reference: &str,
    answer: &str,
    now: Moment,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO answered VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?;
    statement.execute((scope, reference, answer, expiry(now, REMEMBER_REQUESTS))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_is_exact_where_it_can_be_and_refused_where_it_cannot() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        for (before, amount, total) in [
            ("0", "1", Some("1")),
            ("9007199254740993", "1", Some("9007199254740994")),
            ("0.5", "0.25", Some("0.75")),
            ("2.5", "0.5", Some("3")),
            ("3", "-4", Some("-1")),
            ("1e3", "1", Some("1001")),
            ("9223372036854775807", "1", None),
            ("1e308", "1e308", None),
            ("inf", "1", None),
            ("NaN", "1", None),
            ("", "1", None),
            ("{}", "1", None),
        ] {
            assert_eq!(sum(before, &number(amount)).map(|total| total.to_string()).as_deref(), total, "{before}");
        }
    }

    #[test]
    fn keys_of_the_retired_console_are_narrower() {
        let check = |dialect, key: &str| check_key(dialect, key, || Value::Null).is_ok();
        for key in ["s:a:attempts", "s:ü?b#c/%:x", &"x".repeat(MAX_KEY)] {
            assert!(check(Dialect::Superset, key), "{key}");
        }
        for key in ["", ".", "..", "a\n", "a\u{85}", &"x".repeat(MAX_KEY + 1)] {
            assert!(!check(Dialect::Superset, key), "{key:?}");
        }
        assert!(check(Dialect::Console, "s:a/b_c-d.e:attempts") && !check(Dialect::Console, "s:ü:attempts"));
    }
}
