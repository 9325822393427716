//! Tells the steps of the story: to people at a pace that can be read, to programs as one JSON object each and at once.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::Value;

use super::transcript::Page;
use crate::command::{Trouble, say};

/// Time to read a line.
const A_LINE: Duration = Duration::from_millis(260);

/// Time for all of it: on a narrow terminal there are more lines, and one waits no longer.
const IN_ALL: Duration = Duration::from_secs(22);

/// Who tells, and how much time for pauses is left.
pub struct Teller {
    pub page: Page,
    json: bool,
    left: Duration,
}

impl Teller {
    /// Off a terminal nobody reads along, and there are no pauses.
    pub fn new(page: Page, json: bool, at_once: bool) -> Self {
        let reads_along = !json && !at_once && std::io::stdout().is_terminal();
        Self { page, json, left: if reads_along { IN_ALL } else { Duration::ZERO } }
    }

    /// What comes now, for people only.
    pub async fn chapter(&mut self, title: &str) -> Result<(), Trouble> {
        if self.json {
            return Ok(());
        }
        say(&format!("\n{}", self.page.heading(title)))?;
        self.pause(2).await;
        Ok(())
    }

    /// A step: its name and members for programs, a text for people.
    pub async fn tell(&mut self, step: &str, fact: Value, shown: &str) -> Result<(), Trouble> {
        if self.json {
            let mut line = serde_json::Map::new();
            line.insert("step".to_owned(), step.into());
            line.extend(fact.as_object().cloned().unwrap_or_default());
            return say(&Value::Object(line).to_string());
        }
        self.show(shown).await
    }

    /// What programs know already, or can do without.
    pub async fn show(&mut self, shown: &str) -> Result<(), Trouble> {
        if self.json || shown.is_empty() {
            return Ok(());
        }
        say(shown)?;
        self.pause(shown.lines().count()).await;
        Ok(())
    }

    async fn pause(&mut self, lines: usize) {
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        let pause = A_LINE.saturating_mul(lines).min(self.left);
        self.left -= pause;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
