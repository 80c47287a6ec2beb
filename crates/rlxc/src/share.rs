//! Directories and files of the host in a container, with owners that fit.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_config::{IdKind, IdMap};
use rlxc_namespace::idmap;
use rlxc_sys::mount::{self, MountAttr, attr};

use crate::container::Container;
use crate::error::{Error, Result};

/// Something of the host that a container shall see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The directory or file on the host
    pub source: PathBuf,
    /// Where it is in the container, from its root on
    pub target: PathBuf,
    /// Whether nothing can be written there
    pub read_only: bool,
    /// Whom its files belong to in there
    pub owners: Owners,
}

/// Whom shared files belong to in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Those of the host: in a container with id maps mostly nobody
    Host,
    /// Each id is the same id of the container
    Container,
    /// The owner of the share itself is this user and group of the container, and nobody else has files there
    As(u32, u32),
}

impl Share {
    /// The value of `lxc.mount.entry` that makes the share at each start; `None`: no value says so
    /// ([`Owners::As`]).
    pub fn entry(&self) -> Option<String> {
        let field = |path: &Path| {
            let text = path.to_string_lossy();
            text.replace('\\', "\\134")
                .replace(' ', "\\040")
                .replace('\t', "\\011")
                .replace('\n', "\\012")
        };
        let target = self.target.strip_prefix("/").unwrap_or(&self.target);
        let idmap = match self.owners {
            Owners::Host => "",
            Owners::Container => ",idmap=container",
            Owners::As(..) => return None,
        };
        Some(format!(
            "{} {} none bind,{},create={}{idmap} 0 0",
            field(&self.source),
            field(target),
            if self.read_only { "ro" } else { "rw" },
            if self.source.is_dir() { "dir" } else { "file" }
        ))
    }
}

impl Container {
    /// Makes the share in the running container, until it stops.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Path`]: the file system cannot be idmapped (EINVAL), or the caller is not root.
    pub fn share(&self, share: &Share) -> Result<()> {
        let pid = self.need_init_pid()?;
        let failed = || Error::path::<std::io::Error>("share", &share.source);
        let tree = mount::open_tree_at(&share.source, mount::OPEN_TREE_CLONE).map_err(failed())?;
        let userns = match share.owners {
            Owners::Host => None,
            Owners::Container => Some(
                File::open(format!("/proc/{pid}/ns/user"))
                    .map_err(Error::path("enter the user namespace of", self.dir()))?,
            ),
            Owners::As(uid, gid) => Some(self.namespace_for(pid, &share.source, uid, gid)?),
        };
        let change = MountAttr {
            set: if share.read_only { attr::RDONLY } else { 0 }
                | if userns.is_some() { attr::IDMAP } else { 0 },
            userns: userns.as_ref().map(AsFd::as_fd),
            ..MountAttr::default()
        };
        if change.set != 0 {
            mount::set_attr(&tree, false, &change).map_err(failed())?;
        }
        self.mount_tree(pid, tree, &share.target, share.source.is_dir())
    }

    /// A user namespace whose one user and group are, on the disk, the owner of `source`, and outside of it what the
    /// container knows as `uid` and `gid`.
    fn namespace_for(&self, pid: i32, source: &Path, uid: u32, gid: u32) -> Result<File> {
        let owner = std::fs::metadata(source).map_err(Error::path("look at", source))?;
        let outside = |kind, id| {
            let maps = maps_of(pid, kind);
            idmap::to_host(&maps, kind, id).ok_or_else(|| {
                let what = format!("the container has no {} {id}", idmap::letter(kind));
                Error::refused(Errno::EINVAL, what)
            })
        };
        let map = |kind, nsid, hostid| IdMap {
            kind,
            nsid,
            hostid,
            range: 1,
        };
        let maps = [
            map(IdKind::Uid, owner.uid(), outside(IdKind::Uid, uid)?),
            map(IdKind::Gid, owner.gid(), outside(IdKind::Gid, gid)?),
        ];
        rlxc_namespace::user_namespace(&maps).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Error::refused(
                Errno::EPERM,
                format!("{error}{}", cause.unwrap_or_default()),
            )
        })
    }
}

/// What /proc tells of a process's id maps.
fn maps_of(pid: i32, kind: IdKind) -> Vec<IdMap> {
    let file = match kind {
        IdKind::Uid => "uid_map",
        IdKind::Gid => "gid_map",
    };
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let each = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(IdMap {
            kind,
            nsid: next()?,
            hostid: next()?,
            range: next()?,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_mount_entry() {
        let mut share = Share {
            source: "/tmp".into(),
            target: "/srv/my data".into(),
            read_only: false,
            owners: Owners::Host,
        };
        let entry = "/tmp srv/my\\040data none bind,rw,create=dir 0 0";
        assert_eq!(share.entry().as_deref(), Some(entry));
        share.source = "/dev/null".into();
        share.target = "/null".into();
        share.read_only = true;
        share.owners = Owners::Container;
        let entry = "/dev/null null none bind,ro,create=file,idmap=container 0 0";
        assert_eq!(share.entry().as_deref(), Some(entry));
        share.owners = Owners::As(1000, 1000);
        assert_eq!(share.entry(), None);
    }
}
