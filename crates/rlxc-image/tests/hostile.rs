//! Archives that no honest tool makes: refused, with nothing left and nothing written elsewhere.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use common::{Container, Entry, failure, gzip, is_root, ok, tar, xz};
use tar::EntryType;

fn meta() -> Vec<u8> {
    tar(&[Entry::file("config", "lxc.arch = x86_64\n")])
}

/// Unpacks as the template `local` does; returns what it said.
fn refused(container: &Container, archive: &[u8]) -> String {
    let meta = container.scratch.write("meta.tar", meta());
    let rootfs = container.scratch.write("rootfs.tar", archive);
    let arguments = ["-m", meta.to_str().unwrap(), "-f", rootfs.to_str().unwrap()];
    let said = failure(&container.run("local", &arguments));
    assert_eq!(
        container.entries(),
        Vec::<String>::new(),
        "left behind: {said}"
    );
    assert_eq!(
        container.config(),
        common::CONFIG,
        "the configuration was touched: {said}"
    );
    said
}

#[track_caller]
fn is_refused(entries: &[Entry], reason: &str) {
    let container = Container::new();
    // What such an archive would like to change.
    let outside = container.scratch.write("outside", "untouched");
    let mut all = vec![
        Entry::dir("./"),
        Entry::dir("etc"),
        Entry::file("etc/first", "x"),
    ];
    all.extend(entries.iter().cloned());
    let said = refused(&container, &tar(&all));
    assert!(said.contains(reason), "{said}");
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
}

#[test]
fn names_that_lead_out_are_refused() {
    if !is_root() {
        return;
    }
    is_refused(&[Entry::file("../outside", "changed")], "leads out by ..");
    is_refused(
        &[Entry::file("etc/../../outside", "changed")],
        "leads out by ..",
    );
    is_refused(
        &[Entry::file("/etc/rlxc-img-evil", "changed")],
        "is an absolute path",
    );
    let nul = Entry::file("x", "y").pax("path", b"etc/a\0b");
    is_refused(&[nul], "NUL");
    assert!(!std::path::Path::new("/etc/rlxc-img-evil").exists());
}

/// CVE-2026-23954, GHSA-vxp5-584q-c479, GHSA-2q3f-q5pq-g8wv: what an archive brings as a link is written through by root.
#[test]
fn links_are_never_written_through() {
    if !is_root() {
        return;
    }
    is_refused(
        &[
            Entry::symlink("up", ".."),
            Entry::file("up/outside", "changed"),
        ],
        "lies below the link up -> ..",
    );
    is_refused(
        &[
            Entry::symlink("tmp", "/tmp"),
            Entry::file("tmp/rlxc-img-evil", "changed"),
        ],
        "lies below the link tmp -> /tmp",
    );
    is_refused(
        &[
            Entry::symlink("a", "etc"),
            Entry::symlink("a/b", "/etc"),
            Entry::file("a/b/x", "y"),
        ],
        "lies below the link",
    );
    // The link itself is replaced by nothing, and nothing is replaced by a link.
    is_refused(
        &[
            Entry::symlink("passwd", "../outside"),
            Entry::file("passwd", "changed"),
        ],
        "comes twice",
    );
    is_refused(
        &[Entry::dir("rootfs"), Entry::symlink("rootfs", "/")],
        "comes twice",
    );
    is_refused(
        &[Entry::symlink("rootfs", "/"), Entry::dir("rootfs")],
        "comes twice",
    );
    is_refused(&[Entry::symlink("./", "/")], "takes the place of the root");
    assert!(!std::path::Path::new("/tmp/rlxc-img-evil").exists());
}

#[test]
fn hard_links_stay_inside() {
    if !is_root() {
        return;
    }
    is_refused(
        &[Entry::hardlink("x", "../outside")],
        "hard link to something outside",
    );
    is_refused(
        &[Entry::hardlink("x", "/etc/passwd")],
        "hard link to something outside",
    );
    is_refused(&[Entry::hardlink("x", "etc/none")], "which is not there");
    is_refused(&[Entry::hardlink("x", "etc")], "which is not there");
    is_refused(
        &[
            Entry::symlink("up", ".."),
            Entry::hardlink("x", "up/outside"),
        ],
        "lies below the link",
    );
    // A hard link to a symbolic link is that link, not what it leads to.
    is_refused(
        &[
            Entry::symlink("l", "/etc/passwd"),
            Entry::hardlink("m", "l"),
            Entry::file("m", "changed"),
        ],
        "comes twice",
    );
}

#[test]
fn entries_under_files_are_refused() {
    if !is_root() {
        return;
    }
    is_refused(
        &[Entry::file("etc/first/x", "y")],
        "lies below something that is no directory",
    );
    is_refused(&[Entry::file("etc", "y")], "comes twice");
    is_refused(&[Entry::file("etc/first", "y")], "comes twice");
}

#[test]
fn device_nodes_are_for_dev() {
    if !is_root() {
        return;
    }
    is_refused(
        &[Entry::device("tmp-disk", EntryType::Block, (8, 0))],
        "is the device 8:0 outside /dev",
    );
    is_refused(
        &[Entry::device("var/mem", EntryType::Char, (1, 1))],
        "is the device 1:1",
    );
    let unknown = Entry::device("odd", EntryType::new(b'Q'), (0, 0));
    is_refused(&[unknown], "unknown type 'Q'");
}

#[test]
fn names_that_are_too_long_are_refused() {
    if !is_root() {
        return;
    }
    is_refused(
        &[Entry::file(&"x".repeat(300), "y")],
        "has a name of 300 bytes",
    );
    is_refused(
        &[Entry::file(&"xxxxxxx/".repeat(1000), "y")],
        "has a name of 8000 bytes",
    );
    is_refused(&[Entry::dir(&"x/".repeat(200))], "directories deep");
}

#[test]
fn owners_that_are_none_are_refused() {
    if !is_root() {
        return;
    }
    is_refused(
        &[Entry::file("x", "y").owner(u64::from(u32::MAX), 0)],
        "has the owner",
    );
}

#[test]
fn truncated_archives_are_refused() {
    if !is_root() {
        return;
    }
    let whole = tar(&[
        Entry::dir("etc"),
        Entry::file("etc/x", &"content ".repeat(4000)),
    ]);
    for length in [700, 5000, whole.len() - 1024] {
        refused(&Container::new(), &whole[..length]);
    }
    let (gz, xz) = (gzip(&whole), xz(&whole));
    for archive in [&gz, &xz] {
        refused(&Container::new(), &archive[..archive.len() - 6]);
        refused(&Container::new(), &archive[..archive.len() / 2]);
        let mut damaged = archive.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        refused(&Container::new(), &damaged);
    }
    refused(&Container::new(), b"");
    refused(
        &Container::new(),
        b"no archive at all, but more than enough text to be one block",
    );
    let said = refused(&Container::new(), b"hsqs and so on");
    assert!(said.contains("squashfs"), "{said}");
}

#[test]
fn decompression_bombs_are_refused_early() {
    if !is_root() {
        return;
    }
    // 2 GiB of zeros in a few hundred kilobytes: streams one after another, as xz takes them.
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(2 << 30);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut bomb = xz(header.as_bytes());
    let zeros = xz(&vec![0; 16 << 20]);
    for _ in 0..128 {
        bomb.extend(&zeros);
    }
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let said = refused(&Container::new(), &bomb);
    assert!(said.contains("decompression bomb"), "{said}");
}

#[test]
fn a_forged_size_takes_no_memory() {
    if !is_root() {
        return;
    }
    // A name of three gigabytes, as a long-name entry claims it.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(3 << 30);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    std::io::Write::write_all(&mut encoder, header.as_bytes()).unwrap();
    let part = vec![b'x'; 1 << 20];
    for _ in 0..300 {
        std::io::Write::write_all(&mut encoder, &part).unwrap();
    }
    let said = refused(&Container::new(), &encoder.finish().unwrap());
    assert!(said.contains("has headers of more than"), "{said}");
    // A sparse file of eight exabytes.
    let mut sparse = tar::Header::new_gnu();
    sparse.set_path("sparse").unwrap();
    sparse.set_entry_type(EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.set_uid(0);
    sparse.set_gid(0);
    sparse.set_mode(0o644);
    sparse.set_mtime(0);
    // In the binary form of numbers: 0x80, then big endian.
    let mut size = [0u8; 12];
    size[0] = 0x80;
    size[4] = 0x40;
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize = size;
    gnu.sparse[0].offset = size;
    gnu.sparse[0].numbytes = *b"00000000000\0";
    sparse.set_cksum();
    let mut archive = sparse.as_bytes().to_vec();
    archive.resize(archive.len() + 1024, 0);
    let said = refused(&Container::new(), &archive);
    assert!(said.contains("makes more than"), "{said}");
}

#[test]
fn headers_that_would_fill_the_memory_are_refused() {
    if !is_root() {
        return;
    }
    let reason = "has headers of more than";
    let large = vec![b'x'; 5 << 20];
    for key in ["comment", "path", "SCHILY.xattr.user.x"] {
        is_refused(&[Entry::file("x", "y").pax(key, &large)], reason);
    }
    let mut many = Entry::file("x", "y");
    for number in 0..100_000 {
        many = many.pax(
            &format!("SCHILY.xattr.user.attribute-{number}"),
            b"0123456789",
        );
    }
    is_refused(&[many], reason);
    // What the kernel does not take, and a name that is none.
    let value = vec![b'x'; 70_000];
    let attribute = Entry::file("x", "y").pax("SCHILY.xattr.user.x", &value);
    is_refused(&[attribute], "has the attribute");
    let attribute = Entry::file("x", "y").pax("SCHILY.xattr.user.a\0b", b"v");
    is_refused(&[attribute], "NUL");
    // The same in the metadata, which no process of its own reads.
    let container = Container::new();
    let meta = tar(&[Entry::file("config", "x").pax("comment", &large)]);
    let meta = container.scratch.write("meta.tar", meta);
    let meta = meta.to_str().unwrap();
    let said = failure(&container.run("local", &["-m", meta, "-f", meta]));
    assert!(said.contains(reason), "{said}");
}

#[test]
fn one_name_for_several_kinds_is_refused() {
    if !is_root() {
        return;
    }
    let kinds = [
        Entry::file("a", "x"),
        Entry::dir("a"),
        Entry::symlink("a", "/etc"),
        Entry::fifo("a"),
        Entry::hardlink("a", "etc/first"),
    ];
    for first in &kinds {
        for second in &kinds {
            let both_directories = first.kind == second.kind && first.kind.is_dir();
            if !both_directories {
                is_refused(&[first.clone(), second.clone()], "");
            }
        }
    }
    let three = [kinds[0].clone(), kinds[1].clone(), kinds[2].clone()];
    is_refused(&three, "takes the place of another entry");
}

#[test]
fn metadata_is_small_and_flat() {
    if !is_root() {
        return;
    }
    for entry in [
        Entry::file("../config", "x"),
        Entry::file("a/config", "x"),
        Entry::symlink("config", "/etc/shadow"),
        Entry::file(".hidden", "x"),
        Entry::device("config", EntryType::Char, (1, 8)),
        Entry::file("config", &"x".repeat(2 << 20)),
    ] {
        let container = Container::new();
        let meta = container.scratch.write("meta.tar", tar(&[entry]));
        let rootfs = container
            .scratch
            .write("rootfs.tar", tar(&[Entry::dir("etc")]));
        let arguments = ["-m", meta.to_str().unwrap(), "-f", rootfs.to_str().unwrap()];
        failure(&container.run("local", &arguments));
        assert_eq!(container.entries(), Vec::<String>::new());
    }
}

#[test]
fn an_image_s_templates_list_stays_in_the_root_file_system() {
    if !is_root() {
        return;
    }
    let container = Container::new();
    let secret = container.scratch.write("secret", "LXC_NAME");
    let meta = tar(&[
        Entry::file("config", "lxc.arch = x86_64\n"),
        Entry::file("templates", "../secret\n/link\n/dir/../../secret\n/name\n"),
    ]);
    let rootfs = tar(&[
        Entry::symlink("link", secret.to_str().unwrap()),
        Entry::dir("dir"),
        Entry::file("name", "I am LXC_NAME\n")
            .mode(0o640)
            .owner(7, 8),
    ]);
    let meta = container.scratch.write("meta.tar", meta);
    let rootfs = container.scratch.write("rootfs.tar", rootfs);
    let arguments = ["-m", meta.to_str().unwrap(), "-f", rootfs.to_str().unwrap()];
    ok(&container.run("local", &arguments));
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "LXC_NAME");
    assert_eq!(container.read("name"), "I am rlxc-img-c\n");
    let stat =
        std::os::unix::fs::MetadataExt::mode(&container.rootfs().join("name").metadata().unwrap());
    assert_eq!(stat & 0o7777, 0o640);
}
