use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rlxc_security::lsm::procfs::{Attribute, ProcSelf};
use rlxc_security::lsm::{Kind, apparmor, label_of};

use super::AttachError;
use super::options::{AttachOptions, flags};
use super::target::Target;

/// What the attached process is to write for its label; `None` when it keeps its own.
pub(super) fn label(
    target: &Target,
    options: &AttachOptions,
) -> Result<Option<Vec<u8>>, AttachError> {
    if options.flags & flags::LSM == 0 {
        return Ok(None);
    }
    let wanted = options
        .lsm_label
        .clone()
        .filter(|_| options.has(flags::LSM_LABEL));
    let kind = Kind::active();
    if kind == Kind::Nop {
        return match wanted {
            Some(_) => Err(AttachError::Call {
                operation: "set an LSM label: neither AppArmor nor SELinux is active",
                source: io::ErrorKind::Unsupported.into(),
            }),
            None => Ok(None),
        };
    }
    let label = match wanted {
        Some(label) => Some(label),
        None => label_of(target.pid)?,
    };
    let written = |label: String| match kind {
        Kind::AppArmor => apparmor::command(&label, on_exec(options)).into_bytes(),
        _ => label.into_bytes(),
    };
    Ok(label.filter(|label| label != "unconfined").map(written))
}

fn on_exec(options: &AttachOptions) -> bool {
    options.has(flags::LSM_EXEC)
}

/// The one attribute file of the attached process that its label is written to.
///
/// It is opened through our own /proc, never the container's (CVE-2015-1334), and alone is passed
/// on (CVE-2016-8649).
pub(super) fn open_attribute(pid: i32, options: &AttachOptions) -> Result<OwnedFd, AttachError> {
    let attribute = match (Kind::active(), on_exec(options)) {
        (Kind::SeLinux, true) => Attribute::SelinuxExec,
        (Kind::SeLinux, false) => Attribute::SelinuxCurrent,
        (_, true) => Attribute::AppArmorExec,
        (_, false) => Attribute::AppArmorCurrent,
    };
    let path = PathBuf::from(format!("/proc/{pid}"));
    let directory = File::open(&path).map_err(AttachError::path("open", &path))?;
    let process = ProcSelf::from_directory(directory.into(), &path)?;
    Ok(process.open_attribute(attribute)?)
}
