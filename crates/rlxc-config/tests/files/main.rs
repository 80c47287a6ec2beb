//! Whole files: the samples, Debian's own configuration, hostile input, saving.
#![allow(clippy::unwrap_used)]

mod hostile;
mod includes;
mod legacy;
mod whole;

use std::path::{Path, PathBuf};

use rlxc_config::{Document, LoadError};

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        // In memory where that is possible: saving waits for the disk.
        let shm = PathBuf::from("/dev/shm");
        let base = match shm.is_dir() {
            true => shm,
            false => std::env::temp_dir(),
        };
        let dir = base.join(format!("rlxc-cfg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(path: &Path) -> Result<Document, LoadError> {
    let mut document = Document::new();
    document.load_file(path).map(|()| document)
}

/// The whole chain of an error as text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}
