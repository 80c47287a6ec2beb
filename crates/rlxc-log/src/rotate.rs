//! A log file that was renamed or removed, or has grown too large.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Beyond this size a log begins anew, and `FILE.1` is what was there.
const MOST: u64 = 64 << 20;

/// Sees to it that lines go to the file that has the log's name: logrotate(8) and whoever removes a log that is too
/// large need tell nobody. One that has grown too large is renamed by us.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    /// Children have other roots, where the name means another file.
    pid: u32,
    most: u64,
}

impl Follower {
    pub(crate) fn new(path: &Path) -> Option<Self> {
        Some(Self {
            // Whatever directory this process goes to.
            path: std::path::absolute(path).ok()?,
            pid: std::process::id(),
            most: MOST,
        })
    }

    /// Looks before a line is written; what cannot be done is not worth a word in the log.
    pub(crate) fn look(&self, file: &File) {
        if std::process::id() != self.pid {
            return;
        }
        let Ok(here) = file.metadata() else { return };
        if !here.is_file() {
            return;
        }
        let in_place = || {
            let there = std::fs::symlink_metadata(&self.path);
            there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()))
        };
        if in_place() {
            // Several processes may write one log: one of them renames it.
            if here.len() < self.most || file.try_lock().is_err() {
                return;
            }
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            let renamed = in_place() && std::fs::rename(&self.path, old).is_ok();
            if !renamed {
                let _ = file.unlock();
                return;
            }
        }
        if let Ok(new) = crate::open(&self.path) {
            let _ = rlxc_sys::exec::replace(file.as_fd(), new.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_renamed_removed_or_grown_log_begins_anew() -> std::io::Result<()> {
        let path = std::env::temp_dir().join(format!("rlxc-log-rotate-{}", std::process::id()));
        let old = path.with_extension("1");
        let mut file = crate::open(&path).map_err(std::io::Error::other)?;
        let Some(mut follower) = Follower::new(&path) else {
            panic!("no path")
        };
        follower.most = 8;
        let mut write = |text: &str| {
            follower.look(&file);
            file.write_all(text.as_bytes())
        };
        write("first\n")?;
        let moved = path.with_extension("moved");
        std::fs::rename(&path, &moved)?;
        write("second\n")?;
        assert_eq!(std::fs::read_to_string(&moved)?, "first\n");
        std::fs::remove_file(&moved)?;
        assert_eq!(std::fs::read_to_string(&path)?, "second\n");
        std::fs::remove_file(&path)?;
        write("third is long\n")?;
        write("fourth\n")?;
        assert_eq!(std::fs::read_to_string(&old)?, "third is long\n");
        assert_eq!(std::fs::read_to_string(&path)?, "fourth\n");
        std::fs::remove_file(&old)?;
        std::fs::remove_file(&path)
    }
}
