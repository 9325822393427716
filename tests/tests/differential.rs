//! Generated rulesets and call sequences, put to the published Python SDK and to our driver: no difference that the
//! explanations do not predict, and few that need one. `EDICTUM_DIFFERENTIAL_CASES` and `EDICTUM_DIFFERENTIAL_SEED` make
//! it longer; `EDICTUM_DIFFERENTIAL_SIDE=native` takes the engine itself instead of the driver.

use std::process::{Command, ExitCode};

use edictum_tests::differential::explain::table::DIVERGENCES;
use edictum_tests::differential::process::{Process, Side};
use edictum_tests::differential::run::{Plan, Report, Sides, Unexplained, one, run, shrunk};
use edictum_tests::differential::{native, reference, scratch};
use edictum_tests::places;

/// Cases with our own answers, from a fixed seed.
const CASES: usize = 20_000;

/// Cases with `compat: python-0.19`.
const COMPAT_CASES: usize = 4_000;

/// Of a thousand cases, so many may need an explanation.
const MOST_EXPLAINED: usize = 50;

/// Of a thousand cases, in at least so many it must happen: a test that no rule fires in proves nothing.
const LEAST: &[(&str, usize)] = &[
    ("action allow", 300),
    ("action block", 200),
    ("action ask", 10),
    ("decision warn", 20),
    ("fired precondition", 200),
    ("fired sandbox", 50),
    ("fired postcondition", 80),
    ("fired session_contract", 10),
    ("observed", 50),
    ("policy_error", 50),
    ("redacted", 8),
    ("suppressed", 8),
    ("source attempt_limit", 10),
    ("source operation_limit", 4),
    ("event call_failed", 50),
    ("event call_would_block", 50),
];

/// Unexplained differences that are shown, made small.
const SHOWN: usize = 5;

fn main() -> ExitCode {
    // `cargo test -- --list` and filters of other tests are not for this one.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match test() {
        Ok(failures) if failures.is_empty() => {
            println!("test result: ok. 2 passed; 0 failed");
            ExitCode::SUCCESS
        }
        Ok(failures) => {
            failures.iter().for_each(|failure| println!("FAILED: {failure}"));
            println!("test result: FAILED. 0 passed; {} failed", failures.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("the differential test cannot run: {error}");
            println!("test result: FAILED. 0 passed; 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn test() -> Result<Vec<String>, String> {
    // Once, before two streams ask for it.
    reference::python()?;
    let seed = number("EDICTUM_DIFFERENTIAL_SEED").unwrap_or(1);
    let asked = number("EDICTUM_DIFFERENTIAL_CASES").and_then(|cases| usize::try_from(cases).ok());
    let mut failures = Vec::new();
    for (name, cases, compat) in [("ours", CASES, false), ("compat: python-0.19", COMPAT_CASES, true)] {
        let plan = Plan { cases: asked.unwrap_or(cases), seed, compat };
        failures.extend(held(name, plan, asked.is_none())?);
    }
    Ok(failures)
}

fn sides(folder: &std::path::Path) -> Result<Sides, String> {
    let native = std::env::var("EDICTUM_DIFFERENTIAL_SIDE").is_ok_and(|side| side == "native");
    let ours: Box<dyn Side> = if native {
        Box::new(native::Native::new(folder))
    } else {
        let words = places::driver_command();
        let (program, arguments) = words.split_first().ok_or("there is no driver")?;
        let mut driver = Command::new(program);
        // Where the reference works, too: relative paths lead to the same places.
        driver.args(arguments).current_dir("/");
        Box::new(Process::start(driver, folder)?)
    };
    Ok(Sides { reference: Box::new(reference::start(folder)?), ours })
}

fn held(name: &str, plan: Plan, whole: bool) -> Result<Vec<String>, String> {
    let folder = scratch::make().map_err(|error| error.to_string())?;
    let report = run(plan, &|| sides(folder.path()))?;
    let permille = report.explained * 1_000 / report.cases.max(1);
    println!(
        "{name}: {} cases with {} answers, {} explained ({permille}‰), {} unexplained",
        report.cases,
        report.answers,
        report.explained,
        report.unexplained.len()
    );
    for divergence in DIVERGENCES {
        let count = report.divergences.get(divergence.id).copied().unwrap_or(0);
        println!("  {} {count:6}  {}", divergence.id, divergence.title);
    }
    let mut failures = Vec::new();
    if report.cases < plan.cases {
        failures.push(format!("{name}: {} of {} cases ran", report.cases, plan.cases));
    }
    if permille > MOST_EXPLAINED {
        failures.push(format!("{name}: {permille}‰ of the cases needed an explanation, more than {MOST_EXPLAINED}‰"));
    }
    if whole {
        failures.extend(too_rare(name, &report));
    }
    if !report.unexplained.is_empty() {
        let mut sides = sides(folder.path())?;
        for each in report.unexplained.iter().take(SHOWN) {
            failures.push(shown(name, each, &mut sides));
        }
    }
    Ok(failures)
}

fn too_rare(name: &str, report: &Report) -> Vec<String> {
    LEAST
        .iter()
        .filter(|(what, least)| report.tally.permille(what) < *least)
        .map(|(what, least)| {
            format!("{name}: `{what}` in {}‰ of the cases, less than {least}‰", report.tally.permille(what))
        })
        .collect()
}

/// A case that nothing explains, as small as it can be made, to be pasted as a fixture.
fn shown(name: &str, each: &Unexplained, sides: &mut Sides) -> String {
    let small = shrunk(each, sides);
    let mut out = format!("{name}: nothing explains this difference ({})\n", each.kind);
    for document in &small.opening.documents {
        out.push_str(&document.text);
    }
    out.push_str(&format!("settings: {}\n", small.opening.settings));
    small.steps.iter().for_each(|step| out.push_str(&format!("- {step}\n")));
    if let Ok(verdict) = one(&small, sides)
        && let Some((step, difference)) = &verdict.difference
    {
        out.push_str(&format!("answer {step}: {difference}\n"));
    }
    out
}
