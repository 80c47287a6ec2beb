//! `lxc.cgroup2.*`, `lxc.cgroup.*`.

use super::{Fault, KeyRow, lines, text};
use crate::config::Pairs;
use crate::error::ValueError;
use crate::value;

/// `.FILE = VALUE` of one hierarchy; an empty value removes that file's entries, or all of them.
pub(super) fn set(list: &mut Pairs, rest: &str, value: &str) -> Result<(), Fault> {
    match rest.strip_prefix('.') {
        _ if value.is_empty() => clear(list, rest),
        Some(file) if !file.is_empty() => {
            list.push(file, value);
            Ok(())
        }
        Some(_) => Err(ValueError::expected(
            "the name of a cgroup file after the last dot of the key",
        )
        .into()),
        None if rest.is_empty() => {
            Err(ValueError::expected("no value, or a key with the name of a cgroup file").into())
        }
        None => Err(Fault::Unknown),
    }
}

pub(super) fn clear(list: &mut Pairs, rest: &str) -> Result<(), Fault> {
    match rest.strip_prefix('.') {
        Some(file) => list.remove(file),
        None if rest.is_empty() => list.clear(),
        None => return Err(Fault::Unknown),
    }
    Ok(())
}

fn show(list: &Pairs, prefix: &str, rest: &str) -> Result<String, Fault> {
    match rest.strip_prefix('.') {
        Some(file) => Ok(lines(list.of(file).map(|(_, v)| v))),
        None if rest.is_empty() => Ok(lines(
            list.iter().map(|(n, v)| format!("{prefix}.{n} = {v}")),
        )),
        None => Err(Fault::Unknown),
    }
}

/// A path below the cgroup mount: relative, and as in LXC without two dots anywhere.
fn relative(value: &str) -> Result<Option<String>, Fault> {
    if value.starts_with('/') || value.contains("..") {
        return Err(ValueError::expected("a relative path without \"..\"").into());
    }
    Ok(text(&value::path(value)?))
}

fn one_name(value: &str) -> Result<Option<String>, Fault> {
    if value.contains('/') || value == "." || value == ".." {
        return Err(ValueError::expected("one directory name").into());
    }
    Ok(text(value))
}

macro_rules! dir_key {
    ($name:literal, $field:ident, $parse:ident, $since:literal, $doc:literal, $example:literal) => {
        row!($name; "a relative path", "unset", $since, $doc, $example,
            |c, _, v| { c.cgroup.$field = $parse(v)?; Ok(()) },
            // LXC prints the null pointer.
            |c, _| Ok(c.cgroup.$field.clone().unwrap_or_else(|| "(null)".to_owned())),
            |c, _| { c.cgroup.$field = None; Ok(()) })
    };
}

pub(super) const ROWS: &[KeyRow] = &[
    row!("lxc.cgroup2", prefix, list; "lxc.cgroup2.FILE = the text to write into FILE", "none", "3.1",
        "A value for a file of the container's cgroup in the unified (v2) hierarchy.", ".memory.max = 512M",
        |c, rest, v| set(&mut c.cgroup2, rest, v),
        |c, rest| show(&c.cgroup2, "lxc.cgroup2", rest),
        |c, rest| clear(&mut c.cgroup2, rest)),
    dir_key!(
        "lxc.cgroup.dir.monitor.pivot",
        monitor_pivot,
        relative,
        "5.0",
        "Cgroup that the monitor moves to when the container ends, so that the others can be removed.",
        "lxc.pivot"
    ),
    dir_key!(
        "lxc.cgroup.dir.monitor",
        monitor,
        relative,
        "4.0.7",
        "Cgroup of the monitor; goes together with lxc.cgroup.dir.container.",
        "lxc/monitor/c1"
    ),
    dir_key!(
        "lxc.cgroup.dir.container.inner",
        container_inner,
        one_name,
        "4.0.7",
        "Name of an extra cgroup inside the container's, for separation of limits and cgroup namespace.",
        "ns"
    ),
    dir_key!(
        "lxc.cgroup.dir.container",
        container,
        relative,
        "4.0.7",
        "Cgroup of the container; goes together with lxc.cgroup.dir.monitor.",
        "lxc/payload/c1"
    ),
    dir_key!(
        "lxc.cgroup.dir",
        dir,
        relative,
        "2.1",
        "Cgroup below which the cgroups of monitor and container are made.",
        "lxc"
    ),
    flag_key!(
        "lxc.cgroup.relative",
        cgroup.relative,
        "4.0.0",
        "Whether the cgroups are made below the starter's cgroup instead of below the root cgroup."
    ),
    row!("lxc.cgroup", prefix, list, unlisted; "lxc.cgroup.FILE = the text to write into FILE", "none", "0.1",
        "A value for a file of the container's cgroup in a legacy (v1) hierarchy; LXC 7.0 has dropped it.",
        ".memory.limit_in_bytes = 512M",
        |c, rest, v| set(&mut c.cgroup1, rest, v),
        |c, rest| show(&c.cgroup1, "lxc.cgroup", rest),
        |c, rest| clear(&mut c.cgroup1, rest)),
];
