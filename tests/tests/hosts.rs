//! Generated rulesets, workflows and call sequences, replayed through two hosts at a time: what the second answers is what the
//! first answers, byte for byte, but for ids and times. The hosts are those of `EDICTUM_DRIVERS`; the first is the measure.
//! `EDICTUM_HOSTS_CASES` makes it longer, `EDICTUM_DIFFERENTIAL_SEED` others.

use std::path::Path;
use std::process::{Command, ExitCode};

use edictum_tests::differential::datum::Datum;
use edictum_tests::differential::process::{Process, Side as _};
use edictum_tests::differential::run::{RULESETS, Subject};
use edictum_tests::differential::{scratch, workflow};
use edictum_tests::places::{self, HostDriver};
use regex_automata::meta::Regex;

/// Cases of a host, in all subjects.
const CASES: usize = 600;

/// At least so many of a hundred answers are results and not refusals: two hosts that refuse everything agree, too.
const LEAST_RESULTS: usize = 60;

/// Differences that are shown.
const SHOWN: usize = 5;

const SUBJECTS: [(&str, Subject, bool); 3] =
    [("rulesets", RULESETS, false), ("rulesets, compat", RULESETS, true), ("workflows", workflow::SUBJECT, false)];

fn main() -> ExitCode {
    // `cargo test -- --list` and filters of other tests are not for this one.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let hosts = places::host_drivers();
    let Some((measure, others)) = hosts.split_first() else { return ExitCode::FAILURE };
    if others.is_empty() {
        println!("there is one host only, and nothing to compare it with");
    }
    let (mut passed, mut failures) = (0, Vec::new());
    for other in others {
        match compared(measure, other) {
            Ok(report) if report.differences.is_empty() => {
                println!("{}", report.said(&other.name));
                passed += 1;
            }
            Ok(report) => {
                println!("{}", report.said(&other.name));
                failures.extend(report.differences.into_iter().take(SHOWN));
            }
            Err(reason) => failures.push(format!("{}: {reason}", other.name)),
        }
    }
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Report {
    cases: usize,
    answers: usize,
    refusals: usize,
    differences: Vec<String>,
}

impl Report {
    fn said(&self, host: &str) -> String {
        let Self { cases, answers, refusals, differences } = self;
        format!("{host}: {cases} cases with {answers} answers ({refusals} refusals), {} differ", differences.len())
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

fn start(host: &HostDriver, folder: &Path) -> Result<Process, String> {
    let (program, arguments) = host.command.split_first().ok_or("there is no driver")?;
    let mut command = Command::new(program);
    // The same for all: relative paths lead to the same places.
    command.args(arguments).current_dir("/");
    Process::start(command, folder)
}

fn compared(measure: &HostDriver, other: &HostDriver) -> Result<Report, String> {
    let folder = scratch::make().map_err(|error| error.to_string())?;
    let (mut one, mut two) = (start(measure, folder.path())?, start(other, folder.path())?);
    let level = Level::new()?;
    let cases = number("EDICTUM_HOSTS_CASES", CASES) / SUBJECTS.len();
    let seed = u64::try_from(number("EDICTUM_DIFFERENTIAL_SEED", 1)).unwrap_or(1);
    let mut report = Report::default();
    for (name, subject, compat) in SUBJECTS {
        let (mut done, mut index) = (0, 0);
        while done < cases {
            let group = (subject.group)(seed, index, compat);
            let lines = group.lines();
            one.send(lines.clone())?;
            two.send(lines.clone())?;
            let (ones, twos) = (one.receive(lines.len())?, two.receive(lines.len())?);
            for ((line, one), two) in lines.iter().zip(&ones).zip(&twos) {
                report.answers += 1;
                report.refusals += usize::from(!one.flag("ok"));
                let (one, two) = (level.of(one), level.of(two));
                if one != two {
                    let opened = lines.first().map_or("", String::as_str);
                    let difference = format!("{name} {index}:\n{opened}\n{line}\n- {one}\n+ {two}");
                    report.differences.push(difference);
                }
            }
            done += group.cases.len();
            index += 1;
        }
        report.cases += done;
    }
    let results = report.answers - report.refusals;
    if results * 100 < report.answers * LEAST_RESULTS {
        report.differences.push(format!("only {results} of {} answers are results", report.answers));
    }
    Ok(report)
}

/// What may differ between two runs of the same host: times, and ids that nobody gave.
struct Level {
    times: Regex,
    ids: Regex,
}

impl Level {
    fn new() -> Result<Self, String> {
        let times = r#""(timestamp|deadline_ms|created_at|updated_at)":\s*("[^"]*"|\d+)"#;
        let ids = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        let compiled = |pattern: &str| Regex::new(pattern).map_err(|error| error.to_string());
        Ok(Self { times: compiled(times)?, ids: compiled(ids)? })
    }

    /// The line as it can be compared. The words of a host's own refusal are its own.
    fn of(&self, answer: &Datum) -> String {
        let code = answer.at(&["error", "code"]).and_then(Datum::as_str).unwrap_or_default();
        if !answer.flag("ok") && !code.starts_with("E_") {
            return format!("refused: {code}");
        }
        let line = answer.get("line").and_then(Datum::as_str).unwrap_or_default();
        replaced(&self.ids, &replaced(&self.times, line, "a time"), "an id")
    }
}

fn replaced(pattern: &Regex, text: &str, with: &str) -> String {
    let mut out = String::new();
    let mut from = 0;
    for found in pattern.find_iter(text) {
        out.push_str(text.get(from..found.start()).unwrap_or_default());
        out.push_str(with);
        from = found.end();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}
