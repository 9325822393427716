//! A policy as the host keeps it: the texts it is made of, what its sandbox boundaries were when it was loaded, and what
//! the engine says about it. Each decider compiles it for itself, from the same texts and the same answers; guards with
//! equal texts share one.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use wasmtime::component::ResourceAny;

use crate::bindings::decide::{Answer, Link, Question};
use crate::bindings::types::Document;
use crate::decider::Abnormal;

/// SHA-256 over everything that makes a policy what it is.
pub(crate) type PolicyId = [u8; 32];

/// The texts.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub rulesets: Vec<Document>,
    pub workflow: Option<Document>,
    /// An options document, as its canonical JSON.
    pub options: String,
}

impl Source {
    /// Equal for equal texts.
    pub fn key(&self) -> PolicyId {
        let mut hash = Sha256::new();
        let documents = self.rulesets.iter().chain(&self.workflow);
        hash.update(self.rulesets.len().to_le_bytes());
        for text in documents.flat_map(|document| [&document.name, &document.text]).chain([&self.options]) {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

/// A policy that guards use.
#[derive(Debug)]
pub(crate) struct Policy {
    pub id: PolicyId,
    pub source: Source,
    pub links: Vec<Batch>,
    pub revision: String,
    /// As the engine gave it.
    pub summary: String,
    /// Names of the variables that its `env.*` selectors name.
    pub env: Vec<String>,
    pub needs: Needs,
    pub settings: Settings,
}

/// The policy in force, shared by guards that always have the same.
#[derive(Debug)]
pub(crate) struct PolicyCell(RwLock<Arc<Policy>>);

impl PolicyCell {
    pub fn new(policy: Arc<Policy>) -> Self {
        Self(RwLock::new(policy))
    }

    pub fn get(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, policy: Arc<Policy>) {
        drop(std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), policy));
    }
}

/// Questions that a policy may ask: `true`, or the names it may ask about.
pub(crate) type Needs = Map<String, Value>;

/// What a decider has compiled.
pub(crate) struct Prepared {
    pub resource: ResourceAny,
    pub revision: String,
    pub summary: String,
}

impl Policy {
    /// `prepared` is what `source` became with `links`.
    pub fn new(source: Source, links: Vec<Batch>, prepared: &Prepared) -> Result<Self, Abnormal> {
        let summary: Summary = serde_json::from_str(&prepared.summary)
            .map_err(|error| Abnormal::host(format!("the summary of a policy cannot be read: {error}")))?;
        let mut hash = Sha256::new();
        hash.update(source.key());
        for (path, link) in links.iter().flat_map(|batch| batch.paths.iter().zip(&batch.links)) {
            hash.update(path.len().to_le_bytes());
            hash.update(path);
            hash.update(format!("{link:?}"));
        }
        Ok(Self {
            id: hash.finalize().into(),
            source,
            links,
            revision: prepared.revision.clone(),
            summary: prepared.summary.clone(),
            env: summary.env,
            needs: summary.needs,
            settings: summary.options,
        })
    }
}

/// What the host reads of a summary.
#[derive(Deserialize)]
struct Summary {
    needs: Needs,
    env: Vec<String>,
    options: Settings,
}

/// The host's own switches among the options, with their defaults.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Settings {
    session_ttl: Option<u64>,
    open_call_ttl: Option<u64>,
    decision_log_required: Option<bool>,
    durable: Option<bool>,
    /// Bound of the outbox in bytes, where the options give one.
    pub outbox_max_bytes: Option<u64>,
    /// Where commands run.
    pub cwd: Option<String>,
}

const DAY_MS: u64 = 86_400_000;

impl Settings {
    /// Milliseconds after which an idle session is forgotten.
    pub fn session_ttl_ms(&self) -> u64 {
        self.session_ttl.map_or(7 * DAY_MS, |seconds| seconds.saturating_mul(1_000))
    }

    /// Milliseconds after which an allowed call that nobody finished is closed.
    pub fn open_call_ttl_ms(&self) -> u64 {
        self.open_call_ttl.map_or(3_600_000, |seconds| seconds.saturating_mul(1_000))
    }

    pub fn decision_log_required(&self) -> bool {
        self.decision_log_required.unwrap_or(false)
    }

    /// Whether answers wait until their events are on the disk.
    pub fn durable(&self) -> bool {
        self.durable.unwrap_or(false)
    }
}

/// Paths that were asked together while a policy was compiled, and what they were.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub paths: Vec<String>,
    pub links: Vec<Link>,
}

/// Looks paths up; the error says why it could not be done at all.
pub(crate) type LinkReader<'r> = dyn Fn(Vec<String>) -> Result<Vec<Link>, String> + 'r;

/// Answers for a preparation: read from the file system the first time, and the same ones every further time.
pub(crate) enum Links<'l> {
    Read { reader: &'l LinkReader<'l>, seen: Vec<Batch> },
    Replay(std::slice::Iter<'l, Batch>),
}

impl<'l> Links<'l> {
    pub fn read(reader: &'l LinkReader<'l>) -> Self {
        Self::Read { reader, seen: Vec::new() }
    }

    pub fn replay(batches: &'l [Batch]) -> Self {
        Self::Replay(batches.iter())
    }

    /// What was answered so far.
    pub fn into_seen(self) -> Vec<Batch> {
        match self {
            Self::Read { seen, .. } => seen,
            Self::Replay(_) => Vec::new(),
        }
    }

    pub fn answer(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Abnormal> {
        questions
            .iter()
            .map(|question| match question {
                Question::ReadLinks(paths) => self.links(paths),
                _ => Err(Abnormal::host("a preparation asks for something else than links")),
            })
            .collect()
    }

    fn links(&mut self, paths: &[String]) -> Result<Answer, Abnormal> {
        match self {
            Self::Read { reader, seen } => match reader(paths.to_vec()) {
                Ok(links) => {
                    seen.push(Batch { paths: paths.to_vec(), links: links.clone() });
                    Ok(Answer::ReadLinks(links))
                }
                Err(reason) => Ok(Answer::Failed(reason)),
            },
            Self::Replay(batches) => match batches.next() {
                Some(batch) if batch.paths == paths => Ok(Answer::ReadLinks(batch.links.clone())),
                _ => Err(Abnormal::host("a policy asks for other links than before")),
            },
        }
    }
}

/// Whether the file system still answers as it did.
pub(crate) fn unchanged(batches: &[Batch], reader: &LinkReader<'_>) -> bool {
    batches.iter().all(|batch| reader(batch.paths.clone()).is_ok_and(|links| links == batch.links))
}
