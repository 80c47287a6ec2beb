//! The stop hook that empties a mount namespace.
#![allow(clippy::expect_used, missing_docs)]

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process in a mount namespace of its own with two mounts, one above the other, and one busy.
fn holder() -> Holder {
    let script = "mount -t tmpfs rlxc-img-one /mnt && mkdir '/mnt/a b' && \
        mount -t tmpfs rlxc-img-two '/mnt/a b' && mount -t tmpfs rlxc-img-three /srv && cd /srv && \
        echo ready && exec sleep 60";
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut ready = [0; 6];
    let output = child.stdout.as_mut().expect("its output");
    output.read_exact(&mut ready).expect("the mounts");
    Holder(child)
}

fn hook() -> Command {
    Command::new(env!("CARGO_BIN_EXE_unmount-namespace"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_not_busy_is_unmounted() {
    if std::fs::metadata("/proc/self").expect("/proc").uid() != 0 {
        println!("skipped: root (a mount namespace)");
        return;
    }
    for version in [0, 1] {
        let holder = holder();
        let namespace = format!("/proc/{}/ns/mnt", holder.0.id());
        let mut command = hook();
        match version {
            0 => command.args(["c1", "lxc", "stop", "pid:/x", &format!("mnt:{namespace}")]),
            _ => command.env("LXC_MNT_NS", &namespace),
        };
        let output = command.output().expect("the hook");
        assert!(output.status.success(), "{}", said(&output));
        let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", holder.0.id()));
        let table = table.expect("mountinfo");
        assert!(
            !table.contains("rlxc-img-one") && !table.contains("rlxc-img-two"),
            "{table}"
        );
        assert!(table.contains("rlxc-img-three"), "{table}");
        assert!(
            said(&output).contains("failed to unmount /srv"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn a_call_without_a_namespace_is_refused() {
    let output = hook()
        .args(["c1", "lxc", "stop"])
        .env_remove("LXC_MNT_NS")
        .output();
    let output = output.expect("the hook");
    assert!(
        !output.status.success() && said(&output).contains("usage"),
        "{}",
        said(&output)
    );
    let output = hook().args(["mnt:/no/such"]).output().expect("the hook");
    assert!(!output.status.success() && said(&output).contains("/no/such"));
}
