//! Which containers run, from one read of /proc/net/unix.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::{Client, Error, Result};

const PROC_NET_UNIX: &str = "/proc/net/unix";
const SUFFIX: &[u8] = b"/command";
const HASHED: &[u8] = b"lxc/";
/// Flag of a socket that listens (__SO_ACCEPTCON).
const LISTENING: u32 = 0x10000;
/// How long a container with a hashed socket name may take to tell its name.
const PATIENCE: Duration = Duration::from_secs(1);

/// The abstract names (without the leading NUL) of all command sockets that somebody listens on in
/// this network namespace. A name from [`crate::socket_name`] that is in it belongs to a running
/// container.
///
/// # Errors
/// [`Error::Path`] when /proc/net/unix cannot be read.
pub fn command_sockets() -> Result<BTreeSet<Vec<u8>>> {
    let table = fs::read(PROC_NET_UNIX).map_err(|source| Error::Path {
        operation: "read",
        path: PROC_NET_UNIX.into(),
        source,
    })?;
    Ok(parse(&table))
}

/// Names of the containers that run below `lxcpath`, sorted.
///
/// Those with a hashed socket name are asked for their own; one that does not answer within a
/// second is left out, with a warning.
///
/// # Errors
/// As [`command_sockets`].
pub fn active_containers(lxcpath: &Path) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for socket in command_sockets()? {
        if let Some(name) = name_below(&socket, lxcpath) {
            names.insert(name);
        } else if is_hashed(&socket) {
            match ask(&socket, lxcpath) {
                Ok(name) => names.extend(name),
                Err(error) => {
                    let socket = String::from_utf8_lossy(&socket);
                    tracing::warn!(%socket, "cannot learn the container's name: {error}");
                }
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// Whether a container called `name` may run below another lxcpath than `lxcpath`, as far as the
/// command sockets of this network namespace tell. One with a hashed socket name may be any.
///
/// # Errors
/// As [`command_sockets`].
pub fn is_name_used_elsewhere(lxcpath: &Path, name: &str) -> Result<bool> {
    let own = crate::socket_name(lxcpath, name);
    let end = format!("/{name}/command").into_bytes();
    let mut others = command_sockets()?.into_iter().filter(|s| *s != own);
    Ok(others.any(|socket| socket.ends_with(&end) || is_hashed(&socket)))
}

fn parse(table: &[u8]) -> BTreeSet<Vec<u8>> {
    table
        .split(|b| *b == b'\n')
        .skip(1)
        .filter_map(command_socket)
        .collect()
}

/// `Num: RefCount Protocol Flags Type St Inode @path`
fn command_socket(line: &[u8]) -> Option<Vec<u8>> {
    if !line.ends_with(SUFFIX) {
        return None;
    }
    let at = line.windows(2).position(|w| w == b" @")?;
    let flags = line[..at]
        .split(|b| *b == b' ')
        .filter(|f| !f.is_empty())
        .nth(3)?;
    let flags = u32::from_str_radix(std::str::from_utf8(flags).ok()?, 16).ok()?;
    (flags & LISTENING != 0).then(|| line[at + 2..].to_vec())
}

fn is_hashed(socket: &[u8]) -> bool {
    socket
        .strip_prefix(HASHED)
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|hash| hash.len() == 16 && hash.iter().all(u8::is_ascii_hexdigit))
}

fn name_below(socket: &[u8], lxcpath: &Path) -> Option<String> {
    let name = socket
        .strip_prefix(lxcpath.as_os_str().as_bytes())?
        .strip_prefix(b"/")?
        .strip_suffix(SUFFIX)?;
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

fn ask(socket: &[u8], lxcpath: &Path) -> Result<Option<String>> {
    let client = Client::of_socket(socket).with_deadline(PATIENCE);
    let answer = || -> Result<Option<String>> {
        if Path::new(&client.monitor_lxcpath()?) != lxcpath {
            return Ok(None);
        }
        client.monitor_name().map(Some)
    };
    match answer() {
        // Ended meanwhile, or somebody else's.
        Err(Error::NotRunning { .. } | Error::Refused { .. } | Error::Impostor { .. }) => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 12 @/var/lib/lxc/c1/command
0000000000000000: 00000003 00000000 00000000 0001 03 13 @/var/lib/lxc/c2/command
0000000000000000: 00000002 00000000 00010000 0001 01 14 @lxc/0123456789abcdef/command
0000000000000000: 00000002 00000000 00010000 0001 01 15 @/var/lib/lxc/a b @c/command
0000000000000000: 00000002 00000000 00010000 0001 01 16 /run/x/command
0000000000000000: 00000003 00000000 00000000 0002 01 17
";

    #[test]
    fn only_listening_abstract_command_sockets_count() {
        let sockets: Vec<_> = parse(TABLE).into_iter().collect();
        let expected: [&[u8]; 3] = [
            b"/var/lib/lxc/a b @c/command",
            b"/var/lib/lxc/c1/command",
            b"lxc/0123456789abcdef/command",
        ];
        assert_eq!(sockets, expected);
    }

    #[test]
    fn the_lxcpath_must_match_as_it_is_written() {
        let socket = b"/var/lib/lxc/c1/command";
        let name = |path: &str| name_below(socket, Path::new(path));
        assert_eq!(name("/var/lib/lxc"), Some("c1".into()));
        assert_eq!(name("/var/lib"), None);
        assert_eq!(name("/var/lib/lx"), None);
        assert!(is_hashed(b"lxc/0123456789abcdef/command"));
        assert!(!is_hashed(socket));
    }
}
