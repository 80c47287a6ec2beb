//! Findings about lxc.conf and lxc-usernet, whose lines LXC never complains of.

use std::collections::HashMap;
use std::path::Path;

use super::{Diagnostic, Place, Severity};
use crate::global::GLOBAL_KEYS;
use crate::{keys, usernet};

/// Which of the host's own files a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// lxc.conf
    Global,
    /// lxc-usernet
    Usernet,
}

pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    match path.file_name()?.to_str()? {
        "lxc.conf" => Some(Kind::Global),
        "lxc-usernet" => Some(Kind::Usernet),
        _ => None,
    }
}

/// Checks one of these files; `lxc.conf` is also what Incus and LXD call a container's file, so one
/// with keys of containers is left to the other checks.
pub(super) fn check(kind: Kind, path: &Path, text: &[u8]) -> Option<Vec<Diagnostic>> {
    let text = String::from_utf8_lossy(text);
    let lines = || {
        text.split('\n')
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    };
    let place = |line: usize, text: &str| Place {
        file: path.to_owned(),
        line,
        text: text.to_owned(),
        key: (0, text.len()),
        value: (text.len(), text.len()),
    };
    match kind {
        Kind::Global => {
            let key_of = |line: &str| {
                let name = line.split('=').next().unwrap_or_default().trim();
                (!line.starts_with('#')).then(|| name.to_owned())
            };
            let of_container =
                |key: &String| !GLOBAL_KEYS.contains(&key.as_str()) && keys::key_is_supported(key);
            if lines()
                .filter_map(|(_, line)| key_of(line))
                .any(|key| of_container(&key))
            {
                return None;
            }
            Some(global(lines(), place))
        }
        Kind::Usernet => Some(rules(lines(), place)),
    }
}

fn global<'a>(
    lines: impl Iterator<Item = (usize, &'a str)>,
    place: impl Fn(usize, &str) -> Place,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, line) in lines {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let start = line.len() - line.trim_start().len();
        let place = place(number, line);
        let Some((name, value)) = line.split_once('=') else {
            let span = (start, line.trim_end().len());
            let finding = place.about(
                Severity::Warning,
                "no-equals",
                "a line without \"=\" is ignored",
                span,
            );
            found.push(finding.expected("key = value"));
            continue;
        };
        let (key, span) = (name.trim(), (start, start + name.trim().len()));
        if !GLOBAL_KEYS.contains(&key) {
            let message = format!("{key} is no key of lxc.conf and is ignored");
            let finding = place.about(Severity::Warning, "unknown-key", message, span);
            let near = keys::nearest(key, GLOBAL_KEYS.into_iter());
            found.push(match near {
                Some(near) => finding.help(format!("did you mean {near}?")),
                None => finding.help(format!("the keys are {}", GLOBAL_KEYS.join(" "))),
            });
            continue;
        }
        if let Some(first) = seen.get(key) {
            let message = format!("{key} was given in line {first} already: the first counts");
            found.push(place.about(Severity::Warning, "repeated-key", message, span));
        }
        seen.entry(key.to_owned()).or_insert(number);
        let trimmed = value.trim_end();
        if trimmed.len() < value.len() {
            let end = name.len() + 1 + trimmed.len();
            found.push(place.about(
                Severity::Warning,
                "trailing-blank",
                "blanks at the end of the line are part of the value",
                (end, line.len()),
            ));
        }
        if trimmed.trim_start().is_empty() {
            let message = format!("{key} has no value");
            found.push(place.about(Severity::Warning, "no-value", message, span));
        }
        if let Some(at) = value.find(" #") {
            let at = name.len() + 1 + at + 1;
            found.push(place.about(
                Severity::Warning,
                "trailing-comment",
                "there are no comments after a value: this is part of it",
                (at, line.len()),
            ));
        }
    }
    found
}

fn rules<'a>(
    lines: impl Iterator<Item = (usize, &'a str)>,
    place: impl Fn(usize, &str) -> Place,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (number, line) in lines {
        let start = line.len() - line.trim_start().len();
        let body = line.trim();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let place = place(number, line);
        let whole = (start, start + body.len());
        if start > 0 {
            let finding = place.about(
                Severity::Warning,
                "ignored-line",
                "a line that begins with a blank is ignored",
                (0, start),
            );
            found.push(finding);
            continue;
        }
        let words: Vec<&str> = body.split_ascii_whitespace().collect();
        let [_, kind, _, count, more @ ..] = words.as_slice() else {
            let finding = place.about(
                Severity::Warning,
                "ignored-line",
                "a line without four words is ignored",
                whole,
            );
            found.push(finding.expected("USER|@GROUP veth BRIDGE NUMBER"));
            continue;
        };
        let span = |word: &str| {
            let at = word.as_ptr() as usize - line.as_ptr() as usize;
            (at, at + word.len())
        };
        if *kind != "veth" {
            let finding = place.about(
                Severity::Warning,
                "bad-kind",
                "this kind of interface cannot be made by users",
                span(kind),
            );
            found.push(finding.expected("veth"));
        }
        if count.parse::<u32>().is_err() {
            let number = usernet::count(count).ok().map(|(_, number)| number);
            let (code, message) = match number {
                None => ("ignored-line", "this line is ignored".to_owned()),
                Some(number) => ("bad-value", format!("this counts as {number}")),
            };
            let finding = place.about(Severity::Warning, code, message, span(count));
            found.push(finding.expected("how many interfaces"));
        }
        if let Some(first) = more.first().filter(|word| !word.starts_with('#')) {
            found.push(place.about(
                Severity::Warning,
                "trailing-text",
                "what follows the number is ignored",
                (span(first).0, whole.1),
            ));
        }
    }
    found
}
