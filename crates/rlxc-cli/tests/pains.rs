//! What users of LXC struggle with: shares whose owners fit, terminals for bytes, boot and shutdown of many.

mod common;

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Place, RLXC, missing};

const MAPS: &str = "lxc.idmap = u 0 200000 65536\nlxc.idmap = g 0 200000 65536\n";

/// A container with id maps, whose root file system is the mapped root's.
fn mapped(place: &Place, name: &str) -> io::Result<()> {
    place.busybox_with(name, &format!("lxc.net.0.type = empty\n{MAPS}"))?;
    let rootfs = place.lxcpath().join(name).join("rootfs");
    let owned = Command::new("chown")
        .arg("-R")
        .arg("200000:200000")
        .arg(rootfs)
        .status()?;
    assert!(owned.success());
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&place.dir, open)
}

#[test]
fn a_share_has_owners_that_fit_live_and_from_the_next_start_on() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("share")?;
    mapped(&place, "one")?;
    let data = place.dir.join("my data");
    std::fs::create_dir(&data)?;
    std::fs::write(data.join("file"), "x")?;
    std::os::unix::fs::chown(&data, Some(1234), Some(1235))?;
    std::os::unix::fs::chown(data.join("file"), Some(1234), Some(1235))?;
    let source = data.display().to_string();
    let inside = |script: &str| place.run(RLXC, &["attach", "one", "--", "/bin/sh", "-c", script]);
    let share = |words: &[&str]| place.run(RLXC, &[&["share", "one"], words].concat());
    place.must("start one")?;
    let said = share(&[&format!("{source}:/mnt/a"), "--live"])?;
    if said.err.contains("Invalid argument") {
        println!("skipped: idmapped mounts on the file system of {source}");
        place.must("stop -k one")?;
        return Ok(());
    }
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(inside("stat -c %u:%g /mnt/a/file")?.out, "1234:1235\n");
    // What its root writes there is root's on the host.
    inside("echo y > /mnt/a/new")?;
    assert_eq!(std::fs::metadata(data.join("new"))?.uid(), 0);
    // Its owner is another one inside, who may write there.
    let said = share(&[&format!("{source}:/mnt/b"), "--live", "--as", "33:34"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(inside("stat -c %u:%g /mnt/b/file")?.out, "33:34\n");
    let words = [
        "attach",
        "one",
        "-u",
        "33",
        "-g",
        "34",
        "--",
        "/bin/sh",
        "-c",
        "echo z > /mnt/b/theirs",
    ];
    assert_eq!(place.run(RLXC, &words)?.status, Some(0));
    let made = std::fs::metadata(data.join("theirs"))?;
    assert_eq!((made.uid(), made.gid()), (1234, 1235));
    // Read-only, and as the host has it.
    let said = share(&[&format!("{source}:/mnt/c:ro"), "--live", "--plain"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(inside("stat -c %u /mnt/c/file")?.out, "65534\n");
    assert!(inside("echo > /mnt/c/no")?.err.contains("Read-only"));
    let said = share(&["--live", "--remove", "/mnt/c"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(inside("ls /mnt/c")?.out, "");
    // A single file; none of it stays when the container stops.
    let file = data.join("file").display().to_string();
    let said = share(&[&format!("{file}:/mnt/f"), "--live"])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(inside("cat /mnt/f")?.out, "x");
    place.must("stop -k one")?;
    assert!(!place.must("share one")?.contains("/mnt"));
    // From the next start on.
    let said = share(&[&format!("{source}:/mnt/a")])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    let listed = place.must("share one")?;
    assert!(listed.contains("/mnt/a"), "{listed}");
    assert!(place.must("share one --format json")?.contains(&source));
    let said = share(&[&format!("{source}:/mnt/a")])?;
    assert!(said.err.contains("--remove"), "{said:?}");
    place.must("start one")?;
    assert_eq!(inside("stat -c %u:%g /mnt/a/file")?.out, "1234:1235\n");
    place.must("stop -k one")?;
    place.must("share one --remove /mnt/a")?;
    assert!(!place.must("share one")?.contains("/mnt"));
    for (words, said) in [
        (&["/nonexistent"][..], "No such file"),
        (&["/tmp:relative"], "not a path from /"),
        (&["/tmp:/a/../b"], "not a path from /"),
        (&["/tmp:/a:b:c"], "too many"),
        (&["/tmp", "--as", "7"], "--live"),
        (&["/tmp", "--as", "me", "--live"], "by number"),
        (&["/tmp", "--live"], "not running"),
        (&["--remove", "/nope"], "has no share"),
    ] {
        let end = share(words)?;
        assert_eq!(end.status, Some(1), "{words:?}: {end:?}");
        assert!(end.err.contains(said), "{words:?}: {end:?}");
    }
    Ok(())
}

#[test]
fn a_raw_terminal_passes_megabytes_unchanged_and_a_proxied_one_is_a_terminal() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("pty")?;
    place.busybox("one")?;
    place.must("start one")?;
    // Every byte there is, again and again.
    let bytes: Vec<u8> = (0..4_u32 << 20)
        .map(|n| (n ^ n >> 8 ^ n >> 16) as u8)
        .collect();
    let rootfs = place.lxcpath().join("one/rootfs");
    std::fs::write(rootfs.join("bytes"), &bytes)?;
    let said = Command::new(RLXC)
        .args(["attach", "one", "--pty=raw", "-P"])
        .arg(place.lxcpath())
        .args(["--", "/bin/cat", "/bytes"])
        .stdin(Stdio::null())
        .output()?;
    assert!(said.status.success(), "{said:?}");
    assert!(
        said.stdout == bytes,
        "{} of {} bytes",
        said.stdout.len(),
        bytes.len()
    );
    // And the other way.
    let mut cat = Command::new(RLXC)
        .args(["attach", "one", "--pty=raw", "-P"])
        .arg(place.lxcpath())
        .args(["--", "/bin/sh", "-c", "head -c 4194304 > /copy; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut input) = cat.stdin.take() {
        input.write_all(&bytes)?;
    }
    assert_eq!(cat.wait()?.code(), Some(7));
    assert!(std::fs::read(rootfs.join("copy"))? == bytes);
    let tty = |kind: &str| {
        let words = ["attach", "one", kind, "--", "/bin/sh", "-c", "tty; exit 3"];
        place.run(RLXC, &words)
    };
    for (kind, shown) in [
        ("--pty=auto", "not a tty\n"),
        ("--pty=none", "not a tty\n"),
        ("--no-pty", "not a tty\n"),
        ("--pty=proxy", "/dev/pts/"),
        ("--pty=raw", "/dev/pts/"),
    ] {
        let said = tty(kind)?;
        assert!(said.out.starts_with(shown), "{kind}: {said:?}");
        assert_eq!(said.status, Some(3), "{kind}: {said:?}");
    }
    // LXC's tool has no such option.
    let said = place.run(place.ours("lxc-attach"), &["one", "--no-pty", "--", "true"])?;
    assert!(said.err.contains("unrecognized option"), "{said:?}");
    place.must("stop -k one").map(drop)
}

/// A container that starts at once, and for its halt needs `stop` seconds.
fn booted(place: &Place, name: &str, more: &str) -> io::Result<()> {
    let log = place.dir.join("order");
    let hook = place.dir.join("hook");
    let text = format!("#!/bin/sh\necho $LXC_NAME >> {}\n", log.display());
    std::fs::write(&hook, text)?;
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let config = format!(
        "lxc.start.auto = 1\nlxc.hook.pre-start = {0}\nlxc.hook.post-stop = {0}\n{more}",
        hook.display()
    );
    place.busybox_with(name, &config).map(drop)
}

fn order(place: &Place) -> io::Result<Vec<String>> {
    let log = place.dir.join("order");
    let text = std::fs::read_to_string(&log)?;
    std::fs::remove_file(&log)?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn many_start_by_order_and_need_and_end_the_other_way_within_a_time() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("boot")?;
    let empty = "lxc.net.0.type = empty\n";
    booted(&place, "late", &format!("{empty}lxc.start.order = 9\n"))?;
    booted(&place, "early", &format!("{empty}lxc.start.order = -1\n"))?;
    booted(&place, "same1", empty)?;
    booted(&place, "same2", empty)?;
    // It shares the network of one that comes after it by name.
    booted(&place, "first", "lxc.namespace.share.net = same2\n")?;
    let listed = place.rlxc("autostart -L --format json")?;
    assert!(listed.out.contains("\"early\""), "{listed:?}");
    let said = place.rlxc("autostart --format json")?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.out.matches("\"started\"").count(), 5, "{said:?}");
    let began = order(&place)?;
    let at = |name: &str| began.iter().position(|other| other == name);
    assert_eq!((at("early"), at("late")), (Some(0), Some(4)), "{began:?}");
    assert!(at("same2") < at("first"), "{began:?}");
    let net = |name: &str| -> io::Result<String> {
        let pid = place.must(&format!("info -p -H {name}"))?;
        let link = std::fs::read_link(Path::new("/proc").join(pid.trim()).join("ns/net"))?;
        Ok(link.display().to_string())
    };
    assert_eq!(net("first")?, net("same2")?);
    // Nothing is left to do.
    let said = place.rlxc("autostart --format json")?;
    assert_eq!(
        (said.out.as_str(), said.status),
        ("[]\n", Some(0)),
        "{said:?}"
    );
    // None of them hears the signal: all of them are killed when the time is up, the last to start first.
    for name in ["late", "early", "same1", "same2", "first"] {
        place.must(&format!("set {name} lxc.signal.halt=SIGUSR2"))?;
    }
    let begun = Instant::now();
    let said = place.rlxc("autostart -s -a --within 2 --format json")?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.out.matches("\"killed\"").count(), 5, "{said:?}");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let ended = order(&place)?;
    assert_eq!(ended.first().map(String::as_str), Some("late"), "{ended:?}");
    assert_eq!(ended.last().map(String::as_str), Some("early"), "{ended:?}");
    // One that fails is told of, and keeps no other from starting.
    place.must("set same1 lxc.rootfs.path=dir:/nonexistent")?;
    let said = place.rlxc("autostart")?;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.err.contains("/nonexistent"), "{said:?}");
    assert_eq!(
        place.must("ls --running -1")?,
        "early\nfirst\nlate\nsame2\n"
    );
    place.must("autostart -k -a").map(drop)
}

#[test]
fn a_log_that_was_moved_away_goes_on_under_its_name() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("rotate")?;
    place.busybox("one")?;
    let log = place.dir.join("one.log");
    let words = [
        "start",
        "one",
        "-l",
        "TRACE",
        "-o",
        &log.display().to_string(),
    ];
    assert_eq!(place.run(RLXC, &words)?.status, Some(0));
    let old = place.dir.join("one.log.old");
    std::fs::rename(&log, &old)?;
    let size = std::fs::metadata(&old)?.len();
    assert!(size > 0);
    // What a start has to tell is told once more.
    place.must("wait one --ready -t 20")?;
    place.must("stop one -r")?;
    place.must("stop -k one")?;
    let mut text = String::new();
    std::fs::File::open(&log)?.read_to_string(&mut text)?;
    assert!(text.lines().count() > 0, "nothing in the new log");
    assert_eq!(std::fs::metadata(&old)?.len(), size, "the old log goes on");
    Ok(())
}
