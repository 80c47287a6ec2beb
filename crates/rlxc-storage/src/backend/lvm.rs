//! A logical volume, by LVM's own programs.

use std::path::{Path, PathBuf};

use super::{Backend, DEFAULT_SIZE, Driver, Guess, Place, Specs, block, global};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Lvm;

/// The volume group of new volumes.
pub(super) fn group(specs: &Specs) -> String {
    specs
        .vg
        .clone()
        .unwrap_or_else(|| global("lxc.bdev.lvm.vg", "lxc"))
}

/// Whether a volume group is there.
pub(super) fn has_group(group: &str) -> bool {
    // Without the program there is none that could be used.
    tool::find("vgs").is_some()
        && tool::output("vgs", &["--noheadings", "-o", "vg_name", group])
            .is_ok_and(|out| out.status == 0)
}

/// `/dev/VG/LV`, taken apart.
fn parts(path: &str) -> Result<(&str, &str)> {
    let bad = || Error::RootfsPath {
        path: format!("lvm:{path}"),
        reason: "is not of the form lvm:/dev/GROUP/VOLUME",
    };
    let rest = path.strip_prefix("/dev/").ok_or_else(bad)?;
    let (group, volume) = rest.split_once('/').ok_or_else(bad)?;
    let good = |name: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
        !name.is_empty() && !name.starts_with('-') && name.bytes().all(allowed)
    };
    match good(group) && good(volume) && volume != "." && volume != ".." {
        true => Ok((group, volume)),
        false => Err(bad()),
    }
}

/// One attribute column of a volume; `None` when there is no such volume.
fn attribute(path: &str, column: &str) -> Result<Option<String>> {
    let args = [
        "--unbuffered",
        "--noheadings",
        "--units",
        "b",
        "--nosuffix",
        "-o",
        column,
        path,
    ];
    let out = tool::output("lvs", &args)?;
    Ok((out.status == 0).then(|| out.stdout.trim().to_owned()))
}

/// Whether a volume lies in a thin pool. The first letter of the attributes is V for those (t for a pool itself).
fn is_thin(path: &str) -> Result<bool> {
    Ok(attribute(path, "lv_attr")?.is_some_and(|attr| attr.starts_with('V')))
}

fn is_pool(path: &str) -> Result<bool> {
    Ok(attribute(path, "lv_attr")?.is_some_and(|attr| attr.starts_with('t')))
}

impl Lvm {
    fn plan(group: &str, volume: &str) -> Result<Rootfs> {
        let path = format!("/dev/{group}/{volume}");
        parts(&path)?;
        Rootfs::new(Backend::Lvm, &path)
    }
}

/// `lvcreate`, asked to wipe old signatures; an old one that knows no such option ends with status 3.
fn lvcreate(args: &[&str]) -> Result<()> {
    let whole = |first: &[&'static str]| -> Vec<String> {
        let all = first.iter().copied().chain(args.iter().copied());
        all.map(str::to_owned).collect()
    };
    let run = |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        tool::output("lvcreate", &args)
    };
    let done = run(whole(&["-Wy", "--yes"]))?;
    let done = match done.status {
        3 => run(whole(&["-qq"]))?,
        _ => done,
    };
    done.ok().map(drop)
}

impl Driver for Lvm {
    /// As LXC: lvs knows it.
    fn detect(&self, path: &str) -> bool {
        use std::os::unix::fs::FileTypeExt;
        let device = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device());
        device
            && parts(path).is_ok()
            && tool::find("lvs").is_some()
            && attribute(path, "lv_name").is_ok_and(|name| name.is_some())
    }

    fn name(&self, place: &Place<'_>, specs: &Specs, source: Option<&Rootfs>) -> Result<Rootfs> {
        tool::check_fs_type(specs.fstype())?;
        let of_source = source.filter(|source| source.backend == Backend::Lvm);
        let group = match of_source {
            // A snapshot lies where the original is.
            Some(source) if specs.vg.is_none() => parts(&source.path)?.0.to_owned(),
            _ => group(specs),
        };
        let names = match &specs.lv {
            Some(name) => vec![name.clone()],
            None => place.volume_names(),
        };
        let mut taken = String::new();
        for name in names {
            let rootfs = Self::plan(&group, &name)?;
            if !self.exists(&rootfs)? {
                return Ok(rootfs);
            }
            taken = rootfs.path;
        }
        Err(Error::Exists(taken))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(attribute(&rootfs.path, "lv_name")?.is_some())
    }

    fn create(&self, rootfs: &Rootfs, specs: &Specs) -> Result<()> {
        let (group, volume) = parts(&rootfs.path)?;
        let size = format!("{}b", specs.size());
        let pool = match &specs.thinpool {
            Some(pool) => pool.clone(),
            None => global("lxc.bdev.lvm.thin_pool", "lxc"),
        };
        let pool = format!("{group}/{pool}");
        match is_pool(&pool)? {
            true => lvcreate(&["--thinpool", &pool, "-V", &size, group, "-n", volume])?,
            false => lvcreate(&["-L", &size, group, "-n", volume])?,
        }
        wait_for(Path::new(&rootfs.path))?;
        tool::make_fs(specs.fstype(), &rootfs.path)
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        block::mount(Path::new(&rootfs.path), options)
    }

    fn share(&self, from: &Rootfs, to: &Rootfs, specs: &Specs) -> Result<()> {
        let (group, volume) = parts(&to.path)?;
        if group != parts(&from.path)?.0 {
            return Err(Backend::Lvm.cannot("share its data with a copy in another volume group"));
        }
        match is_thin(&from.path)? {
            // Else a thin snapshot would stay inactive.
            true => lvcreate(&["-s", "-kn", "-n", volume, &from.path])?,
            false => {
                let of_source = block::size(Path::new(&from.path));
                let size = specs.fssize.or(of_source).unwrap_or(DEFAULT_SIZE);
                lvcreate(&["-s", "-L", &format!("{size}b"), "-n", volume, &from.path])?;
            }
        }
        let device = Path::new(&to.path);
        wait_for(device)?;
        // Two file systems with one identity cannot be mounted at a time.
        match Guess::magic(device) {
            Some("xfs") => tool::run("xfs_admin", &["-U", "generate", &to.path]).map(drop),
            Some("btrfs") => tool::run("btrfstune", &["-f", "-u", &to.path]).map(drop),
            _ => Ok(()),
        }
    }

    fn like(&self, rootfs: &Rootfs) -> Result<Specs> {
        let device = PathBuf::from(&rootfs.path);
        Ok(Specs {
            fstype: Guess::magic(&device).map(str::to_owned),
            fssize: block::size(&device),
            vg: Some(parts(&rootfs.path)?.0.to_owned()),
            ..Specs::default()
        })
    }

    fn needed_by(&self, rootfs: &Rootfs) -> Result<Vec<String>> {
        match self.exists(rootfs)? {
            true => snapshots_of(&rootfs.path),
            false => Ok(Vec::new()),
        }
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        if !self.exists(from)? && self.exists(to)? {
            return Ok(());
        }
        let (group, old) = parts(&from.path)?;
        let (_, new) = parts(&to.path)?;
        tool::run("lvrename", &[group, old, new]).map(drop)
    }

    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        match self.exists(rootfs)? {
            true => tool::run("lvremove", &["-f", &rootfs.path]).map(drop),
            false => Ok(()),
        }
    }
}

/// udev makes the node a moment after the volume.
fn wait_for(device: &Path) -> Result<()> {
    for _ in 0..100 {
        if device.exists() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Err(Error::at("find the new device", device)(
        nix::errno::Errno::ENOENT,
    ))
}

/// Whether a snapshot of a volume goes with the original when that is destroyed, which is the same for both: outside
/// of a thin pool. Then the dependence has to be recorded.
///
/// # Errors
/// As `lvs`.
pub fn rests_on_original(rootfs: &Rootfs) -> Result<bool> {
    Ok(rootfs.backend == Backend::Lvm && !is_thin(&rootfs.path)?)
}

/// The snapshots of a volume that lvremove(8) would take with it.
fn snapshots_of(path: &str) -> Result<Vec<String>> {
    let (group, volume) = parts(path)?;
    let args = ["--noheadings", "--separator", ":", "-o"];
    let columns = "lv_name,origin,lv_attr";
    let text = tool::run("lvs", &[&args[..], &[columns, group]].concat())?;
    let fields = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    // Those in a thin pool begin with V, and stand alone.
    let rest = fields.filter(|(_, origin, attr)| *origin == volume && attr.starts_with(['s', 'S']));
    Ok(rest
        .map(|(name, ..)| format!("/dev/{group}/{name}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volumes_path_is_taken_apart() -> Result<()> {
        assert_eq!(parts("/dev/my-vg/a-b.c")?, ("my-vg", "a-b.c"));
        for bad in [
            "/dev/x",
            "/dev//y",
            "/dev/vg/",
            "/dev/vg/a b",
            "/dev/vg/-f",
            "vg/lv",
            "/dev/vg/..",
        ] {
            assert!(parts(bad).is_err(), "{bad}");
        }
        Ok(())
    }
}
