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

/// Most bytes read for one document.
pub const MAX_TOTAL: u64 = 1 << 30;

/// The files being read, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Includes {
    stack: Vec<(u64, u64)>,
    count: usize,
    bytes: u64,
    /// A buffer that is no longer needed.
    spare: Vec<u8>,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Entered {
    /// A file's bytes; [`Includes::leave`] must follow.
    File(Vec<u8>),
    /// A directory: nothing is entered.
    Directory,
}

impl Includes {
    /// Reads a file and enters it.
    pub(crate) fn enter(&mut self, path: &Path) -> Result<Entered, LoadError> {
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
        let mut text = std::mem::take(&mut self.spare);
        let id = match read(path, &mut text)? {
            Found::File(id) => id,
            Found::Null => (0, 0),
            Found::Directory => return Ok(Entered::Directory),
        };
        if id != (0, 0) && self.stack.contains(&id) {
            return Err(LoadError::IncludeLoop {
                path: path.to_owned(),
            });
        }
        self.bytes += text.len() as u64;
        if self.bytes > MAX_TOTAL {
            let limit = usize::try_from(MAX_TOTAL).unwrap_or(usize::MAX);
            return Err(too_many(limit, "bytes in all files"));
        }
        self.stack.push(id);
        Ok(Entered::File(text))
    }

    pub(crate) fn leave(&mut self) {
        self.stack.pop();
    }

    /// Takes a buffer back, for the next file.
    pub(crate) fn recycle(&mut self, text: Vec<u8>) {
        if text.capacity() > self.spare.capacity() {
            self.spare = text;
        }
    }
}

/// What was read.
enum Found {
    /// A file of that device and inode.
    File((u64, u64)),
    /// /dev/null, which stands for an empty configuration in many scripts.
    Null,
    /// Nothing: it is a directory.
    Directory,
}

/// Reads a file whole into `text`, over what was there.
fn read(path: &Path, text: &mut Vec<u8>) -> Result<Found, LoadError> {
    text.clear();
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    // O_NONBLOCK: opening a FIFO without a writer would wait for ever.
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            // A socket.
            Some(libc::ENXIO) => not_regular(path),
            _ => failed(error),
        })?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Ok(Found::Directory);
    }
    if meta.file_type().is_char_device() && meta.rdev() == libc::makedev(1, 3) {
        return Ok(Found::Null);
    }
    if !meta.is_file() {
        return Err(not_regular(path));
    }
    let too_large = || LoadError::TooLarge {
        path: path.to_owned(),
        limit: MAX_FILE,
    };
    if meta.len() > MAX_FILE {
        return Err(too_large());
    }
    let expected = usize::try_from(meta.len()).unwrap_or(0);
    match text.capacity() {
        // Zeroed pages of the system need no writing.
        0 => *text = vec![0; expected + 1],
        _ => text.resize(expected + 1, 0),
    }
    let mut length = 0;
    loop {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(e)),
        }
        if length == expected {
            // There was room for more: this is the end.
            break;
        }
        if length as u64 > MAX_FILE {
            return Err(too_large());
        }
        if length == text.len() {
            // Files of /proc tell no size; others may grow meanwhile.
            text.resize(2 * length + 4096, 0);
        }
    }
    text.truncate(length);
    Ok(Found::File((meta.dev(), meta.ino())))
}

fn not_regular(path: &Path) -> LoadError {
    LoadError::NotRegular {
        path: path.to_owned(),
    }
}

pub(crate) fn is_a_directory(path: &Path) -> LoadError {
    LoadError::Read {
        path: path.to_owned(),
        source: std::io::Error::from_raw_os_error(libc::EISDIR),
    }
}

/// The files of a directory that an include of it reads: `*.conf`. A directory that is not there and
/// whose name ends in `/` has none.
///
/// LXC reads a directory in the order of readdir; here the names are sorted, so that two hosts agree.
pub(crate) fn members(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && path.as_os_str().as_encoded_bytes().ends_with(b"/") =>
        {
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
