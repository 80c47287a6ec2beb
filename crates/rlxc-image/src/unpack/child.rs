//! Unpacking in a child that sees nothing but the tree.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::limits::{failed, limit};
use super::{Layout, Options, Tree, Unpacked, apply, squashfs};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The internal verb of the program that [`confined`] starts.
pub(super) const VERB: &str = "unpack";

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Done(Unpacked),
    Failed(String),
}

/// Has `program` (this crate's own) unpack `archive` below `target`; empties `target` when that
/// fails.
///
/// # Errors
/// What [`apply()`] found, and what starting the program gives.
pub fn confined(
    program: &Path,
    archive: &Path,
    target: &Path,
    options: &Options,
    what: &str,
) -> Result<Unpacked> {
    let file = File::open(archive).map_err(Error::path("open", archive))?;
    confined_file(program, &file, target, options, what)
}

/// As [`confined`], for an archive that is open at its beginning.
///
/// # Errors
/// As there.
pub fn confined_file(
    program: &Path,
    archive: &File,
    target: &Path,
    options: &Options,
    what: &str,
) -> Result<Unpacked> {
    let done = run(program, archive, target, options, what);
    if done.is_err() {
        // What was begun must not be taken for a system.
        let _ = Tree::open(target, true).and_then(|tree| tree.clear());
    }
    done
}

fn run(
    program: &Path,
    archive: &File,
    target: &Path,
    options: &Options,
    what: &str,
) -> Result<Unpacked> {
    let text = serde_json::to_string(options).map_err(|error| Error::format("options", error))?;
    let mut converter = match squashfs::is_one(archive) {
        true => Some(squashfs::convert(program, archive)?),
        false => None,
    };
    let stream = converter.as_mut().and_then(|child| child.stdout.take());
    let input = match stream {
        Some(stream) => Stdio::from(stream),
        None => Stdio::from(
            archive
                .try_clone()
                .map_err(|error| Error::format("a descriptor", error))?,
        ),
    };
    let mut child = Command::new(program)
        .args([VERB, &text])
        .current_dir(target)
        .env_clear()
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::path("start", program))?;
    let bar = Progress::of_file(archive, what);
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut text);
    }
    let status = child.wait().map_err(Error::path("wait for", program))?;
    drop(bar);
    if let Some(converter) = converter {
        squashfs::finish(converter)?;
    }
    match serde_json::from_str(&text) {
        Ok(Report::Done(done)) if status.success() => Ok(done),
        Ok(Report::Failed(message)) => Err(Error::Message(message)),
        _ => Err(Error::message(format!(
            "unpacking ended early ({status}): the archive asks for too much memory, or it was killed"
        ))),
    }
}

/// The child's side: the archive is the standard input, the working directory the target.
/// Returns the exit status.
pub fn serve(arguments: &[String]) -> u8 {
    let done = unpack_here(arguments);
    let report = match &done {
        Ok(done) => Report::Done(done.clone()),
        Err(error) => Report::Failed(error.to_string()),
    };
    let written = serde_json::to_writer(std::io::stdout(), &report).is_ok();
    u8::from(done.is_err() || !written)
}

fn unpack_here(arguments: &[String]) -> Result<Unpacked> {
    let options = arguments
        .first()
        .ok_or_else(|| Error::message("unpack is called by rlxc-image itself"))?;
    let options: Options =
        serde_json::from_str(options).map_err(|error| Error::format("options", error))?;
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    confine()?;
    let tree = Tree::open(Path::new("/"), options.layout == Layout::System)
        .map_err(Error::path("open", "/"))?;
    apply(std::io::stdin().lock(), &tree, &options)
}

/// CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP.
const CAPABILITIES: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1 << 31;

const CLONE_NEWUTS: u64 = 0x0400_0000;
const CLONE_NEWIPC: u64 = 0x0800_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;

fn confine() -> Result<()> {
    limit()?;
    // Decompressing needs no network; where that cannot be taken away the walls below still stand.
    let _ = rlxc_sys::namespace::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
    nix::unistd::chroot(".").map_err(|error| match error {
        nix::errno::Errno::EPERM => Error::message(
            "unpacking needs root, or a container with id maps (lxc.idmap) so that owners can be kept",
        ),
        error => failed("make a root of")(error),
    })?;
    nix::unistd::chdir("/").map_err(failed("enter"))?;
    let held = rlxc_sys::capability::get(0).map_err(failed("read the capabilities for"))?;
    let kept = held.permitted & CAPABILITIES;
    rlxc_sys::capability::set(rlxc_sys::capability::Sets {
        effective: kept,
        permitted: kept,
        inheritable: 0,
    })
    .map_err(failed("drop capabilities for"))?;
    rlxc_sys::capability::set_no_new_privs().map_err(failed("give up privileges for"))
}
