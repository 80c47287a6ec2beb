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
        .load_text(Path::new("saved"), document.text_bytes())
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
    let own = ["veth.mode", "pdeath", "tmpfs.size"]
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
