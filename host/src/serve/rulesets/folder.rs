//! A folder of rulesets, looked at now and again: `NAME.yaml` is for all environments, `ENVIRONMENT/NAME.yaml` for one. What
//! changed is published; what does not load is told, and the old version stays. A file that is taken away changes nothing:
//! agents keep their rules. `assignments.yaml` says who is assigned what.
//!
//! It is polled and not watched, because a poll also sees what a mounted or synchronised folder does not announce.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::assignment::{Assignments, FILE_NAME};
use super::{ALL, Publication, publish};
use crate::serve::App;
use crate::serve::hub::Notice;
use crate::serve::request::is_identifier;
use crate::serve::settings::MAX_RULESET;

/// What a file was when it was last read.
type Seen = (Option<SystemTime>, u64);

/// Looks at the folder once. What goes wrong is on the list of troubles.
pub async fn read(app: &Arc<App>) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    look(app, &mut seen).await;
    seen
}

/// Looks again and again.
pub async fn watch(app: Arc<App>, mut seen: BTreeMap<PathBuf, Seen>) {
    loop {
        tokio::time::sleep(app.settings.watch_every).await;
        look(&app, &mut seen).await;
    }
}

async fn look(app: &Arc<App>, seen: &mut BTreeMap<PathBuf, Seen>) {
    let settings = (app.settings.rulesets.clone(), app.settings.assignments.clone());
    let listing = tokio::task::spawn_blocking(move || list(settings.0.as_deref(), settings.1)).await;
    let Ok(listing) = listing else { return };
    let mut troubles = BTreeMap::new();
    if let Err(error) = &listing.folder {
        troubles.insert(String::new(), json!({ "message": error }));
    }
    let files = listing.folder.unwrap_or_default();
    let gone = |path: &PathBuf| !files.iter().any(|file| file.path == *path);
    if let Some(path) = &listing.assignments
        && changed(path, seen)
    {
        assign(app, path);
    }
    seen.retain(|path, _| !gone(path) || listing.assignments.as_ref() == Some(path));
    {
        let mut known = app.rulesets.troubles.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|path, _| files.iter().any(|file| file.shown() == *path) || is_assignments(path));
        known.extend(troubles);
    }
    for file in files {
        if changed(&file.path, seen) {
            let trouble = publish_file(app, &file).await.err();
            tell(app, &file.shown(), trouble);
        }
    }
}

struct File {
    path: PathBuf,
    environment: String,
}

impl File {
    fn shown(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if self.environment == ALL { name.into_owned() } else { format!("{}/{name}", self.environment) }
    }
}

struct Listing {
    folder: Result<Vec<File>, String>,
    assignments: Option<PathBuf>,
}

fn list(folder: Option<&Path>, assignments: Option<PathBuf>) -> Listing {
    let assignments = assignments.or_else(|| Some(folder?.join(FILE_NAME))).filter(|path| path.is_file());
    let Some(folder) = folder else { return Listing { folder: Ok(Vec::new()), assignments } };
    let mut files = Vec::new();
    let listed = entries(folder).map(|paths| {
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && is_identifier(&name) {
                // An unreadable subfolder is as an empty one: its rulesets stay as they are.
                let inner = entries(&path).unwrap_or_default().into_iter().filter(|path| is_ruleset(path));
                files.extend(inner.map(|path| File { path, environment: name.clone() }));
            } else if is_ruleset(&path) && name != FILE_NAME && assignments.as_ref() != Some(&path) {
                files.push(File { path, environment: ALL.to_owned() });
            }
        }
    });
    let folder = listed.map(|()| files).map_err(|error| format!("`{}` cannot be read: {error}", folder.display()));
    Listing { folder, assignments }
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_ruleset(path: &Path) -> bool {
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && path.is_file() && !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.')
}

/// Whether it is another file than before, as far as its length and time tell.
fn changed(path: &Path, seen: &mut BTreeMap<PathBuf, Seen>) -> bool {
    let now = fs::metadata(path).map(|metadata| (metadata.modified().ok(), metadata.len())).unwrap_or((None, 0));
    seen.insert(path.to_owned(), now) != Some(now)
}

async fn publish_file(app: &Arc<App>, file: &File) -> Result<(), Value> {
    let told = |message: String| json!({ "message": message });
    let length = fs::metadata(&file.path).map(|metadata| metadata.len()).unwrap_or_default();
    if length > u64::try_from(MAX_RULESET).unwrap_or(u64::MAX) {
        return Err(told(format!("larger than {MAX_RULESET} bytes")));
    }
    let yaml = fs::read_to_string(&file.path).map_err(|error| told(error.to_string()))?;
    let publication = Publication {
        yaml,
        environment: file.environment.clone(),
        name: None,
        signature: None,
        by: "folder".to_owned(),
    };
    let published = publish(app, publication).await;
    published.map(drop).map_err(|problem| {
        let findings = problem.findings().cloned().unwrap_or_default();
        json!({ "message": problem.message(), "diagnostics": findings })
    })
}

fn assign(app: &Arc<App>, path: &Path) {
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    let read = text.and_then(|text| Assignments::read(&text));
    let trouble = read.as_ref().err().map(|message| json!({ "message": message }));
    tell(app, FILE_NAME, trouble);
    if let Ok(assignments) = read {
        let mut current = app.rulesets.assignments.write().unwrap_or_else(PoisonError::into_inner);
        if *current != assignments {
            *current = assignments;
            app.hub.tell(Notice::Assignments);
        }
    }
}

fn is_assignments(shown: &str) -> bool {
    shown == FILE_NAME
}

fn tell(app: &App, file: &str, trouble: Option<Value>) {
    let mut troubles = app.rulesets.troubles.write().unwrap_or_else(PoisonError::into_inner);
    match trouble {
        Some(trouble) => {
            let message = trouble.get("message").and_then(Value::as_str).unwrap_or_default();
            tracing::warn!(file, message, "not published");
            troubles.insert(file.to_owned(), trouble);
        }
        None => drop(troubles.remove(file)),
    }
}
