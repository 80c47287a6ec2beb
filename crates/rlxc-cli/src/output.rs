//! Lists for eyes and for machines.

use std::io::{IsTerminal, Write};

use serde_json::{Map, Value};

/// `--format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns, or lines
    #[default]
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Comma-separated values with a header
    Csv,
}

/// Prints a value in a machine-readable form; a list of objects becomes rows in CSV.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_value(format: Format, value: &Value) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match format {
        Format::Json | Format::Table => writeln!(out, "{value:#}")?,
        Format::Yaml => yaml(&mut out, value, 0)?,
        Format::Csv => csv(&mut out, value)?,
    }
    out.flush()
}

fn yaml(out: &mut impl Write, value: &Value, indent: usize) -> std::io::Result<()> {
    let pad = " ".repeat(indent);
    match value {
        Value::Array(list) if list.is_empty() => writeln!(out, "{pad}[]"),
        Value::Array(list) => list.iter().try_for_each(|item| match item {
            Value::Object(_) | Value::Array(_) => {
                let mut nested = Vec::new();
                yaml(&mut nested, item, indent + 2)?;
                let text = String::from_utf8_lossy(&nested).into_owned();
                write!(out, "{pad}- {}", text.trim_start())
            }
            item => writeln!(out, "{pad}- {item}"),
        }),
        Value::Object(map) if map.is_empty() => writeln!(out, "{pad}{{}}"),
        Value::Object(map) => map.iter().try_for_each(|(key, item)| match item {
            Value::Object(map) if !map.is_empty() => {
                writeln!(out, "{pad}{key}:")?;
                yaml(out, item, indent + 2)
            }
            Value::Array(list) if !list.is_empty() => {
                writeln!(out, "{pad}{key}:")?;
                yaml(out, item, indent + 2)
            }
            // JSON's scalars, strings in double quotes included, are YAML's too.
            item => writeln!(out, "{pad}{key}: {item}"),
        }),
        scalar => writeln!(out, "{pad}{scalar}"),
    }
}

fn csv(out: &mut impl Write, value: &Value) -> std::io::Result<()> {
    let rows = match value {
        Value::Array(rows) => rows.as_slice(),
        single => std::slice::from_ref(single),
    };
    // Not every row need have every column.
    let mut header: Vec<&String> = Vec::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !header.contains(&key) {
            header.push(key);
        }
    }
    if !header.is_empty() {
        let cells: Vec<_> = header.iter().map(|key| csv_cell(key)).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    for row in rows {
        let cells: Vec<String> = match row {
            Value::Object(map) => header
                .iter()
                .map(|key| {
                    map.get(*key)
                        .map_or_else(String::new, |v| csv_cell(&flat(v)))
                })
                .collect(),
            other => vec![csv_cell(&flat(other))],
        };
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

/// A value in one cell.
pub(crate) fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(flat).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A cell of a CSV row, in quotes where it needs them.
pub(crate) fn csv_cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Left-aligned columns, each as wide as its widest cell and followed by one blank, as lxc-ls -f
/// prints them.
pub(crate) fn columns(header: &[&str], least: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header
        .iter()
        .zip(least)
        .map(|(h, l)| h.len().max(*l))
        .collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.len()) + 1,
            ));
        }
        text.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A name as it may be shown on a terminal: control characters are escaped.
pub(crate) fn safe(name: &str) -> String {
    let bad = |c: char| c.is_control();
    match name.contains(bad) {
        true => name
            .chars()
            .flat_map(|c| {
                if bad(c) {
                    c.escape_default().collect()
                } else {
                    vec![c]
                }
            })
            .collect(),
        false => name.to_owned(),
    }
}

/// Bytes as lxc-info shows them.
pub(crate) fn humanize(bytes: u64) -> String {
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{:.2} KiB", of(1 << 10)),
        1_048_576..=1_073_741_823 => format!("{:.2} MiB", of(1 << 20)),
        _ => format!("{:.2} GiB", of(1 << 30)),
    }
}

fn paint(code: &str, text: &str, terminal: bool) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !terminal;
    match plain {
        true => text.to_owned(),
        false => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// Red, for standard error.
pub(crate) fn red(text: &str) -> String {
    paint("1;31", text, std::io::stderr().is_terminal())
}

/// A colour by number for standard output.
pub(crate) fn colour(code: &str, text: &str) -> String {
    paint(code, text, std::io::stdout().is_terminal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_humanized_as_lxc_info_does() {
        assert_eq!(humanize(900), "900 bytes");
        assert_eq!(humanize(1536), "1.50 KiB");
        assert_eq!(humanize(3 << 30), "3.00 GiB");
    }

    #[test]
    fn columns_are_padded_and_end_with_a_blank() {
        let rows = [vec!["spec-a".to_owned(), "x".to_owned()]];
        assert_eq!(
            columns(&["NAME", "Y"], &[0, 0], &rows),
            "NAME   Y \nspec-a x \n"
        );
    }

    #[test]
    fn yaml_nests_lists_and_objects() -> std::io::Result<()> {
        let value = serde_json::json!([{"name": "a", "ips": ["1", "2"], "none": []}]);
        let mut out = Vec::new();
        yaml(&mut out, &value, 0)?;
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(
            text,
            "- ips:\n    - \"1\"\n    - \"2\"\n  name: \"a\"\n  none: []\n"
        );
        Ok(())
    }

    #[test]
    fn csv_has_all_columns_of_all_rows() -> std::io::Result<()> {
        let value = serde_json::json!([{"a": 1}, {"a": "x,\"y\"", "b": null}, {"b": [1, 2]}]);
        let mut out = Vec::new();
        csv(&mut out, &value)?;
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(text, "a,b\n1,\n\"x,\"\"y\"\"\",\n,1 2\n");
        Ok(())
    }

    #[test]
    fn control_characters_in_names_are_escaped() {
        assert_eq!(safe("a\x1b[31m"), "a\\u{1b}[31m");
    }
}
