//! Whose way to a container is looked at.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{User, getgroups};
use rlxc_namespace::Caller;

use super::mend::Mend;
use crate::context::{Context, Failure};

/// Whose way is looked at.
pub(super) struct Whom {
    pub(super) caller: Caller,
    pub(super) groups: Vec<u32>,
    pub(super) home: PathBuf,
    /// Whether it is somebody else than the one who looks
    pub(super) other: bool,
}

impl Whom {
    pub(super) fn current() -> Self {
        let caller = Caller::current();
        let groups = getgroups().unwrap_or_default();
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Self {
            groups: groups.iter().map(|group| group.as_raw()).collect(),
            home: home.unwrap_or_else(|| home_of(caller.uid)),
            caller,
            other: false,
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, Failure> {
        let user = User::from_name(name).ok().flatten();
        let user = user.ok_or_else(|| Failure::new(format!("there is no user {name}")))?;
        Ok(Self {
            caller: Caller {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                name: user.name,
            },
            groups: vec![user.gid.as_raw()],
            home: user.dir,
            other: true,
        })
    }

    pub(super) fn is_root(&self) -> bool {
        self.caller.uid == 0
    }

    pub(super) fn name(&self) -> &str {
        &self.caller.name
    }

    /// -P, else what lxc.conf says to that user.
    pub(super) fn lxcpath(&self, context: &Context) -> PathBuf {
        match self.other && context.common.lxcpath.is_empty() && !self.is_root() {
            true => self.home.join(".local/share/lxc"),
            false => context.lxcpath(),
        }
    }

    pub(super) fn may_write(&self, meta: &Metadata) -> bool {
        let shift = match (
            meta.uid() == self.caller.uid,
            self.groups.contains(&meta.gid()),
        ) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        self.is_root() || meta.mode() >> shift & 0o2 != 0
    }

    /// What is made in their places is to be theirs, whoever makes it.
    pub(super) fn own(&self, mend: Mend) -> Mend {
        match self.other && !self.is_root() {
            true => mend.for_user(&self.caller.name, self.caller.uid, self.caller.gid),
            false => mend.by_owner(),
        }
    }
}

fn home_of(uid: u32) -> PathBuf {
    let user = User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| PathBuf::from("/"), |user| user.dir)
}
