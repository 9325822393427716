//! `cargo xtask bench`: how fast decisions are, as one table of ratios measured in one run. It asserts nothing: machines
//! differ, and what a row should be stands in the row.
//!
//! * [`workload`] makes rulesets and calls, [`sample`] measures, [`table`] shows;
//! * [`decisions`], [`loading`] and [`processes`] are the rows.
//!
//! The component runs with epoch interruption in every row. Everything else that a host adds (pool, store, decision log)
//! is not in here; [`processes`] measures a whole host from its start to its end.

mod decisions;
mod loading;
mod processes;
mod sample;
mod table;
mod workload;

use std::process::ExitCode;

use clap::Parser;
use edictum_host::measure::Component;

use self::sample::Effort;
use self::table::Row;

/// Measures decisions, loading and starting, natively and in the component
#[derive(Parser)]
#[command(
    name = "bench",
    after_help = "Times are medians. A row with a target ends with `ok` or `miss`; neither is an error."
)]
struct Arguments {
    /// Fewer samples: seconds instead of minutes, and less exact
    #[arg(long)]
    quick: bool,
    /// Prints a list of rows as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { quick, json } = Arguments::parse();
    match rows(if quick { Effort::QUICK } else { Effort::FULL }) {
        Ok(rows) => {
            print!("{}", if json { table::json(&rows) } else { table::text(&rows) });
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::from(2)
        }
    }
}

fn rows(effort: Effort) -> Result<Vec<Row>, String> {
    let component = Component::load().map_err(|error| error.to_string())?;
    let mut rows = decisions::measure(&component, effort)?;
    rows.extend(loading::measure(&component, effort)?);
    rows.extend(processes::measure(effort)?);
    Ok(rows)
}
