//! squashfs images: turned into a tar stream by `sqfs2tar`, which then is looked at as any other.
//!
//! A reader of our own would be a large dependency for what servers offer beside an archive anyway, and
//! mounting would have the kernel parse what nobody vouches for. The converter sees a machine that it
//! cannot write to, has no network and no capability.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rlxc_sys::mount;

use super::limits::{failed, limit};
use crate::error::{Error, Result};

/// The internal verb of the program that [`convert`] starts.
pub(super) const VERB: &str = "squashfs";

const PROGRAM: &str = "sqfs2tar";

/// The status by which the child says that there is no such program.
const MISSING: u8 = 127;

const MS_PRIVATE: u64 = 1 << 18;
const CLONE_NEWNS: u64 = 0x0002_0000;
const CLONE_NEWUTS: u64 = 0x0400_0000;
const CLONE_NEWIPC: u64 = 0x0800_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;

/// Whether the file begins as squashfs images do.
pub(super) fn is_one(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == *b"hsqs"
}

/// Has `program` (this crate's own) run the converter; its output is the tar stream.
pub(super) fn convert(program: &Path, image: &File) -> Result<Child> {
    let input = image
        .try_clone()
        .map_err(|error| Error::format("a descriptor", error))?;
    Command::new(program)
        .arg(VERB)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::path("start", program))
}

/// The converter's end; an error unless it was a good one.
pub(super) fn finish(mut child: Child) -> Result<()> {
    // Nobody reads on: what it still wants to write ends it.
    drop(child.stdout.take());
    let status = child.wait().map_err(Error::path("wait for", PROGRAM))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(MISSING) => Err(Error::message(
            "the file is a squashfs image, and sqfs2tar is not installed (package \
             squashfs-tools-ng); the image's root.tar.xz does without",
        )),
        _ => Err(Error::message(format!(
            "the squashfs image cannot be read: {PROGRAM} ended with {status}"
        ))),
    }
}

/// The child's side: becomes the converter. Returns only when that fails, with the exit status.
pub fn serve_squashfs() -> u8 {
    if let Err(error) = confine() {
        eprintln!("ERROR: {error}");
        return 1;
    }
    let failed = Command::new(PROGRAM)
        .args(["--root-becomes", ".", "--no-skip", "/proc/self/fd/0"])
        .exec();
    if failed.kind() == io::ErrorKind::NotFound {
        return MISSING;
    }
    eprintln!("ERROR: cannot start {PROGRAM}: {failed}");
    1
}

fn confine() -> Result<()> {
    limit()?;
    rlxc_sys::namespace::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
        .map_err(failed("make namespaces for"))?;
    let root = File::open("/").map_err(Error::path("open", "/"))?;
    let attr = mount::MountAttr {
        // Whoever is root can still write to what belongs to root: a disk, for one.
        set: mount::attr::RDONLY | mount::attr::NODEV | mount::attr::NOSUID,
        propagation: MS_PRIVATE,
        ..Default::default()
    };
    mount::set_attr(root.as_fd(), true, &attr).map_err(failed("make read-only"))?;
    rlxc_sys::capability::set(rlxc_sys::capability::Sets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    })
    .map_err(failed("drop capabilities for"))?;
    rlxc_sys::capability::set_no_new_privs().map_err(failed("give up privileges for"))
}
