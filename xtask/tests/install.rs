//! An installation is laid out, works, and goes away again; the packages take LXC's place.
//!
//! The programs are those that `cargo build --workspace` has made.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rlxc-img-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NEEDED: [&str; 8] = [
    "rlxc",
    "rlxc-monitor",
    "rlxc-worker",
    "rlxc-image",
    "lxc-monitord",
    "lxc-user-nic",
    "lxc-init",
    "liblxc.so",
];

/// What is needed is there; else the line that says what is not.
fn ready(root: bool, programs: &[&str]) -> bool {
    let built = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
    for name in NEEDED {
        if !built.join(name).exists() {
            println!(
                "skipped: {} (cargo build --workspace)",
                built.join(name).display()
            );
            return false;
        }
    }
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if root && !is_root {
        println!("skipped: root (a mount namespace and packages)");
        return false;
    }
    for program in programs {
        if !Path::new(program).exists() {
            println!("skipped: {program}");
            return false;
        }
    }
    true
}

fn xtask(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(args)
        .args(["--profile", "debug", "--no-build"])
        .output()
        .unwrap()
}

#[track_caller]
fn ok(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// All paths below a directory.
fn tree(dir: &Path) -> BTreeSet<String> {
    let list = Command::new("find")
        .arg(dir)
        .args(["-mindepth", "1", "-printf", "%P\n"])
        .output();
    let text = String::from_utf8(list.unwrap().stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Whether a program of 64 bits has a segment PT_INTERP.
fn asks_for_a_loader(program: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        let bytes = program[at..at + length].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|at| number(table + at * size, 4) == 3)
}

#[test]
fn an_installation_is_laid_out_and_taken_away_whole() {
    if !ready(false, &[]) {
        return;
    }
    let scratch = Scratch::new("install");
    let dest = scratch.0.to_str().unwrap();
    for wrong in ["--prefix", "--libdir", "--sysconfdir", "--localstatedir"] {
        let refused = xtask(&["install", "--destdir", dest, wrong, "relative"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            said.contains("relative is no absolute path"),
            "{wrong}: {said}"
        );
    }
    let arguments = ["--destdir", dest, "--libdir", "/usr/lib/x86_64-linux-gnu"];
    let install = || xtask(&[&["install"], &arguments[..]].concat());
    // What was there before stays, also when it is a setting of the same name.
    std::fs::create_dir_all(scratch.0.join("etc/lxc")).unwrap();
    std::fs::create_dir_all(scratch.0.join("usr/share/man")).unwrap();
    std::fs::write(scratch.0.join("etc/lxc/default.conf"), "mine\n").unwrap();
    let before = tree(&scratch.0);
    ok(&install());
    let installed = tree(&scratch.0);
    for path in [
        "usr/bin/rlxc",
        "usr/bin/lxc-start",
        "usr/libexec/rlxc/rlxc-monitor",
        "usr/libexec/rlxc/rlxc-image",
        "usr/libexec/lxc/lxc-user-nic",
        "usr/libexec/lxc/lxc-containers",
        "usr/libexec/lxc/lxc-net",
        "usr/libexec/lxc/hooks/unmount-namespace",
        "usr/sbin/init.lxc",
        "usr/sbin/init.lxc.static",
        "usr/lib/x86_64-linux-gnu/liblxc.so.1.9.0",
        "usr/lib/x86_64-linux-gnu/liblxc.so.1",
        "usr/lib/x86_64-linux-gnu/liblxc.so",
        "usr/lib/x86_64-linux-gnu/lxc/rootfs/README",
        "usr/lib/systemd/system/lxc.service",
        "usr/lib/systemd/system/lxc@.service",
        "usr/lib/systemd/system/lxc-net.service",
        "usr/lib/systemd/system/lxc-monitord.service",
        "usr/share/lxc/config/common.conf",
        "usr/share/lxc/config/common.seccomp",
        "usr/share/lxc/config/userns.conf",
        "usr/share/lxc/config/nesting.conf",
        "usr/share/lxc/hooks/clonehostname",
        "usr/share/lxc/hooks/dhclient",
        "usr/share/lxc/hooks/mountecryptfsroot",
        "usr/share/lxc/hooks/nvidia",
        "usr/share/lxc/hooks/squid-deb-proxy-client",
        "usr/share/lxc/hooks/ubuntu-cloud-prep",
        "usr/share/lxc/selinux/lxc.te",
        "usr/share/lxc/templates/lxc-download",
        "usr/share/man/man1/lxc-create.1",
        "usr/share/bash-completion/completions/rlxc",
        "usr/share/zsh/site-functions/_rlxc",
        "etc/apparmor.d/lxc-containers",
        "var/lib/lxc",
    ] {
        assert!(installed.contains(path), "{path} is missing");
    }
    let mode = |path: &str| {
        scratch
            .0
            .join(path)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("usr/libexec/lxc/lxc-user-nic"), 0o4755);
    assert_eq!(mode("usr/share/lxc/templates/lxc-oci"), 0o755);
    // It runs where there is neither a loader nor a library.
    let linked = std::fs::read(scratch.0.join("usr/sbin/init.lxc.static")).unwrap();
    assert!(!asks_for_a_loader(&linked));
    let dynamic = std::fs::read(scratch.0.join("usr/sbin/init.lxc")).unwrap();
    assert!(asks_for_a_loader(&dynamic));
    let default = std::fs::read_to_string(scratch.0.join("etc/lxc/default.conf")).unwrap();
    assert_eq!(default, "mine\n");
    // No file speaks of a directory that was not put in.
    for path in installed
        .iter()
        .filter(|path| path.contains("/lxc/") || path.contains("systemd"))
    {
        let text = std::fs::read(scratch.0.join(path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        assert!(
            !text.contains("@LIBEXECDIR@") && !text.contains("@DATADIR@"),
            "{path}"
        );
    }
    // Once more over itself; then a changed setting stays, and everything else goes.
    ok(&install());
    assert_eq!(tree(&scratch.0), installed);
    std::fs::write(scratch.0.join("etc/default/lxc"), "LXC_AUTO=false\n").unwrap();
    std::fs::write(
        scratch
            .0
            .join("usr/share/lxc/config/common.conf.d/mine.conf"),
        "",
    )
    .unwrap();
    ok(&install());
    let kept = std::fs::read_to_string(scratch.0.join("etc/default/lxc")).unwrap();
    assert_eq!(kept, "LXC_AUTO=false\n");
    let said = ok(&xtask(&["uninstall", "--destdir", dest]));
    assert!(said.contains("etc/default/lxc"), "{said}");
    let left: BTreeSet<String> = tree(&scratch.0).difference(&before).cloned().collect();
    let expected = [
        "etc/default",
        "etc/default/lxc",
        "usr/share/lxc",
        "usr/share/lxc/config",
        "usr/share/lxc/config/common.conf.d",
        "usr/share/lxc/config/common.conf.d/mine.conf",
    ];
    assert_eq!(left, expected.map(str::to_owned).into());
    let again = xtask(&["uninstall", "--destdir", dest]);
    assert!(!again.status.success());
    // A destination that is still to be made.
    let deep = scratch.0.join("not/yet/there");
    let deep = deep.to_str().unwrap();
    ok(&xtask(&["install", "--destdir", deep]));
    ok(&xtask(&["uninstall", "--destdir", deep]));
    assert_eq!(tree(Path::new(deep)), BTreeSet::new());
}

#[test]
fn another_installation_is_not_overwritten() {
    if !ready(false, &[]) {
        return;
    }
    let scratch = Scratch::new("foreign");
    let dest = scratch.0.to_str().unwrap();
    std::fs::create_dir_all(scratch.0.join("usr/bin")).unwrap();
    std::fs::write(scratch.0.join("usr/bin/lxc-start"), "a package's").unwrap();
    let refused = xtask(&["install", "--destdir", dest]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("usr/bin/lxc-start"),
        "{said}"
    );
    assert_eq!(tree(&scratch.0).len(), 3);
    assert!(
        !xtask(&["install", "--destdir", dest, "--frobnicate"])
            .status
            .success()
    );
}

/// What Debian's binding python3-lxc does with the library of the packages.
const BINDING: &str = r#"
import lxc
assert lxc.version == "7.0.0", lxc.version
one = lxc.Container("rlxc-img-binding")
assert not one.defined
assert one.create("busybox"), one.state
assert one.defined and "rlxc-img-binding" in lxc.list_containers()
assert one.start() and one.wait("RUNNING", 10), one.state
said = one.attach_wait(lxc.attach_run_command, ["/bin/true"])
assert said == 0, said
assert one.freeze() and one.state == "FROZEN" and one.unfreeze()
assert one.get_config_item("lxc.uts.name") == "rlxc-img-binding"
copy = one.stop() and one.wait("STOPPED", 10) and one.clone("rlxc-img-binding2")
assert copy and copy.rename("rlxc-img-binding3")
for container in lxc.list_containers(as_object=True):
    assert container.destroy(), container.name
print("the binding is done")
"#;

/// The whole machine again, where nothing that is changed reaches the real one: run as a script in a
/// mount namespace whose root is an overlay.
fn in_overlay(scratch: &Scratch, script: &str) -> Output {
    let file = scratch.0.join("script");
    std::fs::write(&file, script).unwrap();
    std::fs::write(scratch.0.join("script.py"), BINDING).unwrap();
    let setup = format!(
        "set -e\n\
         mount -t tmpfs none {0}/ram\n\
         mkdir {0}/ram/upper {0}/ram/work {0}/ram/root\n\
         mount -t overlay -o lowerdir=/,upperdir={0}/ram/upper,workdir={0}/ram/work none {0}/ram/root\n\
         cd {0}/ram/root\n\
         mkdir -p packages\n\
         mount --bind {0}/debs packages\n\
         cp {0}/script {0}/script.py .\n\
         mount --rbind /proc proc\n\
         mount --rbind /sys sys\n\
         mount --rbind /dev dev\n\
         for dir in run tmp var/lib/lxc var/cache/lxc var/log/lxc; do mkdir -p $dir; mount -t tmpfs none $dir; done\n\
         exec chroot . /bin/sh /script\n",
        scratch.0.display()
    );
    std::fs::create_dir(scratch.0.join("ram")).unwrap();
    Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "/bin/sh",
            "-c",
            &setup,
        ])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap()
}

#[test]
fn packages_take_lxc_s_place_and_a_container_lives_by_them() {
    let programs = ["/usr/bin/apt-get", "/usr/bin/unshare", "/bin/busybox"];
    if !ready(true, &programs) {
        return;
    }
    let scratch = Scratch::new("deb");
    let debs = scratch.0.join("debs");
    let made = ok(&xtask(&["deb", "--out", debs.to_str().unwrap()]));
    assert_eq!(
        made.lines().filter(|line| line.ends_with(".deb")).count(),
        3,
        "{made}"
    );
    let before = std::fs::read("/var/lib/dpkg/status").unwrap();
    let script = "set -ex
        export DEBIAN_FRONTEND=noninteractive
        apt-get -y -q -o APT::Sandbox::User=root --no-install-recommends install /packages/*.deb
        dpkg --status rlxc librlxc1 rlxc-dev | grep '^Status'
        ! dpkg-query --status lxc 2>/dev/null | grep -q 'ok installed'
        test \"$(lxc-ls --version)\" = 7.0.0
        test \"$(readlink -f /usr/bin/lxc-start)\" = /usr/bin/rlxc
        test -u /usr/libexec/lxc/lxc-user-nic
        ldconfig -p | grep -q 'liblxc.so.1 '
        printf 'lxc.net.0.type = empty\\n' > /etc/lxc/default.conf
        if [ -e /usr/lib/python3/dist-packages/lxc/__init__.py ]; then
            /usr/bin/python3 /script.py
        fi
        if command -v gcc; then
            echo '#include <lxc/lxccontainer.h>
            int main(void) { return lxc_get_version()[0] != 55; }' > /tmp/version.c
            gcc -o /tmp/version /tmp/version.c -llxc
            /tmp/version
        fi
        lxc-create -n rlxc-img-life -t busybox
        grep -q 'lxc.include = /usr/share/lxc/config/common.conf' /var/lib/lxc/rlxc-img-life/config
        mkdir /tmp/bare && cp /usr/sbin/init.lxc.static /tmp/bare/init
        printf 'lxc.net.0.type = empty\\nlxc.rootfs.path = dir:/tmp/bare\\n' > /tmp/bare.conf
        test \"$(lxc-execute -n rlxc-img-bare -f /tmp/bare.conf -- /init -n x -- /init --version)\" = 7.0.0
        rlxc config check /var/lib/lxc/rlxc-img-life/config
        lxc-start -n rlxc-img-life
        lxc-wait -n rlxc-img-life -s RUNNING -t 5
        test \"$(lxc-attach -n rlxc-img-life -- /bin/hostname)\" = rlxc-img-life
        test \"$(lxc-ls --running -1)\" = rlxc-img-life
        lxc-stop -n rlxc-img-life -t 20
        echo 'lxc.start.auto = 1' >> /var/lib/lxc/rlxc-img-life/config
        /usr/libexec/lxc/lxc-containers start
        test \"$(lxc-ls --running -1)\" = rlxc-img-life
        /usr/libexec/lxc/lxc-containers stop
        test -z \"$(lxc-ls --running)\"
        ! /usr/libexec/lxc/lxc-containers frobnicate
        /usr/libexec/lxc/lxc-apparmor-load
        if command -v systemd-analyze; then
            systemd-analyze verify --man=no /usr/lib/systemd/system/lxc.service \
                /usr/lib/systemd/system/lxc-net.service /usr/lib/systemd/system/lxc@one.service \
                /usr/lib/systemd/system/lxc-monitord.service
        fi
        lxc-copy -n rlxc-img-life -N rlxc-img-two
        grep -q rlxc-img-two /var/lib/lxc/rlxc-img-two/rootfs/etc/hosts
        lxc-destroy -n rlxc-img-two
        lxc-destroy -n rlxc-img-life
        test -z \"$(lxc-ls)\"
        echo the life is over
        # Bindings and daemons that others have installed need a library: with it they would go.
        dpkg --force-depends --purge rlxc-dev rlxc librlxc1
        ! test -e /usr/bin/rlxc
        ! test -e /usr/libexec/rlxc
        ! test -e /usr/share/lxc
        ! test -e /etc/apparmor.d/lxc
        ls /usr/bin/lxc-* 2>/dev/null && exit 1
        echo nothing is left";
    let said = ok(&in_overlay(&scratch, script));
    let binding = Path::new("/usr/lib/python3/dist-packages/lxc/__init__.py").exists();
    assert_eq!(said.contains("the binding is done"), binding, "{said}");
    assert!(
        said.contains("the life is over") && said.contains("nothing is left"),
        "{said}"
    );
    assert!(
        std::fs::read("/var/lib/dpkg/status").unwrap() == before,
        "the machine was changed"
    );
}

#[test]
fn the_selinux_policy_compiles() {
    let makefile = Path::new("/usr/share/selinux/devel/Makefile");
    if !makefile.exists() {
        println!(
            "skipped: {} (package selinux-policy-dev)",
            makefile.display()
        );
        return;
    }
    let scratch = Scratch::new("selinux");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/selinux");
    for name in ["lxc.te", "lxc.if"] {
        std::fs::copy(source.join(name), scratch.0.join(name)).unwrap();
    }
    let made = Command::new("make")
        .arg("-f")
        .arg(makefile)
        .arg("lxc.pp")
        .current_dir(&scratch.0)
        .output()
        .unwrap();
    ok(&made);
    assert!(scratch.0.join("lxc.pp").exists());
}

#[test]
fn the_apparmor_profiles_compile() {
    let parser = ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"];
    let Some(parser) = parser.iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: apparmor_parser (package apparmor)");
        return;
    };
    let scratch = Scratch::new("apparmor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/apparmor");
    let copy = |from: &Path, to: PathBuf| {
        ok(&Command::new("cp")
            .arg("-r")
            .arg(from)
            .arg(to)
            .output()
            .unwrap());
    };
    for name in ["tunables", "abstractions"] {
        copy(
            &Path::new("/etc/apparmor.d").join(name),
            scratch.0.join(name),
        );
    }
    let _ = std::fs::remove_dir_all(scratch.0.join("abstractions/lxc"));
    copy(
        &source.join("abstractions"),
        scratch.0.join("abstractions/lxc"),
    );
    copy(&source.join("lxc"), scratch.0.join("lxc"));
    copy(
        &source.join("lxc-containers"),
        scratch.0.join("lxc-containers"),
    );
    let compiled = Command::new(parser)
        .args(["--skip-kernel-load", "--skip-cache", "--names", "--base"])
        .arg(&scratch.0)
        .arg("-I")
        .arg(&scratch.0)
        .arg(scratch.0.join("lxc-containers"))
        .output()
        .unwrap();
    let said = ok(&compiled);
    for name in ["", "-cgns", "-with-mounting", "-with-nesting"] {
        let name = format!("lxc-container-default{name}");
        assert!(said.lines().any(|line| line == name), "{name} in {said}");
    }
}
