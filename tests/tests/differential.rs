//! The differential test.
use edictum_tests::differential::run::{Plan, Sides, run};
use edictum_tests::differential::{reference, scratch};

fn main() {
    let scratch = scratch::make().unwrap();
    let cases = std::env::var("EDICTUM_DIFFERENTIAL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let plan = Plan { cases, seed: 1, compat: false };
    let start = std::time::Instant::now();
    let report = run(plan, &|| {
        Ok(Sides { reference: Box::new(reference::start(scratch.path())?), ours: Box::new(reference::start(scratch.path())?) })
    })
    .unwrap();
    println!("{} cases, {} answers, {:?}", report.cases, report.answers, start.elapsed());
    for (name, count) in &report.tally.cases {
        println!("{count:8} {:5}‰ {name}", report.tally.permille(name));
    }
    println!("modelled {}", report.modelled);
    for each in &report.debug { println!("{}", each.chars().take(900).collect::<String>()); }
    for each in &report.unexplained {
        println!("{}", each.difference);
    }
}
