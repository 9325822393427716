//! `edictum-host driver`: the driver protocol on stdin and stdout.

use std::io::{stdin, stdout};

use clap::Args;
use edictum_host::{Host, driver};

use super::{End, Trouble};

/// Answers requests, one JSON object a line, for other languages and for tests
///
/// Reads one request a line from stdin and writes one answer a line to stdout; logs go to stderr. Ends at the end of input,
/// after its guards are closed.
#[derive(Args)]
#[command(after_help = "\
Example:
  $ echo '{\"id\": 1, \"op\": \"hello\"}' | edictum-host driver
  {\"id\":1,\"ok\":true,\"result\":{\"protocol\":1,\"host\":\"rust\",...}}")]
pub struct Driver {}

impl Driver {
    pub fn run(self) -> Result<End, Trouble> {
        let Self {} = self;
        let host = Host::new()?;
        driver::serve(&host, stdin().lock(), stdout()).map_err(Trouble::io("stdin or stdout"))?;
        Ok(End::Good)
    }
}
