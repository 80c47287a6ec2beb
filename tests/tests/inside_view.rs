//! The same container started by Debian's LXC and by us sees the same, or the difference is explained in `view_cases`.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;
mod view_cases;

use std::fs;
use std::path::PathBuf;

use inside::World;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use view_cases::compare::{LOOK, differences};
use view_cases::{ALLOWLIST, CASES, EXPLAINED, IDMAP, MAPPED, NEITHER, ONLY_OURS, SECCOMP};

/// Files that the cases refer to.
struct Place {
    tree: PathBuf,
}

impl Place {
    fn new(world: &World) -> Self {
        let file = |name: &str, text: &str| fs::write(world.lxcpath.join(name), text).unwrap();
        file("seccomp1", &version_1());
        file("allowlist", ALLOWLIST);
        file(
            "fstab",
            "# a comment\n\nfirst mnt tmpfs size=4k 0 0\n  third\tvar tmpfs\n",
        );
        let owned = world.lxcpath.join("owned");
        fs::create_dir_all(owned.join("dir")).unwrap();
        let tree = world.lxcpath.join("tree");
        for (name, flags) in [
            ("below", MsFlags::empty()),
            (
                "restricted",
                MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            ),
        ] {
            fs::create_dir_all(tree.join(name)).unwrap();
            let tmpfs = Some("tmpfs");
            mount(tmpfs, &tree.join(name), tmpfs, flags, None::<&str>).unwrap();
        }
        Self { tree }
    }

    fn fill_in(&self, world: &World, name: &str, config: &str) -> String {
        let path = |name: &str| world.lxcpath.join(name).to_string_lossy().into_owned();
        config
            .replace("@tree@", &path("tree"))
            .replace("@owned@", &path("owned"))
            .replace("@fstab@", &path("fstab"))
            .replace("@seccomp1@", &path("seccomp1"))
            .replace("@allowlist@", &path("allowlist"))
            .replace("@log@", &path("console.log"))
            .replace("@rootfs@", &path(&format!("{name}/rootfs")))
            .replace("@out@", &path(&format!("{name}/rootfs/out")))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in ["below", "restricted"] {
            let _ = umount2(&self.tree.join(name), MntFlags::MNT_DETACH);
        }
    }
}

/// All calls that a machine has but mknod, by number.
fn version_1() -> String {
    let numbers = (0..470).filter(|number| ![133, 259].contains(number));
    let lines: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("1\nallowlist\n{}\n", lines.join("\n"))
}

#[test]
fn a_container_sees_the_same_whoever_started_it() {
    if let Some(what) = inside::missing() {
        println!("skipped: {what} is missing");
        return;
    }
    if !inside::has_peer() {
        println!("skipped: lxc-start (package lxc) is missing");
        return;
    }
    let world = World::new("view");
    let policy = world.lxcpath.join("policy");
    fs::write(&policy, SECCOMP).unwrap();
    let shared = world.lxcpath.join("shared");
    fs::create_dir_all(&shared).unwrap();
    let place = Place::new(&world);
    let only = std::env::var("RLXC_TEST_CASE").ok();
    let mut failures = Vec::new();
    let mapped = CASES.iter().filter(|(name, _)| MAPPED.contains(name));
    let mapped = mapped.map(|(name, config)| (format!("m-{name}"), format!("{config}\n{IDMAP}")));
    let plain = CASES
        .iter()
        .map(|(name, config)| ((*name).to_owned(), (*config).to_owned()));
    for (name, config) in plain
        .chain(mapped)
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == name))
    {
        let name = name.as_str();
        let config = place
            .fill_in(&world, name, &config)
            .replace("@seccomp@", &policy.to_string_lossy())
            .replace("@shared@", &shared.to_string_lossy())
            .replace("@pid@", &std::process::id().to_string());
        let owner = if config.contains("lxc.idmap") && !config.contains("options = idmap") {
            100_000
        } else {
            0
        };
        let inside = world.define(name, LOOK, &config, owner);
        let theirs = inside.by_lxc();
        let ours = inside.by_us();
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => failures.extend(differences(name, &theirs, &ours, EXPLAINED)),
            (Err(_), Err(_)) if NEITHER.contains(&name) => {}
            (Err(a), Err(b)) => failures.push(format!("{name}: neither starts: {a}{b}")),
            (Err(_), Ok(_)) if ONLY_OURS.contains(&name) => {}
            (Err(why), Ok(_)) => failures.push(format!("{name}: only we start it: {why}")),
            (Ok(_), Err(why)) => failures.push(format!("{name}: only LXC starts it: {why}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}
