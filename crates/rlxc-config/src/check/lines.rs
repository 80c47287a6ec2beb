//! Findings about one line.

use super::{Diagnostic, Place, Severity};
use crate::error::{ValueError, short};
use crate::{MountEntry, keys, legacy};

/// What some editors put before the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line that LXC skips without a word.
pub(super) fn ignored(place: &Place) -> Diagnostic {
    if place.line == 1 && place.text.starts_with(BYTE_ORDER_MARK) {
        let mark = (0, BYTE_ORDER_MARK.len_utf8());
        return place
            .about(
                Severity::Warning,
                "byte-order-mark",
                "the file begins with a byte order mark: its first line is ignored",
                mark,
            )
            .help("save the file without it: sed -i '1s/^\\xef\\xbb\\xbf//' FILE");
    }
    let word = place.text.split('=').next().unwrap_or_default().trim();
    let start = place.text.len() - place.text.trim_start().len();
    let finding = place.about(
        Severity::Warning,
        "ignored-line",
        "a line that does not begin with \"lxc.\" is ignored",
        (start, place.text.trim_end().len()),
    );
    match keys::nearest_key(&word.to_ascii_lowercase()) {
        Some(near) => finding.help(format!("did you mean {near}?")),
        None => finding.help("put a # before it if it is a comment"),
    }
}

/// A key that does not exist, with the way out.
pub(super) fn unknown(place: &Place, name: &str) -> Diagnostic {
    let finding = place.about_key(
        Severity::Error,
        "unknown-key",
        format!("unknown key {}", short(name)),
    );
    if let Some(new) = legacy::replacement(name) {
        return Diagnostic {
            code: "legacy-key",
            message: format!("{name} is a key of LXC before 2.1"),
            ..finding
        }
        .expected(new)
        .help(format!(
            "lxc-update-config -c {} converts the file",
            place.file.display()
        ));
    }
    if crate::global::GLOBAL_KEYS.contains(&name) {
        return finding.help("this is a key of lxc.conf, the host's settings for all containers");
    }
    match keys::nearest_key(name) {
        Some(near) => finding.help(format!("did you mean {near}?")),
        None => finding,
    }
}

/// Where a value seems to end in a comment; commands and profiles may hold a `#` of their own.
pub(super) fn comment_in(name: &str, value: &str) -> Option<usize> {
    let free_text = [
        "lxc.hook.",
        "lxc.apparmor.raw",
        "lxc.environment",
        "lxc.execute.cmd",
        "lxc.init.cmd",
    ];
    if free_text.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    value
        .find(" #")
        .or_else(|| value.find("\t#"))
        .map(|at| at + 1)
}

/// What LXC accepts without the meaning that its author has in mind.
pub(super) fn suspicious(place: &Place, name: &str, value: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut warn = |code, message: &str, span| {
        found.push(place.about_value(Severity::Warning, code, message, span))
    };
    if let Some(at) = comment_in(name, value) {
        warn(
            "trailing-comment",
            "there are no comments after a value: this is part of it",
            Some((at, value.len() - at)),
        );
    }
    if value.ends_with('\\') {
        warn(
            "continuation",
            "lines are not continued: the backslash is part of the value",
            Some((value.len() - 1, 1)),
        );
    }
    let last = value.chars().last().filter(char::is_ascii_alphabetic);
    match name {
        "lxc.console.size" | "lxc.console.buffer.size" if value != "auto" && last.is_some() => {
            let letters = value.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
            if letters.len() == 1 {
                warn(
                    "one-letter-size",
                    "a one-letter unit is ignored: only KB, MB and GB count",
                    Some((value.len() - 1, 1)),
                );
            }
        }
        "lxc.autodev.tmpfs.size" if crate::value::int(value).is_err() && !value.is_empty() => {
            warn(
                "bad-size",
                "this is no number: 500000 is taken instead",
                None,
            );
        }
        "lxc.mount.entry" => {
            if let Err(ValueError { message, span, .. }) = MountEntry::parse(value)
                && !value.is_empty()
            {
                found.push(
                    place
                        .about_value(Severity::Error, "bad-mount", "this is no mount entry", span)
                        .expected(message),
                );
            }
        }
        _ if name.starts_with("lxc.net.") => net(place, name, value, &mut found),
        _ if name.starts_with("lxc.prlimit.") => prlimit(place, name, value, &mut found),
        _ => {}
    }
    found
}

fn net(place: &Place, name: &str, value: &str, found: &mut Vec<Diagnostic>) {
    let sub = name.splitn(4, '.').nth(3).unwrap_or_default();
    match sub {
        "flags" if value == "down" => found.push(place.about_value(
            Severity::Warning,
            "flags-down",
            "any text here means up; leave the key out for an interface that stays down",
            None,
        )),
        "mtu" if crate::value::uint(value).is_err() && !value.is_empty() => {
            found.push(
                place
                    .about_value(
                        Severity::Error,
                        "bad-value",
                        format!("{name} cannot be {:?}", short(value)),
                        None,
                    )
                    .expected("expected a number"),
            );
        }
        "hwaddr" if !value.is_empty() && !is_mac(value) => {
            found.push(
                place
                    .about_value(
                        Severity::Error,
                        "bad-value",
                        format!("{name} cannot be {:?}", short(value)),
                        None,
                    )
                    .expected(
                        "expected six pairs of hexadecimal digits (or x) with colons between",
                    ),
            );
        }
        "ipv4.address" if !value.is_empty() && !value.contains('/') => {
            found.push(
                place
                    .about_value(
                        Severity::Warning,
                        "no-prefix",
                        "without a prefix length LXC guesses one",
                        None,
                    )
                    .help(format!("write {value}/24")),
            );
        }
        "ipv6.address" => {
            let prefix = value.split_once('/').map(|(_, prefix)| prefix);
            let number = prefix.and_then(|prefix| crate::value::uint(prefix).ok());
            if let (Some(prefix), Some(129..)) = (prefix, number) {
                let span = Some((value.len() - prefix.len(), prefix.len()));
                let message = format!("{name} cannot be {:?}", short(value));
                let finding = place.about_value(Severity::Error, "bad-value", message, span);
                found.push(finding.expected("expected a prefix length from 0 to 128"));
            }
        }
        "link" | "name" | "veth.pair" if value.len() > 15 => {
            found.push(place.about_value(
                Severity::Warning,
                "long-name",
                "interface names have at most 15 bytes: the rest is cut",
                Some((15, value.len() - 15)),
            ));
        }
        _ => {}
    }
}

fn is_mac(value: &str) -> bool {
    let parts: Vec<&str> = value.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|p| {
            p.len() == 2
                && p.chars()
                    .all(|c| c.is_ascii_hexdigit() || matches!(c, 'x' | 'X'))
        })
}

const RESOURCES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn prlimit(place: &Place, name: &str, value: &str, found: &mut Vec<Diagnostic>) {
    let resource = name.strip_prefix("lxc.prlimit.").unwrap_or_default();
    if !RESOURCES.contains(&resource) && resource.parse::<u32>().is_err() {
        found.push(
            place
                .about_key(
                    Severity::Error,
                    "unknown-resource",
                    format!("unknown resource {resource}"),
                )
                .expected(format!("one of {}", RESOURCES.join(" "))),
        );
    }
    if let Ok((soft, hard)) = crate::value::prlimit(value)
        && soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX)
    {
        found.push(place.about_value(
            Severity::Error,
            "soft-above-hard",
            "the soft limit is above the hard one",
            None,
        ));
    }
}
