//! A picture by itself: no scripts, no fonts, no links; light and dark as the reader prefers.

use super::picture::{Mark, Picture};

/// Of a letter, in pixels: a monospaced font of 13 px.
const LETTER: usize = 8;
const LINE: usize = 20;
const PADDING: usize = 14;
const GAP: usize = 28;
/// Letters of the word before a text.
const WORD: usize = 12;
/// Longest line, in letters.
const LONGEST: usize = 100;

const STYLE: &str = "\
svg { background: #fff; font: 13px ui-monospace, Menlo, Consolas, monospace }
text { fill: #1f2937; white-space: pre }
.title, .id { font-weight: bold }
.word { fill: #6b7280 }
rect { fill: #f9fafb; stroke: #9ca3af; stroke-width: 1.5 }
rect.here { stroke: #d97706; stroke-width: 4 }
rect.left { stroke: #16a34a; stroke-width: 2.5 }
path { stroke: #9ca3af; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  svg { background: #111827 }
  text { fill: #e5e7eb }
  .word { fill: #9ca3af }
  rect { fill: #1f2937; stroke: #6b7280 }
}";

pub fn draw(picture: &Picture) -> String {
    let letters = |lines: &[(&str, String)]| lines.iter().map(|(_, text)| WORD + length(text)).max().unwrap_or(0);
    let stages: Vec<_> = picture.stages.iter().map(|stage| (stage, stage.lines())).collect();
    let session = picture.session_lines();
    let heads = stages.iter().map(|(stage, _)| length(&head(stage.id.as_str(), &stage.description)));
    let widest = stages.iter().map(|(_, lines)| letters(lines)).chain(heads).chain([letters(&session) + 1]).max();
    let width = widest.unwrap_or(0).min(LONGEST) * LETTER + 4 * PADDING;

    let mut body = String::new();
    let mut y = 2 * PADDING + LINE / 2;
    text(&mut body, PADDING, y, "title", &picture.title());
    y += PADDING;
    for (index, (stage, lines)) in stages.iter().enumerate() {
        if index > 0 {
            let middle = width / 2;
            let (from, to) = (y, y + GAP);
            let arrow = format!("M{middle} {from} V{to} m-5 -7 l5 7 l5 -7");
            body.push_str(&format!("<path d=\"{arrow}\"/>\n"));
            y = to;
        }
        let height = (lines.len() + 1) * LINE + PADDING;
        let class = match picture.mark(stage) {
            Mark::Here => "here",
            Mark::Left => "left",
            Mark::Ahead => "ahead",
        };
        let (inner, round) = (width - 2 * PADDING, if stage.terminal { 18 } else { 6 });
        body.push_str(&format!(
            "<rect class=\"{class}\" x=\"{PADDING}\" y=\"{y}\" width=\"{inner}\" height=\"{height}\" rx=\"{round}\"/>\n"
        ));
        let mut line = y + LINE;
        text(&mut body, 2 * PADDING, line, "id", &head(&stage.id, &stage.description));
        for (word, said) in lines {
            line += LINE;
            text(&mut body, 2 * PADDING, line, "word", word);
            text(&mut body, 2 * PADDING + WORD * LETTER, line, "said", said);
        }
        y += height;
    }
    y += GAP;
    for (word, said) in &session {
        text(&mut body, PADDING, y, "word", word);
        text(&mut body, PADDING + (WORD + 1) * LETTER, y, "said", said);
        y += LINE;
    }
    let title = escaped(&picture.title());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\" \
         role=\"img\" aria-label=\"workflow {title}\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn head(id: &str, description: &str) -> String {
    if description.is_empty() { id.to_owned() } else { format!("{id} — {description}") }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn text(out: &mut String, x: usize, y: usize, class: &str, said: &str) {
    let mut said = said.to_owned();
    if length(&said) > LONGEST {
        said = said.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    out.push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escaped(&said)));
}

/// A text within an element or an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(super::escaped("<script a=\"&\">\n"), "&lt;script a=&quot;&amp;&quot;&gt; ");
    }
}
