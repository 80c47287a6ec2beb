//! Blobs on disk, by digest, as a layout directory has them: shared by all images of the cache.

use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};

use crate::digest::Digest;
use crate::error::{Error, Result};

/// A directory of blobs.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    /// Removed at the end
    temporary: bool,
    /// Two at once must not write the same file
    lock: Option<Flock<std::fs::File>>,
}

impl Store {
    /// The cache's blobs.
    pub(crate) fn open(base: &Path) -> Result<Self> {
        let dir = base.join("oci");
        std::fs::create_dir_all(&dir).map_err(place("make", &dir))?;
        let path = dir.join(".lock");
        let file = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(place("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| Error::path("lock", &path)(error))?;
        Ok(Self {
            dir,
            temporary: false,
            lock: Some(lock),
        })
    }

    /// A store for this run only, on the same file system as the cache.
    pub(crate) fn temporary(base: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::create_dir_all(base).map_err(place("make", base))?;
        remove_abandoned(base);
        for number in 0..100 {
            let dir = base.join(format!(".oci-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {
                    // Whose lock can be taken has been left by a run that was killed.
                    let lock = std::fs::File::open(&dir).map_err(Error::path("open", &dir))?;
                    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
                    return Ok(Self {
                        lock: lock.ok(),
                        dir,
                        temporary: true,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::path("make", dir)(error)),
            }
        }
        Err(Error::format(
            base.display().to_string(),
            "is full of leftovers",
        ))
    }

    /// Lets others fetch: what is here now stays.
    pub(crate) fn unlock(&mut self) {
        if !self.temporary {
            self.lock = None;
        }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of a blob, whether it is there or not.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir
            .join("blobs")
            .join(digest.algorithm())
            .join(digest.hex())
    }

    /// A blob that is there and whole.
    pub(crate) fn find(&self, digest: &Digest, what: &str) -> Option<PathBuf> {
        let path = self.path(digest);
        if !path.is_file() {
            return None;
        }
        match digest.check_file(&path, what) {
            Ok(()) => Some(path),
            Err(_) => {
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// The file that a download of it goes to.
    pub(crate) fn part(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.path(digest);
        let dir = path.parent().unwrap_or(&self.dir).to_owned();
        std::fs::create_dir_all(&dir).map_err(Error::path("make", &dir))?;
        Ok(dir.join(format!("{}.part", digest.hex())))
    }

    /// Takes a checked download in.
    pub(crate) fn keep(&self, digest: &Digest, part: &Path) -> Result<PathBuf> {
        let path = self.path(digest);
        std::fs::rename(part, &path).map_err(Error::path("move", part))?;
        Ok(path)
    }

    /// Gives the cache to the caller of a container with id maps.
    pub(crate) fn give(&self, base: &Path, (uid, gid): (Option<Uid>, Option<Gid>)) {
        if self.temporary || (uid.is_none() && gid.is_none()) {
            return;
        }
        let give = |path: &Path| {
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            let _ = nix::unistd::fchownat(nix::fcntl::AT_FDCWD, path, uid, gid, flags);
        };
        give(base);
        give(&self.dir);
        give(&self.dir.join("blobs"));
        for algorithm in ["sha256", "sha512"] {
            let dir = self.dir.join("blobs").join(algorithm);
            give(&dir);
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                give(&entry.path());
            }
        }
    }
}

/// As [`Error::path`], with what helps where the cache's place cannot be written to.
fn place<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| {
        let error = Error::path(what, path)(error);
        Error::message(format!(
            "{error} (LXC_CACHE_PATH names another place for the cache)"
        ))
    }
}

/// Removes the stores of runs that were killed: nobody holds their locks.
fn remove_abandoned(base: &Path) {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(".oci-")) else {
            continue;
        };
        let numbers = rest.split_once('-');
        let number = |text: &str| text.parse::<u32>().is_ok();
        if !numbers.is_some_and(|(pid, count)| number(pid) && number(count)) {
            continue;
        }
        let path = entry.path();
        let lock = std::fs::File::open(&path).ok();
        let lock = lock.and_then(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).ok());
        // One that was made just now may not be locked yet.
        let age = entry.metadata().and_then(|meta| meta.modified());
        let old = age.is_ok_and(|age| age.elapsed().is_ok_and(|age| age > FRESH));
        if lock.is_some() && old {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// How long a store may be without a lock.
const FRESH: std::time::Duration = std::time::Duration::from_secs(60);

impl Drop for Store {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
