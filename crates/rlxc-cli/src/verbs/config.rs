use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use rlxc::config::{Document, KEY_TABLE};
use rlxc::{global_config_item, global_config_keys};
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value};

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// List the items of lxc.conf
    #[arg(short = 'l')]
    list: bool,
    /// An item of lxc.conf; or `check FILE…`, `explain KEY`, `show NAME`, `keys`
    #[arg(value_name = "ITEM", hide = true)]
    words: Vec<String>,
}

/// lxc-config's items, in its order: a prefix names the first that it fits.
const ITEMS: [&str; 7] = [
    "lxc.default_config",
    "lxc.lxcpath",
    "lxc.bdev.lvm.vg",
    "lxc.bdev.lvm.thin_pool",
    "lxc.bdev.zfs.root",
    "lxc.cgroup.use",
    "lxc.cgroup.pattern",
];

impl Run for Config {
    fn run(self, context: &Context) -> Outcome {
        if self.list {
            return list(context);
        }
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => usage(&context.called),
            ["check", files @ ..] if !context.lxc => check(files, context),
            ["explain", key] if !context.lxc => explain(key),
            ["keys"] if !context.lxc => keys(context),
            ["show", name] if !context.lxc => show(name, context),
            [item, ..] => item_value(item, context),
        }
    }
}

fn usage(called: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Usage: {called} -l: list all available configuration items"
    )?;
    writeln!(out, "       {called} item: print configuration item")?;
    Ok(0)
}

fn list(context: &Context) -> Outcome {
    if context.common.format != Format::Table {
        let each = global_config_keys().iter();
        let rows: Vec<_> = each
            .map(|k| json!({"key": k, "value": global_config_item(k).ok().flatten()}))
            .collect();
        print_value(context.common.format, &rows.into())?;
        return Ok(0);
    }
    let mut out = std::io::stdout().lock();
    for item in ITEMS {
        writeln!(out, "{item}")?;
    }
    Ok(0)
}

fn item_value(item: &str, context: &Context) -> Outcome {
    let Some(key) = ITEMS.iter().find(|key| key.starts_with(item)) else {
        context.say(&format!("Unknown configuration item: {item}"));
        return Err(Failure::new(""));
    };
    let mut out = std::io::stdout().lock();
    match global_config_item(key)? {
        Some(value) => writeln!(out, "{value}")?,
        None => writeln!(out, "{item} is not set.")?,
    }
    Ok(0)
}

/// Reads files or the configurations of containers, and tells what is wrong, with its place.
fn check(files: &[&str], context: &Context) -> Outcome {
    if files.is_empty() {
        return Err(Failure::new("which file or container is to be checked?"));
    }
    let mut bad = false;
    for file in files {
        let path = match file.contains('/') {
            true => PathBuf::from(file),
            false => context.lxcpath().join(file).join("config"),
        };
        match Document::new().load_file(&path) {
            Ok(()) => writeln!(std::io::stdout(), "{}: ok", path.display())?,
            Err(error) => {
                bad = true;
                context.report(&rlxc::Error::from(error).into());
            }
        }
    }
    Ok(u8::from(bad))
}

fn explain(key: &str) -> Outcome {
    let row = KEY_TABLE
        .iter()
        .filter(|row| key == row.name || row.prefix && key.starts_with(row.name));
    let Some(row) = row.max_by_key(|row| row.name.len()) else {
        let near = rlxc::config::nearest_key(key).map(|k| format!("; did you mean {k}?"));
        return Err(Failure::new(format!(
            "there is no key {key}{}",
            near.unwrap_or_default()
        )));
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n  {}", row.name, row.doc)?;
    writeln!(out, "  value:   {}\n  default: {}", row.value, row.default)?;
    writeln!(
        out,
        "  since:   LXC {}\n  example: {}",
        row.since, row.example
    )?;
    if row.list {
        writeln!(
            out,
            "  each line adds to the list; an empty value clears it"
        )?;
    }
    Ok(0)
}

fn keys(context: &Context) -> Outcome {
    let rows: Vec<_> = KEY_TABLE
        .iter()
        .map(|row| json!({"key": row.name, "value": row.value, "default": row.default, "doc": row.doc}))
        .collect();
    match context.common.format {
        Format::Table => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for row in KEY_TABLE.iter() {
                writeln!(out, "{:<32}{}", row.name, row.value)?;
            }
            out.flush()?;
        }
        format => print_value(format, &rows.into())?,
    }
    Ok(0)
}

/// The effective configuration of a container: every key that has a value.
fn show(name: &str, context: &Context) -> Outcome {
    let container = rlxc::Container::new(name, Some(&context.lxcpath()))?;
    if !container.is_defined() {
        return Err(Failure::new(format!("{name} doesn't exist")));
    }
    let mut map = serde_json::Map::new();
    for key in container.keys(None)? {
        if let Ok(value) = container.item(&key)
            && !value.is_empty()
        {
            map.insert(key, value.trim_end_matches('\n').into());
        }
    }
    match context.common.format {
        Format::Table => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for (key, value) in &map {
                for line in value.as_str().unwrap_or_default().lines() {
                    writeln!(out, "{key} = {line}")?;
                }
            }
            out.flush()?;
        }
        format => print_value(format, &map.into())?,
    }
    Ok(0)
}
