//! Bearer keys: an agent's belongs to an environment, an operator's to a person. Kept as SHA-256 of a salt and the key; the
//! key itself is shown once, when it is made.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::{body::Body, response::IntoResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::OptionalExtension as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::database::Database;
use super::problem::Problem;
use super::request::{Caller, Part, answer, is_identifier, json_body, ok};
use super::settings::{GivenKey, MAX_BODY, Role, Settings};
use super::{App, ServeError, moment};

type Hash = [u8; 32];

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it may do.
    pub role: Role,
    /// The environment of an agent's key, the name of an operator.
    pub name: String,
    /// What the key is called without giving it away.
    pub prefix: String,
    hash: Hash,
}

/// A key that was just made.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewKey {
    /// What it may do.
    pub role: Role,
    /// The environment of an agent's key, the name of an operator.
    pub name: String,
    /// The key. Nobody can tell it again.
    pub secret: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}

/// All keys that are good now.
pub struct Keys {
    salt: Hash,
    known: RwLock<HashMap<Hash, Arc<Identity>>>,
}

impl Keys {
    /// Those that are stored, and those that were given.
    pub async fn open(database: &Database, settings: &Settings) -> Result<Self, ServeError> {
        let fresh = hex::encode(random()?);
        let stored = database.write(move |connection| {
            connection.execute("INSERT INTO meta VALUES ('salt', ?1) ON CONFLICT DO NOTHING", [&fresh])?;
            let salt = connection.query_row("SELECT value FROM meta WHERE name = 'salt'", [], |row| row.get(0))?;
            let mut statement = connection.prepare("SELECT role, name, prefix, hash FROM api_key")?;
            let rows = statement.query_map([], |row| {
                let role = role(&row.get::<_, String>(0)?);
                Ok(Identity { role, name: row.get(1)?, prefix: row.get(2)?, hash: row.get(3)? })
            })?;
            Ok((salt, rows.collect::<rusqlite::Result<Vec<_>>>()?))
        });
        let (salt, stored): (String, _) = stored.await.map_err(|error| ServeError::Data(error.0))?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&salt, &mut bytes).map_err(|_| ServeError::Data("the salt is damaged".to_owned()))?;
        let keys = Self { salt: bytes, known: RwLock::default() };
        for identity in stored {
            keys.learn(identity);
        }
        for (number, given) in settings.keys.iter().enumerate() {
            check(given)?;
            let prefix = format!("given-{}", number + 1);
            keys.learn(Identity { role: given.role, name: given.name.clone(), prefix, hash: keys.hash(&given.secret) });
        }
        Ok(keys)
    }

    /// Makes a key of each kind that nobody has.
    pub async fn create_missing(&self, database: &Database) -> Result<Vec<NewKey>, ServeError> {
        let mut created = Vec::new();
        for (role, name) in [(Role::Agent, "production"), (Role::Operator, "operator")] {
            let there = self.all().iter().any(|identity| identity.role == role);
            if !there {
                let made = self.create(database, role, name).await;
                created.push(made.map_err(|problem| ServeError::Data(problem.message().to_owned()))?.1);
            }
        }
        Ok(created)
    }

    /// Whose this key is.
    pub fn identify(&self, secret: &str) -> Option<Arc<Identity>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&self.hash(secret)).cloned()
    }

    /// Whether it is still good.
    pub fn knows(&self, identity: &Identity) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(&identity.hash)
    }

    async fn create(&self, database: &Database, role: Role, name: &str) -> Result<(i64, NewKey), Problem> {
        let bytes = random().map_err(|error| Problem::unavailable(error.to_string()))?;
        let random = URL_SAFE_NO_PAD.encode(bytes);
        let kind = match role {
            Role::Agent => "edk",
            Role::Operator => "edo",
        };
        let prefix = format!("{kind}_{name}_{}", random.get(..8).unwrap_or_default());
        let secret = format!("{kind}_{name}_{random}");
        let identity = Identity { role, name: name.to_owned(), prefix, hash: self.hash(&secret) };
        let row = identity.clone();
        let id = database.write(move |connection| {
            connection.execute(
                "INSERT INTO api_key (role, name, prefix, hash, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                (word(row.role), row.name, row.prefix, row.hash, moment::now()),
            )?;
            Ok(connection.last_insert_rowid())
        });
        let id = id.await?;
        self.learn(identity);
        Ok((id, NewKey { role, name: name.to_owned(), secret }))
    }

    fn learn(&self, identity: Identity) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(identity.hash, Arc::new(identity));
    }

    fn forget(&self, hash: Hash) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
    }

    fn all(&self) -> Vec<Arc<Identity>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn hash(&self, secret: &str) -> Hash {
        Sha256::new().chain_update(self.salt).chain_update(secret).finalize().into()
    }
}

fn check(given: &GivenKey) -> Result<(), ServeError> {
    if !is_identifier(&given.name) {
        return Err(ServeError::Key(format!("`{}` cannot be the name of an environment or operator", given.name)));
    }
    if given.secret.is_empty() || given.secret.len() > 512 || !given.secret.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let message = format!("the key for `{}` is not 1 to 512 visible ASCII characters", given.name);
        return Err(ServeError::Key(message));
    }
    Ok(())
}

fn random() -> Result<Hash, ServeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| ServeError::Key(format!("there is no randomness: {error}")))?;
    Ok(bytes)
}

fn role(word: &str) -> Role {
    if word == "operator" { Role::Operator } else { Role::Agent }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Agent => "agent",
        Role::Operator => "operator",
    }
}

/// `GET /v1/keys`: those that are stored.
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let keys = app.database.read(|connection| {
        let mut statement = connection.prepare("SELECT id, role, name, prefix, created_ms FROM api_key ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(json!({
                "id": row.get::<_, i64>(0)?,
                "role": row.get::<_, String>(1)?,
                "name": row.get::<_, String>(2)?,
                "prefix": row.get::<_, String>(3)?,
                "created_at": moment::text(row.get(4)?),
            }))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    Ok(ok(&json!({ "keys": keys.await? })))
}

#[derive(Deserialize)]
struct Wanted {
    role: String,
    name: String,
}

/// `POST /v1/keys` with `role` (`agent`, `operator`) and `name` (environment or operator): makes a key, and tells it.
pub async fn create(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let wanted: Wanted = json_body(request, MAX_BODY).await?;
    if !is_identifier(&wanted.name) {
        return Err(Problem::invalid(json!(["body", "name"]), "not the name of an environment or operator"));
    }
    if !["agent", "operator"].contains(&wanted.role.as_str()) {
        return Err(Problem::invalid(json!(["body", "role"]), "must be `agent` or `operator`"));
    }
    let (id, key) = app.keys.create(&app.database, role(&wanted.role), &wanted.name).await?;
    let body: Value = json!({ "id": id, "role": wanted.role, "name": key.name, "key": key.secret });
    Ok(answer(StatusCode::CREATED, body.to_string()))
}

/// `DELETE /v1/keys/{id}`: from now on nobody may use it, and its streams end at their next sign of life.
pub async fn revoke(State(app): State<Arc<App>>, caller: Caller, Part(id): Part) -> Result<Response<Body>, Problem> {
    caller.operator()?;
    let missing = || Problem::not_found("there is no such key");
    let number: i64 = id.parse().map_err(|_| missing())?;
    let hash = app.database.write(move |connection| {
        let mut statement = connection.prepare("DELETE FROM api_key WHERE id = ?1 RETURNING hash")?;
        statement.query_row([number], |row| row.get::<_, Hash>(0)).optional()
    });
    app.keys.forget(hash.await?.ok_or_else(missing)?);
    Ok(StatusCode::NO_CONTENT.into_response())
}
