//! Any bytes as a configuration: loading, editing, checking and converting must not panic, and saving
//! must never write more lines than were loaded and set.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rlxc_config::{Document, MountEntry, Usernet, update_legacy};

fuzz_target!(|data: &[u8]| {
    // Includes would read files of the machine.
    if data.windows(7).any(|word| word == b"include") {
        return;
    }
    let mut document = Document::with_origins();
    let loaded = document.load_text(Path::new("fuzz"), data);
    let lines = document
        .text_bytes()
        .iter()
        .filter(|b| **b == b'\n')
        .count();
    let text = document.text().into_owned();
    if loaded.is_ok() {
        // What was saved loads again.
        assert!(
            Document::new()
                .load_text(Path::new("saved"), document.text_bytes())
                .is_ok()
        );
    }
    for entry in document.effective(true) {
        let _ = document.get(&entry.key);
    }
    if let Some((key, value)) = text.split_once('=') {
        let _ = document.set(key.trim(), value);
        let now = document
            .text_bytes()
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        assert!(now <= lines + 1);
        let _ = (
            document.clear(key.trim()),
            document.keys(Some(key.trim())),
            rlxc_config::explain(key),
        );
        let _ = MountEntry::parse(value);
    }
    let _ = Usernet::parse(&text);
    let converted = update_legacy(data);
    assert_eq!(update_legacy(&converted).len(), converted.len());
});
