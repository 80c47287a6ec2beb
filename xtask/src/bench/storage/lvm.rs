//! Logical volumes in a thin pool and outside of one, where the kernel has a device mapper.

use std::path::{Path, PathBuf};

use super::{Clock, Side, fill, rows as row_pair, shell};
use crate::host;

/// A volume group on a loop device whose image lies in memory.
struct Group {
    name: String,
    image: PathBuf,
}

impl Group {
    fn new() -> Result<Option<Self>, String> {
        let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
        if !misc.contains("device-mapper") || host::find_program("lvcreate").is_none() {
            println!("skipped: lvm: the kernel's device mapper, or the package lvm2");
            return Ok(None);
        }
        let name = format!("rlxcbench{}", std::process::id());
        let group = Self {
            image: PathBuf::from(format!("/dev/shm/{name}.lvm")),
            name,
        };
        shell(&format!(
            "truncate -s 2G {0}; D=$(losetup -f --show {0}); echo $D > {0}.device
             pvcreate -q $D; vgcreate -q {1} $D; lvcreate -q -L 900M -T {1}/lxc",
            group.image.display(),
            group.name
        ))?;
        Ok(Some(group))
    }

    /// A container on a volume of it, with the files of the comparison.
    fn container(&self, lxcpath: &Path, thin: bool) -> Result<(), String> {
        let dir = lxcpath.join("a");
        let rootfs = dir.join("rootfs");
        std::fs::create_dir_all(&rootfs).map_err(|e| e.to_string())?;
        let (at, group) = (rootfs.display(), &self.name);
        let volume = match thin {
            true => format!("-T {group}/lxc -V 700M -n a"),
            false => format!("-L 400M -n a2 {group}"),
        };
        let device = match thin {
            true => format!("/dev/{group}/a"),
            false => format!("/dev/{group}/a2"),
        };
        shell(&format!(
            "lvcreate -q -Wy --yes {volume}; mkfs.ext4 -qF {device}; mount {device} {at}"
        ))?;
        let filled = fill(&rootfs);
        shell(&format!("umount {at}"))?;
        filled.map_err(|e| e.to_string())?;
        let text = format!("lxc.rootfs.path = lvm:{device}\nlxc.net.0.type = empty\n");
        std::fs::write(dir.join("config"), text).map_err(|e| e.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let image = self.image.display();
        let _ = shell(&format!(
            "set +e; vgremove -ff -y {}; D=$(cat {image}.device); pvremove -ff -y $D; losetup -d $D; \
             rm -f {image} {image}.device",
            self.name
        ));
    }
}

/// A copy that shares and its end, in the pool and outside of it; a full copy in the pool.
pub(super) fn rows(place: &Path, sides: [&Side; 2], clock: &Clock) -> Result<(), String> {
    let Some(group) = Group::new()? else {
        return Ok(());
    };
    let snapshot = ["-n", "a", "-N", "b", "-s"];
    let (thin, thick) = (place.join("lvm"), place.join("lvm-thick"));
    group.container(&thin, true)?;
    row_pair(
        "lvm in a thin pool, snapshot",
        &thin,
        &snapshot,
        sides,
        clock,
    )?;
    row_pair("lvm in a thin pool", &thin, &snapshot[..4], sides, clock)?;
    group.container(&thick, false)?;
    row_pair("lvm, snapshot", &thick, &snapshot, sides, clock)
}
