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
        Ok(Sides { reference: Box::new(reference::start(scratch.path())?), ours: if itself { Box::new(reference::start(scratch.path())?) } else { Box::new(native::Native::new(scratch.path())) } })
    })
    .unwrap();
    println!("{} cases, {} answers, {:?}", report.cases, report.answers, start.elapsed());
    for (name, count) in &report.tally.cases {
        println!("{count:8} {:5}‰ {name}", report.tally.permille(name));
    }
    println!("modelled {} explained {}", report.modelled, report.explained);
    for (id, n) in &report.divergences { println!("{id} {n}"); }
    for (k,(n,e)) in &report.kinds { println!("kind {k} {n} {e}"); }
    for each in &report.unlike { println!("UNLIKE {}", each.chars().take(900).collect::<String>()); }
    let mut sides = Sides { reference: Box::new(reference::start(scratch.path()).unwrap()), ours: Box::new(native::Native::new(scratch.path())) };
    for (k, each) in report.unexplained.iter().enumerate() {
        println!("UNEXPLAINED {} {:?}", each.kind, each.verdict.difference);
        if k < 40 && std::env::var("VERBOSE").is_ok() {
          let small = edictum_tests::differential::run::shrunk(each, &mut sides);
          let v = edictum_tests::differential::run::one(&small, &mut sides).unwrap();
          for d in &small.opening.documents { println!("{}", d.text); }
          println!("settings {}", small.opening.settings);
          for (i,s) in small.steps.iter().enumerate() { println!("{} {s}", i+1); }
          println!("unlike {:?} used {:?}", v.prediction.unlike, v.prediction.used);
          if let Some((i, d)) = &v.difference { println!(" diff {d}\n ref  {}\n want {i} {}\n have {i} {}", v.reference[*i], v.prediction.answers[*i], v.ours[*i]);  }
        }
    }
}
