use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::TerminalError;

/// The file that keeps what the container writes to its console (`lxc.console.logfile`).
#[derive(Debug)]
pub struct ConsoleLog {
    path: PathBuf,
    file: File,
    /// Bytes in the file
    written: u64,
    /// `lxc.console.size`, 0 = unlimited
    limit: u64,
    /// `lxc.console.rotate`
    rotate: bool,
}

impl ConsoleLog {
    /// Opens (mode 0600, appending) the log. A symbolic link is refused: the file may lie where the
    /// container's users can write.
    ///
    /// # Errors
    /// [`TerminalError::Path`].
    pub fn open(path: &Path, limit: u64, rotate: bool) -> Result<Self, TerminalError> {
        let opened = open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (written, file) = opened.map_err(|source| TerminalError::Path {
            operation: "open the console log",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written,
            limit,
            rotate,
        })
    }

    /// Appends; at the limit the file is emptied, or moved to `FILE.1`.
    ///
    /// # Errors
    /// [`TerminalError::Path`]; what could not be written is lost.
    pub fn write(&mut self, data: &[u8]) -> Result<(), TerminalError> {
        self.append(data).map_err(|source| TerminalError::Path {
            operation: "write the console log",
            path: self.path.clone(),
            source,
        })
    }

    fn append(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let room = match self.limit {
                0 => data.len(),
                limit => usize::try_from(limit.saturating_sub(self.written)).unwrap_or(usize::MAX),
            };
            if room == 0 {
                self.turn_over()?;
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            data = later;
        }
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        if self.rotate {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            self.file = open(&self.path)?;
        } else {
            self.file.set_len(0)?;
        }
        self.written = 0;
        Ok(())
    }

    /// Replaces the contents, as at the end with those of the ring buffer.
    ///
    /// # Errors
    /// [`TerminalError::Path`].
    pub fn replace(&mut self, data: &[u8]) -> Result<(), TerminalError> {
        let emptied = self.file.set_len(0);
        self.written = 0;
        emptied
            .and_then(|()| self.append(data))
            .map_err(|source| TerminalError::Path {
                operation: "replace the console log",
                path: self.path.clone(),
                source,
            })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(what: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rlxc-console-{what}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn at_the_limit_the_log_is_emptied_or_rotated() {
        let dir = scratch("limit");
        let path = dir.join("log");
        let mut log = ConsoleLog::open(&path, 4, false).unwrap();
        log.write(b"abcdefghij").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ij");
        let mut log = ConsoleLog::open(&path, 4, true).unwrap();
        log.write(b"klmnop").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mnop");
        assert_eq!(fs::read(dir.join("log.1")).unwrap(), b"ijkl");
        log.replace(b"xy").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"xy");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_log_is_refused() {
        let dir = scratch("link");
        std::os::unix::fs::symlink(dir.join("victim"), dir.join("log")).unwrap();
        assert!(ConsoleLog::open(&dir.join("log"), 0, false).is_err());
        assert!(!dir.join("victim").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
