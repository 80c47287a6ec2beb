//! A ZFS data set, by the program zfs; also where ZFS is a FUSE daemon that the kernel knows nothing of.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rlxc_sys::mount::{AT_RECURSIVE, OPEN_TREE_CLONE};

use super::{Backend, Driver, Place, Specs, block, global};
use crate::copy::Progress;
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Zfs;

/// The data set that new ones are made below.
pub(super) fn root(specs: &Specs) -> String {
    specs
        .zfsroot
        .clone()
        .unwrap_or_else(|| global("lxc.bdev.zfs.root", "lxc"))
}

/// Whether that data set is there.
pub(super) fn has_root(root: &str) -> bool {
    tool::find("zfs").is_some() && exists(root).unwrap_or(false)
}

/// Data sets' and pools' names, and snapshots' (`DATASET@NAME`).
fn check(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/@ ".contains(&b);
    let good = !name.is_empty() && !name.starts_with(['-', '/']) && name.bytes().all(allowed);
    match good {
        true => Ok(()),
        false => Err(Error::RootfsPath {
            path: format!("zfs:{name}"),
            reason: "is no name of a data set",
        }),
    }
}

fn exists(dataset: &str) -> Result<bool> {
    let out = tool::output("zfs", &["list", "-H", "-o", "name", dataset])?;
    Ok(out.status == 0)
}

/// The pool that a data set is in.
fn pool(dataset: &str) -> &str {
    dataset.split('/').next().unwrap_or(dataset)
}

fn property(dataset: &str, name: &str) -> Result<String> {
    let text = tool::run("zfs", &["get", "-H", "-o", "value", name, dataset])?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Where the data set is mounted in this mount namespace.
fn mounted_at(dataset: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mounts").ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (source, target, fstype) = (words.next()?, words.next()?, words.next()?);
        let of_zfs = fstype == "zfs" || fstype == "fuse" || fstype.starts_with("fuse.");
        (source == dataset && of_zfs).then(|| PathBuf::from(target.replace("\\040", " ")))
    })
}

/// Unmounts the data set when nobody uses it any more.
struct Unmount(String);

impl Drop for Unmount {
    fn drop(&mut self) {
        if let Err(error) = tool::run("zfs", &["unmount", &self.0]) {
            tracing::debug!("{error} - The data set stays mounted");
        }
    }
}

/// A data set that is mounted cannot be renamed or removed everywhere.
fn unmount(dataset: &str) {
    if mounted_at(dataset).is_some() {
        drop(Unmount(dataset.to_owned()));
    }
}

/// What needs a data set that nobody uses. A daemon that serves it ends a little after the unmounting.
fn when_idle(dataset: &str, args: &[&str]) -> Result<()> {
    again_while_busy(|| {
        unmount(dataset);
        tool::run("zfs", args).map(drop)
    })
}

fn again_while_busy(mut action: impl FnMut() -> Result<()>) -> Result<()> {
    let mut last = Ok(());
    for _ in 0..20 {
        last = action();
        match &last {
            Err(Error::Program { status, .. }) if status.contains("busy") => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            _ => break,
        }
    }
    last
}

impl Driver for Zfs {
    fn detect(&self, path: &str) -> bool {
        let known = |args: &[&str]| tool::output("zfs", args).is_ok_and(|out| out.status == 0);
        if path.starts_with('/') || check(path).is_err() || tool::find("zfs").is_none() {
            return false;
        }
        known(&["get", "-H", "-o", "name", "type", path])
    }

    fn name(&self, place: &Place<'_>, specs: &Specs, source: Option<&Rootfs>) -> Result<Rootfs> {
        let of_source = source.filter(|source| source.backend == Backend::Zfs);
        let root = match of_source {
            // As LXC: beside the original.
            Some(source) if specs.zfsroot.is_none() => match source.path.rsplit_once('/') {
                Some((parent, _)) => parent.to_owned(),
                None => source.path.clone(),
            },
            _ => root(specs),
        };
        let mut taken = String::new();
        for name in place.volume_names() {
            let dataset = format!("{root}/{name}");
            check(&dataset)?;
            if !exists(&dataset)? {
                return Rootfs::new(Backend::Zfs, &dataset);
            }
            taken = dataset;
        }
        Err(Error::Exists(format!("the data set {taken}")))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        check(&rootfs.path)?;
        exists(&rootfs.path)
    }

    fn create(&self, rootfs: &Rootfs, specs: &Specs) -> Result<()> {
        check(&rootfs.path)?;
        let mountpoint = format!("mountpoint={}", mountpoint(specs)?.display());
        let args = [
            "create",
            "-o",
            &mountpoint,
            "-o",
            "canmount=noauto",
            "-p",
            &rootfs.path,
        ];
        tool::run("zfs", &args).map(drop)
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        check(&rootfs.path)?;
        let dataset = rootfs.path.as_str();
        if let Some(at) = mounted_at(dataset) {
            return bind(&at);
        }
        let extra = format!("zfsutil,mntpoint={dataset}");
        match block::detached("zfs", dataset, options, &extra) {
            Ok(tree) => Ok(Mounted::detached(tree)),
            // The kernel has no ZFS: the daemon mounts it, at the data set's own place.
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => {
                again_while_busy(|| tool::run("zfs", &["mount", dataset]).map(drop))?;
                let unmount = Unmount(dataset.to_owned());
                let at = mounted_at(dataset).ok_or_else(|| Error::RootfsPath {
                    path: rootfs.to_string(),
                    reason: "was mounted by zfs, but not where it can be seen from here",
                })?;
                Ok(bind(&at)?.holding(unmount))
            }
            Err(error) => Err(Error::at("mount the data set", dataset)(error)),
        }
    }

    fn share(&self, from: &Rootfs, to: &Rootfs, specs: &Specs) -> Result<()> {
        check(&from.path)?;
        check(&to.path)?;
        let snapshot = take_for(from, to)?;
        let mountpoint = format!("mountpoint={}", mountpoint(specs)?.display());
        let args = [
            "clone",
            "-p",
            "-o",
            "canmount=noauto",
            "-o",
            &mountpoint,
            &snapshot,
            &to.path,
        ];
        if let Err(error) = tool::run("zfs", &args) {
            let _ = tool::run("zfs", &["destroy", "-r", &snapshot]);
            return Err(error);
        }
        // zfs-fuse mounts every clone, whatever canmount says.
        unmount(&to.path);
        Ok(())
    }

    /// In another pool, or below another data set that was asked for: as a stream.
    fn duplicate(
        &self,
        from: &Rootfs,
        to: &Rootfs,
        specs: &Specs,
        progress: &Progress,
    ) -> Result<bool> {
        check(&from.path)?;
        check(&to.path)?;
        if pool(&from.path) == pool(&to.path) {
            return Ok(false);
        }
        let name = to.path.rsplit('/').next().unwrap_or_default();
        let snapshot = format!("{}@send-{name}", from.path);
        // One that is left of a copy that was killed.
        if exists(&snapshot)? {
            tool::run("zfs", &["destroy", &snapshot])?;
        }
        tool::run("zfs", &["snapshot", &snapshot])?;
        let done = tool::pipe(
            ("zfs", &["send", &snapshot]),
            ("zfs", &["receive", "-u", &to.path]),
            progress,
        );
        let done = done.and_then(|()| {
            let mountpoint = format!("mountpoint={}", mountpoint(specs)?.display());
            tool::run("zfs", &["set", "canmount=noauto", &to.path])?;
            tool::run("zfs", &["set", &mountpoint, &to.path])?;
            // zfs-fuse mounts what it receives.
            unmount(&to.path);
            tool::run("zfs", &["destroy", &format!("{}@send-{name}", to.path)]).map(drop)
        });
        let gone = again_while_busy(|| tool::run("zfs", &["destroy", &snapshot]).map(drop));
        if let Err(error) = gone {
            tracing::warn!("{error} - The snapshot {snapshot} stays");
        }
        done.map(|()| true)
    }

    fn needed_by(&self, rootfs: &Rootfs) -> Result<Vec<String>> {
        dependants(&rootfs.path)
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        if !self.exists(from)? && self.exists(to)? {
            return Ok(());
        }
        when_idle(&from.path, &["rename", &from.path, &to.path])
    }

    /// As LXC: the data set, and then the snapshot that it was cloned from, which nothing else needs.
    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        let dataset = rootfs.path.as_str();
        let all = all_in_pool_of(dataset)?;
        let Some((_, origin)) = all.iter().find(|(name, _)| name == dataset) else {
            return Ok(());
        };
        let clones = clones_of(&all, dataset);
        if !clones.is_empty() {
            return Err(Error::Needed {
                what: format!("the data set {dataset}"),
                by: clones.join(", "),
            });
        }
        when_idle(dataset, &["destroy", "-r", dataset])?;
        if origin.contains('@') {
            // It may be gone, or the user's own, or others' too: then it stays.
            if let Err(error) = tool::run("zfs", &["destroy", origin]) {
                tracing::debug!("{error} - The snapshot {origin} stays");
            }
        }
        Ok(())
    }
}

/// Takes the snapshot that a copy is cloned from, under the copy's name as LXC does. One of that name may be left of a
/// copy that was removed without it: it goes. Or a container rests on it that has another name now: then the name gets a
/// number.
fn take_for(from: &Rootfs, to: &Rootfs) -> Result<String> {
    let name = to.path.rsplit('/').next().unwrap_or_default();
    let mut failed = None;
    for number in 0..100 {
        let snapshot = match number {
            0 => format!("{}@{name}", from.path),
            number => format!("{}@{name}-{number}", from.path),
        };
        let taken = || tool::run("zfs", &["snapshot", "-r", &snapshot]);
        let Err(error) = taken() else {
            return Ok(snapshot);
        };
        if !exists(&snapshot)? {
            return Err(error);
        }
        if tool::run("zfs", &["destroy", "-r", &snapshot]).is_ok() {
            return taken().map(|_| snapshot);
        }
        failed = Some(error);
    }
    Err(failed.unwrap_or_else(|| Error::Exists(format!("{}@{name}", from.path))))
}

/// All data sets of a pool with what they were cloned from; none if there is no such pool.
fn all_in_pool_of(dataset: &str) -> Result<Vec<(String, String)>> {
    check(dataset)?;
    let what = ["-t", "filesystem", "-o", "name,origin", pool(dataset)];
    let listed = tool::output("zfs", &[&["list", "-H", "-r"], &what[..]].concat())?;
    if listed.status != 0 && !exists(dataset)? {
        return Ok(Vec::new());
    }
    let text = listed.ok()?;
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(pairs
        .map(|(name, origin)| (name.to_owned(), origin.to_owned()))
        .collect())
}

/// Those that are clones of a snapshot of this one.
fn clones_of(all: &[(String, String)], dataset: &str) -> Vec<String> {
    let start = format!("{dataset}@");
    let clones = all.iter().filter(|(_, origin)| origin.starts_with(&start));
    clones.map(|(name, _)| name.clone()).collect()
}

fn dependants(dataset: &str) -> Result<Vec<String>> {
    Ok(clones_of(&all_in_pool_of(dataset)?, dataset))
}

/// When one of two data sets was cloned from the other, in seconds; `None`: it was not.
pub(crate) fn parted(one: &Rootfs, other: &Rootfs) -> Option<i64> {
    let origin = |clone: &Rootfs, of: &Rootfs| {
        let origin = property(&clone.path, "origin").ok()?;
        let dataset = origin.split('@').next()?;
        (dataset == of.path).then_some(origin)
    };
    let snapshot = origin(one, other).or_else(|| origin(other, one))?;
    let args = ["get", "-H", "-p", "-o", "value", "creation", &snapshot];
    tool::run("zfs", &args).ok()?.trim().parse().ok()
}

/// Makes the clones of this data set's snapshots independent of it, so that it can be removed.
///
/// # Errors
/// As `zfs promote`.
pub fn release_clones(rootfs: &Rootfs) -> Result<()> {
    if rootfs.backend != Backend::Zfs {
        return Ok(());
    }
    // A promotion hands over all earlier snapshots; those that are left come next.
    while let Some(clone) = dependants(&rootfs.path)?.pop() {
        tool::run("zfs", &["promote", &clone])?;
        // The daemon mounts what it promotes.
        unmount(&clone);
    }
    Ok(())
}

/// Removes the snapshots of an original that were taken for a copy which was never made.
pub fn forget_copy(source: &Rootfs, copy: &Rootfs) {
    let name = copy.path.rsplit('/').next().unwrap_or_default();
    if source.backend != Backend::Zfs || check(&source.path).is_err() || check(name).is_err() {
        return;
    }
    let remove = |snapshot: &str| {
        // Mostly there is none; one that somebody needs is refused.
        if let Err(error) = tool::run("zfs", &["destroy", snapshot]) {
            tracing::debug!("{error} - No snapshot {snapshot} to remove");
        }
    };
    remove(&format!("{}@{name}", source.path));
    remove(&format!("{}@send-{name}", source.path));
    // What is restored again and again has numbers; nobody else's snapshots are called like that.
    for number in (1..100).take_while(|_| name.ends_with("-restore")) {
        let snapshot = format!("{}@{name}-{number}", source.path);
        if !exists(&snapshot).unwrap_or(false) {
            break;
        }
        remove(&snapshot);
    }
}

/// Tells where in the file system a data set belongs; other storage has no such mark.
///
/// # Errors
/// As `zfs set`.
pub fn set_place(rootfs: &Rootfs, dir: &Path) -> Result<()> {
    if rootfs.backend != Backend::Zfs {
        return Ok(());
    }
    let value = format!("mountpoint={}", dir.display());
    tool::run("zfs", &["set", &value, &rootfs.path]).map(drop)
}

/// Where the data set belongs in the file system: the container's rootfs directory.
fn mountpoint(specs: &Specs) -> Result<&Path> {
    let given = specs.dir.as_deref().filter(|dir| dir.is_absolute());
    given.ok_or_else(|| Error::RootfsPath {
        path: "zfs".to_owned(),
        reason: "has no place to be mounted at",
    })
}

fn bind(at: &Path) -> Result<Mounted> {
    let tree = rlxc_sys::mount::open_tree_at(at, OPEN_TREE_CLONE | AT_RECURSIVE)
        .map_err(Error::at("bind the data set mounted at", at))?;
    Ok(Mounted::detached(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_options() {
        for bad in ["", "-r", "/abs", "a;b", "a\nb"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("tank/lxc/a-b.c@snap0").is_ok());
    }
}
