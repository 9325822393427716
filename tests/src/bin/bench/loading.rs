//! Rows for what happens before a decision: loading rulesets, making instances, and the memory of one more of them.

use std::fs;

use edictum_host::measure::{Component, Instance};

use crate::decisions::{FIRED, Native};
use crate::sample::{Effort, each};
use crate::table::{Row, Unit};
use crate::workload;

/// Rules and tools.
const SIZES: [(usize, usize); 4] = [(10, 1), (100, 4), (1_000, 20), (10_000, 200)];

/// KiB that one more decider with ten rules may take.
const FURTHER: f64 = 600.0;

/// Deciders that are made to measure what one takes.
const DECIDERS: usize = 32;

pub fn measure(component: &Component, effort: Effort) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (rules, tools) in SIZES {
        // The largest takes long enough to be exact.
        let effort = if rules > 1_000 { Effort { repeats: effort.repeats.div_ceil(5), ..effort } } else { effort };
        rows.push(load(component, rules, tools, effort)?);
    }
    rows.push(Row {
        what: "instantiate".to_owned(),
        component: Some(each(effort, &mut || component.instantiate().map(drop))? / 1e3),
        ..Row::default()
    });
    rows.extend(memory(component)?);
    Ok(rows)
}

fn load(component: &Component, rules: usize, tools: usize, effort: Effort) -> Result<Row, String> {
    let rulesets = workload::rulesets(rules, tools);
    let native = each(effort, &mut || Native::load(&rulesets, FIRED).map(drop))?;
    let component = each(effort, &mut || component.instantiate()?.prepare(&rulesets, FIRED))?;
    Ok(Row {
        what: "load (component: instantiate + load)".to_owned(),
        rules: Some(rules),
        tools: Some(tools),
        unit: Unit::Milliseconds,
        native: Some(native / 1e6),
        component: Some(component / 1e6),
        ..Row::default()
    })
}

/// What one more decider adds to the resident memory of this process. None where the system does not say.
fn memory(component: &Component) -> Result<Option<Row>, String> {
    let rulesets = workload::rulesets(10, 1);
    let call = workload::calls(1).pop().unwrap_or_default();
    let ready = || -> Result<Instance, String> {
        let mut instance = component.instantiate()?;
        instance.prepare(&rulesets, FIRED)?;
        instance.evaluate(&call)?;
        Ok(instance)
    };
    // The first ones bring in code and what the allocator keeps.
    let mut deciders = vec![ready()?, ready()?];
    let Some(before) = resident() else { return Ok(None) };
    for _ in 0..DECIDERS {
        deciders.push(ready()?);
    }
    let Some(after) = resident() else { return Ok(None) };
    Ok(Some(Row {
        what: "memory of a further decider".to_owned(),
        rules: Some(10),
        tools: Some(1),
        unit: Unit::Kibibytes,
        component: Some((after - before) / DECIDERS as f64),
        target: Some(FURTHER),
        ..Row::default()
    }))
}

/// Resident memory of this process in KiB (Linux).
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
