//! A root file system in a moment, without the template and its many processes.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

/// Applets that tests call inside.
const APPLETS: &[&str] = &[
    "sh", "sleep", "cat", "ls", "mkdir", "rmdir", "rm", "mknod", "mount", "umount", "hostname",
    "id", "echo", "grep", "dd", "head", "tail", "stat", "test", "true", "false", "kill", "ps",
    "wc", "cut", "touch", "sort", "find", "nproc", "env", "seq",
];

/// Makes a busybox root file system at `path`, owned by `owner`; its first process is to be
/// `/bin/sleep` or a shell (`lxc.init.cmd`).
///
/// # Errors
/// When a file cannot be made.
pub fn busybox(path: &Path, owner: u32) -> io::Result<()> {
    let own = |path: &Path| chown(path, Some(owner), Some(owner));
    for dir in [
        "", "bin", "etc", "proc", "sys", "dev", "tmp", "root", "run", "var",
    ] {
        let dir = path.join(dir);
        std::fs::create_dir_all(&dir)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        own(&dir)?;
    }
    let program = path.join("bin/busybox");
    std::fs::copy("/bin/busybox", &program)?;
    own(&program)?;
    for applet in APPLETS {
        symlink("busybox", path.join("bin").join(applet))?;
    }
    for link in ["sbin", "usr"] {
        symlink(if link == "usr" { "." } else { "bin" }, path.join(link))?;
    }
    std::fs::write(path.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(path.join("etc/group"), "root:x:0:\n")
}
