//! Containers under AppArmor: named, default, generated and no profiles, at start and at attach. The Debian kernel of
//! `cargo xtask vm-test` has it.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use inside::{Inside, World};
use rlxc_config::Config;
use rlxc_monitor::Client;
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach_wait};

const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

const LOOK: &str = r#"
echo "label $(cat /proc/self/attr/current)"
w() { (echo 1 >$1) 2>/dev/null && echo "written $1" || echo "refused $1"; }
m() { mount "$@" 2>/dev/null && echo "mounted $*" && umount /mnt || echo "refused $*"; }
w /proc/sys/kernel/core_pattern; w /proc/sysrq-trigger; w /proc/sys/kernel/shmmax
m -t tmpfs t /mnt; m -t debugfs d /mnt; m -t securityfs s /mnt
(echo x >/forbidden) 2>/dev/null && echo "written /forbidden" || echo "refused /forbidden"
echo done
"#;

fn world(test: &str) -> Option<World> {
    let off = !fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'));
    if off {
        println!("skipped: AppArmor is not active in this kernel: cargo xtask vm-test");
        return None;
    }
    if let Some(what) = inside::missing() {
        println!("skipped: {what} is missing");
        return None;
    }
    Some(World::new(test))
}

fn is_loaded(profile: &str) -> bool {
    fs::read_to_string(PROFILES)
        .unwrap()
        .lines()
        .any(|line| line.starts_with(profile))
}

fn define(world: &World, name: &str, look: &str, config: &str) -> Inside {
    let config = format!("lxc.mount.auto = proc:rw sys:rw\n{config}");
    world.define(name, look, &config, 0)
}

#[test]
fn the_default_profile_is_lxcs() {
    let Some(world) = world("aa-default") else {
        return;
    };
    if !is_loaded("lxc-container-default-cgns") {
        println!("skipped: LXC's profiles are not loaded (package lxc)");
        return;
    }
    let inside = define(&world, "default", LOOK, "lxc.apparmor.profile =");
    let out = inside.by_us().unwrap();
    assert!(
        out.contains("label lxc-container-default-cgns (enforce)"),
        "{out}"
    );
    for line in [
        "refused /proc/sys/kernel/core_pattern",
        "refused /proc/sysrq-trigger",
        "mounted -t tmpfs",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let inside = define(
        &world,
        "named",
        LOOK,
        "lxc.apparmor.profile = lxc-container-default-with-nesting",
    );
    let out = inside.by_us().unwrap();
    assert!(
        out.contains("label lxc-container-default-with-nesting (enforce)"),
        "{out}"
    );
}

#[test]
fn a_generated_profile_is_loaded_holds_and_goes() {
    let Some(world) = world("aa-generated") else {
        return;
    };
    let config = "lxc.apparmor.profile = generated\nlxc.apparmor.raw = deny /forbidden rwklx,";
    let inside = define(&world, "made", &format!("{LOOK}\nsleep 3"), config);
    let profile = format!("lxc-made_<{}>", world.lxcpath.display());
    inside.start(true).unwrap();
    assert!(is_loaded(&profile));
    let begin = Instant::now();
    while !inside.out().contains("done") {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{}",
            inside.out()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // Attached processes get the label too.
    let words = [
        "/bin/sh",
        "-c",
        "cat /proc/self/attr/current >/attached; echo x >/forbidden",
    ];
    let task = AttachTask::Exec(arguments(&words).unwrap());
    let status = attach_wait(
        &inside.lxcpath,
        &inside.name,
        &Config::default(),
        &AttachOptions::default(),
        task,
    );
    let out = inside.out();
    let attached = fs::read_to_string(inside.rootfs.join("attached")).unwrap_or_default();
    Client::new(&inside.lxcpath, &inside.name).stop().unwrap();
    assert_ne!(
        status.unwrap(),
        0,
        "the raw line holds for attached processes"
    );
    let label = format!("{profile} (enforce)");
    assert_eq!(attached.trim(), label);
    assert!(out.contains(&format!("label {label}")), "{out}");
    for line in [
        "refused /proc/sys/kernel/core_pattern",
        "refused /proc/sysrq-trigger",
        "written /proc/sys/kernel/shmmax",
        "mounted -t tmpfs",
        "refused -t debugfs",
        "refused -t securityfs",
        "refused /forbidden",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let begin = Instant::now();
    while is_loaded(&profile) {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "the profile stays loaded"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_a_profile_nothing_is_confined() {
    let Some(world) = world("aa-none") else {
        return;
    };
    for profile in ["unconfined", "unchanged"] {
        let inside = define(
            &world,
            profile,
            LOOK,
            &format!("lxc.apparmor.profile = {profile}"),
        );
        let out = inside.by_us().unwrap();
        assert!(out.contains("label unconfined"), "{profile}: {out}");
    }
}

/// A profile that is not loaded is found before anything runs in the container.
#[test]
fn a_profile_that_is_not_loaded_is_named() {
    let Some(world) = world("aa-missing") else {
        return;
    };
    let inside = define(
        &world,
        "missing",
        LOOK,
        "lxc.apparmor.profile = rlxc-no-such-profile",
    );
    let error = inside.by_us().unwrap_err();
    assert!(error.contains("rlxc-no-such-profile"), "{error}");
    assert!(!Path::new(&inside.rootfs.join("attached")).exists() && inside.out().is_empty());
}
