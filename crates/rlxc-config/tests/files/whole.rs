//! Whole files: the samples, Debian's, other programs', the host's own; saving.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rlxc_config::{CheckOptions, Document, Severity, V1Limits, check, check_with, render};

use super::{Dir, chain, load};

#[test]
fn every_sample_is_clean_and_saves_as_it_is() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config-samples");
    let dir = Dir::new("samples");
    let readme = std::fs::read_to_string(samples.join("README.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(name), "{name} is not in the table");
        let unified = !name.contains("v1");
        let found = check_with(
            &path,
            CheckOptions {
                host: false,
                unified,
                strict_cgroup: true,
            },
        );
        assert!(found.is_empty(), "{}", render(&found));
        let saved = dir.0.join("saved");
        load(&path).unwrap().save(&saved).unwrap();
        let (ours, theirs) = (
            std::fs::read_to_string(&saved).unwrap(),
            std::fs::read_to_string(&path).unwrap(),
        );
        // Empty lines are not part of LXC's text; everything else is.
        let lines: Vec<_> = theirs.lines().filter(|l| !l.is_empty()).collect();
        let kept = ours
            .lines()
            .zip(&lines)
            .filter(|(a, b)| a == *b || b.contains("xx"))
            .count();
        assert_eq!(
            (kept, ours.lines().count()),
            (lines.len(), lines.len()),
            "{name}"
        );
    }
    assert_eq!(count, 13);
}

#[test]
fn the_distributions_own_configuration_is_clean() {
    let Ok(entries) = std::fs::read_dir("/usr/share/lxc/config") else {
        println!("skipped: /usr/share/lxc/config is not installed");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        let found: Vec<_> = check(&path)
            .into_iter()
            .filter(|d| d.severity > Severity::Note && d.code != "cgroup-v1")
            .collect();
        assert!(found.is_empty(), "{}", render(&found));
        load(&path).unwrap();
    }
}

#[test]
fn configurations_of_other_programs_load_check_and_save_as_they_are() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers");
    let dir = Dir::new("consumers");
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        let options = CheckOptions {
            host: false,
            unified: true,
            strict_cgroup: false,
        };
        let found = check_with(&path, options);
        assert!(found.is_empty(), "{}", render(&found));
        let document = load(&path).unwrap();
        let saved = dir.0.join("saved");
        document.save(&saved).unwrap();
        assert_eq!(
            std::fs::read(&saved).unwrap(),
            std::fs::read(&path).unwrap()
        );
        // Written by calls, as these programs do it, the text is the same too.
        let text = std::fs::read_to_string(&path).unwrap();
        let mut called = Document::new();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for line in lines.clone() {
            let (key, value) = line.split_once(" =").unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            called.set(key, value).unwrap();
        }
        let expected: String = lines
            .filter(|line| !line.ends_with('='))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(called.text(), expected);
        let mut again = Document::new();
        again.load_text(&path, &called.text_bytes()).unwrap();
        assert_eq!(again.config().cgroup2, called.config().cgroup2);
        assert_eq!(again.config().net, called.config().net);
    }
}

#[test]
fn the_hosts_own_files_are_checked_as_what_they_are() {
    let dir = Dir::new("host-files");
    let codes = |path: &Path| -> Vec<(usize, usize, &str)> {
        let found = check(path);
        found.iter().map(|d| (d.line, d.column, d.code)).collect()
    };
    let text = "# x\n\nlxc.lxcpath = /srv/lxc\nlxc.lxcpth = /x\nlxc.bdev.lvm.vg = vg0 \nlxc.lxcpath=/y\nzfs\n\
        lxc.cgroup.use = a # b\n";
    assert_eq!(
        codes(&dir.file("lxc.conf", text)),
        [
            (4, 1, "unknown-key"),
            (5, 22, "trailing-blank"),
            (6, 1, "repeated-key"),
            (7, 1, "no-equals"),
            (8, 20, "trailing-comment")
        ]
    );
    // Incus calls a container's file so.
    assert_eq!(
        codes(&dir.file("lxc.conf", "lxc.uts.name = a\nlxc.lxcpath = /x\n")),
        [(2, 1, "unknown-key")]
    );
    let text = "# user type bridge n\nann veth lxcbr0 10\n@dev veth lxcbr0\nbob macvlan br0 5\n eve veth br0 x\n\
        eve veth br0 x\neve veth br0 5 # five\neve veth br0 5 6\neve veth br0 -5\r\n";
    assert_eq!(
        codes(&dir.file("lxc-usernet", text)),
        [
            (3, 1, "ignored-line"),
            (4, 5, "bad-kind"),
            (5, 1, "ignored-line"),
            (6, 14, "ignored-line"),
            (8, 16, "trailing-text"),
            (9, 14, "ignored-line")
        ]
    );
}

#[test]
fn v1_limits_on_a_v2_host_are_a_located_warning_or_an_error_as_asked() {
    let dir = Dir::new("v1");
    let inner = dir.file("inner", "\nlxc.cgroup.memory.limit_in_bytes = 1G\n");
    let text = format!(
        "lxc.include = {}\nlxc.cgroup.dir = x\nlxc.cgroup.relative = 1\n  lxc.cgroup.pids.max = 5\nlxc.cgroup2.pids.max = 5\n",
        inner.display()
    );
    let outer = dir.file("outer", &text);

    let mut document = Document::new().with_v1_limits(V1Limits::Warn);
    document.load_file(&outer).unwrap();
    document.set("lxc.cgroup.cpu.shares", "5").unwrap();
    let said: Vec<String> = document
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with(&format!("{}:2:1: lxc.cgroup.memory", inner.display())));
    assert!(said[1].starts_with(&format!("{}:4:3: lxc.cgroup.pids.max: ", outer.display())));
    assert!(said[2].starts_with("lxc.cgroup.cpu.shares: "), "{said:?}");
    // The values are kept and saved all the same.
    assert_eq!(document.get("lxc.cgroup.pids.max").unwrap(), "5\n");
    assert!(document.text().contains("\n  lxc.cgroup.pids.max = 5\n"));
    document.clear("lxc.cgroup").unwrap();
    assert!(document.warnings().is_empty());

    let mut document = Document::new().with_v1_limits(V1Limits::Refuse);
    let text = chain(&document.load_file(&outer).unwrap_err());
    assert!(
        text.contains("inner:2:36") && text.contains("lxc.cgroup2"),
        "{text}"
    );
    assert!(document.set("lxc.cgroup.pids.max", "5").is_err());
    document.set("lxc.cgroup.pids.max", "").unwrap();
    document.set("lxc.cgroup.dir", "x").unwrap();

    let mut document = Document::new().with_v1_limits(V1Limits::Accept);
    document.load_file(&outer).unwrap();
    assert!(document.warnings().is_empty());
}

#[test]
fn saving_keeps_mode_and_links_and_leaves_nothing_behind() {
    let dir = Dir::new("save");
    let mut document = Document::new();
    document.set("lxc.uts.name", "a").unwrap();
    let file = dir.file("config", "old");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
    let link = dir.0.join("link");
    symlink("config", &link).unwrap();
    document.save(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "lxc.uts.name = a\n"
    );
    document.save(&dir.0.join("new")).unwrap();
    assert_eq!(
        std::fs::metadata(dir.0.join("new")).unwrap().mode() & 0o707,
        0o600
    );
    assert!(document.save(&dir.0.join("no/such/dir")).is_err());
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 3);
}
