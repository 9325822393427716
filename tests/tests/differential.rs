//! The differential test.
use edictum_tests::differential::run::{Plan, Sides, run};
use edictum_tests::differential::{native, reference, scratch};

fn main() {
    let scratch = scratch::make().unwrap();
    let cases = std::env::var("EDICTUM_DIFFERENTIAL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let seed = std::env::var("EDICTUM_DIFFERENTIAL_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let compat = std::env::var("COMPAT").is_ok();
    let plan = Plan { cases, seed, compat };
    let start = std::time::Instant::now();
    let itself = std::env::var("SELF").is_ok();
    let report = run(plan, &|| {
        Ok(Sides {
            reference: Box::new(reference::start(scratch.path())?),
            ours: if itself {
                Box::new(reference::start(scratch.path())?)
            } else {
                Box::new(native::Native::new(scratch.path()))
            },
        })
    })
    .unwrap();
    println!("{} cases, {} answers, {:?}", report.cases, report.answers, start.elapsed());
    for (name, count) in &report.tally.cases {
        println!("{count:8} {:5}‰ {name}", report.tally.permille(name));
    }
    println!("modelled {} explained {}", report.modelled, report.explained);
    for (id, n) in &report.divergences {
        println!("{id} {n}");
    }
    for (k, (n, e)) in &report.kinds {
        println!("kind {k} {n} {e}");
    }
    for each in &report.unlike {
        println!("UNLIKE {}", each.chars().take(900).collect::<String>());
    }
    for each in &report.unexplained {
        println!("UNEXPLAINED {} {}", each.kind, each.difference);
        if std::env::var("VERBOSE").is_ok() {
            for d in &each.case.opening.documents {
                println!("{}", d.text);
            }
            println!("settings {}", each.case.opening.settings);
            for (i, s) in each.case.steps.iter().enumerate() {
                println!("{} {s}", i + 1);
            }
            for (i, (r, o)) in each.predicted.iter().zip(&each.ours).enumerate() {
                if r != o {
                    println!(" ref  {}\n want {i} {r}\n have {i} {o}", each.reference[i]);
                    break;
                }
            }
        }
    }
}
