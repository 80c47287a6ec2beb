//! The machine's own systemd boots as a container's init, in whichever cgroup layout there is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rlxc_tests::{Actor, Place, ok, said};

/// A root file system of its own, in which only /usr is the machine's, read-only.
fn root_file_system(root: &Path) -> std::io::Result<()> {
    for dir in [
        "proc", "sys", "dev", "run", "tmp", "var/log", "root", "etc", "usr",
    ] {
        fs::create_dir_all(root.join(dir))?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), root.join(link))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\ntty:x:5:\n")?;
    fs::write(root.join("etc/machine-id"), "")
}

#[test]
fn systemd_comes_up_keeps_its_own_cgroups_and_shuts_down() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    if !Path::new("/usr/lib/systemd/systemd").exists() || !Path::new("/usr/bin/systemctl").exists()
    {
        rlxc_tests::skipped("systemd's program (package systemd)");
        return;
    }
    let root = place.path().join("root");
    let made = root_file_system(&root);
    assert!(made.is_ok(), "{made:?}");
    let folder = place.path().join("sd");
    assert!(fs::create_dir(&folder).is_ok());
    // Where AppArmor is (the VM), it boots under a profile of its own.
    let confined = fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'));
    let profile = if confined { "generated" } else { "unconfined" };
    let config = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = sd\nlxc.net.0.type = empty\nlxc.tty.max = 0\n\
         lxc.pty.max = 64\nlxc.apparmor.profile = {profile}\n\
         lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed\n\
         lxc.mount.entry = /usr usr none ro,bind 0 0\n\
         lxc.init.cmd = /lib/systemd/systemd --unit=basic.target\nlxc.signal.halt = SIGRTMIN+3\n",
        root.display()
    );
    assert!(fs::write(folder.join("config"), config).is_ok());
    ok(&place.rlxc("start", &["-n", "sd"]));
    let inside = |script: &str| {
        let words = ["-n", "sd", "--clear-env", "--", "/bin/sh", "-c", script];
        said(&place.rlxc("attach", &words))
    };
    let patience = if std::env::var_os("RLXC_VM").is_some() {
        240
    } else {
        60
    };
    let deadline = Instant::now() + Duration::from_secs(patience);
    let mut state = String::new();
    while Instant::now() < deadline {
        state = inside("systemctl is-active basic.target");
        if state.trim() == "active" {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(
        state.trim(),
        "active",
        "{}",
        inside("systemctl list-jobs; systemctl --failed")
    );
    // Its own cgroup: init.scope below the container's, by cgroup2 or by the named v1 hierarchy.
    let own = inside("cat /proc/1/cgroup");
    assert!(own.contains("/init.scope"), "{own}");
    let failed = inside("systemctl --failed --no-legend --plain");
    assert!(!failed.contains("cgroup"), "{failed}");
    ok(&place.rlxc("stop", &["-n", "sd", "-t", "60"]));
    assert_eq!(
        ok(&place.rlxc("info", &["-n", "sd", "-sH"])).trim(),
        "STOPPED"
    );
    let left = |dir: &str| Path::new(dir).join("lxc.payload.sd").exists();
    assert!(!left("/sys/fs/cgroup") && !left("/sys/fs/cgroup/systemd"));
}
