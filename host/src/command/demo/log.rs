//! Events of the decision log in a compact table.

use serde_json::Value;
use textwrap::core::display_width;

use super::story::short;
use super::transcript::{FAINT, PLAIN, Page, STRONG, cut};
use crate::command::remote::{plain, text};

type Cell = fn(&Value) -> String;

/// Columns, the widest last: it gets what room there is.
const COLUMNS: [(&str, Cell); 6] = [
    ("time", |event| text(event, "timestamp").get(11..23).unwrap_or_default().to_owned()),
    ("call", |event| text(event, "call_id").to_owned()),
    ("action", |event| text(event, "action").to_owned()),
    ("tool", |event| text(event, "tool_name").to_owned()),
    ("rules", |event| short(text(event, "policy_version")).to_owned()),
    ("because of", |event| text(event, "decision_name").to_owned()),
];

/// A line for each event.
pub fn table(page: &Page, events: &[Value]) -> String {
    let cells: Vec<[String; 6]> = events.iter().map(|event| COLUMNS.map(|(_, cell)| plain(&cell(event)))).collect();
    let mut lines = vec![line(page, &COLUMNS.map(|(name, _)| name.to_owned()), &cells, STRONG)];
    lines.extend(cells.iter().map(|row| line(page, row, &cells, PLAIN)));
    let events = events.len();
    lines.push(format!("{FAINT}{events} events, each kept once, none left on the way{FAINT:#}"));
    lines.join("\n")
}

fn line(page: &Page, row: &[String; 6], cells: &[[String; 6]], style: anstyle::Style) -> String {
    let mut line = String::new();
    for (index, (cell, (name, _))) in row.iter().zip(COLUMNS).enumerate() {
        let widest = cells.iter().filter_map(|row| row.get(index)).map(|cell| display_width(cell)).max();
        let width = widest.unwrap_or(0).max(display_width(name));
        let pad = width.saturating_sub(display_width(cell));
        line.push_str(cell);
        line.push_str(&" ".repeat(pad + 2));
    }
    format!("{style}{}{style:#}", cut(line.trim_end(), page.width()))
}
