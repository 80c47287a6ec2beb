//! Whose network a call is about.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Whose network is set up, and what its scripts are told.
#[derive(Debug, Clone)]
pub struct Context {
    /// The container's name
    pub name: String,
    /// Its lxcpath
    pub lxcpath: PathBuf,
    /// `lxc.hook.version`
    pub hook_version: u8,
    /// Environment of hooks (LXC_CONFIG_FILE, LXC_ROOTFS_PATH, …); LXC_NAME, LXC_HOOK_* and
    /// LXC_NET_* are added here
    pub environment: Vec<(String, String)>,
    /// Whether the links are made by this process (root), or by lxc-user-nic
    pub privileged: bool,
    /// The lxc-user-nic to use; `None`: looked for at the usual places
    pub user_nic: Option<PathBuf>,
}

impl Context {
    /// A context for `name` below `lxcpath`: hook version 0, no more environment, privileged if
    /// the process is root.
    pub fn new(name: impl Into<String>, lxcpath: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            lxcpath: lxcpath.into(),
            hook_version: 0,
            environment: Vec::new(),
            privileged: nix::unistd::geteuid().is_root(),
            user_nic: None,
        }
    }
}

/// The container's network namespace: a descriptor, and a process in it (lxc-user-nic wants it).
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// Its network namespace
    pub netns: BorrowedFd<'a>,
    /// Its first process, as the caller sees it
    pub pid: i32,
}
