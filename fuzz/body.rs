//! What must hold for any bytes: shared by the fuzz target and by the short run of the tests.

use std::path::Path;

use rlxc_config::{
    CheckOptions, Config, Document, GlobalConfig, MountEntry, Signal, Usernet, V1Limits,
    check_text, render, update_legacy,
};

fn lines(document: &Document) -> usize {
    let text = document.text_bytes();
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn without_origin(config: &Config) -> Config {
    let mut config = config.clone();
    config.rcfile = None;
    config
}

/// Loads, edits, shows, saves, checks and converts; panics where a promise is broken.
pub(crate) fn run(data: &[u8]) {
    // Includes would read files of the machine.
    if data.windows(7).any(|word| word == b"include") {
        return;
    }
    let mut document = Document::with_origins().with_v1_limits(V1Limits::Accept);
    let loaded = document.load_text(Path::new("fuzz"), data).is_ok();
    if loaded {
        saved_means_the_same(&document);
        shown_means_the_same(&document);
    }
    let text = document.text().into_owned();
    if let Some((key, value)) = text.split_once('=') {
        let key = key.trim().rsplit(['\n', '\r']).next().unwrap_or_default();
        let value = value.split('\n').next().unwrap_or_default();
        edits_keep_lines(&mut document, key, value);
        let _ = rlxc_config::explain(key);
        let _ = (MountEntry::parse(value), Signal::parse(value));
    }
    let _ = MountEntry::parse_fstab(&text);
    let _ = Usernet::parse(&text);
    let global = GlobalConfig::from_text(&text, None);
    for key in rlxc_config::GLOBAL_KEYS {
        let _ = global.get(key);
    }
    let options = CheckOptions {
        host: false,
        unified: true,
        strict_cgroup: true,
    };
    let found = check_text(Path::new("fuzz"), data, options);
    let _ = render(&found);
    for finding in &found {
        let (start, end) = (finding.column.saturating_sub(1), finding.text.len());
        assert!(start + finding.length <= end.max(1), "{finding:?}");
    }
    // What does not load has an error that says where.
    let errors = found
        .iter()
        .any(|d| d.severity == rlxc_config::Severity::Error);
    assert!(loaded || errors, "no finding for what does not load");
    let converted = update_legacy(data);
    assert_eq!(update_legacy(&converted), converted);
}

fn saved_means_the_same(document: &Document) {
    let mut again = Document::new().with_v1_limits(V1Limits::Accept);
    let loaded = again.load_text(Path::new("saved"), &document.text_bytes());
    assert!(loaded.is_ok(), "{loaded:?}");
    assert_eq!(
        without_origin(again.config()),
        without_origin(document.config())
    );
    // A line of blanks is kept as an empty one, and an empty one is not kept.
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        let lines = text.split(|byte| *byte == b'\n');
        lines
            .filter(|l| !l.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    assert_eq!(lines(&again.text_bytes()), lines(&document.text_bytes()));
}

fn shown_means_the_same(document: &Document) {
    let shown: String = document
        .effective(false)
        .iter()
        .map(|entry| format!("{entry}\n"))
        .collect();
    let mut again = Document::new().with_v1_limits(V1Limits::Accept);
    let loaded = again.load_text(Path::new("shown"), shown.as_bytes());
    assert!(loaded.is_ok(), "{loaded:?}\n{shown}");
    assert_eq!(
        without_origin(again.config()),
        without_origin(document.config()),
        "{shown}"
    );
}

/// No call writes more lines than it was given.
fn edits_keep_lines(document: &mut Document, key: &str, value: &str) {
    let before = lines(document);
    for value in [value, "1\nlxc.hook.pre-start = x", "1\r2", "1\0"] {
        let set = document.set(key, value).is_ok();
        assert!(!set || !value.contains(['\n', '\r', '\0']));
    }
    assert!(lines(document) <= before + 1);
    let _ = (document.get(key), document.keys(Some(key)));
    let cleared = document.clear(key).is_ok();
    assert!(!cleared || lines(document) <= before);
    let _ = document.keys(None);
}
