//! A Mermaid flowchart, for pages in Markdown.

use super::picture::{Mark, Picture};

pub fn draw(picture: &Picture) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart TD\n", quoted(&picture.title()));
    for (index, stage) in picture.stages.iter().enumerate() {
        let mut label = format!("<b>{}</b>", escaped(&stage.id));
        for (word, text) in stage.lines() {
            label.push_str(&format!("<br/>{word}: {}", escaped(&text)));
        }
        let (open, close) = if stage.terminal { ("([", "])") } else { ("[", "]") };
        out.push_str(&format!("  s{index}{open}\"{label}\"{close}\n"));
        match picture.mark(stage) {
            Mark::Here => out.push_str(&format!("  class s{index} here\n")),
            Mark::Left => out.push_str(&format!("  class s{index} left\n")),
            Mark::Ahead => {}
        }
    }
    for (index, stage) in picture.stages.iter().enumerate().take(picture.stages.len().saturating_sub(1)) {
        let label = if stage.approval.is_some() { "|approved|" } else { "" };
        out.push_str(&format!("  s{index} -->{label} s{}\n", index + 1));
    }
    if picture.session.is_some() {
        out.push_str("  classDef here stroke-width:4px,stroke:#d97706\n  classDef left stroke:#16a34a\n");
    }
    out
}

/// A text in double quotes of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text within a quoted label: Mermaid knows entities, and neither quotes nor tags may come out of it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '#' => out.push_str("#35;"),
            '&' => out.push_str("#amp;"),
            '`' => out.push_str("#96;"),
            '\\' => out.push_str("#92;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_leaves_its_label() {
        assert_eq!(super::escaped("a\"] --> x<b>\n#`"), "a#quot;] --#gt; x#lt;b#gt; #35;#96;");
    }
}
