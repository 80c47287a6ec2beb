//! Downloaded images, kept as LXC's own template keeps them:
//! `BASE/download/DIST/RELEASE/ARCH/VARIANT/` with the root file system's archive, the metadata's
//! texts and `build_id`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};

use crate::error::{Error, Result};
use crate::index::Image;
use crate::metadata::Metadata;

/// The place of one image, locked against others who would fill it.
#[derive(Debug)]
pub struct Slot {
    dir: PathBuf,
    /// `None` in a cache that cannot be written to: what is there is used, and does not change
    lock: Option<Flock<File>>,
}

/// The names that lead to a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Distribution
    pub dist: String,
    /// Release
    pub release: String,
    /// Architecture
    pub arch: String,
    /// Variant
    pub variant: String,
}

/// The archive's names in a slot: LXC's, that of newer compression, that of servers without an archive.
const ARCHIVES: [&str; 3] = ["rootfs.tar.xz", "rootfs.tar.zst", "rootfs.squashfs"];

impl Slot {
    /// Makes the directories and waits for the lock.
    ///
    /// # Errors
    /// Words that are no plain ones; what making the directories gives.
    pub fn open(base: &Path, choice: &Choice) -> Result<Self> {
        let words = [&choice.dist, &choice.release, &choice.arch, &choice.variant];
        for word in words {
            if !crate::index::is_plain_word(word) {
                return Err(Error::format(format!("{word:?}"), "is no name of an image"));
            }
        }
        let parent = base
            .join("download")
            .join(words[0])
            .join(words[1])
            .join(words[2]);
        let dir = parent.join(words[3]);
        let lock = match Self::lock(&parent, &choice.variant) {
            Ok(lock) => Some(lock),
            Err(Error::Path { source, .. }) if is_read_only(&source) && dir.is_dir() => None,
            Err(error) => {
                return Err(Error::message(format!(
                    "{error} (LXC_CACHE_PATH names another place for the cache)"
                )));
            }
        };
        Ok(Self { dir, lock })
    }

    fn lock(parent: &Path, variant: &str) -> Result<Flock<File>> {
        std::fs::create_dir_all(parent).map_err(Error::path("make", parent))?;
        let path = parent.join(format!(".{variant}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::path("open", &path))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| Error::path("lock", path)(error))
    }

    /// Lets others in: they may replace what is here, files that are open stay.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    /// Checks that an image can be put here.
    ///
    /// # Errors
    /// In a cache that can only be read.
    pub fn check_writable(&self) -> Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(Error::message(format!(
                "the cache at {} can only be read (LXC_CACHE_PATH names another place for it)",
                self.dir.display()
            ))),
        }
    }

    /// Removes what interrupted runs have left, but for downloads of `image`, which are gone on with.
    pub fn tidy(&self, image: &Image) {
        let variant = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let keep = [self.part(image, "rootfs"), self.part(image, "meta")];
        let parent = self.dir.parent().unwrap_or(&self.dir);
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let ours = |what: &str| name.starts_with(&format!(".{variant}.{what}."));
            if name.ends_with(".part") && (ours("rootfs") || ours("meta")) && !keep.contains(&path)
            {
                let _ = std::fs::remove_file(path);
            }
        }
        let _ = std::fs::remove_dir_all(self.dir.with_file_name(format!(".{variant}.new")));
    }

    /// The archive, if the slot is filled and its content is what it was.
    pub fn archive(&self) -> Option<PathBuf> {
        let mut names = ARCHIVES.iter().map(|name| self.dir.join(name));
        let archive = names.find(|path| path.is_file())?;
        let digest = std::fs::read_to_string(self.dir.join("rootfs.digest")).ok();
        let Some(digest) = digest else {
            // Filled by LXC's own template.
            return Some(archive);
        };
        let digest = crate::digest::Digest::parse(digest.trim()).ok()?;
        match digest.check_file(&archive, "the cached image") {
            Ok(()) => Some(archive),
            Err(error) => {
                eprintln!("WARNING: {error}; it is fetched again");
                None
            }
        }
    }

    /// The metadata's texts.
    ///
    /// # Errors
    /// What reading gives.
    pub fn metadata(&self) -> Result<Metadata> {
        Metadata::read_directory(&self.dir)
    }

    /// The build that is kept.
    pub fn build(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.join("build_id")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Whether there is anything, and whether its time is over.
    pub fn state(&self, user_mode: bool) -> State {
        if !self.dir.is_dir() {
            return State::Empty;
        }
        let expiry = self
            .metadata()
            .ok()
            .and_then(|meta| meta.text("expiry", user_mode));
        let expiry: Option<u64> = expiry.and_then(|text| text.trim().parse().ok());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |t| t.as_secs());
        match expiry {
            Some(end) if end < now => State::Expired,
            _ => State::Fresh,
        }
    }

    /// Empties it.
    ///
    /// # Errors
    /// What removing gives.
    pub fn flush(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::path("remove", &self.dir)(error))
            }
            _ => Ok(()),
        }
    }

    /// The file that a download goes to; named by its content, so that only the same is gone on with.
    pub fn part(&self, image: &Image, name: &str) -> PathBuf {
        let remote = if name == "meta" {
            &image.meta
        } else {
            &image.rootfs
        };
        let id = remote
            .digest
            .as_ref()
            .map_or("unknown", |digest| &digest.hex()[..16]);
        let variant = self.dir.file_name().unwrap_or_default().to_string_lossy();
        self.dir
            .with_file_name(format!(".{variant}.{name}.{id}.part"))
    }

    /// Puts a downloaded image in place.
    ///
    /// # Errors
    /// What the file operations and the metadata give.
    pub fn fill(&self, image: &Image, rootfs: &Path, meta: &Path) -> Result<()> {
        let metadata = Metadata::read_archive(meta)?;
        let variant = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let new = self.dir.with_file_name(format!(".{variant}.new"));
        let _ = std::fs::remove_dir_all(&new);
        std::fs::create_dir(&new).map_err(Error::path("make", &new))?;
        metadata.write_to(&new)?;
        let name = match image.rootfs.path.rsplit('.').next() {
            Some("zst") => ARCHIVES[1],
            Some("squashfs") => ARCHIVES[2],
            _ => ARCHIVES[0],
        };
        let put = |name: &str, text: String| {
            let file = new.join(name);
            std::fs::write(&file, text).map_err(Error::path("write", file))
        };
        put("build_id", format!("{}\n", image.build))?;
        if let Some(digest) = &image.rootfs.digest {
            put("rootfs.digest", format!("{digest}\n"))?;
        }
        std::fs::rename(rootfs, new.join(name)).map_err(Error::path("move", rootfs))?;
        self.flush()?;
        std::fs::rename(&new, &self.dir).map_err(Error::path("move", &new))?;
        let _ = std::fs::remove_file(meta);
        Ok(())
    }

    /// Gives what was made to the caller of a container with id maps, below `base`.
    pub fn give(&self, base: &Path, (uid, gid): (Option<Uid>, Option<Gid>)) {
        if uid.is_none() && gid.is_none() {
            return;
        }
        // A map without the caller leaves them to the mapped root, as LXC does.
        let give = |path: &Path| {
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            let _ = nix::unistd::fchownat(nix::fcntl::AT_FDCWD, path, uid, gid, flags);
        };
        for dir in self.dir.ancestors() {
            give(dir);
            if dir == base {
                break;
            }
        }
        let parent = self.dir.parent();
        for dir in [Some(self.dir.as_path()), parent].into_iter().flatten() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                give(&entry.path());
            }
        }
    }
}

fn is_read_only(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing
    Empty,
    /// An image
    Fresh,
    /// An image whose time is over
    Expired,
}
