//! `unmount-namespace`, a hook of type stop: what the container has mounted is unmounted when it stops,
//! also while something else (a process that entered, a bind of the namespace) keeps its mount
//! namespace alive, so that devices behind the mounts become free.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;

const CLONE_NEWNS: u64 = 0x0002_0000;

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("unmount-namespace: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let namespace = namespace(arguments)
        .ok_or("usage error, expected LXC hook arguments (mnt:PATH, or LXC_MNT_NS)")?;
    let shown = namespace.display();
    // Opened before: inside, /proc is what the container has made of it.
    let proc = File::open("/proc").map_err(|error| format!("failed to open /proc: {error}"))?;
    let file = File::open(&namespace)
        .map_err(|error| format!("failed to open mount namespace {shown}: {error}"))?;
    rlxc_sys::namespace::setns(file.as_fd(), CLONE_NEWNS)
        .map_err(|error| format!("failed to attach to namespace {shown}: {error}"))?;
    let mut text = Vec::new();
    openat(&proc, "self/mounts", OFlag::O_CLOEXEC, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|fd| File::from(fd).read_to_end(&mut text))
        .map_err(|error| format!("failed to read mountpoints: {error}"))?;
    for point in mount_points(&text).into_iter().rev() {
        if let Err(error) = umount2(point.as_os_str(), MntFlags::UMOUNT_NOFOLLOW) {
            // The root is always busy; what else is, stays for whoever uses it.
            eprintln!(
                "unmount-namespace: failed to unmount {}: {error}",
                point.display()
            );
        }
    }
    Ok(())
}

/// Hooks of version 0 get it as an argument, others as a variable.
fn namespace(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = arguments.filter_map(|word| {
        let path = word.as_bytes().strip_prefix(b"mnt:")?;
        Some(PathBuf::from(OsStr::from_bytes(path)))
    });
    let named = || std::env::var_os("LXC_MNT_NS").filter(|value| !value.is_empty());
    words.next().or_else(|| named().map(PathBuf::from))
}

/// The second field of each line, with its octal escapes undone.
fn mount_points(text: &[u8]) -> Vec<PathBuf> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(1))
        .map(|field| PathBuf::from(OsString::from_vec(unescaped(field))))
        .collect()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                plain.push(byte);
                after
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_mount_points_are_read() {
        let text = b"none / ext4 rw 0 0\nnone /a\\040b\\134\\011 tmpfs rw 0 0\n";
        let points = mount_points(text);
        assert_eq!(points, [PathBuf::from("/"), PathBuf::from("/a b\\\t")]);
    }
}
