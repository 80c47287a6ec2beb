use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::AttachError;
use super::options::{AttachOptions, flags};
use super::target::Target;

/// A security module that labels processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lsm {
    AppArmor,
    SeLinux,
}

impl Lsm {
    fn active() -> Option<Self> {
        let enabled = fs::read("/sys/module/apparmor/parameters/enabled");
        if enabled.is_ok_and(|text| text.starts_with(b"Y")) {
            return Some(Self::AppArmor);
        }
        Path::new("/sys/fs/selinux/enforce")
            .exists()
            .then_some(Self::SeLinux)
    }

    /// The attribute's file, newest name first.
    fn attributes(self, name: &str) -> Vec<String> {
        match self {
            Self::AppArmor => vec![format!("attr/apparmor/{name}"), format!("attr/{name}")],
            Self::SeLinux => vec![format!("attr/{name}")],
        }
    }
}

/// What the attached process is to write for its label; `None` when it keeps its own.
pub(super) fn label(
    target: &Target,
    options: &AttachOptions,
) -> Result<Option<Vec<u8>>, AttachError> {
    if options.flags & flags::LSM == 0 {
        return Ok(None);
    }
    let Some(lsm) = Lsm::active() else {
        return match &options.lsm_label {
            Some(_) if options.has(flags::LSM_LABEL) => Err(AttachError::Call {
                operation: "set an LSM label: neither AppArmor nor SELinux is active",
                source: io::ErrorKind::Unsupported.into(),
            }),
            _ => Ok(None),
        };
    };
    let label = match &options.lsm_label {
        Some(label) if options.has(flags::LSM_LABEL) => label.clone(),
        _ => match of_init(lsm, target)? {
            Some(label) => label,
            None => return Ok(None),
        },
    };
    Ok(Some(match (lsm, on_exec(options)) {
        (Lsm::AppArmor, true) => format!("exec {label}").into_bytes(),
        (Lsm::AppArmor, false) => format!("changeprofile {label}").into_bytes(),
        (Lsm::SeLinux, _) => label.into_bytes(),
    }))
}

fn on_exec(options: &AttachOptions) -> bool {
    options.has(flags::LSM_EXEC)
}

/// The label of the container's init; `None` when it is unconfined.
fn of_init(lsm: Lsm, target: &Target) -> Result<Option<String>, AttachError> {
    let mut last = None;
    for attribute in lsm.attributes("current") {
        let path = target.proc(&attribute);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(clean(&text)),
            Err(error) => last = Some(AttachError::path("read", path)(error)),
        }
    }
    last.map_or(Ok(None), Err)
}

/// A label without its mode (`profile (enforce)`) and terminator.
fn clean(text: &str) -> Option<String> {
    let text = text.trim_end_matches(['\0', '\n']);
    let label = text.rsplit_once(" (").map_or(text, |(label, _)| label);
    (!label.is_empty() && label != "unconfined").then(|| label.to_owned())
}

/// The one attribute file of the attached process that its label is written to.
///
/// It is opened through our own /proc, never the container's (CVE-2015-1334), and alone is passed
/// on (CVE-2016-8649).
pub(super) fn open_attribute(pid: i32, options: &AttachOptions) -> Result<File, AttachError> {
    let name = match on_exec(options) {
        true => "exec",
        false => "current",
    };
    let lsm = Lsm::active().unwrap_or(Lsm::AppArmor);
    let mut last = None;
    for attribute in lsm.attributes(name) {
        let path = PathBuf::from(format!("/proc/{pid}/{attribute}"));
        match OpenOptions::new().write(true).open(&path) {
            Ok(file) => {
                let magic = fstatfs(&file).map_err(AttachError::call("look at /proc"))?;
                if magic.filesystem_type() == PROC_SUPER_MAGIC {
                    return Ok(file);
                }
                last = Some(AttachError::Proc {
                    path,
                    field: "file system type: not procfs",
                });
            }
            Err(error) => last = Some(AttachError::path("open", path)(error)),
        }
    }
    Err(last.unwrap_or(AttachError::Proc {
        path: "/proc".into(),
        field: "attribute",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_without_mode_and_terminator() {
        assert_eq!(
            clean("lxc-x_</var/lib/lxc> (enforce)\n").unwrap(),
            "lxc-x_</var/lib/lxc>"
        );
        assert_eq!(
            clean("system_u:system_r:c_t:s0:c1,c2\0").unwrap(),
            "system_u:system_r:c_t:s0:c1,c2"
        );
        assert_eq!(clean("unconfined\n"), None);
        assert_eq!(clean(""), None);
    }
}
