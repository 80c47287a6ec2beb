//! Findings as text, with the offending part underlined.

use std::fmt::Write;

use super::{Diagnostic, Severity};

/// Longest part of a line that is shown.
const WIDTH: usize = 160;

/// All findings as text for a terminal, without colours.
pub fn render(findings: &[Diagnostic]) -> String {
    let mut out = String::new();
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = one(&mut out, finding);
    }
    out
}

fn one(out: &mut String, d: &Diagnostic) -> std::fmt::Result {
    let severity = match d.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    writeln!(out, "{severity}[{}]: {}", d.code, d.message)?;
    if d.line == 0 {
        writeln!(out, " --> {}", d.file.display())?;
    } else {
        let gutter = d.line.to_string().len();
        let start = d.column.saturating_sub(1);
        let (shown, before, marked) = excerpt(&d.text, start, d.length);
        writeln!(
            out,
            "{:gutter$}--> {}:{}:{}",
            "",
            d.file.display(),
            d.line,
            d.column
        )?;
        writeln!(out, "{:gutter$} |", "")?;
        writeln!(out, "{} | {shown}", d.line)?;
        let label = d.expected.as_deref().unwrap_or_default();
        let underline = format!(
            "{:gutter$} | {:before$}{} {label}",
            "",
            "",
            "^".repeat(marked.max(1))
        );
        writeln!(out, "{}", underline.trim_end())?;
    }
    if let Some(help) = &d.help {
        writeln!(out, " = help: {help}")?;
    }
    writeln!(out)
}

/// A window of the line that holds the offending part, with control characters made visible; the
/// columns before that part, and its width.
fn excerpt(text: &str, start: usize, length: usize) -> (String, usize, usize) {
    let visible = |part: &str| -> String {
        part.chars()
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if c.is_control() {
                    '\u{b7}'
                } else {
                    c
                }
            })
            .collect()
    };
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (boundary(start), boundary(start + length));
    let from = if start > WIDTH / 2 {
        boundary(start - WIDTH / 2)
    } else {
        0
    };
    let to = boundary(end.max(from + WIDTH).min(from + 2 * WIDTH));
    let head = visible(&text[from..start]);
    let marked = visible(&text[start..end.min(to).max(start)]);
    let tail = visible(&text[end.min(to).max(start)..to.max(end.min(to))]);
    (
        format!("{head}{marked}{tail}"),
        head.chars().count(),
        marked.chars().count(),
    )
}
