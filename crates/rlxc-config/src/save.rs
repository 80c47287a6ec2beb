//! Replacing a file in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Writes `text` to `path`: by a temporary file and a rename where possible, in place where the
/// directory forbids that or the file is no regular one. Owner and mode of an existing file stay.
///
/// # Errors
/// The file or its directory cannot be written; an existing file is untouched then.
pub fn save(path: &Path, text: &[u8]) -> io::Result<()> {
    replace(path, text, true)
}

/// As [`save`], without waiting for the disk: for what a power failure may take as a whole.
///
/// # Errors
/// As [`save`].
pub(crate) fn save_unsynced(path: &Path, text: &[u8]) -> io::Result<()> {
    replace(path, text, false)
}

fn replace(path: &Path, text: &[u8], sync: bool) -> io::Result<()> {
    // Writing through a symbolic link, as LXC's open does.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match fs::metadata(&path) {
        Ok(meta) if !meta.is_file() => return in_place(&path, text),
        Ok(meta) => Some(meta),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let (temporary, file) = match create_beside(&path) {
        Ok(made) => made,
        // A writable file in a directory that is not: the rename is impossible.
        Err(e)
            if old.is_some()
                && matches!(
                    e.raw_os_error(),
                    Some(libc::EACCES | libc::EPERM | libc::EROFS)
                ) =>
        {
            return in_place(&path, text);
        }
        Err(e) => return Err(e),
    };
    let outcome = fill(&file, text, old.as_ref(), sync).and_then(|kept| {
        if kept {
            fs::rename(&temporary, &path)?;
            return Ok(());
        }
        fs::remove_file(&temporary)?;
        in_place(&path, text)
    });
    if outcome.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

/// Writes and syncs; `false` if the old file's owner cannot be given to the new one.
fn fill(mut file: &File, text: &[u8], old: Option<&fs::Metadata>, sync: bool) -> io::Result<bool> {
    if let Some(old) = old {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid())
            && fchown(file, Some(old.uid()), Some(old.gid())).is_err()
        {
            return Ok(false);
        }
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.write_all(text)?;
    if sync {
        file.sync_data()?;
    }
    Ok(true)
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
    for attempt in 0..100 {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.{attempt}", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o660)
            .open(&temporary)
        {
            Ok(file) => return Ok((temporary, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EEXIST))
}

fn in_place(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o660)
        .open(path)?;
    file.write_all(text)
}
