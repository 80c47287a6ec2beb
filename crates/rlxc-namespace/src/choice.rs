//! Which namespaces a container gets: a pure function of its configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rlxc_config::{Config, Namespace, NamespaceSet, NicKind};

use crate::{Error, Result};

/// Where a shared namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareSource {
    /// A namespace file
    Path(PathBuf),
    /// A process
    Pid(i32),
    /// A container: its lxcpath, if one was given before the last `/`, and its name
    Container {
        /// `None`: the lxcpath of the container that is started
        lxcpath: Option<PathBuf>,
        /// Its name
        name: String,
    },
}

/// The namespaces of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Made anew
    pub new: NamespaceSet,
    /// Taken over
    pub shared: BTreeMap<Namespace, ShareSource>,
}

impl Choice {
    /// Whether the container has `ns` apart from its starter's (made anew or taken over).
    #[must_use]
    pub fn has(&self, ns: Namespace) -> bool {
        self.new.contains(ns) || self.shared.contains_key(&ns)
    }

    /// The flags for clone3 itself: all but time (unshared by the child), net when a user namespace is made with it
    /// (the child unshares it when it has its ids), and cgroup unless `into_cgroup`, when CLONE_INTO_CGROUP puts the
    /// child where its cgroup namespace is to be rooted.
    #[must_use]
    pub fn clone_flags(&self, into_cgroup: bool) -> NamespaceSet {
        let mut flags = self.new;
        flags.remove(Namespace::Time);
        if flags.contains(Namespace::User) {
            flags.remove(Namespace::Net);
        }
        if !into_cgroup {
            flags.remove(Namespace::Cgroup);
        }
        flags
    }

    /// What the child has to unshare itself, given [`Self::clone_flags`].
    #[must_use]
    pub fn unshare_in_child(&self, into_cgroup: bool) -> NamespaceSet {
        NamespaceSet(self.new.0 & !self.clone_flags(into_cgroup).0)
    }
}

/// The namespaces that `config` asks for.
///
/// mnt pid uts ipc net cgroup by default; user if there are id maps; no net when the only nic is `none`; time when
/// offsets are set. `lxc.namespace.clone` = only these, `lxc.namespace.keep` = all but these, `lxc.namespace.share.X`
/// takes X over. With keep, a user namespace is made only if there are maps (LXC makes one in which no id is mapped,
/// and fails).
///
/// # Errors
/// For contradictions between keys.
pub fn choose(config: &Config) -> Result<Choice> {
    let mut choice = Choice {
        new: wanted(config)?,
        shared: BTreeMap::new(),
    };
    for (&ns, value) in &config.namespace_share {
        choice.new.remove(ns);
        choice.shared.insert(ns, share_source(ns, value)?);
    }
    if choice.new.contains(Namespace::User) && config.idmap.is_empty() {
        return Err(Error::UserNamespaceWithoutMap);
    }
    if config.time_offset.is_set() && !choice.new.contains(Namespace::Time) {
        return Err(Error::NeedsNamespace {
            key: "lxc.time.offset",
            namespace: "time",
        });
    }
    if config.sched_core && !choice.new.contains(Namespace::Pid) {
        return Err(Error::NeedsNamespace {
            key: "lxc.sched.core",
            namespace: "pid",
        });
    }
    Ok(choice)
}

fn wanted(config: &Config) -> Result<NamespaceSet> {
    let (clone, keep) = (config.namespace_clone, config.namespace_keep);
    if !clone.is_empty() {
        return if keep.is_empty() {
            Ok(clone)
        } else {
            Err(Error::CloneAndKeep)
        };
    }
    let mut set = NamespaceSet::default();
    for ns in Namespace::ALL {
        let by_default = match ns {
            Namespace::User => !config.idmap.is_empty(),
            Namespace::Net => !only_host_network(config),
            Namespace::Time => config.time_offset.is_set(),
            _ => true,
        };
        let take = if keep.is_empty() {
            by_default
        } else {
            !keep.contains(ns) && (ns != Namespace::User || by_default)
        };
        if take {
            set.insert(ns);
        }
    }
    Ok(set)
}

fn only_host_network(config: &Config) -> bool {
    config.net.len() == 1
        && config
            .net
            .values()
            .all(|nic| matches!(nic.kind, NicKind::None))
}

fn share_source(ns: Namespace, value: &str) -> Result<ShareSource> {
    let bad = || Error::ShareValue {
        namespace: ns.name(),
        value: value.to_owned(),
    };
    if let Ok(pid) = value.parse::<i32>() {
        return if pid >= 1 {
            Ok(ShareSource::Pid(pid))
        } else {
            Err(bad())
        };
    }
    if value.starts_with('/') && is_namespace_file(value) {
        return Ok(ShareSource::Path(PathBuf::from(value)));
    }
    let (lxcpath, name) = match value.rsplit_once('/') {
        Some((path, name)) => (Some(PathBuf::from(path)), name),
        None => (None, value),
    };
    if name.is_empty() {
        return Err(bad());
    }
    Ok(ShareSource::Container {
        lxcpath,
        name: name.to_owned(),
    })
}

/// An absolute path is a namespace file unless it is a container's directory (`LXCPATH/NAME`).
fn is_namespace_file(path: &str) -> bool {
    !std::path::Path::new(path).is_dir()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rlxc_config::{IdKind, IdMap, Nic};

    use super::*;

    fn set(all: &[Namespace]) -> NamespaceSet {
        let mut set = NamespaceSet::default();
        all.iter().for_each(|ns| set.insert(*ns));
        set
    }

    const DEFAULT: [Namespace; 6] = [
        Namespace::Mnt,
        Namespace::Pid,
        Namespace::Uts,
        Namespace::Ipc,
        Namespace::Net,
        Namespace::Cgroup,
    ];

    #[test]
    fn default_is_all_but_user_and_time() {
        assert_eq!(choose(&Config::default()).unwrap().new, set(&DEFAULT));
    }

    #[test]
    fn maps_bring_a_user_namespace_and_delay_net() {
        let map = IdMap {
            kind: IdKind::Uid,
            nsid: 0,
            hostid: 100_000,
            range: 65536,
        };
        let choice = choose(&Config {
            idmap: vec![map],
            ..Config::default()
        })
        .unwrap();
        assert!(choice.new.contains(Namespace::User));
        assert!(!choice.clone_flags(true).contains(Namespace::Net));
        assert_eq!(choice.unshare_in_child(true), set(&[Namespace::Net]));
        assert_eq!(
            choice.unshare_in_child(false),
            set(&[Namespace::Net, Namespace::Cgroup])
        );
    }

    #[test]
    fn a_lone_none_nic_keeps_the_hosts_network() {
        let mut config = Config::default();
        config.net.insert(
            0,
            Nic {
                kind: NicKind::None,
                ..Nic::default()
            },
        );
        assert!(!choose(&config).unwrap().new.contains(Namespace::Net));
        config.net.insert(1, Nic::default());
        assert!(choose(&config).unwrap().new.contains(Namespace::Net));
    }

    #[test]
    fn clone_means_only_these_and_keep_all_but_these() {
        let clone = Config {
            namespace_clone: set(&[Namespace::Pid, Namespace::Mnt]),
            ..Config::default()
        };
        assert_eq!(choose(&clone).unwrap().new, clone.namespace_clone);
        let keep = Config {
            namespace_keep: set(&[Namespace::Net]),
            ..Config::default()
        };
        let new = choose(&keep).unwrap().new;
        assert!(!new.contains(Namespace::Net) && !new.contains(Namespace::User));
        assert!(new.contains(Namespace::Time) && new.contains(Namespace::Pid));
    }

    #[test]
    fn a_user_namespace_without_maps_is_refused() {
        let config = Config {
            namespace_clone: set(&[Namespace::User]),
            ..Config::default()
        };
        assert!(matches!(
            choose(&config),
            Err(Error::UserNamespaceWithoutMap)
        ));
    }

    #[test]
    fn share_values_are_pids_paths_or_containers() {
        let mut config = Config::default();
        config
            .namespace_share
            .insert(Namespace::Net, "/proc/1/ns/net".into());
        config.namespace_share.insert(Namespace::Ipc, "17".into());
        config.namespace_share.insert(Namespace::Uts, "c1".into());
        let choice = choose(&config).unwrap();
        assert_eq!(
            choice.shared[&Namespace::Net],
            ShareSource::Path("/proc/1/ns/net".into())
        );
        assert_eq!(choice.shared[&Namespace::Ipc], ShareSource::Pid(17));
        assert_eq!(
            choice.shared[&Namespace::Uts],
            ShareSource::Container {
                lxcpath: None,
                name: "c1".into()
            }
        );
        assert!(!choice.new.contains(Namespace::Net));
        config.namespace_share.insert(Namespace::Net, "0".into());
        assert!(matches!(choose(&config), Err(Error::ShareValue { .. })));
    }

    #[test]
    fn offsets_need_a_time_namespace() {
        let mut config = Config {
            namespace_clone: set(&[Namespace::Mnt]),
            ..Config::default()
        };
        config.time_offset.boot_s = 10;
        assert!(matches!(choose(&config), Err(Error::NeedsNamespace { .. })));
    }
}
