//! What a verb is told about rules: files, a workflow, options.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use edictum_host::{Document, Error, Guard, GuardBuilder, Host, Ruleset};
use serde_json::{Map, Value};

use super::Trouble;

/// Everything besides the rulesets themselves.
#[derive(Args)]
pub struct Settings {
    /// A workflow (YAML): stages that calls must go through
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Options, as a JSON object or as `@FILE`
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    /// Overrides the rulesets' mode
    #[arg(long, value_parser = ["enforce", "observe"])]
    mode: Option<String>,
    /// Overrides the environment that rules see, as in `production`
    #[arg(long)]
    environment: Option<String>,
    /// Rulesets that `extends` may name: each file under its name without `.yaml`
    #[arg(long, value_name = "FOLDER")]
    registry: Option<PathBuf>,
}

impl Settings {
    /// The options document.
    pub fn options(&self) -> Result<String, Trouble> {
        let text = match self.options.as_deref() {
            None => "{}".to_owned(),
            Some(given) => match given.strip_prefix('@') {
                Some(path) => read(Path::new(path))?,
                None => given.to_owned(),
            },
        };
        let mut options: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|error| Trouble::Usage(format!("--options is not a JSON object: {error}")))?;
        let named = [("mode", &self.mode), ("environment", &self.environment)];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        options.extend(named);
        if let Some(folder) = &self.registry {
            options.insert("registry".to_owned(), registry(folder)?.into());
        }
        Ok(Value::Object(options).to_string())
    }

    pub fn workflow(&self) -> Result<Option<Document>, Trouble> {
        let document = |path: &PathBuf| Ok(Document { name: path.display().to_string(), text: read(path)? });
        self.workflow.as_ref().map(document).transpose()
    }

    /// A guard with these rulesets.
    pub fn guard(&self, host: &Host, name: &str, files: &[PathBuf]) -> Result<GuardBuilder, Trouble> {
        let rulesets = documents(files)?.into_iter().map(|document| Ruleset::new(document.name, document.text));
        let builder = host.guard(name).rulesets(rulesets).options(&self.options()?);
        Ok(match self.workflow()? {
            Some(workflow) => builder.workflow(workflow.name, workflow.text),
            None => builder,
        })
    }

    /// Loads the rules of such a guard. When they do not load, everything that is wrong with them is told.
    pub async fn load(&self, guard: GuardBuilder, files: &[PathBuf]) -> Result<Guard, Trouble> {
        let failure = match guard.build().await {
            Err(Error::Refused(failure)) if !failure.diagnostics.is_empty() => failure,
            guard => return Ok(guard?),
        };
        let mut documents = documents(files)?;
        documents.extend(self.workflow()?);
        Err(Trouble::Documents(failure.diagnostics, documents))
    }
}

/// Files as documents, under their paths.
pub fn documents(files: &[PathBuf]) -> Result<Vec<Document>, Trouble> {
    let document = |path: &PathBuf| Ok(Document { name: path.display().to_string(), text: read(path)? });
    files.iter().map(document).collect()
}

fn registry(folder: &Path) -> Result<Map<String, Value>, Trouble> {
    let about = || Trouble::unread(folder);
    let mut registry = Map::new();
    for entry in fs::read_dir(folder).map_err(about())? {
        let path = entry.map_err(about())?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            registry.insert(name.to_owned(), read(&path)?.into());
        }
    }
    Ok(registry)
}

pub fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(Trouble::unread(path))
}
