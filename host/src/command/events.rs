//! `edictum-host events`: the decision log of a server, as it is written.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::{Method, Response};
use serde_json::Value;

use super::remote::{Remote, Server, plain, read, runtime, text};
use super::{End, Trouble, say};

/// Shows the decision log of a server
#[derive(Args)]
#[command(after_help = "\
Example:
  $ edictum-host events tail --action call_blocked")]
pub struct Events {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Tail(Tail),
}

/// Shows the latest events, and those to come
#[derive(Args)]
#[command(after_help = "\
Goes on where it was when the connection breaks. Ends with Ctrl-C, or when nobody reads its output any more. Exit code 2
when the server cannot be asked, or refuses.

Examples:
  $ edictum-host events tail
  $ edictum-host events tail --agent docs-agent --action call_blocked --json | jq .reason
  $ edictum-host events tail -n 1000 --no-follow --json > today.jsonl")]
struct Tail {
    #[command(flatten)]
    remote: Remote,
    /// So many of the events that are there
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    lines: u32,
    /// Ends after them
    #[arg(long)]
    no_follow: bool,
    /// Only those of this environment
    #[arg(long)]
    env: Option<String>,
    /// Only those of this agent
    #[arg(long)]
    agent: Option<String>,
    /// Only those of this session
    #[arg(long)]
    session: Option<String>,
    /// Only those of this tool
    #[arg(long)]
    tool: Option<String>,
    /// Only this action, as in `call_blocked`
    #[arg(long)]
    action: Option<String>,
    /// Prints each event as it came, one a line
    #[arg(long)]
    json: bool,
}

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);

/// The server gives a sign of life more often.
const SILENCE: Duration = Duration::from_secs(330);

/// Bytes of one event.
const MAX_EVENT: usize = 4 << 20;

impl Events {
    pub fn run(self) -> Result<End, Trouble> {
        match self.verb {
            Verb::Tail(tail) => tail.run(),
        }
    }
}

impl Tail {
    fn run(self) -> Result<End, Trouble> {
        let server = self.remote.server()?;
        runtime()?.block_on(self.tail(&server))?;
        Ok(End::Good)
    }

    fn filters(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("env", &self.env),
            ("agent_id", &self.agent),
            ("session_id", &self.session),
            ("tool_name", &self.tool),
            ("action", &self.action),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    async fn tail(&self, server: &Server) -> Result<(), Trouble> {
        let filters = self.filters();
        let mut query = filters.clone();
        query.push(("limit", self.lines.max(1).to_string()));
        let page = server.ask(server.request(Method::GET, &["events"], &query)).await?.good()?;
        let events = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut last = events.first().and_then(|event| event.get("seq")).and_then(Value::as_i64).unwrap_or(0);
        let lines = usize::try_from(self.lines).unwrap_or(usize::MAX);
        for event in events.iter().take(lines).rev() {
            self.show(event.get("event").unwrap_or(&Value::Null))?;
        }
        if self.no_follow {
            return Ok(());
        }
        loop {
            let request = server
                .request(Method::GET, &["events", "stream"], &filters)
                .header("accept", "text/event-stream")
                .header("last-event-id", last.to_string());
            match server.send(request).await {
                Ok(response) if response.status().is_success() => self.follow(response, &mut last).await?,
                // A refusal stays one; anything else may pass.
                Ok(response) if response.status().is_client_error() => return read(response).await?.good().map(drop),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Until the stream ends, for whatever reason.
    async fn follow(&self, mut response: Response, last: &mut i64) -> Result<(), Trouble> {
        let mut frames = Frames::default();
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(SILENCE, response.chunk()).await {
            for (id, data) in frames.feed(&chunk) {
                if let Ok(event) = serde_json::from_str(&data) {
                    self.show(&event)?;
                }
                *last = id.parse().unwrap_or(*last);
            }
        }
        Ok(())
    }

    fn show(&self, event: &Value) -> Result<(), Trouble> {
        if self.json {
            return say(&event.to_string());
        }
        let part = |name: &str| plain(text(event, name));
        let mut line =
            format!("{}  {:<20} {} {}", part("timestamp"), part("action"), part("agent_id"), part("tool_name"));
        for (name, before) in [("decision_name", "  "), ("reason", " — ")] {
            let part = part(name);
            if !part.is_empty() {
                line.push_str(before);
                line.push_str(&part);
            }
        }
        say(&line)
    }
}

/// Cuts the bytes of a stream into events: id and data.
#[derive(Default)]
struct Frames {
    rest: Vec<u8>,
    id: String,
    data: Vec<String>,
    size: usize,
}

impl Frames {
    fn feed(&mut self, chunk: &[u8]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for byte in chunk {
            if *byte != b'\n' {
                // What is too long is no event of a decision log.
                if self.rest.len() < MAX_EVENT {
                    self.rest.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.rest).trim_end_matches('\r').to_owned();
            self.rest.clear();
            if line.is_empty() {
                if !self.data.is_empty() {
                    events.push((self.id.clone(), std::mem::take(&mut self.data).join("\n")));
                }
                self.size = 0;
            } else if let Some(id) = line.strip_prefix("id:") {
                self.id = id.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                self.size += data.len();
                if self.size < MAX_EVENT {
                    self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
                }
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let stream = b":keepalive\n\nid: 1\ndata: {\ndata: }\n\nid: 2\r\ndata:x\r\n\r\nevent: y\n\n";
        let expected = vec![("1".to_owned(), "{\n}".to_owned()), ("2".to_owned(), "x".to_owned())];
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let events: Vec<_> = stream.chunks(size).flat_map(|chunk| frames.feed(chunk)).collect();
            assert_eq!(events, expected, "{size}");
        }
    }
}
