//! Reading files without trusting them: regular files only, bounded in size, number and nesting.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::LoadError;

/// Largest configuration file in bytes.
pub const MAX_FILE: u64 = 256 << 20;
/// Deepest nesting of includes.
pub const MAX_DEPTH: usize = 64;
/// Most files read for one document.
pub const MAX_FILES: usize = 100_000;

/// The files being read, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Includes {
    stack: Vec<(u64, u64)>,
    count: usize,
}

impl Includes {
    /// Reads a file and enters it; [`Self::leave`] must follow.
    pub(crate) fn enter(&mut self, path: &Path) -> Result<Vec<u8>, LoadError> {
        let too_many = |limit, what| LoadError::TooMany {
            path: path.to_owned(),
            limit,
            what,
        };
        if self.stack.len() > MAX_DEPTH {
            return Err(too_many(MAX_DEPTH, "nested includes"));
        }
        self.count += 1;
        if self.count > MAX_FILES {
            return Err(too_many(MAX_FILES, "included files"));
        }
        let (id, text) = read(path)?;
        if id.is_some_and(|id| self.stack.contains(&id)) {
            return Err(LoadError::IncludeLoop {
                path: path.to_owned(),
            });
        }
        self.stack.push(id.unwrap_or_default());
        Ok(text)
    }

    pub(crate) fn leave(&mut self) {
        self.stack.pop();
    }
}

/// Device and inode; `None` for /dev/null.
type Identity = Option<(u64, u64)>;

/// A file's identity and its bytes.
fn read(path: &Path) -> Result<(Identity, Vec<u8>), LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    // O_NONBLOCK: opening a FIFO without a writer would wait for ever.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    // /dev/null stands for an empty configuration in many scripts.
    if meta.file_type().is_char_device() && meta.rdev() == libc::makedev(1, 3) {
        return Ok((None, Vec::new()));
    }
    if meta.is_dir() {
        return Err(failed(std::io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if !meta.is_file() {
        return Err(LoadError::NotRegular {
            path: path.to_owned(),
        });
    }
    let too_large = || LoadError::TooLarge {
        path: path.to_owned(),
        limit: MAX_FILE,
    };
    if meta.len() > MAX_FILE {
        return Err(too_large());
    }
    let mut text = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(too_large());
    }
    Ok((Some((meta.dev(), meta.ino())), text))
}

/// The files that an `lxc.include` value names: the file, or the directory's `*.conf` files.
///
/// LXC reads a directory in the order of readdir; here the names are sorted, so that two hosts agree.
pub(crate) fn targets(value: &str) -> Result<Vec<PathBuf>, LoadError> {
    let path = PathBuf::from(value);
    if !value.ends_with('/') && !path.is_dir() {
        return Ok(vec![path]);
    }
    let failed = |source| LoadError::Read {
        path: path.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && value.ends_with('/') => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(failed(e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.len() >= 6 && bytes.ends_with(b".conf") {
            files.push(path.join(name));
        }
    }
    files.sort();
    Ok(files)
}
