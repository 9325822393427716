//! Rulesets: versions that are never changed, and which of them agents get. The current ones are in memory, so that a fetch
//! reads no disk.
//!
//! Every text is checked by the engine before it is published. [`folder`] publishes what lies in a folder, [`endpoints`] what
//! operators send; [`assignment`] says which agent follows which ruleset, [`signing`] signs.

pub mod assignment;
pub mod endpoints;
pub mod folder;
pub mod release;
pub mod signing;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, Row};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::database::Database;
use super::hub::Notice;
use super::problem::Problem;
use super::request::is_identifier;
use super::settings::{MAX_RULESET, Settings};
use super::{App, ServeError, moment};
use crate::bindings::types::{Diagnostic, Document, Severity};
use crate::error::Error;
use crate::host::Host;
use assignment::Assignments;
use release::Release;
use signing::Signer;

/// Environment of what is published for all that have nothing of their own.
pub const ALL: &str = "";

/// Everything about rulesets.
pub struct Rulesets {
    host: Host,
    options: String,
    signer: Option<Signer>,
    /// By name and environment.
    current: RwLock<BTreeMap<(String, String), Arc<Release>>>,
    /// Who is assigned what.
    pub assignments: RwLock<Assignments>,
    /// What is wrong with files of the folder, by file.
    pub troubles: RwLock<BTreeMap<String, Value>>,
    /// One is published at a time.
    publishing: Mutex<()>,
}

/// A ruleset to publish.
pub struct Publication {
    /// The text.
    pub yaml: String,
    /// For agents of this environment, or [`ALL`].
    pub environment: String,
    /// What its name must be; none: whatever it says.
    pub name: Option<String>,
    /// Made elsewhere; none: the server signs, when it can.
    pub signature: Option<[u8; 64]>,
    /// Who publishes it.
    pub by: String,
}

/// What was published.
pub struct Published {
    /// What agents get from now on.
    pub release: Arc<Release>,
    /// False: they had it already.
    pub changed: bool,
    /// Findings that did not prevent it.
    pub warnings: Value,
}

impl Rulesets {
    /// Reads what is stored. What the key of now did not sign is signed again.
    pub async fn open(
        database: &Database,
        host: Host,
        signer: Option<Signer>,
        settings: &Settings,
    ) -> Result<Self, ServeError> {
        let stored = database.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT name, version, revision, yaml, signature, public_key, created_by, environment, deployed_ms
                 FROM deployment JOIN ruleset USING (name, version)",
            )?;
            statement.query_map([], stored)?.collect::<rusqlite::Result<Vec<_>>>()
        });
        let mut current = stored.await.map_err(|error| ServeError::Data(error.0))?;
        if let Some(signer) = &signer {
            for release in &mut current {
                sign_again(database, signer, release).await?;
            }
        }
        let current = current
            .into_iter()
            .map(|release| ((release.name.clone(), release.environment.clone()), Arc::new(release)))
            .collect();
        Ok(Self {
            host,
            options: settings.options.clone(),
            signer,
            current: RwLock::new(current),
            assignments: RwLock::default(),
            troubles: RwLock::default(),
            publishing: Mutex::default(),
        })
    }

    /// What agents of this environment get under this name.
    pub fn current(&self, name: &str, environment: &str) -> Option<Arc<Release>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let find = |environment: &str| current.get(&(name.to_owned(), environment.to_owned())).cloned();
        find(environment).or_else(|| find(ALL))
    }

    /// All that is published, by name and environment.
    pub fn all(&self) -> Vec<Arc<Release>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Everything that agents of this environment can get.
    pub fn of_environment(&self, environment: &str) -> Vec<Arc<Release>> {
        let mut found: BTreeMap<String, Arc<Release>> = BTreeMap::new();
        for release in self.all() {
            if release.environment == environment || release.environment == ALL {
                // What is for all comes first, and gives way.
                found.insert(release.name.clone(), release);
            }
        }
        found.into_values().collect()
    }

    /// The public key, hex, that clients verify rulesets with.
    pub fn public_key(&self) -> Option<String> {
        self.signer.as_ref().map(Signer::public_key)
    }

    fn put(&self, release: Arc<Release>) {
        let key = (release.name.clone(), release.environment.clone());
        self.current.write().unwrap_or_else(PoisonError::into_inner).insert(key, release);
    }

    /// The name of a ruleset that loads, and its warnings.
    async fn check(&self, yaml: &str) -> Result<(String, Value), Problem> {
        #[derive(Deserialize)]
        struct Summary {
            name: String,
        }

        let documents = vec![Document { name: "ruleset".to_owned(), text: yaml.to_owned() }];
        let trouble = |error: Error| Problem::unavailable(format!("the engine does not answer: {}", error.message()));
        let found = self.host.check(documents.clone(), None, &self.options).await.map_err(trouble)?;
        let findings = || Value::from_iter(found.iter().map(finding));
        if let Some(first) = found.iter().find(|finding| finding.severity == Severity::Error) {
            let message = format!("the ruleset does not load: {} (line {})", first.message, first.line);
            return Err(Problem::refused_ruleset(message, findings()));
        }
        let summary = match self.host.describe(documents, None, &self.options).await {
            Ok(summary) => summary,
            Err(Error::Refused(failure)) => return Err(Problem::refused_ruleset(failure.message, findings())),
            Err(error) => return Err(trouble(error)),
        };
        let summary: Summary = serde_json::from_str(&summary)
            .map_err(|error| Problem::unavailable(format!("the engine's answer cannot be read: {error}")))?;
        Ok((summary.name, findings()))
    }
}

/// Checks a ruleset, stores it as a new version, and tells whoever follows it. The text that agents have already changes
/// nothing.
pub async fn publish(app: &Arc<App>, publication: Publication) -> Result<Published, Problem> {
    let Publication { yaml, environment, name: expected, signature, by } = publication;
    if yaml.len() > MAX_RULESET {
        return Err(Problem::too_large(MAX_RULESET));
    }
    let rulesets = &app.rulesets;
    let (name, warnings) = rulesets.check(&yaml).await?;
    let place = || json!(["body", "metadata", "name"]);
    if !is_identifier(&name) {
        let message = "`metadata.name` cannot be the name of a published ruleset: letters, digits, `.`, `_`, `-`";
        return Err(Problem::invalid(place(), message));
    }
    if let Some(expected) = expected
        && expected != name
    {
        let message = format!("the ruleset calls itself `{name}`, and not `{expected}`");
        return Err(Problem::invalid(place(), message));
    }
    let _one_at_a_time = rulesets.publishing.lock().await;
    let revision = hex::encode(Sha256::digest(&yaml));
    let before = {
        let current = rulesets.current.read().unwrap_or_else(PoisonError::into_inner);
        current.get(&(name.clone(), environment.clone())).cloned()
    };
    if let Some(release) = before
        && release.revision == revision
        && (signature.is_none() || signature == release.signature)
    {
        return Ok(Published { release, changed: false, warnings });
    }
    let (signature, public_key) = match (signature, &rulesets.signer) {
        (Some(signature), _) => (Some(signature), None),
        (None, Some(signer)) => (Some(signer.sign(&yaml)), Some(signer.public_key())),
        (None, None) => (None, None),
    };
    let mut release = Release::new(name, 0, revision, yaml, signature, public_key, environment, moment::now(), by);
    let (release, previous) = app
        .database
        .write(move |connection| {
            let latest: Option<i64> = connection
                .prepare_cached("SELECT max(version) FROM ruleset WHERE name = ?1")?
                .query_row([&release.name], |row| row.get(0))?;
            release.version = latest.unwrap_or(0) + 1;
            insert(connection, &release)?;
            Ok((release, latest))
        })
        .await?;
    let release = Arc::new(release);
    tracing::info!(name = release.name, version = release.version, ?previous, "ruleset published");
    rulesets.put(Arc::clone(&release));
    app.hub.tell(Notice::Ruleset(release.name.clone()));
    Ok(Published { release, changed: true, warnings })
}

fn insert(connection: &Connection, release: &Release) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO ruleset VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        &release.name,
        release.version,
        &release.revision,
        &release.yaml,
        release.signature.map(hex::encode),
        &release.public_key,
        release.deployed,
        &release.by,
    ))?;
    connection
        .prepare_cached(
            "INSERT INTO deployment VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name, environment) DO UPDATE SET version = excluded.version, deployed_ms = excluded.deployed_ms",
        )?
        .execute((&release.name, &release.environment, release.version, release.deployed))?;
    Ok(())
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Release> {
    let signature: Option<String> = row.get(4)?;
    let signature = signature.and_then(|text| {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
    });
    Ok(Release::new(
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        signature,
        row.get(5)?,
        row.get(7)?,
        row.get(8)?,
        row.get(6)?,
    ))
}

/// A signature without a key of ours was made elsewhere, and stays.
async fn sign_again(database: &Database, signer: &Signer, release: &mut Release) -> Result<(), ServeError> {
    let key = signer.public_key();
    if release.public_key.as_ref() == Some(&key) || (release.signature.is_some() && release.public_key.is_none()) {
        return Ok(());
    }
    let signature = signer.sign(&release.yaml);
    (release.signature, release.public_key) = (Some(signature), Some(key.clone()));
    let (name, version) = (release.name.clone(), release.version);
    let written = database.write(move |connection| {
        let mut statement = connection
            .prepare("UPDATE ruleset SET signature = ?3, public_key = ?4 WHERE name = ?1 AND version = ?2")?;
        statement.execute((name, version, hex::encode(signature), key))
    });
    written.await.map(drop).map_err(|error| ServeError::Data(error.0))
}

fn finding(finding: &Diagnostic) -> Value {
    json!({
        "severity": match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
        },
        "code": finding.code,
        "message": finding.message,
        "line": finding.line,
        "column": finding.column,
        "help": finding.help,
    })
}
