//! Archives with random damage: an error or a tree, never a panic, and nothing outside the tree.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Entry, Scratch, is_root, tar};
use rlxc_image::unpack::{Layout, Options, Tree, apply};

/// A generator of its own, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn damaged_archives_neither_panic_nor_escape() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let target = scratch.path("outer/target");
    std::fs::create_dir_all(&target).unwrap();
    let entries = [
        Entry::dir("a"),
        Entry::file("a/b", "content"),
        Entry::symlink("a/up", "../../.."),
        Entry::symlink("etc", "/etc"),
        Entry::hardlink("a/c", "a/b"),
        Entry::file("a/.wh.b", ""),
        Entry::file("x", "y").pax("path", b"a/up/../z"),
        Entry::file(&"long/".repeat(30), "z"),
    ];
    let whole = tar(&entries);
    let words: [&[u8]; 8] = [b"../", b"/etc", b"a/up", b".wh.", b"..", b"5", b"2", b"\0"];
    let mut random = Random(0x5eed_1234_5678_9abc);
    for round in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(4) {
            let block = random.below(bytes.len() / 512) * 512;
            let at = block + [0, 100, 124, 156, 157, 257, random.below(500)][random.below(7)];
            let word = words[random.below(words.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
            // Only what has a right checksum is looked at further.
            let sum: u32 = (0..512)
                .map(|i| {
                    if (148..156).contains(&i) {
                        32
                    } else {
                        u32::from(bytes[block + i])
                    }
                })
                .sum();
            let text = format!("{sum:06o}\0 ");
            bytes[block + 148..block + 156].copy_from_slice(text.as_bytes());
        }
        for layout in [Layout::System, Layout::Layer] {
            let tree = Tree::open(&target, layout == Layout::System).unwrap();
            let mut options = Options::new(layout);
            options.max_bytes = 1 << 20;
            let _ = apply(&bytes[..], &tree, &options);
            tree.clear()
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        let outside = std::fs::read_dir(scratch.path("outer")).unwrap().count();
        assert_eq!(outside, 1, "round {round}");
    }
    assert!(!Path::new("/etc/b").exists() && !Path::new("/etc/z").exists());
}
