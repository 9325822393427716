//! An agent's loop with a guard in it. The agent is a list of wishes; a real one would be a model that is told what became of
//! each. Tools run only when the guard lets them, and what they return is judged before the agent sees it.
//!
//! ```console
//! $ cargo run --profile ci --package edictum-example-agent
//! ```

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value by a name gives null and no panic")]

use std::error::Error;

use edictum_host::callback::{ApprovalOutcome, ApprovalRequest, ApprovalVerdict, Callback};
use edictum_host::{Host, Ran, Ruleset, ToolOutcome};
use serde_json::{Value, json};

const RULES: &str = include_str!("../rules.yaml");

/// What the agent wants to do, one after the other.
fn wishes() -> Vec<Value> {
    vec![
        json!({"tool": "read_file", "args": {"path": "README.md"}}),
        json!({"tool": "read_file", "args": {"path": ".env"}}),
        json!({"tool": "run", "args": {"command": "env"}}),
        json!({"tool": "deploy", "args": {"to": "production"}}),
    ]
}

/// The tools. They get exactly the arguments that were judged (JSON).
async fn tool(name: &str, arguments: String) -> ToolOutcome {
    let arguments: Value = serde_json::from_str(&arguments).unwrap_or_default();
    ToolOutcome::new(match name {
        "read_file" => json!(format!("the text of {}", arguments["path"].as_str().unwrap_or_default())).to_string(),
        "run" => json!("HOME=/home/me\nAPI_KEY=sk-proj-abcdefghijklmnopqrstuvwx").to_string(),
        _ => json!(format!("deployed to {}", arguments["to"].as_str().unwrap_or_default())).to_string(),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::new()?;
    let guard = host
        .guard("example-agent")
        .ruleset(Ruleset::new("rules.yaml", RULES))
        .principal(json!({"user_id": "dana", "role": "developer"}).to_string())
        // Somebody at a keyboard, or `GuardBuilder::connect` for a server with an inbox.
        .approver(Callback::new(|request: ApprovalRequest| {
            println!("  somebody is asked: {}", request.approval);
            Ok(ApprovalOutcome {
                verdict: ApprovalVerdict::Approved,
                approval_id: None,
                approver: Some("dana".to_owned()),
                reason: None,
                decided_at: None,
                decided_via: None,
            })
        }))
        .build()
        .await?;

    for wish in wishes() {
        let name = wish["tool"].as_str().unwrap_or_default();
        println!("{wish}");
        // An error means that nothing was decided: the tool has not run.
        match guard.run(wish.to_string().as_str(), |arguments| tool(name, arguments)).await? {
            // What the agent is told; it tries something else.
            Ran::Blocked(decision) => println!("  blocked: {}", decision.reason),
            Ran::Finished { output, conclusion, .. } => {
                println!("  {output}");
                for warning in conclusion.warnings {
                    println!("  warning: {warning}");
                }
            }
        }
    }
    guard.close().await;
    Ok(())
}
