//! Readiness: RUNNING is not booted.

mod common;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Place, missing};

/// A container whose boot script takes a while.
fn slow(place: &Place, name: &str, script: &str) -> io::Result<()> {
    // The host's programs, for what busybox lacks.
    let config = "lxc.net.0.type = empty\nlxc.mount.entry = / host none rbind,ro,create=dir 0 0\n";
    place.busybox_with(name, config)?;
    let root = place.lxcpath().join(name).join("rootfs");
    let file = root.join("etc/init.d/rcS");
    std::fs::create_dir_all(root.join("etc/init.d"))?;
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(
        root.join("etc/inittab"),
        "::sysinit:/etc/init.d/rcS\n::once:/bin/sleep 1000\n",
    )
}

#[test]
fn wait_ready_lasts_until_the_boot_scripts_have_ended() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("booted")?;
    slow(&place, "slow", "sleep 2")?;
    let begin = Instant::now();
    place.must("start slow")?;
    place.must("wait slow -s RUNNING -t 5")?;
    let running = begin.elapsed();
    let early = place.rlxc("wait slow --ready -t 0")?;
    assert_eq!(early.status, Some(1), "{early:?}");
    place.must("wait slow --ready -t 20")?;
    assert!(
        begin.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        begin.elapsed()
    );
    assert!(running < begin.elapsed());
    Ok(())
}

#[test]
fn start_ready_returns_when_the_container_notifies() -> io::Result<()> {
    let python = Path::new("/usr/bin/python3").exists();
    if let Some(what) = missing().or((!python).then_some("python3")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("notify")?;
    let say = r#"
say() {
    PYTHONHOME=/host/usr /host/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
        --library-path /host/lib/x86_64-linux-gnu:/host/usr/lib/x86_64-linux-gnu \
        /host/usr/bin/python3 -S -c "
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b'$1', os.environ['NOTIFY_SOCKET'])"
}
"#;
    slow(
        &place,
        "says",
        &format!("{say}\nsay STATUS=halfway\nsleep 1\nsay READY=1"),
    )?;
    let begin = Instant::now();
    place.must("start says --ready=20")?;
    assert!(
        begin.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    assert!(!place.lxcpath().join("says/notify").exists());
    place.must("stop -k says")?;
    slow(
        &place,
        "never",
        &format!("{say}\nsay STATUS=halfway\nsleep 1000"),
    )?;
    let said = place.rlxc("start never --ready=2")?;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.err.contains("it said last: halfway"), "{said:?}");
    place.must("stop -k never").map(drop)
}
