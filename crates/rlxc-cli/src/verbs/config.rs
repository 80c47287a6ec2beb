use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::config::{CheckOptions, Diagnostic, Document, Severity, check_with, render};
use rlxc::{global_config_item, global_config_keys};
use serde_json::{Value, json};

use super::{Run, config_policy};
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, columns, print_value};

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// List the items of lxc.conf
    #[arg(short = 'l')]
    list: bool,
    /// With check: warnings count as errors, and so do limits for cgroups that this host lacks
    #[arg(long)]
    strict: bool,
    /// With check: look at the text alone, not at this host's paths and kernel
    #[arg(long)]
    no_host: bool,
    /// With show: also the keys that have their default
    #[arg(long)]
    all: bool,
    /// An item of lxc.conf; or `check NAME|FILE…`, `explain KEY…`, `show NAME|FILE`, `keys`
    #[arg(
        value_name = "ITEM | check NAME|FILE… | explain KEY… | show NAME|FILE | keys",
        allow_hyphen_values = false
    )]
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
            [] => usage(context),
            [""] if context.lxc => usage(context),
            [item, ..] if context.lxc => item_value(item, context),
            ["check"] => Err(Failure::new("which container or file is to be checked?")),
            ["check", targets @ ..] => self.check(targets, context),
            ["explain"] => {
                Err(Failure::new("which key is to be explained?")
                    .remedy("rlxc config keys lists them"))
            }
            ["explain", keys @ ..] => explain(keys, context),
            ["keys"] => keys(context),
            ["show", target] => show(target, self.all, context),
            ["show", ..] => Err(Failure::new("which one container or file is to be shown?")),
            [item, ..] => item_value(item, context),
        }
    }
}

fn usage(context: &Context) -> Outcome {
    let mut out = std::io::stdout().lock();
    let tool = &context.called;
    writeln!(
        out,
        "Usage: {tool} -l: list all available configuration items"
    )?;
    writeln!(out, "       {tool} item: print configuration item")?;
    if !context.lxc {
        for (words, what) in [
            ("check NAME|FILE…", "tell every mistake with its place"),
            ("explain KEY…", "tell a key's meaning, form and default"),
            ("show NAME|FILE", "print what holds, and where it was said"),
            ("keys", "list all keys"),
        ] {
            writeln!(out, "       {tool} {words}: {what}")?;
        }
    }
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
    // LXC's tool knows seven of the nine; the others are for us alone.
    let known = ITEMS.iter().find(|key| key.starts_with(item));
    let own = global_config_keys()
        .iter()
        .find(|key| !context.lxc && **key == item);
    let Some(key) = own.or(known) else {
        context.say(&format!("Unknown configuration item: {item}"));
        return Err(Failure::new(""));
    };
    let value = global_config_item(key)?;
    if context.common.format != Format::Table {
        print_value(context.common.format, &json!({"key": key, "value": value}))?;
        return Ok(0);
    }
    let mut out = std::io::stdout().lock();
    match value {
        Some(value) => writeln!(out, "{value}")?,
        None => writeln!(out, "{item} is not set.")?,
    }
    Ok(0)
}

/// A file, or the configuration of a container.
fn target(word: &str, context: &Context) -> PathBuf {
    let container = context.lxcpath().join(word).join("config");
    let file = Path::new(word);
    if word.contains('/') || !container.exists() && file.is_file() {
        return file.to_owned();
    }
    container
}

impl Config {
    /// Every finding in files and all that they include, with its place.
    fn check(&self, targets: &[&str], context: &Context) -> Outcome {
        let options = CheckOptions {
            host: !self.no_host,
            strict_cgroup: self.strict,
            ..CheckOptions::default()
        };
        let least = match self.strict {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let mut all = Vec::new();
        let mut bad = false;
        for word in targets {
            let path = target(word, context);
            let mut found = check_with(&path, options);
            if options.host {
                found.extend(config_policy::findings(&path));
            }
            bad |= found.iter().any(|d| d.severity >= least);
            if context.common.format == Format::Table {
                let mut out = std::io::stdout().lock();
                write!(out, "{}", render(&found))?;
                writeln!(out, "{}: {}", path.display(), summary(&found))?;
            }
            all.extend(found);
        }
        if context.common.format != Format::Table {
            let value = serde_json::to_value(&all).map_err(std::io::Error::other)?;
            print_value(context.common.format, &value)?;
        }
        Ok(u8::from(bad))
    }
}

fn summary(found: &[Diagnostic]) -> String {
    let counted = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ]
    .map(|(severity, word)| {
        let count = found.iter().filter(|d| d.severity == severity).count();
        let plural = if count == 1 { "" } else { "s" };
        (count, format!("{count} {word}{plural}"))
    });
    let said: Vec<_> = counted
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(_, text)| text)
        .collect();
    match said.as_slice() {
        [] => "ok".to_owned(),
        said => said.join(", "),
    }
}

fn explain(keys: &[&str], context: &Context) -> Outcome {
    let mut all = Vec::new();
    for key in keys {
        let explanation = rlxc::config::explain(key).map_err(rlxc::Error::from)?;
        if context.common.format == Format::Table {
            write!(std::io::stdout(), "{explanation}")?;
        } else {
            all.push(serde_json::to_value(&explanation).map_err(std::io::Error::other)?);
        }
    }
    if context.common.format != Format::Table {
        print_value(context.common.format, &Value::from(all))?;
    }
    Ok(0)
}

fn keys(context: &Context) -> Outcome {
    let all = rlxc::config::all_keys();
    match context.common.format {
        Format::Table => {
            let rows: Vec<_> = all
                .iter()
                .map(|row| {
                    [&row.key, row.acted_on_by, row.value]
                        .map(|c| c.to_owned())
                        .into()
                })
                .collect();
            let text = columns(&["KEY", "ACTED ON BY", "VALUE"], &[0, 0, 0], &rows);
            let mut out = std::io::stdout().lock();
            for line in text.lines() {
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        format => {
            let value = serde_json::to_value(&all).map_err(std::io::Error::other)?;
            print_value(format, &value)?;
        }
    }
    Ok(0)
}

/// What holds after all files have been read, each value with the places that gave it. The text is
/// itself a configuration of the same meaning, without includes.
fn show(word: &str, all: bool, context: &Context) -> Outcome {
    let path = target(word, context);
    if !path.exists() {
        return Err(Failure::new(format!("{word} doesn't exist")));
    }
    let mut document = Document::with_origins();
    document.load_file(&path).map_err(rlxc::Error::from)?;
    let list = document.effective(all);
    match context.common.format {
        Format::Table => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for entry in &list {
                writeln!(out, "{entry}")?;
            }
            out.flush()?;
        }
        format => {
            let value = serde_json::to_value(&list).map_err(std::io::Error::other)?;
            print_value(format, &value)?;
        }
    }
    Ok(0)
}
