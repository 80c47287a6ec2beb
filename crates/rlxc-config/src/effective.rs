//! What holds in the end, and where it was said.

use serde::Serialize;

use crate::config::Config;
use crate::document::Document;
use crate::error::Location;
use crate::keys::net::SUBKEYS;
use crate::keys::{KEY_TABLE, KeyRow};

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The key, with its free part.
    pub key: String,
    /// The value in the getter's form, without a final newline.
    pub value: String,
    /// Whether nothing but the default gives this value.
    pub is_default: bool,
    /// The lines that gave it, in order; `None` for [`Document::set`]. Known only to documents made by
    /// [`Document::with_origins`].
    pub origins: Vec<Option<Location>>,
}

impl Document {
    /// Every key with the value that holds, in the order of the key table. With `all` also keys at
    /// their default, else only those that were set or differ from it.
    pub fn effective(&self, all: bool) -> Vec<Effective> {
        let defaults = Config::default();
        let mut list = Vec::new();
        for row in KEY_TABLE.iter() {
            match row.name {
                "lxc.include" | "lxc.hook" | "lxc.net" => {}
                "lxc.net." => self.effective_nets(all, &mut list),
                name => {
                    for member in self.members(row) {
                        let rest = member.strip_prefix(name).unwrap_or_default();
                        let default = (row.show)(&defaults, rest).unwrap_or_default();
                        self.add(&mut list, all, &member, &default);
                    }
                }
            }
        }
        list
    }

    /// The keys that a row stands for in this configuration.
    fn members(&self, row: &KeyRow) -> Vec<String> {
        let config = self.config();
        let mut names: Vec<&str> = match row.name {
            "lxc.cgroup" => config.cgroup1.iter().map(|(n, _)| n.as_str()).collect(),
            "lxc.cgroup2" => config.cgroup2.iter().map(|(n, _)| n.as_str()).collect(),
            "lxc.sysctl" => config.sysctl.iter().map(|(n, _)| n.as_str()).collect(),
            "lxc.proc" => config.procfs.iter().map(|(n, _)| n.as_str()).collect(),
            "lxc.prlimit" => config.prlimits.iter().map(|(n, ..)| n.as_str()).collect(),
            "lxc.namespace.share." => config.namespace_share.keys().map(|ns| ns.name()).collect(),
            name => return vec![name.to_owned()],
        };
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        let family = row.name.trim_end_matches('.');
        names
            .into_iter()
            .map(|name| format!("{family}.{name}"))
            .collect()
    }

    fn effective_nets(&self, all: bool, list: &mut Vec<Effective>) {
        for (index, nic) in &self.config().net {
            // What a fresh network of this type shows.
            let fresh = crate::config::Nic {
                kind: crate::keys::net::fresh_kind(&nic.kind),
                ..crate::config::Nic::default()
            };
            for sub in SUBKEYS {
                let Some(default) = (sub.show)(&fresh) else {
                    continue;
                };
                let default = if sub.name == "type" {
                    String::new()
                } else {
                    default
                };
                self.add(
                    list,
                    all,
                    &format!("lxc.net.{index}.{}", sub.name),
                    &default,
                );
            }
        }
    }

    fn add(&self, list: &mut Vec<Effective>, all: bool, key: &str, default: &str) {
        let Ok(value) = self.get(key) else {
            return;
        };
        let origins: Vec<_> = self
            .assignments()
            .iter()
            .filter(|a| a.key == key)
            .map(|a| a.at.clone())
            .collect();
        let is_default = value == default;
        if all || !is_default || !origins.is_empty() {
            let value = value.strip_suffix('\n').unwrap_or(&value).to_owned();
            list.push(Effective {
                key: key.to_owned(),
                value,
                is_default,
                origins,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn each_value_tells_where_it_comes_from() {
        let mut document = Document::with_origins();
        let text = b"lxc.tty.max = 2\nlxc.net.0.type = veth\n\nlxc.tty.max = 4\nlxc.cgroup2.a = 1\nlxc.cgroup2.a = 2\n";
        document.load_text(Path::new("c"), text).unwrap();
        document.set("lxc.uts.name", "web").unwrap();
        let list = document.effective(false);
        let of = |key: &str| list.iter().find(|e| e.key == key).unwrap();
        let lines = |key: &str| {
            of(key)
                .origins
                .iter()
                .map(|o| o.as_ref().map_or(0, |l| l.line))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (of("lxc.tty.max").value.as_str(), lines("lxc.tty.max")),
            ("4", vec![1, 4])
        );
        assert_eq!(
            (of("lxc.cgroup2.a").value.as_str(), lines("lxc.cgroup2.a")),
            ("1\n2", vec![5, 6])
        );
        assert_eq!(lines("lxc.net.0.type"), [2]);
        assert_eq!(lines("lxc.uts.name"), [0]);
        assert_eq!(list.len(), 4);
        assert!(document.effective(true).len() > 80);
    }
}
