//! Rows, and how they are shown.

use std::fmt::Write as _;

use serde::Serialize;

/// One line of the table. What a row does not have is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// Rules of the ruleset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<usize>,
    /// Tools that they are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
    /// `detail` of the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
    /// What the numbers are in.
    pub unit: Unit,
    /// The engine, called directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<f64>,
    /// The engine in wasmtime; for a row without such a difference, what was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<f64>,
    /// The Python SDK 0.19.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<f64>,
    /// Upper bound of `component`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

/// What numbers are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Microseconds.
    #[default]
    #[serde(rename = "µs")]
    Microseconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// KiB.
    #[serde(rename = "KiB")]
    Kibibytes,
    /// A ratio.
    #[serde(rename = "×")]
    Times,
}

impl Unit {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Kibibytes => "KiB",
            Self::Times => "×",
        }
    }
}

/// The component may take so many times what the engine takes natively, and [`CROSSING`] more.
const RATIO: f64 = 1.5;

/// Microseconds to get into a component and out of it.
const CROSSING: f64 = 0.5;

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.component? / self.native?)
    }

    fn sdk_ratio(&self) -> Option<f64> {
        Some(self.sdk? / self.component?)
    }

    /// Whether the target is met; none where there is none.
    fn verdict(&self) -> Option<bool> {
        Some(self.component? <= self.target?)
    }

    /// Whether the component keeps up with the native engine: only for times of decisions.
    fn keeps_up(&self) -> Option<bool> {
        let decides = self.unit == Unit::Microseconds && self.detail.is_some();
        decides.then_some(self.component? <= RATIO * self.native? + CROSSING)
    }
}

const HEAD: [&str; 12] = [
    "what",
    "rules",
    "tools",
    "detail",
    "unit",
    "native",
    "component",
    "ratio",
    "≤1.5×+0.5",
    "target",
    "",
    "SDK (its ×)",
];

/// For people.
pub fn text(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right.
            let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let number = |value: Option<f64>| value.map(show).unwrap_or_default();
    let count = |value: Option<usize>| value.map(|value| value.to_string()).unwrap_or_default();
    let said = |verdict: Option<bool>| match verdict {
        Some(true) => "ok".to_owned(),
        Some(false) => "miss".to_owned(),
        None => String::new(),
    };
    [
        row.what.clone(),
        count(row.rules),
        count(row.tools),
        row.detail.unwrap_or_default().to_owned(),
        row.unit.symbol().to_owned(),
        number(row.native),
        number(row.component),
        row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        said(row.keeps_up()),
        row.target.map(|target| format!("≤ {target}")).unwrap_or_default(),
        said(row.verdict()),
        match (row.sdk, row.sdk_ratio()) {
            (Some(sdk), Some(ratio)) => format!("{} ({ratio:.0}×)", show(sdk)),
            _ => String::new(),
        },
    ]
}

/// Three digits that mean something.
fn show(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// For machines: a list with one row a line, with `ratio`, `ok` and `keeps_up` where the table has them.
pub fn json(rows: &[Row]) -> String {
    #[derive(Serialize)]
    struct Judged<'r> {
        #[serde(flatten)]
        row: &'r Row,
        #[serde(skip_serializing_if = "Option::is_none")]
        ratio: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        keeps_up: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ok: Option<bool>,
    }
    let judged = rows.iter().map(|row| Judged { row, ratio: row.ratio(), keeps_up: row.keeps_up(), ok: row.verdict() });
    let lines: Vec<String> = judged.map(|row| serde_json::to_string(&row).unwrap_or_default()).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(native: f64, component: f64, target: f64) -> Row {
        let detail = Some("fired");
        Row { native: Some(native), component: Some(component), target: Some(target), detail, ..Row::default() }
    }

    #[test]
    fn a_row_over_its_target_is_a_miss() {
        let last = |row: Row| text(&[row]).split_whitespace().last().map(str::to_owned);
        assert_eq!(last(row(1.0, 2.0, 2.5)).as_deref(), Some("ok"));
        assert_eq!(last(row(1.0, 2.6, 2.5)).as_deref(), Some("miss"));
        assert_eq!(row(1.0, 2.1, 2.5).keeps_up(), Some(false));
        assert_eq!(Row::default().verdict(), None);
    }

    #[test]
    fn machines_get_every_row() {
        let rows: serde_json::Value = serde_json::from_str(&json(&[row(1.0, 2.0, 2.5), Row::default()])).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 2);
        assert_eq!((rows[0]["ratio"].as_f64(), rows[0]["ok"].as_bool()), (Some(2.0), Some(true)));
    }
}
