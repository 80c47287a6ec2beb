//! Copies under other id maps, and for other users.

use std::os::unix::fs::lchown;

use nix::errno::Errno;
use nix::unistd::geteuid;
use rlxc_config::{Document, IdMap};
use rlxc_namespace::idmap;
use rlxc_storage::{Backend, Shift};

use super::CopyOptions;
use crate::container::Container;
use crate::error::{Error, Result};

/// What of a container's directory is its root file system's, and so the container's root's.
const STORAGE: [&str; 5] = ["rootfs", "overlay", "rootdev", "snaps", "partial"];

impl Container {
    /// How the owners of the copy's files change; `None`: they stay.
    pub(super) fn plan_shift(
        &self,
        wanted: Backend,
        share: bool,
        options: &CopyOptions,
    ) -> Result<Option<Shift>> {
        let Some(to) = &options.idmap else {
            return Ok(None);
        };
        let from = self.config()?.idmap.clone();
        if from == *to {
            return Ok(None);
        }
        if !to.is_empty() {
            idmap::validate(to).map_err(rlxc_storage::Error::from)?;
        }
        let refused = |errno, text: &str, remedy: &str| {
            Err(Error::Refused {
                message: text.to_owned(),
                errno: errno as i32,
                remedy: Some(remedy.to_owned()),
            })
        };
        if !geteuid().is_root() {
            return refused(
                Errno::EPERM,
                "only root can give a copy's files to the ids of other maps",
                "run it as root, or keep the original's maps",
            );
        }
        if wanted == Backend::Overlay {
            return refused(
                Errno::EOPNOTSUPP,
                "the lower directories of an overlay belong to the ids of the original",
                match share {
                    true => "make a full copy, without -s",
                    false => "copy to another type of storage: -B dir",
                },
            );
        }
        Ok(Some(Shift {
            from,
            to: to.clone(),
        }))
    }

    /// Puts the new maps into the copy's configuration, in place of those that are there or come from an include.
    pub(super) fn set_maps(&mut self, text: &[u8], maps: &[IdMap]) -> Result<()> {
        let included = self.config()?.idmap.clone();
        if !included.is_empty() {
            let mut text = text.to_vec();
            text.extend_from_slice(b"lxc.idmap =\n");
            let mut document = Document::new();
            document.load_text(self.config_file(), &text)?;
            self.document = Some(document);
        }
        for map in maps {
            self.set_item("lxc.idmap", &idmap::show(map))?;
        }
        Ok(())
    }

    /// Gives the copy to a user as if she had made it: hers are the configuration and what belongs to it; the directory
    /// is the container's root's, with her group.
    pub(super) fn give_to_owner(&self, maps: &[IdMap], (uid, gid): (u32, u32)) -> Result<()> {
        let dir = self.dir();
        let entries = std::fs::read_dir(&dir).map_err(Error::path("read", &dir))?;
        for entry in entries {
            let entry = entry.map_err(Error::path("read", &dir))?;
            if STORAGE.iter().any(|name| entry.file_name() == **name) {
                continue;
            }
            let path = entry.path();
            lchown(&path, Some(uid), Some(gid)).map_err(Error::path("set the owner of", &path))?;
        }
        let root = idmap::mapped_root(maps, rlxc_config::IdKind::Uid).unwrap_or(uid);
        lchown(&dir, Some(root), Some(gid)).map_err(Error::path("set the owner of", &dir))
    }
}
