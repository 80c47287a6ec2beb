//! Lower directories that stay as they are, and an upper one for what changes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use rlxc_sys::mount::FsContext;

use super::{Backend, Driver, Place, Specs};
use crate::copy::{Progress, copy_tree};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::remove::remove_tree;
use crate::rootfs::Rootfs;

mod by_hand;

pub(crate) use by_hand::overwrite;

#[derive(Debug)]
pub(super) struct Overlay;

/// An overlay's work directory: `work` beside the upper one.
pub(crate) fn work_dir(upper: &Path) -> PathBuf {
    upper.with_file_name("work")
}

/// Makes a directory with exactly that mode, whatever the umask is; it may exist.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder
        .create(path)
        .map_err(Error::at("make the directory", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::at("set the mode of", path))
}

impl Driver for Overlay {
    fn detect(&self, _: &str) -> bool {
        // Without its type in front it cannot be told from other paths.
        false
    }

    fn name(&self, place: &Place<'_>, _: &Specs, source: Option<&Rootfs>) -> Result<Rootfs> {
        let upper = place.dir().join("overlay/delta");
        let lower = match source {
            Some(source) if source.backend == Backend::Overlay => source.layers()?.0.to_owned(),
            Some(source) if source.backend == Backend::Dir => source.path.clone(),
            Some(source) => {
                return Err(source
                    .backend
                    .cannot("lie below an overlay; only dir and overlay can"));
            }
            None => place.rootfs().to_string_lossy().into_owned(),
        };
        Ok(Rootfs::overlay(&lower, &upper))
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(rootfs.layers()?.1.exists())
    }

    fn create(&self, rootfs: &Rootfs, _: &Specs) -> Result<()> {
        let (lower, upper) = rootfs.layers()?;
        for lower in lower.split(':') {
            make_dir(Path::new(lower), 0o755)?;
        }
        layers(&upper)
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        let (lower, upper) = rootfs.layers()?;
        mount(lower, &upper, options)
    }

    /// The same lower directories; what the original wrote so far is copied.
    fn share(&self, from: &Rootfs, to: &Rootfs, _: &Specs) -> Result<()> {
        let (_, to_upper) = to.layers()?;
        layers(&to_upper)?;
        match from.backend {
            Backend::Overlay => copy_tree(&from.layers()?.1, &to_upper, &Progress::default()),
            _ => copy_top(Path::new(&from.path), &to_upper),
        }
    }

    /// A full copy shares the lower directories too, as in LXC: what makes an overlay one is not copied.
    fn duplicate(&self, from: &Rootfs, to: &Rootfs, specs: &Specs, _: &Progress) -> Result<bool> {
        self.share(from, to, specs).map(|()| true)
    }

    fn rename(&self, from: &Rootfs, to: &Rootfs) -> Result<()> {
        let (from, to) = (from.layers()?.1, to.layers()?.1);
        super::dir::rename(&from.to_string_lossy(), &to.to_string_lossy())
    }

    /// The lower directories may be those of others.
    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        let (_, upper) = rootfs.layers()?;
        remove_tree(&upper)?;
        remove_tree(&work_dir(&upper))
    }
}

fn layers(upper: &Path) -> Result<()> {
    make_dir(upper, 0o755)?;
    make_dir(&work_dir(upper), 0o755)
}

/// The top directory of a mounted overlay has the owner and mode of the upper layer's.
fn copy_top(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(from).map_err(Error::at("look at", from))?;
    std::os::unix::fs::chown(to, Some(meta.uid()), Some(meta.gid()))
        .map_err(Error::at("set the owner of", to))?;
    std::fs::set_permissions(to, meta.permissions()).map_err(Error::at("set the mode of", to))
}

/// By descriptors: a path with a comma or colon in it, or a long one, is no trouble.
fn mount(lower: &str, upper: &Path, options: &Options) -> Result<Mounted> {
    let failed = || Error::at("mount the overlay", upper);
    let open = |path: &Path| -> Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).map_err(Error::at("open", path))
    };
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut below: Vec<OwnedFd> = Vec::new();
    for dir in lower.split(':') {
        below.push(open(Path::new(dir))?);
    }
    let top = open(upper)?;
    // Read-only without the kernel's work directory: the upper layer is only the topmost lower one. So even the overlay
    // of a running container can be read.
    let work = match options.read_only {
        true => None,
        false => {
            let work = work_dir(upper);
            make_dir(&work, 0o755)?;
            Some(open(&work)?)
        }
    };
    let mut lowers: Vec<String> = below.iter().map(name).collect();
    if work.is_none() {
        lowers.insert(0, name(&top));
    }
    let lowers = lowers.join(":");
    let overlay = |user: bool| -> std::io::Result<OwnedFd> {
        let context = FsContext::open("overlay")?.source("overlay")?;
        context.set("lowerdir", &lowers)?;
        if let Some(work) = &work {
            context.set("upperdir", &name(&top))?;
            context.set("workdir", &name(work))?;
        }
        context.set_all(&options.data)?;
        if user {
            // In a user namespace the layers' marks have to be user attributes.
            context.flag("userxattr")?;
        }
        context.mount(options.attrs())
    };
    let user_marks = options.user_marks || !is_initial_user_namespace();
    let tree = match overlay(user_marks) {
        // A kernel before 5.11 knows no such option.
        Err(error) if user_marks && error.raw_os_error() == Some(libc_einval()) => overlay(false),
        other => other,
    };
    Ok(Mounted::detached(tree.map_err(failed())?))
}

fn libc_einval() -> i32 {
    nix::errno::Errno::EINVAL as i32
}

/// Whether ids are what they are on the host.
pub(crate) fn is_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut words = map.split_whitespace();
    (words.next(), words.next(), words.next()) == (Some("0"), Some("0"), Some("4294967295"))
}
