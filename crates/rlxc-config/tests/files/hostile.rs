//! Bytes that nobody vouches for.

use std::path::Path;

use rlxc_config::{Document, KeyError, MountEntry, check, render};

use super::{Dir, chain, load};

#[test]
fn foreign_bytes_are_kept_and_nul_is_refused() {
    let dir = Dir::new("bytes");
    let text = b"# \xe9t\xe9\n\xff = \xfe\nlxc.uts.name = a\n";
    let document = load(&dir.file("latin1", text)).unwrap();
    document.save(&dir.0.join("saved")).unwrap();
    assert_eq!(std::fs::read(dir.0.join("saved")).unwrap(), text);
    // What is acted on is not guessed.
    for (line, column) in [
        (&b"lxc.uts.name = caf\xe9"[..], 19),
        (b" lxc.m\xf6unt.entry = a b c", 7),
        (b"lxc.sysctl.\xc3 = 1", 12),
        (b"lxc.net.0.hwaddr = 00:16:3e:xx:xx:x\xff", 36),
    ] {
        let file = dir.file("foreign", [b"lxc.tty.max = 1\n", line, b"\n"].concat());
        let text = chain(&load(&file).unwrap_err());
        let place = format!("foreign:2:{column}: ");
        assert!(
            text.contains(&place) && text.contains("not UTF-8"),
            "{text}"
        );
        let found = rlxc_config::check(&file);
        let found = found.iter().find(|d| d.code == "not-utf8").unwrap();
        assert_eq!((found.line, found.column), (2, column));
        assert_eq!(found.severity, rlxc_config::Severity::Error);
    }
    let text =
        chain(&load(&dir.file("nul", b"lxc.tty.max = 1\nlxc.uts\0.name = a\n")).unwrap_err());
    assert!(text.contains("nul:2:8"), "{text}");
}

#[test]
fn no_value_can_write_a_second_line() {
    let mut document = Document::new();
    for (key, value) in [
        ("lxc.uts.name", "a\nlxc.hook.pre-start = rm"),
        ("lxc.uts.name", "a\rlxc.hook.pre-start = rm"),
        ("lxc.uts.name", "a\0"),
        ("lxc.sysctl.a\nlxc.hook.start", "x"),
        ("lxc.environment", "A=b\n"),
    ] {
        assert!(matches!(
            document.set(key, value),
            Err(KeyError::LineBreak { .. })
        ));
    }
    assert_eq!(document.text(), "");
    document.set("lxc.uts.name", "a").unwrap();
    assert_eq!(document.text().lines().count(), 1);
}

/// A short run of what the fuzz target does for long.
#[test]
fn random_bytes_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let words: Vec<&[u8]> = vec![
        b"lxc.",
        b"net.",
        b"0.",
        b"type",
        b" = ",
        b"=",
        b"\n",
        b"\r",
        b"#",
        b"'",
        b"\"",
        b"\0",
        b"\xff",
        b"x",
        b"idmap",
        b"u 0 1 2",
        b"mount.entry",
        b"cgroup2.",
        b"hwaddr",
        b"xx:xx",
        b"ipv4.address",
        b"1.2.3.4/33",
        b"9999999999999999999999",
        b"-",
        b"prlimit.",
        b"include",
        b"veth",
        b"\xc3\xa9",
        b"MB",
        b"console.size",
        b"\\0",
        b"\\",
        b"none",
        b" ",
        b"bind,create=",
        b"time.offset.boot",
    ];
    let dir = Dir::new("random");
    for _ in 0..1000 {
        let mut text = Vec::new();
        for _ in 0..next() % 40 {
            if next() % 4 == 0 {
                text.push(next() as u8);
            } else {
                text.extend_from_slice(words[next() % words.len()]);
            }
        }
        let mut document = Document::with_origins();
        if document.load_text(Path::new("random"), &text).is_ok() {
            Document::new()
                .load_text(Path::new("saved"), &document.text_bytes())
                .unwrap();
        }
        let _ = document.effective(true);
        let lossy = String::from_utf8_lossy(&text);
        let (key, value) = lossy.split_at(
            lossy
                .char_indices()
                .nth(lossy.chars().count() / 2)
                .map_or(0, |c| c.0),
        );
        let _ = (
            document.set(key, value),
            document.get(key),
            document.clear(key),
            document.keys(Some(key)),
        );
        let _ = (MountEntry::parse(&lossy), rlxc_config::explain(key));
        let converted = rlxc_config::update_legacy(&text);
        assert_eq!(rlxc_config::update_legacy(&converted), converted);
        let _ = render(&check(&dir.file("config", &text)));
    }
}

#[test]
fn messages_stay_short_whatever_the_length_of_a_line() {
    let dir = Dir::new("long-line");
    let long = "a".repeat(5_000_000);
    for line in [
        format!("lxc.uts.name = {long}\n"),
        format!("lxc.{long} = 1\n"),
    ] {
        let file = dir.file("long", &line);
        assert!(chain(&load(&file).unwrap_err()).len() < 1000);
        let found = check(&file);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.len() < 1000);
        assert!(render(&found).len() < 4000, "{}", render(&found).len());
    }
}
