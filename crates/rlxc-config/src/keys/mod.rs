//! The key table: one row a key, in LXC's look-up order. Everything about a key is read off its row.

use std::sync::LazyLock;

use crate::config::Config;
use crate::error::ValueError;

use index::INDEX;

/// Why a handler refuses; the caller adds the key's name.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The value is wrong.
    Value(ValueError),
    /// No such sub-key.
    Unknown,
    /// The key can only be written.
    NotReadable,
    /// No such network.
    NoSuchNic,
    /// The network is of another type.
    WrongType,
}

impl From<ValueError> for Fault {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

type ParseFn = fn(&mut Config, &str, &str) -> Result<(), Fault>;
type ShowFn = fn(&Config, &str) -> Result<String, Fault>;
type ClearFn = fn(&mut Config, &str) -> Result<(), Fault>;

/// One key, or one family of keys with a free last part.
#[derive(Debug, Clone, Copy)]
pub struct KeyRow {
    /// The key, or the fixed beginning of a family (`lxc.sysctl`, `lxc.net.`).
    pub name: &'static str,
    /// Whether the row also matches longer keys.
    pub prefix: bool,
    /// Whether LXC 7.0.0 lists it in `get_keys`.
    pub listed: bool,
    /// The value's form.
    pub value: &'static str,
    /// What holds when the key is not set.
    pub default: &'static str,
    /// Whether each line adds to the value.
    pub list: bool,
    /// The LXC version that brought it under this name.
    pub since: &'static str,
    /// Its meaning, in one or two sentences.
    pub doc: &'static str,
    /// An example value (with the free part of the key, if any, before ` = `).
    pub example: &'static str,
    pub(crate) parse: ParseFn,
    pub(crate) show: ShowFn,
    pub(crate) clear: ClearFn,
}

/// A row with every field named; `parse`, `show` and `clear` get the key's part after the row's name.
macro_rules! row {
    ($name:literal $(, $flag:ident)* ; $value:expr, $default:expr, $since:literal, $doc:literal, $example:literal,
     $parse:expr, $show:expr, $clear:expr) => {{
        #[allow(unused_mut)]
        let mut row = $crate::keys::KeyRow {
            name: $name, prefix: false, listed: true, value: $value, default: $default, list: false,
            since: $since, doc: $doc, example: $example, parse: $parse, show: $show, clear: $clear,
        };
        $(row!(@flag row $flag);)*
        row
    }};
    (@flag $row:ident prefix) => { $row.prefix = true; };
    (@flag $row:ident list) => { $row.list = true; };
    (@flag $row:ident unlisted) => { $row.listed = false; };
}

/// A yes/no key held in a `bool` field.
macro_rules! flag_key {
    ($name:literal, $($field:ident).+, $since:literal, $doc:literal) => {
        row!($name; "0 or 1", "0", $since, $doc, "1",
            |c, _, v| { c.$($field).+ = if v.is_empty() { false } else { $crate::value::bool01(v)? }; Ok(()) },
            |c, _| Ok(u8::from(c.$($field).+).to_string()),
            |c, _| { c.$($field).+ = false; Ok(()) })
    };
}

/// A text key held in an `Option<String>` field.
macro_rules! text_key {
    ($name:literal, $($field:ident).+, $value:literal, $default:literal, $since:literal, $doc:literal, $example:literal) => {
        row!($name; $value, $default, $since, $doc, $example,
            |c, _, v| { c.$($field).+ = $crate::keys::text(v); Ok(()) },
            |c, _| Ok(c.$($field).+.clone().unwrap_or_default()),
            |c, _| { c.$($field).+ = None; Ok(()) })
    };
}

/// A path key held in an `Option<String>` or `Option<PathBuf>` field.
macro_rules! path_key {
    ($name:literal, $($field:ident).+, $default:literal, $since:literal, $doc:literal, $example:literal) => {
        row!($name; "a path", $default, $since, $doc, $example,
            |c, _, v| { c.$($field).+ = $crate::keys::text(&$crate::value::path(v)?).map(Into::into); Ok(()) },
            |c, _| Ok(c.$($field).+.as_deref().map(|p| std::path::Path::new(p).to_string_lossy().into_owned()).unwrap_or_default()),
            |c, _| { c.$($field).+ = None; Ok(()) })
    };
}

/// An unsigned number.
macro_rules! uint_key {
    ($name:literal, $($field:ident).+, $since:literal, $doc:literal, $example:literal) => {
        row!($name; "a number from 0 to 4294967295", "0", $since, $doc, $example,
            |c, _, v| { c.$($field).+ = if v.is_empty() { 0 } else { $crate::value::uint(v)? }; Ok(()) },
            |c, _| Ok(c.$($field).+.to_string()),
            |c, _| { c.$($field).+ = 0; Ok(()) })
    };
}

/// A repeatable text key held in a `Vec<String>` field.
macro_rules! list_key {
    ($name:literal, $($field:ident).+, $value:literal, $since:literal, $doc:literal, $example:literal) => {
        row!($name, list; $value, "none", $since, $doc, $example,
            |c, _, v| {
                if v.is_empty() { c.$($field).+.clear(); } else { c.$($field).+.push(v.to_owned()); }
                Ok(())
            },
            |c, _| Ok($crate::keys::lines(&c.$($field).+)),
            |c, _| { c.$($field).+.clear(); Ok(()) })
    };
}

mod basic;
mod cgroup;
pub(crate) mod effect;
mod index;
mod lists;
pub(crate) mod mount;
mod namespace;
pub(crate) mod net;
mod runtime;
pub(crate) mod security;

/// `None` for an empty value.
pub(crate) fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// Each element followed by a newline.
pub(crate) fn lines<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    use std::fmt::Write;
    values.into_iter().fold(String::new(), |mut out, value| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{value}");
        out
    })
}

static GROUPS: [&[KeyRow]; 17] = [
    security::ARCH_APPARMOR,
    basic::AUTODEV,
    security::CAPS,
    cgroup::ROWS,
    basic::CONSOLE,
    lists::ENVIRONMENT,
    basic::EXECUTE,
    lists::HOOKS,
    namespace::IDMAP_INCLUDE,
    runtime::INIT_TO_MONITOR,
    mount::ROWS,
    namespace::ROWS,
    net::ROWS,
    runtime::PRLIMIT_PTY,
    mount::ROOTFS,
    security::SECCOMP_SELINUX,
    runtime::SIGNAL_TO_PROC,
];

/// Every key, in LXC's look-up order.
pub static KEY_TABLE: LazyLock<Vec<&'static KeyRow>> =
    LazyLock::new(|| GROUPS.iter().copied().flatten().collect());

/// The row of `key` and the key's part after the row's name.
pub(crate) fn lookup(key: &str) -> Option<(&'static KeyRow, &str)> {
    if let Some(row) = INDEX.get(key) {
        return Some((row, ""));
    }
    INDEX.family(key)
}

/// Whether a key below `lxc.cgroup.` is a setting of its own and no v1 limit.
pub(crate) fn is_cgroup_setting(key: &str) -> bool {
    INDEX.get(key).is_some()
}

/// Whether `name` is a key that can be set (`lxc_config_item_is_supported`): a key of the table, or a
/// member of a family such as `lxc.net.0.type`.
pub fn key_is_supported(name: &str) -> bool {
    match lookup(name) {
        Some((row, "")) => row.listed || row.prefix,
        Some((row, rest)) if row.name == "lxc.net." => net::is_known(rest),
        Some((row, rest)) if row.name == "lxc.namespace.share." => {
            namespace::by_name(rest).is_some()
        }
        Some((row, rest)) => row.name.ends_with('.') || rest.starts_with('.'),
        None => false,
    }
}

/// The known key nearest to `key` by edit distance, if one is near enough to be a typo.
pub fn nearest_key(key: &str) -> Option<String> {
    if let Some(rest) = key.strip_prefix("lxc.net.")
        && let Some((index, sub)) = rest.split_once('.')
        && !index.is_empty()
        && index.bytes().all(|b| b.is_ascii_digit())
    {
        return nearest(sub, net::SUBKEYS.iter().map(|row| row.name))
            .map(|name| format!("lxc.net.{index}.{name}"));
    }
    nearest(key, KEY_TABLE.iter().map(|row| row.name)).map(str::to_owned)
}

/// The nearest of `known`, if it is near enough to be a typo.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 128 {
        return None;
    }
    let allowed = |name: &str| 1 + name.len().min(word.len()) / 4;
    known
        .filter(|name| name.len().abs_diff(word.len()) <= allowed(name))
        .map(|name| (distance(word, name), name))
        .filter(|(d, name)| *d > 0 && *d <= allowed(name))
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Optimal string alignment distance: insert, delete, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows: [Vec<usize>; 3] = [
        vec![0; b.len() + 1],
        (0..=b.len()).collect(),
        vec![0; b.len() + 1],
    ];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut best = (rows[1][j] + 1)
                .min(rows[2][j - 1] + 1)
                .min(rows[1][j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// The sub-keys that LXC lists for a prefix (`get_keys("lxc.mount")`), without the prefix.
pub(crate) fn subkeys(prefix: &str) -> Option<&'static [&'static str]> {
    Some(match prefix {
        "lxc.apparmor" => &["allow_incomplete", "allow_nesting", "profile", "raw"],
        "lxc.cgroup" => &["dir"],
        "lxc.selinux" => &["context", "context.keyring"],
        "lxc.mount" => &["auto", "entry", "fstab"],
        "lxc.rootfs" => &["mount", "options", "path"],
        "lxc.uts" => &["name"],
        "lxc.hook" => &[
            "autodev",
            "autodevtmpfssize",
            "clone",
            "destroy",
            "mount",
            "post-stop",
            "pre-mount",
            "pre-start",
            "start-host",
            "start",
            "stop",
        ],
        "lxc.cap" => &["drop", "keep"],
        "lxc.console" => &["logfile", "path"],
        "lxc.environment" => &["runtime", "hooks"],
        "lxc.seccomp" => &["profile"],
        "lxc.signal" => &["halt", "reboot", "stop"],
        "lxc.start" => &["auto", "delay", "order"],
        "lxc.monitor" => &["unshare"],
        "lxc.keyring" => &["session"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_keys_lists_the_85_names_of_lxc_7() {
        let listed: Vec<_> = KEY_TABLE
            .iter()
            .filter(|r| r.listed && !r.name.ends_with('.'))
            .collect();
        assert_eq!(listed.len(), 85);
        let unique: std::collections::BTreeSet<_> = KEY_TABLE.iter().map(|r| r.name).collect();
        assert_eq!(unique.len(), KEY_TABLE.len());
    }

    #[test]
    fn every_row_tells_its_meaning_and_an_example_that_parses() {
        for row in KEY_TABLE.iter() {
            assert!(
                !row.doc.is_empty() && row.doc.ends_with('.'),
                "{}",
                row.name
            );
            assert!(!row.value.is_empty() && !row.default.is_empty() && !row.since.is_empty());
            let (rest, value) = row.example.split_once(" = ").unwrap_or(("", row.example));
            if row.name == "lxc.include" || row.name == "lxc.rootfs.options" {
                continue;
            }
            let mut config = Config::default();
            if row.name == "lxc.net." {
                continue;
            }
            (row.parse)(&mut config, rest, value)
                .unwrap_or_else(|e| panic!("{}{rest} = {value}: {e:?}", row.name));
        }
    }

    #[test]
    fn a_typo_finds_its_key() {
        assert_eq!(
            nearest_key("lxc.mount.entyr").as_deref(),
            Some("lxc.mount.entry")
        );
        assert_eq!(
            nearest_key("lxc.net.3.lnk").as_deref(),
            Some("lxc.net.3.link")
        );
        assert_eq!(nearest_key("lxc.completely.different"), None);
    }

    #[test]
    fn family_members_are_supported_and_look_alikes_are_not() {
        for key in [
            "lxc.net.0.type",
            "lxc.net.7",
            "lxc.cgroup2.memory.max",
            "lxc.cgroup.memory.limit_in_bytes",
            "lxc.namespace.share.net",
            "lxc.sysctl.net.core.somaxconn",
        ] {
            assert!(key_is_supported(key), "{key}");
        }
        for key in [
            "lxc.net.0.bogus",
            "lxc.procx",
            "lxc.namespace.share.foo",
            "lxc.nope",
            "lxc.hookx",
        ] {
            assert!(!key_is_supported(key), "{key}");
        }
    }
}
