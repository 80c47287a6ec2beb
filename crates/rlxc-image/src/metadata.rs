//! The metadata archive of an image of LXC's form: a few small texts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::index::{COMPAT, OLDEST_COMPAT};
use crate::unpack::{Limits, Stream};

/// The texts by name.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    texts: BTreeMap<String, String>,
}

/// One text's size, and how many there may be.
const LARGEST: u64 = 1 << 20;
const MOST: usize = 64;

impl Metadata {
    /// From the archive. Only regular files directly in it are taken; nothing is unpacked.
    ///
    /// # Errors
    /// An archive that is damaged or has other things in it.
    pub fn read_archive(path: &Path) -> Result<Self> {
        let what = path.display().to_string();
        let damaged = |error: std::io::Error| Error::format(&what, error);
        let file = File::open(path).map_err(Error::path("open", path))?;
        let limits = Limits {
            bytes: LARGEST * MOST as u64,
            ..Limits::default()
        };
        let mut stream = Stream::new(file, limits).map_err(damaged)?;
        let mut texts = BTreeMap::new();
        let take = |entry: &mut tar::Entry<'_, &mut Stream<'_>>| {
            let kind = entry.header().entry_type();
            let raw = entry.path_bytes().into_owned();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                return Ok(());
            }
            let name = String::from_utf8_lossy(&raw).into_owned();
            let name = name.trim_start_matches("./");
            if !kind.is_file() || name.contains('/') || name.is_empty() || name.starts_with('.') {
                return Err(Error::hostile(&raw, "has no place in an image's metadata"));
            }
            if entry.size() > LARGEST || texts.len() >= MOST {
                return Err(Error::hostile(&raw, "is too large for metadata"));
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(damaged)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.contains('\0') {
                return Err(Error::hostile(&raw, "is no text"));
            }
            texts.insert(name.to_owned(), text);
            Ok(())
        };
        stream.entries(take, damaged)?;
        stream.finish().map_err(damaged)?;
        Ok(Self { texts })
    }

    /// From a directory of the cache.
    ///
    /// # Errors
    /// What reading it gives.
    pub fn read_directory(dir: &Path) -> Result<Self> {
        let mut texts = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(Error::path("read", dir))? {
            let entry = entry.map_err(Error::path("read", dir))?;
            let small = entry
                .metadata()
                .is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if small && !name.starts_with("rootfs.") {
                let text =
                    std::fs::read(entry.path()).map_err(Error::path("read", entry.path()))?;
                texts.insert(name, String::from_utf8_lossy(&text).into_owned());
            }
        }
        Ok(Self { texts })
    }

    /// Writes the texts as files of a directory, as the cache keeps them.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write_to(&self, dir: &Path) -> Result<()> {
        for (name, text) in &self.texts {
            let file = dir.join(name);
            std::fs::write(&file, text).map_err(Error::path("write", file))?;
        }
        Ok(())
    }

    /// The text of that name: its form for user namespaces and for the level that is understood come
    /// first, as LXC chooses. Those numbered lower are for older readers: what has no number is newer.
    pub fn text(&self, name: &str, user_mode: bool) -> Option<String> {
        let mode = if user_mode { "user" } else { "system" };
        let levels = || (OLDEST_COMPAT..=COMPAT).rev();
        let with_mode = format!("{name}-{mode}");
        for name in [with_mode.as_str(), name] {
            let mut leveled =
                levels().filter_map(|level| self.texts.get(&format!("{name}.{level}")));
            if let Some(text) = leveled.next().or_else(|| self.texts.get(name)) {
                return Some(text.clone());
            }
        }
        None
    }

    /// The configuration's lines.
    pub fn config(&self, user_mode: bool) -> Option<String> {
        self.text("config", user_mode)
    }

    /// Prints what the image says to whoever makes a container of it.
    pub fn print_message(&self, user_mode: bool) {
        if let Some(message) = self.text("create-message", user_mode) {
            let message = crate::download::printable(&message);
            println!("\n---\n{}", message.trim_end());
        }
    }

    /// Patterns of files that are left out.
    pub fn excludes(&self, user_mode: bool) -> Vec<String> {
        let text = self.text("excludes", user_mode).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn the_closest_text_is_chosen() {
        let texts = [
            ("config", "a"),
            ("config.4", "older"),
            ("config.5", "b"),
            ("config-user", "c"),
            ("config-user.4", "older"),
            ("fstab", "f"),
        ];
        let mut metadata = Metadata {
            texts: texts.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        assert_eq!(metadata.config(false).as_deref(), Some("b"));
        assert_eq!(metadata.config(true).as_deref(), Some("c"));
        metadata
            .texts
            .insert("config-user.5".to_owned(), "d".to_owned());
        assert_eq!(metadata.config(true).as_deref(), Some("d"));
        metadata
            .texts
            .insert("config.9".to_owned(), "future".to_owned());
        assert_eq!(metadata.config(false).as_deref(), Some("b"));
        assert_eq!(metadata.text("fstab", true).as_deref(), Some("f"));
        assert_eq!(metadata.text("none", true), None);
    }
}
