//! Containers under AppArmor: named, default, generated and no profiles, at start and at attach. The Debian kernel of
//! `cargo xtask vm-test` has it.
#![allow(clippy::unwrap_used, missing_docs)]

mod inside;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use inside::{Inside, World};
use rlxc_config::Config;
use rlxc_monitor::Client;
use rlxc_runtime::attach::{AttachOptions, AttachTask, arguments, attach_wait, flags};
use rlxc_tests::{Actor, Place, ok};

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

/// The label of a process as the host sees it.
fn label_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap_or_default();
    text.trim_end().to_owned()
}

/// The label that LXC's own test of generated profiles expects: the profile, and with it a policy namespace.
fn generated_label(world: &World, name: &str) -> (String, String) {
    let profile = format!("lxc-{name}_<{}>", world.lxcpath.display());
    let namespace = profile.replace('/', "-");
    (
        format!("{profile}//&:{namespace}:unconfined (enforce)"),
        profile,
    )
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_generated_profile_is_loaded_holds_and_goes() {
    let Some(world) = world("aa-generated") else {
        return;
    };
    let config = "lxc.apparmor.profile = generated\nlxc.apparmor.raw = deny /forbidden rwklx,";
    let inside = define(&world, "made", &format!("{LOOK}\nsleep 1000"), config);
    let (label, profile) = generated_label(&world, "made");
    let started = inside.start(true).unwrap();
    assert!(is_loaded(&profile));
    wait_until("done", || inside.out().contains("done"));
    let init = label_of(started.init);
    // Attached processes get the label too.
    let script =
        "echo x >/forbidden; sleep 1000 & echo $! >/pid; cat /proc/$!/attr/current >/attached";
    let task = AttachTask::Exec(arguments(&["/bin/sh", "-c", script]).unwrap());
    let (config, options) = (Config::default(), AttachOptions::default());
    let status = attach_wait(&inside.lxcpath, &inside.name, &config, &options, task);
    let out = inside.out();
    let attached = attached_label(started.init);
    let forbidden = inside.rootfs.join("forbidden").exists();
    // Its end takes as long as the parser does.
    let _ = Client::new(&inside.lxcpath, &inside.name).stop();
    assert_eq!(init, label);
    assert_eq!(attached, label);
    assert_eq!(status.unwrap(), 0);
    assert!(!forbidden, "the raw line holds for attached processes");
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
    wait_until("the profile stays loaded", || !is_loaded(&profile));
    let namespaces = Path::new("/sys/kernel/security/apparmor/policy/namespaces");
    let left = namespaces.join(profile.replace('/', "-"));
    wait_until("the policy namespace stays", || !left.exists());
}

/// The label of the process that an attached shell has left in the container of `init`.
fn attached_label(init: i32) -> String {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&init.to_string());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let others = pids.filter(|pid| *pid != init && namespace(&pid.to_string()) == own);
    let sleeping = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"sleep")
    };
    others
        .filter(sleeping)
        .map(label_of)
        .max()
        .unwrap_or_default()
}

const MOUNTS: &str = r#"
mkdir -p /mnt/f; : >/mnt/file
t() { what=$1; shift; if mount "$@" 2>/dev/null; then echo "mounted $what"; umount "$(eval echo \${$#})"; else echo "refused $what"; fi; }
t proc-elsewhere -t proc p /mnt; t sysfs-elsewhere -t sysfs s /mnt; t proc -t proc p /proc; t sysfs -t sysfs s /sys
t tmpfs -t tmpfs t /mnt; t mqueue -t mqueue m /mnt; t devpts -t devpts d /mnt; t overlay -t overlay -o lowerdir=/etc:/bin o /mnt
t ramfs -t ramfs r /mnt; t cgroup2-elsewhere -t cgroup2 c /mnt; t debugfs-elsewhere -t debugfs d /mnt
t bind -o bind /etc /mnt; t bind-proc -o bind /proc /mnt; t bind-sysctl -o bind /proc/sys /mnt; t bind-sys -o bind /sys /mnt
t bind-dev -o bind /dev /mnt; t bind-null -o bind /dev/null /mnt/file; t rbind -o rbind /etc /mnt; t rbind-dev -o rbind /dev /mnt
t rbind-proc -o rbind /proc /mnt; t bind-lxc -o bind /dev/.lxc /mnt
p() { mount -o $1 $2 2>/dev/null && echo "done $1 $2" || echo "refused $1 $2"; }
p rslave /; p rshared /; p private /
mount -t tmpfs t /mnt && { p slave /mnt; p remount,bind,ro,nosuid,nodev,noexec /mnt; p remount,rw /mnt; mkdir -p /mnt /var/m; umount /mnt; }
p remount,bind,ro /proc; p remount,ro /
echo done
"#;

/// The same container with a profile that we generate and with one that LXC generates: the same mounts, and the same
/// policy once compiled.
#[test]
fn a_generated_profile_allows_what_lxcs_does() {
    let Some(world) = world("aa-same") else {
        return;
    };
    if !inside::has_peer() {
        println!("skipped: lxc-start (package lxc) is missing");
        return;
    }
    // By another name, since the profile for /usr/bin/lxc-start lets it mount in its own directories only.
    let lxc_start = world.lxcpath.join("lxc-start");
    fs::copy("/usr/bin/lxc-start", &lxc_start).unwrap();
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536";
    for (name, config, owner) in [
        ("plain", "", 0),
        ("nests", "lxc.apparmor.allow_nesting = 1", 0),
        ("mapped", maps, 100_000),
    ] {
        let kept = world.lxcpath.join(format!("{name}.kept"));
        let directory = world.lxcpath.join(name).join("apparmor");
        let hook = format!("cp -r {}/. {}/", directory.display(), kept.display());
        let config = format!(
            "lxc.mount.auto = proc:rw sys:rw\nlxc.apparmor.profile = generated\nlxc.hook.start-host = {hook}\n{config}"
        );
        let inside = world.define(name, MOUNTS, &config, owner);
        let mut runs = Vec::new();
        for by_lxc in [true, false] {
            let _ = fs::remove_dir_all(&kept);
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir(&kept).unwrap();
            let out = match by_lxc {
                true => inside.by_lxc_as(&lxc_start),
                false => inside.by_us(),
            };
            let out = match out {
                Ok(out) => out,
                Err(why) if by_lxc => {
                    println!("skipped: LXC itself does not start {name} here: {why}");
                    break;
                }
                Err(why) => panic!("{name}: {why}"),
            };
            assert!(out.contains("done\n"), "{out}");
            runs.push((out, compiled(&kept)));
        }
        if runs.is_empty() {
            continue;
        }
        assert_eq!(runs[0].0, runs[1].0, "{name}: LXC's and ours");
        assert!(!runs[0].1.is_empty() && runs[0].1 == runs[1].1, "{name}");
    }
}

/// The policy in the only file of a directory, as the kernel would get it.
fn compiled(directory: &Path) -> Vec<u8> {
    let files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let output = Command::new("apparmor_parser")
        .arg("-QKS")
        .arg(&files[0])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// LXC's test of rootless containers under AppArmor: the default profile, unconfined, and a kernel that does not mediate
/// mounts.
#[test]
fn containers_of_a_user_get_their_label() {
    let Some(_world) = world("aa-rootless") else {
        return;
    };
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    let label = |name: &str| {
        ok(&place.rlxc("start", &["-n", name]));
        let pid = ok(&place.rlxc("info", &["-n", name, "-pH"]));
        let label = label_of(pid.trim().parse().unwrap());
        ok(&place.rlxc("stop", &["-k", "-n", name]));
        label
    };
    place.create("default", "");
    place.create("free", "lxc.apparmor.profile = unconfined\n");
    place.create("incomplete", "lxc.apparmor.allow_incomplete = 1\n");
    let default = "lxc-container-default-cgns (enforce)";
    assert_eq!(label("default"), default);
    assert_eq!(label("free"), "unconfined");
    // The kernel seems to know nothing of mounts.
    let mask = Masked::new(place.path());
    let refused = place.rlxc("start", &["-n", "default"]);
    assert!(!refused.status.success());
    let said = rlxc_tests::said(&refused);
    assert!(said.contains("lxc.apparmor.allow_incomplete"), "{said}");
    assert_eq!(label("free"), "unconfined");
    assert_eq!(label("incomplete"), default);
    drop(mask);
}

struct Masked;

impl Masked {
    const FEATURES: &str = "/sys/kernel/security/apparmor/features/mount";

    fn new(place: &Path) -> Self {
        let empty = place.join("empty");
        fs::create_dir(&empty).unwrap();
        let flags = nix::mount::MsFlags::MS_BIND;
        nix::mount::mount(
            Some(&empty),
            Self::FEATURES,
            None::<&str>,
            flags,
            None::<&str>,
        )
        .unwrap();
        Self
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        let _ = nix::mount::umount(Self::FEATURES);
    }
}

/// In the policy namespace of a container, profiles are loaded for the containers in it.
#[test]
fn a_container_loads_profiles_for_its_own_containers() {
    let Some(world) = world("aa-nested") else {
        return;
    };
    let inner = world.define(
        "inner",
        "cat /proc/self/attr/current; echo done",
        "lxc.mount.auto = proc:rw\nlxc.apparmor.profile =\nlxc.net.0.type = empty",
        0,
    );
    let out = world.lxcpath.join("outer.out");
    let script = format!(
        "exec >{0} 2>&1\nmount -t tmpfs t /run && mount -t sysfs s /sys && mount -t cgroup2 c /sys/fs/cgroup\n\
         mkdir /sys/fs/cgroup/init.scope && echo $$ >/sys/fs/cgroup/init.scope/cgroup.procs\n\
         mount -t securityfs s /sys/kernel/security\n\
         apparmor_parser -rK /etc/apparmor.d/lxc-containers && echo loaded\n\
         {1} start -F -P {2} -n inner </dev/null\necho status $?\ncat {3}\n",
        out.display(),
        rlxc_tests::bin_dir().join("rlxc").display(),
        world.lxcpath.display(),
        inner.rootfs.join("out").display(),
    );
    let file = world.lxcpath.join("outer.sh");
    fs::write(&file, script).unwrap();
    let folder = world.lxcpath.join("outer");
    fs::create_dir(&folder).unwrap();
    let config = format!(
        "lxc.uts.name = outer\nlxc.net.0.type = empty\nlxc.mount.auto = proc:rw\nlxc.console.path = none\nlxc.autodev = 0\n\
         lxc.apparmor.profile = generated\nlxc.apparmor.allow_nesting = 1\nlxc.init.cmd = /bin/sh {}\n",
        file.display()
    );
    fs::write(folder.join("config"), config).unwrap();
    let place = Place::new(Actor::Root).unwrap();
    let mut start = place.command(rlxc_tests::bin_dir().join("rlxc"));
    start
        .args(["start", "-F", "-n", "outer", "-P"])
        .arg(&world.lxcpath);
    let said = rlxc_tests::said(&rlxc_tests::run(&mut start));
    let seen = fs::read_to_string(&out).unwrap_or_default();
    for line in ["loaded", "status 0", "lxc-container-default-cgns (enforce)"] {
        assert!(seen.contains(line), "{line}: {seen}{said}");
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

/// CVE-2015-1334, CVE-2025-52881: labels are not written to what only looks like /proc, in the root file system or
/// mounted there, neither at the start nor at an attach.
#[test]
fn a_replaced_proc_keeps_no_label_away() {
    let Some(world) = world("aa-fake-proc") else {
        return;
    };
    if !is_loaded("lxc-container-default-cgns") {
        println!("skipped: LXC's profiles are not loaded (package lxc)");
        return;
    }
    let wanted = "lxc-container-default-cgns (enforce)";
    let fake = |at: &Path| {
        for process in ["self", "thread-self", "1"] {
            fs::create_dir_all(at.join(process).join("attr/apparmor")).unwrap();
            for file in ["exec", "current", "apparmor/exec", "apparmor/current"] {
                fs::write(at.join(process).join("attr").join(file), "fake").unwrap();
            }
        }
    };
    let untouched = |at: &Path| {
        let file = |process: &str| at.join(process).join("attr/apparmor/exec");
        let processes = ["self", "thread-self", "1"];
        processes
            .iter()
            .all(|process| fs::read_to_string(file(process)).unwrap() == "fake")
    };
    let outside = world.lxcpath.join("outside");
    fake(&outside);
    let bound = format!(
        "lxc.mount.auto = proc:rw\nlxc.mount.entry = {} proc none bind 0 0",
        outside.display()
    );
    for (name, config) in [("own", ""), ("bound", &bound)] {
        let config = format!("lxc.apparmor.profile =\n{config}");
        let inside = world.define(name, "echo $$ >/out; sleep 1000", &config, 0);
        fake(&inside.rootfs.join("proc"));
        let started = inside.start(true).unwrap();
        wait_until("init runs", || label_of(started.init) == wanted);
        let client = Client::new(&inside.lxcpath, &inside.name);
        for (way, flags) in [
            ("exec", flags::DEFAULT),
            ("now", flags::DEFAULT & !flags::LSM_EXEC | flags::LSM_NOW),
        ] {
            let words = ["/bin/sh", "-c", "sleep 1000 & :"];
            let task = AttachTask::Exec(arguments(&words).unwrap());
            let options = AttachOptions {
                flags,
                ..AttachOptions::default()
            };
            let attached = attach_wait(&inside.lxcpath, name, &Config::default(), &options, task);
            assert_eq!(attached.unwrap(), 0, "{name}, {way}");
            assert_eq!(attached_label(started.init), wanted, "{name}, {way}");
        }
        client.stop().unwrap();
        assert!(
            untouched(&inside.rootfs.join("proc")) && untouched(&outside),
            "{name}"
        );
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
