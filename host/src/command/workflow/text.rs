//! Stages from top to bottom, for the terminal. Colours are taken away again where there is none (by `anstream`).

use anstyle::{AnsiColor, Style};

use super::picture::{Mark, Picture};

const PLAIN: Style = Style::new();
const STRONG: Style = PLAIN.bold();
const FAINT: Style = PLAIN.dimmed();
const HERE: Style = AnsiColor::Yellow.on_default().bold();
const LEFT: Style = AnsiColor::Green.on_default();

pub fn draw(picture: &Picture) -> String {
    let mut out = format!("{STRONG}{}{STRONG:#}\n\n", picture.title());
    let last = picture.stages.len().saturating_sub(1);
    for (index, stage) in picture.stages.iter().enumerate() {
        let (sign, style) = match picture.mark(stage) {
            Mark::Here => ("▶", HERE),
            Mark::Left => ("✓", LEFT),
            Mark::Ahead if stage.terminal => ("■", PLAIN),
            Mark::Ahead => ("○", PLAIN),
        };
        let about = if stage.description.is_empty() { String::new() } else { format!("  {}", stage.description) };
        out.push_str(&format!("{style}{sign}{style:#} {STRONG}{}{STRONG:#}{FAINT}{about}{FAINT:#}\n", stage.id));
        let line = if index == last { " " } else { "│" };
        for (word, text) in stage.lines() {
            out.push_str(&format!("{FAINT}{line}   {word:<11}{FAINT:#} {text}\n"));
        }
        if index != last {
            out.push_str(&format!("{FAINT}│{FAINT:#}\n"));
        }
    }
    let session = picture.session_lines();
    if !session.is_empty() {
        out.push('\n');
    }
    for (word, text) in session {
        out.push_str(&format!("{FAINT}{word:<13}{FAINT:#} {text}\n"));
    }
    out
}
