//! `edictum-host approvals`: what agents ask people, answered on the command line.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Remote, plain, runtime, text};
use super::{End, Trouble, say};

/// Shows what agents wait for, and answers them
#[derive(Args)]
#[command(after_help = "\
Examples:
  $ export EDICTUM_API_KEY=edo_operator_…
  $ edictum-host approvals list
  $ edictum-host approvals approve 1f0c9d2e-… --reason 'checked with Ann'")]
pub struct Approvals {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    List(List),
    Approve(Approve),
    Reject(Reject),
}

/// Shows what waits for an answer
#[derive(Args)]
#[command(after_help = "\
Exit code 0, also when there is nothing; 2 when the server cannot be asked.

Examples:
  $ edictum-host approvals list
  $ edictum-host approvals list --status timed_out --env production --json | jq '.approvals[].message'")]
struct List {
    #[command(flatten)]
    remote: Remote,
    /// Those that ended this way, or `all`
    #[arg(long, default_value = "pending", value_parser = ["pending", "approved", "rejected", "timed_out", "all"])]
    status: String,
    /// Only those of this environment
    #[arg(long)]
    env: Option<String>,
    /// At most so many, the latest first
    #[arg(long, short = 'n', default_value_t = 100)]
    limit: u32,
    /// Prints the server's answer: `{"approvals": [...]}`
    #[arg(long)]
    json: bool,
}

/// Lets a call run that waits for an answer
#[derive(Args)]
#[command(after_help = "\
Exit code 0 when it is approved now, 1 when it has ended already or is not there, 2 when the server cannot be asked.

Example:
  $ edictum-host approvals approve 1f0c9d2e-7c54-4a39-9f56-b5d1f3f0a1c2 --reason 'checked with Ann'")]
struct Approve {
    #[command(flatten)]
    answer: Answer,
}

/// Blocks a call that waits for an answer
#[derive(Args)]
#[command(after_help = "\
Exit code 0 when it is rejected now, 1 when it has ended already or is not there, 2 when the server cannot be asked.

Example:
  $ edictum-host approvals reject 1f0c9d2e-7c54-4a39-9f56-b5d1f3f0a1c2 --reason 'not on a Friday'")]
struct Reject {
    #[command(flatten)]
    answer: Answer,
}

#[derive(Args)]
struct Answer {
    #[command(flatten)]
    remote: Remote,
    /// Which one, as `list` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// Why; the agent and the decision log get it
    #[arg(long)]
    reason: Option<String>,
    /// Prints the server's record of it
    #[arg(long)]
    json: bool,
}

impl Approvals {
    pub fn run(self) -> Result<End, Trouble> {
        match self.verb {
            Verb::List(list) => list.run(),
            Verb::Approve(Approve { answer }) => answer.run(true),
            Verb::Reject(Reject { answer }) => answer.run(false),
        }
    }
}

impl List {
    fn run(self) -> Result<End, Trouble> {
        let server = self.remote.server()?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend((self.status != "all").then_some(("status", self.status)));
        query.extend(self.env.map(|environment| ("env", environment)));
        let asked = async { server.ask(server.request(Method::GET, &["approvals"], &query)).await?.good() };
        let body = runtime()?.block_on(asked)?;
        if self.json {
            say(&body.to_string())?;
            return Ok(End::Good);
        }
        let approvals = body.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
        if approvals.is_empty() {
            say("nothing waits for an answer")?;
        }
        for approval in &approvals {
            say(&shown(approval).join("\n"))?;
        }
        Ok(End::Good)
    }
}

/// A request, line by line.
pub fn shown(approval: &Value) -> Vec<String> {
    let part = |name: &str| plain(text(approval, name));
    let mut lines = vec![
        format!("{}  {}", part("id"), part("status")),
        format!("  {} asks for {} in {}", part("agent_id"), part("tool_name"), part("env")),
        format!("  {}", part("message")),
    ];
    let args = part("tool_args_text");
    if args != "null" {
        lines.push(format!("  args: {args}"));
    }
    lines.push(match part("decided_at") {
        at if at.is_empty() => format!("  until {}", part("expires_at")),
        at => format!("  {at} {} {}", part("decided_by"), part("decision_reason")),
    });
    lines
}

impl Answer {
    fn run(self, approved: bool) -> Result<End, Trouble> {
        let server = self.remote.server()?;
        let body = json!({ "approved": approved, "reason": self.reason, "decided_via": "cli" }).to_string();
        let request = server
            .request(Method::POST, &["approvals", &self.id, "decide"], &[])
            .header("content-type", "application/json")
            .body(body);
        let answer = runtime()?.block_on(server.ask(request))?;
        if matches!(answer.status, 404 | 409) {
            anstream::eprintln!("{}", answer.message());
            return Ok(End::Found);
        }
        let record = answer.good()?;
        if self.json {
            say(&record.to_string())?;
        } else {
            say(&format!("{} {}", text(&record, "status"), plain(text(&record, "id"))))?;
        }
        Ok(End::Good)
    }
}
