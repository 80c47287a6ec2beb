//! The programs of others that make volumes and file systems: one way to run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// Programs and the Debian packages they come in.
const PACKAGES: [(&str, &str); 8] = [
    ("lv", "lvm2"),
    ("vgs", "lvm2"),
    ("zfs", "zfsutils-linux (contrib) or zfs-fuse"),
    ("rbd", "ceph-common"),
    ("qemu-nbd", "qemu-utils"),
    ("xfs_admin", "xfsprogs"),
    ("btrfs", "btrfs-progs"),
    ("mkfs.xfs", "xfsprogs"),
];

fn package(program: &str) -> Option<&'static str> {
    let known = PACKAGES
        .iter()
        .find(|(start, _)| program.starts_with(start));
    let of_fs = || match program {
        "mkfs.btrfs" | "btrfstune" => Some("btrfs-progs"),
        "mkfs.f2fs" => Some("f2fs-tools"),
        "mkfs.vfat" => Some("dosfstools"),
        _ if program.starts_with("mkfs.ext") => Some("e2fsprogs"),
        _ => None,
    };
    known.map(|(_, package)| *package).or_else(of_fs)
}

/// What the user can do when `program` is not there.
pub(crate) fn remedy(program: &str) -> String {
    match package(program) {
        Some(package) => format!("install it: Debian's package is {package}"),
        None => format!("install the package that has {program}"),
    }
}

/// Where the program is: on PATH, or where administrators' programs are.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    std::env::split_paths(&path)
        .chain(usual.iter().map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// How a program ended that could be run.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its exit status; 128 and the signal's number when a signal ended it
    pub(crate) status: i32,
    /// What it printed
    pub(crate) stdout: String,
    stderr: String,
    line: String,
}

impl Output {
    /// What it printed, if it went well.
    pub(crate) fn ok(self) -> Result<String> {
        if self.status == 0 {
            return Ok(self.stdout);
        }
        // The last lines say what was wrong; tools' warnings come before.
        let said = self.stderr.trim_end();
        let start = said.char_indices().rev().nth(600).map_or(0, |(at, _)| at);
        let said = said[start..].replace('\n', "; ");
        Err(Error::Program {
            program: self.line,
            status: match said.is_empty() {
                true => format!("exit status {}", self.status),
                false => format!("exit status {}: {said}", self.status),
            },
        })
    }
}

/// Runs a program with the C locale and without input, to its end.
///
/// # Errors
/// [`Error::MissingTool`]; a bad status is no error yet, see [`Output::ok`].
pub(crate) fn output(program: &str, args: &[&str]) -> Result<Output> {
    use std::os::unix::process::ExitStatusExt;
    let missing = || Error::MissingTool {
        program: program.to_owned(),
        remedy: remedy(program),
    };
    let path = find(program).ok_or_else(missing)?;
    tracing::debug!("Running {program} {}", args.join(" "));
    let done = Command::new(&path)
        .args(args)
        .env("LC_ALL", "C")
        // Else lvm complains about every descriptor that the caller has open.
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::at("run", &path))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let status = done.status.code();
    Ok(Output {
        status: status.unwrap_or_else(|| 128 + done.status.signal().unwrap_or_default()),
        stdout: text(done.stdout),
        stderr: text(done.stderr),
        line: format!("{program} {}", args.join(" ")),
    })
}

/// Runs a program that has to succeed; what it printed.
///
/// # Errors
/// [`Error::MissingTool`], [`Error::Program`] with the end of what it said.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    output(program, args)?.ok()
}

/// Makes a file system on a device or image.
///
/// # Errors
/// [`Error::FsType`] for a type that is no name; as [`run`].
pub(crate) fn make_fs(fstype: &str, device: &str) -> Result<()> {
    check_fs_type(fstype)?;
    let device_is_new: &[&str] = match fstype {
        // They refuse what looks used, and ask; the volume was made by us just now.
        "xfs" | "btrfs" => &["-f", "-q"],
        "ext2" | "ext3" | "ext4" => &["-F", "-q"],
        _ => &[],
    };
    let args: Vec<&str> = device_is_new.iter().copied().chain([device]).collect();
    run(&format!("mkfs.{fstype}"), &args).map(drop)
}

/// The type becomes part of a program's name.
pub(crate) fn check_fs_type(fstype: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    match !fstype.is_empty() && fstype.bytes().all(good) {
        true => Ok(()),
        false => Err(Error::FsType(fstype.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let error = run("qemu-nbd-that-is-not-there", &[]).unwrap_err();
        let text = format!("{error}");
        assert!(text.contains("qemu-nbd-that-is-not-there"), "{text}");
        assert_eq!(package("lvcreate"), Some("lvm2"));
        assert_eq!(package("mkfs.xfs"), Some("xfsprogs"));
        assert_eq!(package("mkfs.ext4"), Some("e2fsprogs"));
    }

    #[test]
    fn what_a_failing_program_said_is_told() {
        let error = run("ls", &["/no-such-place/x"]).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_type_cannot_lead_to_another_program() {
        for bad in ["", "../sh", "ext4 x", "a;b"] {
            assert!(check_fs_type(bad).is_err(), "{bad}");
        }
    }
}
