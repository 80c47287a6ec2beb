//! Any bytes as an archive, an index, metadata, keys or a signed text: an error or a result, never a
//! panic, and nothing outside the tree. The first byte chooses. Run it as root: owners are set.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rlxc_image::index;
use rlxc_image::metadata::Metadata;
use rlxc_image::openpgp::Keyring;
use rlxc_image::server::Server;
use rlxc_image::unpack::{Layout, Options, Tree, apply};

/// The key that has signed the text in the corpus.
const KEY: &[u8] = include_bytes!("../image-key.asc");

/// A place in memory, with an index that names the file that is given.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let dir = Path::new("/dev/shm").join(format!("rlxc-fuzz-{}", std::process::id()));
        for name in ["outer/target", "site/streams/v1", "lines/meta/1.0"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let index = r#"{"index":{"images":{"datatype":"image-downloads","path":"images.json"}}}"#;
        std::fs::write(dir.join("site/streams/v1/index.json"), index).unwrap();
        std::fs::write(dir.join("key"), KEY).unwrap();
        dir
    })
}

fn file(name: &str, content: &[u8]) -> PathBuf {
    let file = place().join(name);
    std::fs::write(&file, content).unwrap();
    file
}

fn images(site: &str) {
    let server = Server::new(&place().join(site).display().to_string(), false).unwrap();
    for image in index::images(&server, false, None).unwrap_or_default() {
        // These become paths.
        for word in [&image.dist, &image.release, &image.arch, &image.variant] {
            assert!(index::is_plain_word(word), "{word:?}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 7 {
        layout @ 0..=1 => {
            let layout = if layout == 0 {
                Layout::System
            } else {
                Layout::Layer
            };
            let target = place().join("outer/target");
            let tree = Tree::open(&target, layout == Layout::System).unwrap();
            let mut options = Options::new(layout);
            options.max_bytes = 1 << 20;
            let _ = apply(data, &tree, &options);
            tree.clear().unwrap();
            assert_eq!(std::fs::read_dir(place().join("outer")).unwrap().count(), 1);
        }
        2 => {
            file("site/images.json", data);
            images("site");
        }
        3 => {
            file("lines/meta/1.0/index-system", data);
            images("lines");
        }
        4 => {
            if let Ok(metadata) = Metadata::read_archive(&file("meta", data)) {
                let _ = (metadata.config(true), metadata.excludes(false));
            }
        }
        5 => {
            if let Ok(keys) = Keyring::load(&file("keys", data)) {
                assert!(keys.verify_detached(b"text", data, "it").is_err());
            }
        }
        _ => {
            let keys = Keyring::load(&place().join("key")).unwrap();
            if let Ok(text) = keys.verify_clear_signed(data, "it") {
                // Nothing else was ever signed by it.
                assert_eq!(String::from_utf8_lossy(&text).trim_end(), "text");
            }
        }
    }
});
