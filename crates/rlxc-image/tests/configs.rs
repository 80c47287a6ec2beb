//! The installed default configurations mean what LXC's of the same name mean.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::Scratch;
use rlxc_config::Document;

/// Ours, as an installation would put them.
fn installed(scratch: &Scratch) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/config");
    let data = scratch.path("share");
    let list = std::process::Command::new("find")
        .arg(&source)
        .args(["-type", "f"])
        .output()
        .unwrap();
    for file in String::from_utf8(list.stdout).unwrap().lines() {
        let name = Path::new(file).strip_prefix(&source).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.replace("@DATADIR@", data.to_str().unwrap());
        scratch.write(&format!("share/lxc/config/{}", name.display()), text);
    }
    data.join("lxc/config")
}

fn loaded(text: &str) -> Document {
    let mut document = Document::new();
    document
        .load_text(Path::new("config"), text.as_bytes())
        .unwrap();
    document
}

const SCALARS: [&str; 6] = [
    "lxc.tty.max",
    "lxc.tty.dir",
    "lxc.pty.max",
    "lxc.seccomp.profile",
    "lxc.apparmor.profile",
    "lxc.hook.clone",
];

const LISTS: [&str; 8] = [
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.mount.auto",
    "lxc.mount.entry",
    "lxc.cgroup.devices.deny",
    "lxc.cgroup.devices.allow",
    "lxc.cgroup2.devices.deny",
    "lxc.cgroup2.devices.allow",
];

#[test]
fn default_configurations_mean_what_lxc_s_mean() {
    let theirs = Path::new("/usr/share/lxc/config");
    if !theirs.join("common.conf").exists() {
        println!("skipped: {} (package lxc)", theirs.display());
        return;
    }
    let scratch = Scratch::new();
    let ours = installed(&scratch);
    for names in [
        &["common.conf"][..],
        &["common.conf", "userns.conf"],
        &["common.conf", "nesting.conf"],
        &["oci.common.conf"],
    ] {
        let text = |dir: &Path| -> String {
            let lines = names
                .iter()
                .map(|name| format!("lxc.include = {}\n", dir.join(name).display()));
            lines.collect()
        };
        let (ours, theirs) = (loaded(&text(&ours)), loaded(&text(theirs)));
        let value = |document: &Document, key: &str| {
            let data = scratch.path("share");
            document
                .get(key)
                .unwrap_or_default()
                .replace(data.to_str().unwrap(), "/usr/share")
        };
        for key in SCALARS {
            assert_eq!(value(&ours, key), value(&theirs, key), "{names:?}: {key}");
        }
        for key in LISTS {
            let set = |document: &Document| -> BTreeSet<String> {
                value(document, key).lines().map(str::to_owned).collect()
            };
            assert_eq!(set(&ours), set(&theirs), "{names:?}: {key}");
        }
    }
}

#[test]
fn every_installed_configuration_passes_the_check() {
    let scratch = Scratch::new();
    let dir = installed(&scratch);
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).unwrap().flatten() {
        if entry
            .path()
            .extension()
            .is_none_or(|ending| ending != "conf")
        {
            continue;
        }
        let text = format!("lxc.include = {}\n", entry.path().display());
        if entry.path().is_file() {
            let file = scratch.write("config", text);
            let findings = rlxc_config::check(&file);
            let wrong: Vec<_> = findings
                .iter()
                .filter(|finding| finding.severity == rlxc_config::Severity::Error)
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", entry.path().display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
