//! Generated rulesets, workflows and call sequences, put to the published Python SDK and to our driver: no difference that
//! the explanations do not predict, and few that need one. `EDICTUM_DIFFERENTIAL_CASES` and `EDICTUM_DIFFERENTIAL_SEED`
//! make it longer, `EDICTUM_DIFFERENTIAL_RUN` takes only the runs with this in their name; `EDICTUM_DIFFERENTIAL_SIDE=native`
//! takes the engine itself instead of the driver, `reference` only looks at how cases come out.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use edictum_tests::differential::explain::table::DIVERGENCES;
use edictum_tests::differential::process::{Process, Side};
use edictum_tests::differential::run::{Plan, RULESETS, Report, Sides, Subject, Unexplained, one, run, shrunk};
use edictum_tests::differential::workflow::{self, SUBJECT as WORKFLOWS};
use edictum_tests::differential::{native, reference, scratch};
use edictum_tests::places;

/// Cases from a fixed seed.
struct Run {
    name: &'static str,
    subject: Subject,
    cases: usize,
    /// With `compat: python-0.19`.
    compat: bool,
    /// Of a thousand cases, in at least so many it must happen: a test that no rule fires in proves nothing.
    least: &'static [(&'static str, usize)],
}

const RUNS: &[Run] = &[
    Run { name: "rulesets", subject: RULESETS, cases: 20_000, compat: false, least: LEAST },
    Run { name: "rulesets, compat: python-0.19", subject: RULESETS, cases: 4_000, compat: true, least: LEAST },
    Run { name: "workflows", subject: WORKFLOWS, cases: 10_000, compat: false, least: LEAST_OF_WORKFLOWS },
    Run {
        name: "workflows, compat: python-0.19",
        subject: WORKFLOWS,
        cases: 2_000,
        compat: true,
        least: LEAST_OF_WORKFLOWS,
    },
];

/// Of a thousand cases, so many may need an explanation.
const MOST_EXPLAINED: usize = 50;

const LEAST_OF_WORKFLOWS: &[(&str, usize)] = &[
    ("action allow", 700),
    ("action block", 400),
    ("action ask", 150),
    ("source workflow", 500),
    ("source yaml_precondition", 20),
    ("source operation_limit", 5),
    ("event workflow_stage_advanced", 400),
    ("event workflow_completed", 25),
    ("event workflow_state_updated", 100),
    ("event call_executed", 600),
    ("event call_failed", 100),
    ("event call_approval_granted", 80),
    ("event call_approval_blocked", 10),
    ("event call_would_block", 20),
];

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
    let only = std::env::var("EDICTUM_DIFFERENTIAL_RUN").unwrap_or_default();
    let mut failures = Vec::new();
    for each in RUNS.iter().filter(|each| each.name.contains(&only)) {
        let plan = Plan { subject: each.subject, cases: asked.unwrap_or(each.cases), seed, compat: each.compat };
        failures.extend(held(each, plan, asked.is_none())?);
    }
    Ok(failures)
}

fn sides(folder: &std::path::Path) -> Result<Sides, String> {
    let side = std::env::var("EDICTUM_DIFFERENTIAL_SIDE").unwrap_or_default();
    let ours: Box<dyn Side> = if side == "native" {
        Box::new(native::Native::new(folder))
    } else if side == "reference" {
        Box::new(reference::start(folder)?)
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

fn held(each: &Run, plan: Plan, whole: bool) -> Result<Vec<String>, String> {
    let name = each.name;
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
    let rulesets = DIVERGENCES.iter().map(|each| (each.id, each.title));
    let workflows = workflow::table::DIVERGENCES.iter().map(|each| (each.id, each.title));
    for (id, title) in rulesets.chain(workflows) {
        let count = report.divergences.get(id).copied().unwrap_or(0);
        if count > 0 {
            println!("  {id} {count:6}  {title}");
        }
    }
    println!("  {} cases are as the model of the reference says", report.modelled);
    if std::env::var_os("EDICTUM_DIFFERENTIAL_UNLIKE").is_some() {
        report.unlike.iter().take(20).for_each(|unlike| println!("  unlike: {unlike}"));
        println!("  {:?}", report.kinds);
        let mut differences: BTreeMap<String, usize> = BTreeMap::new();
        for (_, difference) in report.unexplained.iter().filter_map(|each| each.verdict.difference.as_ref()) {
            let difference = difference.chars().filter(|char| !char.is_ascii_digit()).take(100).collect();
            *differences.entry(difference).or_default() += 1;
        }
        differences.iter().for_each(|(difference, count)| println!("  {count} times {difference}"));
        report.tally.cases.keys().for_each(|what| println!("  {:5}‰ {what}", report.tally.permille(what)));
    }
    let mut failures = Vec::new();
    if report.cases < plan.cases {
        failures.push(format!("{name}: {} of {} cases ran", report.cases, plan.cases));
    }
    if permille > MOST_EXPLAINED {
        failures.push(format!("{name}: {permille}‰ of the cases needed an explanation, more than {MOST_EXPLAINED}‰"));
    }
    if whole {
        failures.extend(too_rare(each, &report));
    }
    if !report.unexplained.is_empty() {
        let mut sides = sides(folder.path())?;
        for each in report.unexplained.iter().take(SHOWN) {
            failures.push(shown(plan.subject, name, each, &mut sides));
        }
    }
    Ok(failures)
}

fn too_rare(each: &Run, report: &Report) -> Vec<String> {
    let name = each.name;
    each.least
        .iter()
        .filter(|(what, least)| report.tally.permille(what) < *least)
        .map(|(what, least)| {
            format!("{name}: `{what}` in {}‰ of the cases, less than {least}‰", report.tally.permille(what))
        })
        .collect()
}

/// A case that nothing explains, as small as it can be made, to be pasted as a fixture.
fn shown(subject: Subject, name: &str, each: &Unexplained, sides: &mut Sides) -> String {
    let small = shrunk(subject, each, sides);
    let mut out = format!("{name}: nothing explains this difference ({})\n", each.kind);
    for document in &small.opening.documents {
        out.push_str(&document.text);
    }
    out.push_str(small.opening.workflow.as_ref().map_or("", |workflow| workflow.text.as_str()));
    out.push_str(&format!("settings: {}\n", small.opening.settings));
    small.steps.iter().for_each(|step| out.push_str(&format!("- {step}\n")));
    if let Ok(verdict) = one(subject, &small, sides)
        && let Some((step, difference)) = &verdict.difference
    {
        out.push_str(&format!("answer {step}: {difference}\n"));
    }
    out
}
