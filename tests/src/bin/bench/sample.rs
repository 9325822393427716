//! Measuring: a loop is calibrated so that a sample is longer than the clock is coarse and shorter than a time slice of a
//! busy machine, and the median of many samples counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Samples of a loop.
    pub samples: usize,
    /// Samples of what takes long by itself: loading, starting.
    pub repeats: usize,
}

impl Effort {
    /// For numbers that are to be kept.
    pub const FULL: Self = Self { samples: 101, repeats: 15 };
    /// For a look.
    pub const QUICK: Self = Self { samples: 21, repeats: 5 };
}

/// Length of a sample.
const SAMPLE: Duration = Duration::from_millis(2);

/// How long code runs before it counts.
const WARM_UP: Duration = Duration::from_millis(20);

/// Something that is measured: does its work once.
pub type Work<'w> = dyn FnMut() -> Result<(), String> + 'w;

/// Nanoseconds of each, medians. Samples take turns, so that what disturbs the machine disturbs all of them.
pub fn together<const N: usize>(effort: Effort, works: [&mut Work<'_>; N]) -> Result<[f64; N], String> {
    let mut works = works.map(|work| (work, 0, Vec::with_capacity(effort.samples)));
    for (work, turns, _) in &mut works {
        *turns = calibrate(*work)?;
    }
    for _ in 0..effort.samples {
        for (work, turns, samples) in &mut works {
            samples.push(timed(*work, *turns)?.as_nanos() as f64 / f64::from(*turns));
        }
    }
    Ok(works.map(|(_, _, mut samples)| median(&mut samples)))
}

/// Nanoseconds of one run of something that takes long, median.
pub fn each(effort: Effort, work: &mut Work<'_>) -> Result<f64, String> {
    work()?;
    let mut samples = Vec::with_capacity(effort.repeats);
    for _ in 0..effort.repeats {
        samples.push(timed(work, 1)?.as_nanos() as f64);
    }
    Ok(median(&mut samples))
}

/// How many turns make a sample.
fn calibrate(work: &mut Work<'_>) -> Result<u32, String> {
    let since = Instant::now();
    let mut turns = 1;
    loop {
        let took = timed(work, turns)?;
        if took >= SAMPLE / 2 && since.elapsed() >= WARM_UP {
            let wanted = f64::from(turns) * SAMPLE.as_secs_f64() / took.as_secs_f64();
            return Ok((wanted as u32).max(1));
        }
        if took < SAMPLE / 2 {
            turns = turns.saturating_mul(2);
        }
    }
}

fn timed(work: &mut Work<'_>, turns: u32) -> Result<Duration, String> {
    let since = Instant::now();
    for _ in 0..turns {
        black_box(work())?;
    }
    Ok(since.elapsed())
}

/// The value in the middle; 0 of none.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_that_took_long_counts_for_nothing() {
        assert_eq!(median(&mut [3.0, 1e9, 1.0, 2.0, 2.5]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn work_that_fails_is_an_error_and_no_time() {
        assert!(together(Effort::QUICK, [&mut || Err("broken".to_owned())]).is_err());
        assert!(each(Effort::QUICK, &mut || Err("broken".to_owned())).is_err());
    }
}
