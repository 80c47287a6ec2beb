//! An image by hand: busybox and an init script.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host;

/// Ends on SIGPWR as an init should, and says something on the console.
const INIT: &str = "\
#!/bin/sh
trap 'exit 0' PWR
trap 'exit 0' INT
echo 'busybox is up' > /dev/console
while :; do
    sleep 1 &
    wait $!
done
";

/// Writes `bb.tar.gz` below `dir`.
pub(super) fn make(dir: &Path) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("the image: {e}");
    let tree = dir.join("image");
    let root = tree.join("rootfs");
    for folder in [
        "bin", "dev", "etc", "proc", "sys", "run", "tmp", "root", "sbin", "var/lib", "mnt",
    ] {
        fs::create_dir_all(root.join(folder)).map_err(failed)?;
    }
    let busybox = host::find_program("busybox").ok_or("busybox is missing")?;
    fs::copy(&busybox, root.join("bin/busybox")).map_err(failed)?;
    for name in [
        "sh", "head", "id", "cat", "sleep", "ls", "echo", "mount", "hostname", "kill", "stat",
        "ps", "test", "env", "reboot", "grep", "touch", "rm", "wc", "pwd", "true", "false",
        "mknod",
    ] {
        symlink("busybox", root.join("bin").join(name)).map_err(failed)?;
    }
    for (name, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nuser:x:1000:\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("sbin/init", INIT),
    ] {
        fs::write(root.join(name), text).map_err(failed)?;
    }
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("sbin/init"), mode).map_err(failed)?;
    let metadata = format!(
        "architecture: {}\ncreation_date: 1700000000\nproperties:\n  description: busybox\n  os: busybox\n",
        std::env::consts::ARCH
    );
    fs::write(tree.join("metadata.yaml"), metadata).map_err(failed)?;
    let image = dir.join("bb.tar.gz");
    host::run(
        Command::new("tar")
            .args(["--numeric-owner", "--owner=0", "--group=0", "-C"])
            .arg(&tree)
            .arg("-czf")
            .arg(&image)
            .args(["metadata.yaml", "rootfs"]),
    )?;
    Ok(image)
}
