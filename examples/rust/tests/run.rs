//! The example runs, and says what its README says.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;

#[test]
fn the_agent_gets_what_the_rules_leave_of_its_wishes() {
    let output = Command::new(env!("CARGO_BIN_EXE_edictum-example-agent")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "  \"the text of README.md\"\n",
        "  blocked: reading .env is not allowed\n",
        "API_KEY=[REDACTED]",
        "  somebody is asked: ",
        "  \"deployed to production\"\n",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    assert!(!said.contains("sk-proj-"), "{said}");
}
