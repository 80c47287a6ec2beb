//! The library as programs find it, and a place where they can do no harm.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder of this crate.
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the built programs and of the library.
pub(crate) fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().to_path_buf()
}

/// The shared library: built here, since a test target alone does not make it.
pub(crate) fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--workspace", "--bins", "--lib"]);
            assert!(cargo.status().unwrap().success());
            let library = built().join("liblxc.so");
            assert!(library.exists());
            library
        })
        .clone()
}

/// A folder of its own with the library by its soname, by its name for the linker, and beside it the
/// programs that it starts. Removed with the value.
pub(crate) fn dropped_in(name: &str) -> Place {
    let library = library();
    let place = Place::new_in(&built(), &format!("drop-{name}"));
    let put = |from: &Path, to: &str| {
        let to = place.join(to);
        std::fs::hard_link(from, &to)
            .or_else(|_| std::fs::copy(from, &to).map(drop))
            .unwrap();
    };
    put(&library, "liblxc.so.1");
    std::os::unix::fs::symlink("liblxc.so.1", place.join("liblxc.so")).unwrap();
    for program in ["rlxc-monitor", "rlxc-worker"] {
        put(&built().join(program), program);
    }
    place
}

/// A directory that is removed when the test ends, however it ends.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), name)
    }

    fn new_in(parent: &Path, name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("rlxc-lib-{name}-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a test needs of the machine; the answer is printed as the reason for skipping it.
pub(crate) fn lacks(root: bool, files: &[(&str, &str)]) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if root && !is_root {
        println!("skipped: root");
        return true;
    }
    for (file, package) in files {
        if !Path::new(file).exists() {
            println!("skipped: {file} (package {package})");
            return true;
        }
    }
    false
}

/// A C program of `tests/c`, compiled against our headers and linked to the library in `drop`.
pub(crate) fn compile(source: &str, drop: &Place, flags: &[&str]) -> PathBuf {
    let program = drop.join(source.trim_end_matches(".c"));
    let output = Command::new("gcc")
        .args(["-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(here().join("include"))
        .args(flags)
        .arg(here().join("tests/c").join(source))
        .arg("-L")
        .arg(drop.path())
        .args(["-llxc", "-lpthread"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    program
}

/// A command in mount, network and pid namespaces of its own, which end with it: containers that a
/// failed program leaves are killed. `/var/lib/lxc`, `/var/log/lxc`, `/run/lxc` and `/etc/lxc` are
/// empty but for a default configuration; the bridge lxcbr0 is there.
pub(crate) fn sandboxed(drop: &Place, program: impl AsRef<std::ffi::OsStr>) -> Command {
    const SETUP: &str = "\
set -e
for dir in /var/lib/lxc /var/log/lxc /run/lxc /etc/lxc; do
    mkdir -p $dir
    mount -t tmpfs -o mode=755 rlxc-lib $dir
done
# Which links there are, other programs read in sysfs.
mkdir /run/lxc/sys && mount -t sysfs sysfs /run/lxc/sys
mount --bind /run/lxc/sys/devices/virtual/net /sys/devices/virtual/net
mount --bind /run/lxc/sys/class/net /sys/class/net
ip link set lo up
ip link add lxcbr0 type bridge 2>/dev/null && ip addr add 10.0.3.1/24 dev lxcbr0 && ip link set lxcbr0 up || :
echo 'lxc.net.0.type = empty' > /etc/lxc/default.conf
exec \"$@\"
";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "-p", "-f", "-n", "--kill-child", "--mount-proc"])
        .args(["--propagation", "private", "sh", "-c", SETUP, "sh"])
        .arg(program)
        // What a client writes by a relative or broken path goes with the folder.
        .current_dir(drop.path())
        .env("LD_LIBRARY_PATH", drop.path());
    command
}

/// All that a program said.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Prints a program's lines about what it could not do here.
pub(crate) fn pass_on_skips(said: &str) {
    for line in said.lines().filter(|line| line.starts_with("skipped: ")) {
        println!("{line}");
    }
}
