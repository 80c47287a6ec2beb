//! Every row of the key table: set, get, list, save, load, clear.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use rlxc_config::{Document, KEY_TABLE, NET_KEY_TABLE, key_is_supported};

/// Sets `key`, checks the text and a second document loaded from it, then clears it in both ways.
fn round_trip(mut document: Document, key: &str, value: &str) {
    let before = document.get(key).unwrap();
    let text = document.text().into_owned();
    document.set(key, value).unwrap();
    let shown = document.get(key).unwrap();
    assert!(key_is_supported(key), "{key}");
    assert_eq!(
        document.text().lines().count(),
        text.lines().count() + 1,
        "{key}"
    );
    assert_eq!(
        document.text().lines().last().unwrap(),
        format!("{key} = {}", value.trim()),
        "{key}"
    );

    let mut loaded = Document::new();
    loaded
        .load_text(Path::new("saved"), &document.text_bytes())
        .unwrap();
    assert_eq!(loaded.get(key).unwrap(), shown, "{key}");
    let mut config = loaded.config().clone();
    config.rcfile.clone_from(&document.config().rcfile);
    assert_eq!(&config, document.config(), "{key}");

    document.clear(key).unwrap();
    if !key.ends_with(".type") {
        assert_eq!(document.text(), text, "{key}");
    }
    // A cleared mode, death signal or tmpfs size has a getter of its own.
    let own = ["veth.mode", "pdeath", "tmpfs.size", ".type"]
        .iter()
        .any(|end| key.ends_with(end));
    if !own {
        assert_eq!(document.get(key).unwrap(), before, "{key} = {value}");
    }
    // LXC refuses an empty value of these.
    if !matches!(key, "lxc.arch" | "lxc.mount.fstab") {
        loaded.set(key, "").unwrap();
        assert!(
            !loaded
                .text()
                .lines()
                .any(|line| line.starts_with(&format!("{key} "))),
            "{key}"
        );
    }
}

#[test]
fn every_key_can_be_set_shown_saved_and_cleared() {
    for row in KEY_TABLE.iter() {
        let (rest, value) = match row.example.split_once(" = ").filter(|_| row.prefix) {
            Some(parts) => parts,
            None => ("", row.example),
        };
        if matches!(
            row.name,
            "lxc.include" | "lxc.hook" | "lxc.net" | "lxc.net."
        ) {
            continue;
        }
        round_trip(Document::new(), &format!("{}{rest}", row.name), value);
    }
}

#[test]
fn every_network_key_can_be_set_shown_saved_and_cleared() {
    for row in NET_KEY_TABLE {
        let kind = row
            .name
            .split('.')
            .next()
            .filter(|k| ["veth", "macvlan", "ipvlan", "vlan"].contains(k));
        let mut document = Document::new();
        document
            .set("lxc.net.3.type", kind.unwrap_or("phys"))
            .unwrap();
        if row.name == "type" || row.name == "hwaddr" {
            continue;
        }
        round_trip(document, &format!("lxc.net.3.{}", row.name), row.example);
    }
}

#[test]
fn groups_are_cleared_as_a_whole() {
    let mut document = Document::new();
    for (key, value) in [
        ("lxc.hook.start", "a"),
        ("lxc.hook.stop", "b"),
        ("lxc.net.0.type", "veth"),
        ("lxc.net.0.link", "br0"),
        ("lxc.net.10.type", "phys"),
        ("lxc.cgroup.memory.limit_in_bytes", "1"),
        ("lxc.cgroup.dir", "x"),
        ("lxc.cgroup2.memory.max", "1"),
    ] {
        document.set(key, value).unwrap();
    }
    document.clear("lxc.hook").unwrap();
    document.set("lxc.net.0", "").unwrap();
    document.clear("lxc.cgroup").unwrap();
    assert_eq!(
        document.text(),
        "lxc.net.10.type = phys\nlxc.cgroup.dir = x\nlxc.cgroup2.memory.max = 1\n"
    );
    document.clear("lxc.net").unwrap();
    assert!(document.config().net.is_empty());
    document.clear_all();
    assert_eq!(
        (document.text().as_ref(), document.config()),
        ("", &rlxc_config::Config::default())
    );
}

#[test]
fn the_errno_of_each_refusal_is_that_of_the_c_library() {
    let mut document = Document::new();
    document.set("lxc.net.0.type", "phys").unwrap();
    for (key, errno) in [
        ("lxc.nope", libc::EINVAL),
        ("lxc.include", libc::ENOSYS),
        ("lxc.net.0", libc::ENOENT),
        ("lxc.net.5.type", libc::EINVAL),
        ("lxc.net.0.veth.pair", libc::EINVAL),
        ("lxc.hook", libc::EINVAL),
    ] {
        assert_eq!(document.get(key).unwrap_err().errno(), errno, "{key}");
    }
    let overflow = document
        .set("lxc.time.offset.boot", "9999999999999999h")
        .unwrap_err();
    assert_eq!(overflow.errno(), libc::EOVERFLOW);
}

/// One row of `tests/reference/keys.tsv`.
struct Fact {
    kind: Option<String>,
    key: String,
    unset: String,
    sets: [(String, String); 2],
    refused: Option<String>,
}

fn facts() -> Vec<Fact> {
    let text = include_str!("reference/keys.tsv");
    let plain = |cell: &str| {
        cell.replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("@LIBDIR@", rlxc_config::paths::LIBDIR)
            .replace("@LONG256@", &"x".repeat(256))
            .replace("@LONG65@", &"x".repeat(65))
    };
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let cells: Vec<String> = line.split('\t').map(plain).collect();
        assert_eq!(cells.len(), 7, "{line}");
        let (kind, key) = match cells[0].split_once('|') {
            Some((kind, key)) => (Some(kind.to_owned()), key.to_owned()),
            None => (None, cells[0].clone()),
        };
        Fact {
            kind,
            key,
            unset: cells[1].clone(),
            sets: [
                (cells[2].clone(), cells[3].clone()),
                (cells[4].clone(), cells[5].clone()),
            ],
            refused: (cells[6] != "-").then(|| cells[6].clone()),
        }
    })
    .collect()
}

/// The row of the key table that a key of the facts belongs to.
fn row_of(key: &str) -> String {
    if let Some(sub) = key.strip_prefix("lxc.net.0.") {
        return format!("lxc.net.N.{sub}");
    }
    let rows = KEY_TABLE.iter().filter(|row| {
        key == row.name
            || row.prefix
                && key
                    .strip_prefix(row.name)
                    .is_some_and(|rest| row.name.ends_with('.') || rest.starts_with('.'))
    });
    rows.map(|row| row.name)
        .max_by_key(|name| name.len())
        .unwrap_or_else(|| panic!("{key} is in no row"))
        .to_owned()
}

#[test]
fn every_key_behaves_as_the_reference_says() {
    for fact in facts() {
        let key = fact.key.as_str();
        let fresh = || {
            let mut document = Document::new();
            if let Some(kind) = fact.kind.as_deref() {
                document.set("lxc.net.0.type", kind).unwrap();
            }
            document
        };
        let mut document = fresh();
        let before = document.text().into_owned();
        assert_eq!(document.get(key).unwrap(), fact.unset, "{key} unset");
        let mut text = before.clone();
        for (value, shown) in &fact.sets {
            document.set(key, value).unwrap();
            assert_eq!(document.get(key).unwrap(), *shown, "{key} = {value}");
            text += &format!("{key} = {value}\n");
            assert_eq!(document.text(), text, "{key}");
        }
        // What is saved means the same when it is loaded.
        let mut loaded = Document::new();
        loaded
            .load_text(Path::new("saved"), text.as_bytes())
            .unwrap();
        assert_eq!(loaded.get(key).unwrap(), fact.sets[1].1, "{key} loaded");
        assert_eq!(loaded.text(), text, "{key} loaded");
        if let Some(refused) = &fact.refused {
            assert!(document.set(key, refused).is_err(), "{key} = {refused}");
            assert_eq!(
                document.text(),
                text,
                "{key}: a refused value leaves the text"
            );
        }
        loaded.clear(key).unwrap();
        let own = ["veth.mode", "pdeath", "tmpfs.size", ".type"];
        let expected = match own.iter().find(|end| key.ends_with(**end)) {
            Some(&"veth.mode") => "(invalid)",
            Some(&"pdeath") => "0",
            Some(&"tmpfs.size") => "500000",
            Some(_) => "(null)",
            // An address is cleared, the words of a gateway stay until the network goes.
            None if key.ends_with(".gateway") => fact.sets[1].1.as_str(),
            None => fact.unset.as_str(),
        };
        assert_eq!(loaded.get(key).unwrap(), expected, "{key} cleared");
        if !key.ends_with(".type") {
            assert_eq!(loaded.text(), before, "{key} cleared");
        }
    }
}

#[test]
fn the_reference_has_every_key_of_the_table() {
    let named: std::collections::BTreeSet<String> =
        facts().iter().map(|fact| row_of(&fact.key)).collect();
    // Without a value of their own: tested by groups_are_cleared_as_a_whole and the includes.
    let bare = ["lxc.hook", "lxc.net", "lxc.include"];
    let missing: Vec<String> = rlxc_config::all_keys()
        .into_iter()
        .map(|row| row.key)
        .filter(|key| !named.contains(key) && !bare.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `config-samples/KEYS.md` is written from the key table: `RLXC_UPDATE=1` writes it anew.
#[test]
fn the_printed_table_of_keys_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config-samples/KEYS.md");
    let text = format!(
        "# All configuration keys\n\nWritten from the key table by the tests of `rlxc-config`; \
         `rlxc config explain KEY` tells the same.\nKeys without a fixed end (`lxc.sysctl`) are families: \
         a name follows.\n\n{}",
        rlxc_config::key_table_markdown()
    );
    if std::env::var_os("RLXC_UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == text, "run the test with RLXC_UPDATE=1");
}
