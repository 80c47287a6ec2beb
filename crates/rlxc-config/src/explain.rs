//! The key table as text for people.

use std::fmt;

use serde::Serialize;

use crate::document::unknown;
use crate::error::KeyError;
use crate::keys::effect::acted_on_by;
use crate::keys::net::{SUBKEYS, subkey};
use crate::keys::{KEY_TABLE, KeyRow, lookup};
use crate::legacy;

/// What is to be known about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The key; `N` and upper-case words stand for free parts.
    pub key: String,
    /// Its meaning.
    pub meaning: &'static str,
    /// The value's form.
    pub value: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// Whether each line adds to the value.
    pub list: bool,
    /// The LXC version that brought it under this name.
    pub since: &'static str,
    /// Which commands act on it.
    pub acted_on_by: &'static str,
    /// A line for a configuration file.
    pub example: String,
    /// Other keys that begin with this one.
    pub related: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.key)?;
        writeln!(f, "  {}", self.meaning)?;
        writeln!(f, "  value:   {}", self.value)?;
        writeln!(f, "  default: {}", self.default)?;
        let repeat = if self.list {
            "each line adds to the list; an empty value clears it"
        } else {
            "the last line counts"
        };
        writeln!(f, "  repeat:  {repeat}")?;
        writeln!(f, "  since:   LXC {}", self.since)?;
        writeln!(f, "  used by: {}", self.acted_on_by)?;
        writeln!(f, "  example: {}", self.example)?;
        if !self.related.is_empty() {
            writeln!(f, "  see:     {}", self.related.join(" "))?;
        }
        Ok(())
    }
}

/// The example of a row as a whole line; the free part of a family stands before its ` = `.
fn line(row: &KeyRow) -> String {
    match row.example.split_once(" = ").filter(|_| row.prefix) {
        Some((rest, value)) => format!("{}{rest} = {value}", row.name),
        None => format!("{} = {}", row.name, row.example)
            .trim_end()
            .to_owned(),
    }
}

fn related(key: &str) -> Vec<String> {
    let below = format!("{}.", key.trim_end_matches('.'));
    KEY_TABLE
        .iter()
        .map(|row| row.name)
        .filter(|name| name.starts_with(&below) && *name != key)
        .map(str::to_owned)
        .collect()
}

/// Explains a key, a member of a family (`lxc.net.0.type`, `lxc.sysctl.kernel.msgmax`) or a group (`lxc.mount`).
///
/// # Errors
/// No such key; the error names the nearest one, or what a legacy key is called now.
pub fn explain(key: &str) -> Result<Explanation, KeyError> {
    if legacy::replacement(key).is_some() && related(key).is_empty() {
        return Err(unknown(key));
    }
    let Some((row, rest)) = lookup(key) else {
        let related = related(key);
        if related.is_empty() {
            return Err(unknown(key));
        }
        return Ok(Explanation {
            key: key.to_owned(),
            meaning: "A group of keys.",
            value: "none: the group itself is no key",
            default: "none",
            list: false,
            since: "2.1",
            acted_on_by: "nothing: name one of its keys",
            example: format!("{} = …", related[0]),
            related,
        });
    };
    if row.name == "lxc.net." {
        return explain_net(key, rest);
    }
    Ok(Explanation {
        key: key.to_owned(),
        meaning: row.doc,
        value: row.value,
        default: row.default,
        list: row.list,
        since: row.since,
        acted_on_by: acted_on_by(row.name).unwrap_or("nothing"),
        example: line(row),
        related: if row.name == "lxc.net" {
            net_keys()
        } else {
            related(row.name)
        },
    })
}

fn net_keys() -> Vec<String> {
    SUBKEYS
        .iter()
        .map(|sub| format!("lxc.net.N.{}", sub.name))
        .collect()
}

fn explain_net(key: &str, rest: &str) -> Result<Explanation, KeyError> {
    let Some((index, name)) = rest.split_once('.') else {
        return Ok(Explanation {
            key: key.to_owned(),
            meaning: "A network interface of the container; set to nothing, it is removed.",
            value: "empty",
            default: "none",
            list: false,
            since: "2.1",
            acted_on_by: acted_on_by("lxc.net.").unwrap_or("nothing"),
            example: format!("{key} ="),
            related: net_keys(),
        });
    };
    let row = subkey(name).ok_or_else(|| unknown(key))?;
    Ok(Explanation {
        key: format!("lxc.net.{index}.{name}"),
        meaning: row.doc,
        value: row.value,
        default: row.default,
        list: row.list,
        since: row.since,
        acted_on_by: acted_on_by("lxc.net.").unwrap_or("nothing"),
        example: format!("lxc.net.0.{name} = {}", row.example),
        related: Vec::new(),
    })
}

/// One row of the table of all keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// The key; `N` stands for a network's number.
    pub key: String,
    /// The value's form.
    pub value: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// Whether each line adds to the value.
    pub list: bool,
    /// The LXC version that brought it under this name.
    pub since: &'static str,
    /// Which commands act on it.
    pub acted_on_by: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
}

/// Every key, in LXC's look-up order, then the sub-keys of networks.
pub fn all_keys() -> Vec<KeyInfo> {
    let acted = |key: &str| acted_on_by(key).unwrap_or("nothing");
    let rows = KEY_TABLE
        .iter()
        .filter(|row| row.name != "lxc.net.")
        .map(|row| KeyInfo {
            key: row.name.to_owned(),
            value: row.value,
            default: row.default,
            list: row.list,
            since: row.since,
            acted_on_by: acted(row.name),
            meaning: row.doc,
        });
    let nets = SUBKEYS.iter().map(|row| KeyInfo {
        key: format!("lxc.net.N.{}", row.name),
        value: row.value,
        default: row.default,
        list: row.list,
        since: row.since,
        acted_on_by: acted("lxc.net."),
        meaning: row.doc,
    });
    rows.chain(nets).collect()
}

/// Every key as a Markdown table.
pub fn key_table_markdown() -> String {
    let mut out = String::from(
        "| key | value | default | list | since | acted on by | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for row in all_keys() {
        let list = if row.list { "yes" } else { "" };
        let cells = [
            row.value,
            row.default,
            list,
            row.since,
            row.acted_on_by,
            row.meaning,
        ]
        .map(|cell| cell.replace('|', "\\|"));
        out.push_str(&format!("| `{}` | {} |\n", row.key, cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_members_and_groups_are_explained() {
        assert_eq!(
            explain("lxc.net.3.type").unwrap().example,
            "lxc.net.0.type = veth"
        );
        assert_eq!(
            explain("lxc.cgroup2").unwrap().example,
            "lxc.cgroup2.memory.max = 512M"
        );
        assert!(
            explain("lxc.mount")
                .unwrap()
                .related
                .contains(&"lxc.mount.entry".to_owned())
        );
        assert!(
            explain("lxc.utsname")
                .unwrap_err()
                .to_string()
                .contains("lxc.uts.name")
        );
        assert!(
            explain("lxc.uts.nmae")
                .unwrap_err()
                .to_string()
                .contains("did you mean lxc.uts.name?")
        );
        assert!(
            explain("lxc.tty.max")
                .unwrap()
                .to_string()
                .contains("default: 0")
        );
    }

    #[test]
    fn the_table_has_every_key() {
        let table = key_table_markdown();
        assert_eq!(
            table.lines().count(),
            2 + KEY_TABLE.len() - 1 + SUBKEYS.len()
        );
        assert!(
            table
                .lines()
                .all(|line| line.matches(" | ").count() == 6 || line.starts_with("|---"))
        );
    }
}
