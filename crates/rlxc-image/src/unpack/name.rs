//! Names of archives' entries: what is no plain path below the root is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Layout;
use crate::error::{Error, Result};

/// Longest path and name that Linux knows, and a depth that no real system has.
const PATH: usize = 4095;
const NAME: usize = 255;
const DEPTH: usize = 128;

/// The path below the root; empty for the root itself.
pub(crate) fn clean(name: &[u8], layout: Layout) -> Result<PathBuf> {
    let refuse = |reason: String| Err(Error::hostile(name, reason));
    if name.is_empty() {
        return refuse("has no name".to_owned());
    }
    if name.len() > PATH {
        return refuse(format!("has a name of {} bytes", name.len()));
    }
    if name.contains(&0) {
        return refuse("has a NUL in its name".to_owned());
    }
    // Some builders of layers write absolute names; tar never does.
    if name.starts_with(b"/") && layout == Layout::System {
        return refuse("is an absolute path".to_owned());
    }
    let mut path = PathBuf::new();
    let mut depth = 0;
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return refuse("leads out by ..".to_owned()),
            long if long.len() > NAME => {
                return refuse(format!("has a name of {} bytes", long.len()));
            }
            part => path.push(OsStr::from_bytes(part)),
        }
        depth += 1;
        if depth > DEPTH {
            return refuse(format!("lies more than {DEPTH} directories deep"));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_root_pass() {
        let system = |name: &str| clean(name.as_bytes(), Layout::System);
        assert_eq!(
            system("./etc//passwd").unwrap(),
            PathBuf::from("etc/passwd")
        );
        assert_eq!(system("./").unwrap(), PathBuf::new());
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/..", "a\0b"] {
            assert!(system(bad).is_err(), "{bad:?}");
        }
        assert!(system(&"x".repeat(256)).is_err());
        assert!(system(&"x/".repeat(129)).is_err());
        assert!(system(&"xxxxxxx/".repeat(600)).is_err());
        assert_eq!(
            clean(b"/etc/passwd", Layout::Layer).unwrap(),
            PathBuf::from("etc/passwd")
        );
    }
}
