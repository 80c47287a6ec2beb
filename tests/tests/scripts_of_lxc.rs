//! LXC's own test scripts (Debian's `lxc-tests`), run with our programs under LXC's names.
//!
//! Each runs in a network and mount namespace of its own, with a bridge `lxcbr0`, a lxcpath and a
//! default configuration that are not the machine's.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_tests::{bin_dir, is_root, run, said, skipped};

/// What the scripts expect of a machine, made inside of the namespaces.
const SET_UP: &str = r#"
set -e
mkdir "$PLACE/cgroup" "$PLACE/lxcpath"
mount --rbind /sys/fs/cgroup "$PLACE/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$PLACE/cgroup" /sys/fs/cgroup
ip link set lo up
ip link add lxcbr0 type bridge
ip link set lxcbr0 up
printf 'lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n' >"$PLACE/default.conf"
mount --bind "$PLACE/default.conf" /etc/lxc/default.conf
mount --bind "$PLACE/lxcpath" /var/lib/lxc
cd "$PLACE"
exec "$@"
"#;

/// A folder with our programs under LXC's names.
struct Names(PathBuf);

impl Names {
    fn new(script: &str) -> Self {
        let place =
            std::env::temp_dir().join(format!("rlxc-script-{script}-{}", std::process::id()));
        assert!(std::fs::create_dir(&place).is_ok(), "{}", place.display());
        for tool in std::fs::read_dir("/usr/bin")
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = tool.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("lxc-") && !name.starts_with("lxc-test") && !name.contains("unpriv")
            {
                let own = bin_dir().join(&*name);
                let target = if own.exists() {
                    own
                } else {
                    bin_dir().join("rlxc")
                };
                assert!(symlink(target, place.join(&*name)).is_ok(), "{name}");
            }
        }
        Self(place)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn passes(script: &str) {
    let program = format!("/usr/bin/lxc-test-{script}");
    if !is_root() {
        return skipped("root (LXC's test scripts make privileged containers)");
    }
    if !Path::new(&program).exists() || !Path::new("/etc/lxc/default.conf").exists() {
        return skipped("LXC's test scripts (packages lxc, lxc-tests)");
    }
    let names = Names::new(script);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}:/usr/sbin:/sbin", names.0.display());
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", SET_UP, "sh", &program]);
    command.env("PLACE", &names.0).env("PATH", path);
    let output = run(&mut command);
    assert!(output.status.success(), "{script}: {}", said(&output));
}

macro_rules! scripts {
    ($($test:ident: $script:literal,)*) => {
        $(#[test] fn $test() { passes($script); })*
    };
}

scripts! {
    createconfig: "createconfig",
    cloneconfig: "cloneconfig",
    exit_code: "exit-code",
    rootfs: "rootfs",
    snapdeps: "snapdeps",
    no_new_privs: "no-new-privs",
    procsys: "procsys",
    symlinks: "symlink",
    lxc_attach: "lxc-attach",
    usernsexec: "usernsexec",
}
