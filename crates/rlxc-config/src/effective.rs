//! What holds in the end, and where it was said.

use std::fmt;

use serde::Serialize;

use crate::config::{Config, Gateway, Nic, NicKind, Pairs, VethMode};
use crate::document::Document;
use crate::error::Location;
use crate::keys::net::{SUBKEYS, fresh_kind};
use crate::keys::{KEY_TABLE, KeyRow, mount};

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The key, with its free part.
    pub key: String,
    /// The value as it would be written into a file, one line for each element of a list. Where
    /// LXC's getter leaves something out (a backend, forced cgroup mounts), this does not.
    pub value: String,
    /// Whether nothing but the default gives this value.
    pub is_default: bool,
    /// The lines that gave it, in order; `None` for [`Document::set`]. Known only to documents made by
    /// [`Document::with_origins`].
    pub origins: Vec<Option<Location>>,
}

/// Lines of a configuration file, with a comment that names the origins.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<String> = self
            .origins
            .iter()
            .map(|origin| match origin {
                Some(at) => format!("{}:{}", at.file.display(), at.line),
                None => "set".to_owned(),
            })
            .collect();
        let untouched = self.is_default && origins.is_empty();
        // Reading a default, or nothing, is not the same as not reading it for every key.
        let lead = if untouched || self.is_default && self.value.is_empty() {
            "# "
        } else {
            ""
        };
        let values: Vec<&str> = self.value.split('\n').collect();
        let mut lines = Vec::with_capacity(2 * values.len());
        let each = values.len() == origins.len();
        if untouched {
            lines.push("# default".to_owned());
        } else if !each && !origins.is_empty() {
            lines.push(format!("# {}", origins.join(" ")));
        }
        for (at, value) in values.into_iter().enumerate() {
            if each {
                lines.push(format!("# {}", origins[at]));
            }
            let line = format!("{lead}{} = {}", self.key, quoted(value));
            lines.push(line.trim_end().to_owned());
        }
        f.write_str(&lines.join("\n"))
    }
}

/// A value in quotes where reading would otherwise lose a part of it.
fn quoted(value: &str) -> String {
    let trimmed = value.trim_matches(|c: char| c.is_ascii() && crate::line::is_space(c as u8));
    let ends_alike = value.len() > 1
        && value.starts_with(['"', '\''])
        && value.chars().next() == value.chars().next_back();
    match ends_alike || trimmed.len() < value.len() {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    }
}

impl Document {
    /// Every key with the value that holds, in the order of the key table. With `all` also keys at
    /// their default, else only those that were set or differ from it.
    pub fn effective(&self, all: bool) -> Vec<Effective> {
        let mut origins = self.origins();
        let defaults = Config::default();
        let mut list = Vec::new();
        let mut add = |key: String, value: Option<String>, default: &str| {
            let Some(value) = value else {
                return;
            };
            let known = origins.entry(key.clone()).or_default();
            // A list that others interrupt is told of in parts, each with its own origins.
            let here = value.matches('\n').count().min(known.len());
            let origins: Vec<_> = match in_parts(&key) {
                true => known.drain(..here).collect(),
                false => known.clone(),
            };
            let is_default = value == default;
            if all || !is_default || !origins.is_empty() {
                list.push(Effective {
                    value: value.strip_suffix('\n').unwrap_or(&value).to_owned(),
                    key,
                    is_default,
                    origins,
                });
            }
        };
        for row in KEY_TABLE.iter() {
            match row.name {
                "lxc.include" | "lxc.hook" | "lxc.net" => {}
                "lxc.net." => nets(self.config(), &mut add),
                "lxc.cgroup" => runs("lxc.cgroup", &self.config().cgroup1, &mut add),
                "lxc.cgroup2" => runs("lxc.cgroup2", &self.config().cgroup2, &mut add),
                "lxc.proc" => runs("lxc.proc", &self.config().procfs, &mut add),
                name => {
                    for member in self.members(row) {
                        let rest = member.strip_prefix(name).unwrap_or_default();
                        let value = written(self.config(), row, rest);
                        let default = written(&defaults, row, rest).unwrap_or_default();
                        add(member, value, &default);
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
            "lxc.sysctl" => config.sysctl.iter().map(|(n, _)| n).collect(),
            "lxc.prlimit" => config.prlimits.iter().map(|(n, ..)| n).collect(),
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
}

/// A key's value as it is written; the getter's form where that says everything.
fn written(config: &Config, row: &KeyRow, rest: &str) -> Option<String> {
    let shown = || (row.show)(config, rest).ok();
    match row.name {
        "lxc.rootfs.path" => match (&config.rootfs.backend, &config.rootfs.path) {
            (None, None) => Some(String::new()),
            (backend, path) => {
                let path = path.as_deref().unwrap_or_default();
                Some(match backend {
                    Some(backend) => format!("{backend}:{path}"),
                    // Or else its beginning would be taken for a backend.
                    None if path.contains(':') => format!(":{path}"),
                    None => path.to_owned(),
                })
            }
        },
        "lxc.seccomp.notify.proxy" => Some(match &config.seccomp.notify_proxy {
            Some(address) => format!("unix:{address}"),
            None => String::new(),
        }),
        // LXC shows one of the two fields.
        "lxc.time.offset.boot" => Some(offset(
            config.time_offset.boot_s,
            config.time_offset.boot_ns,
        )),
        "lxc.time.offset.monotonic" => Some(offset(
            config.time_offset.monotonic_s,
            config.time_offset.monotonic_ns,
        )),
        "lxc.mount.auto" => Some(mount::written_auto(&config.mounts.auto)),
        "lxc.cap.keep" => match &config.caps.keep {
            Some(keep) if keep.is_empty() => Some("none".to_owned()),
            _ => shown(),
        },
        name if name.starts_with("lxc.cgroup.dir") => {
            // LXC shows the null pointer of an unset one.
            shown().map(|text| {
                if text == "(null)" {
                    String::new()
                } else {
                    text
                }
            })
        }
        _ => shown(),
    }
}

fn offset(seconds: i64, nanoseconds: i64) -> String {
    match (seconds, nanoseconds) {
        (0, nanoseconds) => format!("{nanoseconds}ns"),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, nanoseconds) => format!("{seconds}s\n{nanoseconds}ns"),
    }
}

/// Families whose entries are carried out in the order of the lines, whatever their names.
fn in_parts(key: &str) -> bool {
    ["lxc.cgroup.", "lxc.cgroup2.", "lxc.proc."]
        .iter()
        .any(|family| key.starts_with(family))
        && !crate::keys::is_cgroup_setting(key)
}

/// Neighbouring entries of one name as one list: the order of the names stays.
fn runs(family: &str, entries: &Pairs, add: &mut impl FnMut(String, Option<String>, &str)) {
    let entries: Vec<_> = entries.iter().collect();
    for run in entries.chunk_by(|a, b| a.0 == b.0) {
        let values = crate::keys::lines(run.iter().map(|(_, value)| value));
        add(format!("{family}.{}", run[0].0), Some(values), "");
    }
}

fn nets(config: &Config, add: &mut impl FnMut(String, Option<String>, &str)) {
    for (index, nic) in &config.net {
        // What a fresh network of this type shows.
        let fresh = Nic {
            kind: fresh_kind(&nic.kind),
            ..Nic::default()
        };
        let empty = nic.kind == NicKind::Empty && nic.name.as_deref() != Some("lo");
        for sub in SUBKEYS {
            let default = match sub.name {
                "type" => String::new(),
                // The one line of a network about which nothing is said.
                "l2proxy" if *nic == Nic::default() => String::new(),
                _ => (sub.show)(&fresh).unwrap_or_default(),
            };
            let value = match (sub.name, &nic.kind) {
                // A type that was cleared: first there has to be one.
                ("type", _) if nic.untyped => Some("none\n\n".to_owned()),
                // To name the type would name the interface.
                ("type", _) if empty => None,
                ("ipv4.address", _) => Some(addresses(nic)),
                ("ipv4.gateway", _) => Some(gateway(&nic.ipv4_gateway)),
                ("ipv6.gateway", _) => Some(gateway(&nic.ipv6_gateway)),
                ("veth.vlan.id", NicKind::Veth(veth)) if veth.vlan_id == Some(None) => {
                    Some("none".to_owned())
                }
                ("veth.mode", NicKind::Veth(veth)) if veth.mode == VethMode::Cleared => {
                    Some(String::new())
                }
                _ => (sub.show)(nic),
            };
            add(format!("lxc.net.{index}.{}", sub.name), value, &default);
        }
    }
}

/// All that was said of a gateway: a word stays beside a later address.
fn gateway<A: fmt::Display>(gateway: &Gateway<A>) -> String {
    let words = [("dev", gateway.dev), ("auto", gateway.auto)];
    let words = words.iter().filter(|(_, set)| *set);
    let address = gateway.address.iter().map(ToString::to_string);
    let all: Vec<String> = words
        .map(|(word, _)| (*word).to_owned())
        .chain(address)
        .collect();
    all.join("\n")
}

/// IPv4 addresses with the broadcast address where it is not the one that follows from the prefix.
fn addresses(nic: &Nic) -> String {
    let each: Vec<String> = nic
        .ipv4
        .iter()
        .map(|a| {
            let plain = format!("{}/{}", a.address, a.prefix);
            let usual = crate::keys::net::ipv4(&plain).is_ok_and(|b| b.broadcast == a.broadcast);
            match a.broadcast.filter(|_| !usual) {
                Some(broadcast) => format!("{plain} {broadcast}"),
                None => plain,
            }
        })
        .collect();
    each.join("\n")
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
        assert_eq!(
            of("lxc.cgroup2.a").to_string(),
            "# c:5\nlxc.cgroup2.a = 1\n# c:6\nlxc.cgroup2.a = 2"
        );
    }

    #[test]
    fn what_was_cleared_has_no_origin_any_more() {
        let mut document = Document::with_origins();
        let text =
            b"lxc.net.1.type = veth\nlxc.net.1.mtu = 9\nlxc.net.10.type = veth\nlxc.net.1 =\n\
            lxc.net.1.type = phys\nlxc.hook.start = a\nlxc.hook =\n";
        document.load_text(Path::new("c"), text).unwrap();
        let list = document.effective(false);
        let origins: Vec<_> = list
            .iter()
            .flat_map(|e| {
                e.origins
                    .iter()
                    .flatten()
                    .map(|at| (e.key.as_str(), at.line))
            })
            .collect();
        assert_eq!(origins, [("lxc.net.1.type", 5), ("lxc.net.10.type", 3)]);
    }

    #[test]
    fn what_is_shown_has_the_meaning_of_what_was_read() {
        let text = "lxc.rootfs.path = overlay:/a:/b\nlxc.mount.auto = proc:rw sys:mixed cgroup:ro:force shmounts:/a:/b\n\
            lxc.mount.auto = cgroup2:ro\nlxc.seccomp.notify.proxy = unix:@x\nlxc.cap.keep = none\n\
            lxc.init.cmd = \"'/sbin/init' 'a'\"\nlxc.environment = 'A= b '\nlxc.net.3.type = veth\n\
            lxc.net.3.veth.vlan.id = none\nlxc.net.3.ipv4.address = 10.0.0.2/32 0.0.0.0\n\
            lxc.net.3.ipv4.address = 10.0.0.3/24\nlxc.net.3.ipv4.gateway = dev\nlxc.net.1.type = empty\n\
            lxc.proc.oom_score_adj = 1\nlxc.proc.oom_score_adj = 2\nlxc.cgroup.dir = x\nlxc.time.offset.boot = 3ms\n\
            lxc.console.size = 1MB\nlxc.signal.halt = SIGRTMIN+3\nlxc.idmap = u 0 1 2\nlxc.prlimit.nofile = 1:unlimited\n\
            lxc.log.level = debug\nlxc.rootfs.managed = 0\nlxc.arch = arm64\nlxc.namespace.share.net = c2\n";
        let mut document = Document::with_origins();
        document.load_text(Path::new("c"), text.as_bytes()).unwrap();
        let shown: String = document
            .effective(true)
            .iter()
            .map(|entry| format!("{entry}\n"))
            .collect();
        let mut again = Document::new();
        again
            .load_text(Path::new("shown"), shown.as_bytes())
            .unwrap();
        assert_eq!(again.config(), document.config(), "{shown}");
    }
}
