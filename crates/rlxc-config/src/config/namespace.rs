//! Namespaces, one and several.

use serde::{Deserialize, Serialize};

/// A kernel namespace, in LXC's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Namespace {
    User,
    Mnt,
    Pid,
    Uts,
    Ipc,
    Net,
    Cgroup,
    Time,
}

impl Namespace {
    /// All, in LXC's order: user mnt pid uts ipc net cgroup time.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Mnt,
        Self::Pid,
        Self::Uts,
        Self::Ipc,
        Self::Net,
        Self::Cgroup,
        Self::Time,
    ];

    /// The name in `/proc/PID/ns` and in `lxc.namespace.*`.
    pub fn name(self) -> &'static str {
        ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup", "time"][self as usize]
    }

    /// The word for it in the options of lxc-attach and lxc-unshare (`-s "MOUNT|PID"`).
    pub fn tool_word(self) -> &'static str {
        [
            "USER", "MOUNT", "PID", "UTSNAME", "IPC", "NETWORK", "CGROUP", "TIME",
        ][self as usize]
    }

    /// The namespace that these tools mean by `word`.
    pub fn of_tool_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ns| ns.tool_word() == word)
    }

    /// Its CLONE_NEW* flag (clone(2), time_namespaces(7)).
    pub fn clone_flag(self) -> u64 {
        [
            0x1000_0000,
            0x0002_0000,
            0x2000_0000,
            0x0400_0000,
            0x0800_0000,
            0x4000_0000,
            0x0200_0000,
            0x80,
        ][self as usize]
    }
}

/// A set of namespaces as a mask of CLONE_NEW* flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSet(pub u64);

impl NamespaceSet {
    /// Whether `ns` is in the set.
    pub fn contains(self, ns: Namespace) -> bool {
        self.0 & ns.clone_flag() != 0
    }
    /// Adds `ns`.
    pub fn insert(&mut self, ns: Namespace) {
        self.0 |= ns.clone_flag();
    }
    /// Removes `ns`.
    pub fn remove(&mut self, ns: Namespace) {
        self.0 &= !ns.clone_flag();
    }
    /// Whether no namespace is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The members, in LXC's order.
    pub fn iter(self) -> impl Iterator<Item = Namespace> {
        Namespace::ALL
            .into_iter()
            .filter(move |ns| self.contains(*ns))
    }
}
