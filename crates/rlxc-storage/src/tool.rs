//! The programs of others that make volumes and file systems: one way to run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{SigSet, Signal};

use crate::copy::Progress;
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

/// Runs two programs, the output of one being the other's input. It goes through this process: when that is killed the
/// second program has no whole input, and ends too.
///
/// # Errors
/// As [`run`], of the one that failed first; [`Error::Cancelled`].
pub(crate) fn pipe(
    (from, from_args): (&str, &[&str]),
    (to, to_args): (&str, &[&str]),
    progress: &Progress,
) -> Result<()> {
    use std::io::Read;
    let start = |program: &str, args: &[&str], input: Stdio, output: Stdio| {
        let path = find(program).ok_or_else(|| Error::MissingTool {
            program: program.to_owned(),
            remedy: remedy(program),
        })?;
        tracing::debug!("Running {program} {}", args.join(" "));
        let mut command = Command::new(&path);
        command.args(args).env("LC_ALL", "C");
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        command.spawn().map_err(Error::at("run", &path))
    };
    let mut source = start(from, from_args, Stdio::null(), Stdio::piped())?;
    let mut sink = match start(to, to_args, Stdio::piped(), Stdio::null()) {
        Ok(sink) => sink,
        Err(error) => {
            let _ = source.kill();
            let _ = source.wait();
            return Err(error);
        }
    };
    let streams = (source.stdout.take(), sink.stdin.take());
    let said = |child: &mut std::process::Child| {
        let stream = child.stderr.take();
        move || {
            let mut text = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        }
    };
    let (of_source, of_sink) = (said(&mut source), said(&mut sink));
    let (of_source, of_sink) = std::thread::scope(|scope| {
        let readers = (scope.spawn(of_source), scope.spawn(of_sink));
        if let (Some(output), Some(input)) = streams {
            // On a thread of its own, with which a SIGPIPE ends that it has held back.
            let _ = scope.spawn(|| pass_on(output, input, progress)).join();
        }
        if progress.is_cancelled() {
            let _ = source.kill();
            let _ = sink.kill();
        }
        let text = |reader: std::thread::ScopedJoinHandle<'_, String>| reader.join();
        (
            text(readers.0).unwrap_or_default(),
            text(readers.1).unwrap_or_default(),
        )
    });
    let ended = |child: &mut std::process::Child, program: &str, args: &[&str], stderr: String| {
        let status = child.wait().map_err(Error::at("wait for", program))?;
        Output {
            status: status.code().unwrap_or(128),
            stdout: String::new(),
            stderr,
            line: format!("{program} {}", args.join(" ")),
        }
        .ok()
    };
    let sink = ended(&mut sink, to, to_args, of_sink);
    let source = ended(&mut source, from, from_args, of_source);
    if progress.is_cancelled() {
        return Err(Error::Cancelled);
    }
    // A source whose sink is gone only says that.
    sink.and(source).map(drop)
}

fn pass_on(mut from: impl std::io::Read, mut to: impl std::io::Write, progress: &Progress) {
    let mut broken_pipe = SigSet::empty();
    broken_pipe.add(Signal::SIGPIPE);
    if broken_pipe.thread_block().is_err() {
        return;
    }
    let mut buffer = vec![0u8; 256 << 10];
    while !progress.is_cancelled() {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                // Its own end says why it takes no more.
                if to.write_all(&buffer[..n]).is_err() {
                    return;
                }
                let bytes = &progress.bytes;
                bytes.fetch_add(n as u64, std::sync::atomic::Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
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
