//! Names of abstract sockets.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest socket name that is used as it is; longer ones are hashed.
const LONGEST_NAME: usize = 105;

/// What `sun_path` holds behind its leading NUL.
const SUN_PATH: usize = 107;

/// The name of a container's command socket, without the leading NUL of the abstract namespace.
///
/// It is `LXCPATH/NAME/command` with the lxcpath taken as given (`/x` and `/x/` differ), or, when
/// that is longer than 105 bytes, `lxc/HASH/command` with the FNV-1a hash of `LXCPATH/NAME`.
pub fn socket_name(lxcpath: &Path, name: &str) -> Vec<u8> {
    let mut full = container_key(lxcpath, name);
    let hash = fnv1a_64(&full);
    full.extend_from_slice(b"/command");
    if full.len() > LONGEST_NAME {
        return format!("lxc/{hash:016x}/command").into_bytes();
    }
    full
}

/// The name of the socket on which `lxc-monitord` serves an lxcpath.
pub fn monitor_socket_name(lxcpath: &Path) -> Vec<u8> {
    let path = lxcpath.as_os_str().as_bytes();
    let mut hashed = b"lxc/".to_vec();
    hashed.extend_from_slice(path);
    hashed.extend_from_slice(b"/monitor-sock");
    let mut name = format!("lxc/{:016x}/", fnv1a_64(&hashed)).into_bytes();
    name.extend_from_slice(path);
    name.truncate(SUN_PATH - 1);
    name
}

pub(crate) fn container_key(lxcpath: &Path, name: &str) -> Vec<u8> {
    let mut key = lxcpath.as_os_str().as_bytes().to_vec();
    key.push(b'/');
    key.extend_from_slice(name.as_bytes());
    key
}

/// 64-bit FNV-1a.
fn fnv1a_64(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_used_as_they_are() {
        assert_eq!(
            socket_name(Path::new("/var/lib/lxc"), "c1"),
            b"/var/lib/lxc/c1/command"
        );
        assert_eq!(socket_name(Path::new("/x/"), "c1"), b"/x//c1/command");
    }

    #[test]
    fn names_over_105_bytes_are_hashed() {
        let base = "/p".to_owned();
        let fits = "n".repeat(LONGEST_NAME - base.len() - "//command".len());
        assert_eq!(socket_name(Path::new(&base), &fits).len(), LONGEST_NAME);
        let hashed = socket_name(Path::new(&base), &(fits + "n"));
        assert_eq!(hashed.len(), "lxc/0123456789abcdef/command".len());
        assert!(hashed.starts_with(b"lxc/"));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
