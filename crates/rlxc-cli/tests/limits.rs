//! Limits of a running container: changed at once, and kept where that is asked for.

mod common;

use std::io;

use common::{Place, missing};

#[test]
fn limits_in_words_change_a_running_container_and_persist_when_told_to() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("limits")?;
    place.busybox("one")?;
    place.must("start one")?;
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let memory = match unified {
        true => "memory.max",
        false => "memory.limit_in_bytes",
    };
    let config = || std::fs::read_to_string(place.lxcpath().join("one/config"));
    place.must("set one memory=64M pids=100 cpu=50% --live")?;
    assert_eq!(
        place.must(&format!("cgroup one {memory}"))?.trim(),
        "67108864"
    );
    assert_eq!(place.must("cgroup one pids.max")?.trim(), "100");
    let quota = match unified {
        true => place.must("cgroup one cpu.max")?,
        false => place.must("cgroup one cpu.cfs_quota_us")?,
    };
    assert!(quota.starts_with("50000"), "{quota}");
    assert!(
        !config()?.contains("pids.max"),
        "it is kept only when told to"
    );
    place.must("set one pids=120 --live --persist")?;
    assert_eq!(place.must("cgroup one pids.max")?.trim(), "120");
    place.must("stop -k one")?;
    place.must("start one")?;
    assert_eq!(place.must("cgroup one pids.max")?.trim(), "120");
    place.must("set one pids=max --live --persist")?;
    assert_eq!(place.must("cgroup one pids.max")?.trim(), "max");
    let said = place.rlxc("set one memory=lots --live")?;
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("memory=2G"), "{said:?}");
    place.must("stop -k one").map(drop)
}
