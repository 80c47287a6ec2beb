//! What goes wrong: no space, signals, backing files that vanish, trees that fight back. Afterwards there is the old
//! state or the new one, the original is whole, and everything can be removed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rlxc_tests::{bin_dir, ok, run, said};

use crate::host::{Host, Kind};

/// What a restore puts together says in the end where it will belong: in the container's own place. A
/// restore that ends just then must not take that for what is to be removed.
#[test]
fn what_a_restore_left_is_never_the_containers_own() {
    for kind in [Kind::Dir, Kind::Overlay] {
        let Some(host) = Host::new(kind) else {
            continue;
        };
        host.create("a");
        host.inside("a", "echo kept > /state");
        let dir = host.lxcpath().join("a");
        let left = dir.join("restore.new/a");
        assert!(std::fs::create_dir_all(&left).is_ok());
        assert!(std::fs::copy(dir.join("config"), left.join("config")).is_ok());
        assert_eq!(host.inside("a", "cat /state"), "kept\n");
        assert!(!host.has("a/restore.new"));
        ok(&host.rlxc("destroy", &["-n", "a"]));
    }
}

#[test]
fn a_signal_ends_a_copy_cleanly() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    host.enlarge("a", 4000);
    for signal in ["INT", "TERM"] {
        let mut command = host.command(bin_dir().join("rlxc"));
        command.args(["copy", "-P"]).arg(host.lxcpath());
        let child = command
            .args(["-n", "a", "-N", "b"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while !host.lxcpath().join("b/rootfs/many").exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = child.id().to_string();
        let _ = run(Command::new("kill").args([format!("-{signal}"), pid]));
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            // Too fast for the signal.
            ok(&host.rlxc("destroy", &["-n", "b"]));
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains("interrupted"), "{}", said(&output));
        assert!(!host.lxcpath().join("b").exists());
    }
}

#[test]
fn without_space_nothing_is_left_and_the_error_says_so() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    ok(&host.sh(&format!(
        "head -c 8M /dev/urandom > {}/a/rootfs/large",
        host.lxcpath().display()
    )));
    let before = host.sum("a/rootfs");
    // Another lxcpath on a file system that is too small, also for the images.
    let small = host.path("small");
    std::fs::create_dir(&small).unwrap();
    ok(&host.sh(&format!(
        "mount -t tmpfs -o size=6M none {}",
        small.display()
    )));
    let small = small.display().to_string();
    for extra in [&[][..], &["-B", "loop", "-L", "100M"]] {
        let args = [&["-n", "a", "-N", "b", "-p", &small], extra].concat();
        let output = host.rlxc("copy", &args);
        assert!(!output.status.success());
        let text = said(&output);
        assert!(
            text.contains("No space") || text.contains("space"),
            "{text}"
        );
        assert_eq!(ok(&host.sh(&format!("ls -A {small}"))), "", "{extra:?}");
    }
    // An image that is too small for what comes in.
    let output = host.rlxc("copy", &["-n", "a", "-N", "b", "-B", "loop", "-L", "6M"]);
    assert!(
        !output.status.success() && said(&output).contains("pace"),
        "{}",
        said(&output)
    );
    assert!(!host.has("b"));
    let mut command = host.command(bin_dir().join("rlxc"));
    let (template, file) = (host.path("template"), host.path("empty.conf"));
    command
        .args(["create", "-P", &small, "-n", "c", "-t"])
        .arg(template);
    command.arg("-f").arg(file);
    ok(&host.sh(&format!("head -c 5M /dev/zero > {small}/fill")));
    assert!(!run(&mut command).status.success());
    assert_eq!(ok(&host.sh(&format!("ls -A {small}"))), "fill\n");
    assert_eq!(host.sum("a/rootfs"), before);
}

/// Where copies share their file system with the original, which fills up.
#[test]
fn a_full_file_system_ends_each_operation_and_harms_nothing() {
    for kind in [Kind::Btrfs, Kind::Overlay] {
        let Some(host) = Host::new(kind) else {
            continue;
        };
        if kind == Kind::Overlay {
            // Not on the machine's own.
            let path = host.lxcpath().display().to_string();
            ok(&host.sh(&format!("mount -t tmpfs -o size=12M none {path}")));
        }
        host.create("a");
        let large = host.path("large").display().to_string();
        ok(&host.sh(&format!("head -c 4M /dev/urandom > {large}")));
        // A template that writes more than there is room for.
        let big = host.path("big").display().to_string();
        let text = format!(
            "{}\nfor n in 1 2 3 4 5 6 7 8; do cat {large} {large} > $r/large$n; done\n",
            crate::host::TEMPLATE
        );
        std::fs::write(&big, text).unwrap();
        ok(&host.sh(&format!("chmod 755 {big}")));
        let path = host.lxcpath().display().to_string();
        if kind == Kind::Btrfs {
            let fill = "head -c 600M /dev/zero > fill || true; sync; truncate -s -8M fill; sync";
            ok(&host.sh(&format!("cd {path}; {fill}")));
        }
        let mut args = host.create_args("b");
        args.iter_mut()
            .filter(|word| word.ends_with("/template"))
            .for_each(|word| word.clone_from(&big));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let full = host.rlxc("create", &args);
        assert!(!full.status.success() && !host.has("b"), "{}", said(&full));
        // A copy file by file.
        ok(&host.sh(&format!(
            "rm -f {path}/fill; sync; cat {large} > {path}/one"
        )));
        let inner = match kind {
            Kind::Overlay => "overlay/delta",
            _ => "rootfs",
        };
        ok(&host.sh(&format!("mv {path}/one {path}/a/{inner}/one")));
        if kind == Kind::Btrfs {
            let fill = "head -c 600M /dev/zero > fill || true; sync; truncate -s -3M fill; sync";
            ok(&host.sh(&format!("cd {path}; {fill}")));
        } else {
            ok(&host.sh(&format!("cd {path}; head -c 3M /dev/zero > fill")));
        }
        let to = match kind {
            // Reflinks would need no room.
            Kind::Btrfs => &["-B", "loop", "-L", "60M"][..],
            _ => &[],
        };
        let copy = host.rlxc("copy", &[&["-n", "a", "-N", "b"][..], to].concat());
        assert!(!copy.status.success() && !host.has("b"), "{}", said(&copy));
        assert!(said(&copy).contains("pace"), "{}", said(&copy));
        ok(&host.sh(&format!("cmp {large} {path}/a/{inner}/one; rm {path}/fill")));
        assert_eq!(host.inside("a", "cat /file"), "one\n");
        ok(&host.rlxc("destroy", &["-n", "a"]));
        assert_eq!(ok(&host.sh(&format!("ls -A {path}"))), "");
    }
}

#[test]
fn a_backing_file_that_vanished_can_still_be_destroyed() {
    for kind in [Kind::Loop, Kind::Btrfs, Kind::Dir] {
        let Some(host) = Host::new(kind) else {
            continue;
        };
        host.create("a");
        ok(&host.sh(&format!(
            "cd {}/a; rm -rf rootdev rootfs/*; rmdir rootfs",
            host.lxcpath().display()
        )));
        let start = host.rlxc("start", &["-n", "a"]);
        assert!(!start.status.success());
        let copy = host.rlxc("copy", &["-n", "a", "-N", "b"]);
        assert!(!copy.status.success() && !host.has("b"), "{}", said(&copy));
        ok(&host.rlxc("destroy", &["-n", "a"]));
        assert!(!host.has("a"));
    }
}

#[test]
fn a_directory_that_was_there_before_survives_a_failed_create() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    let own = host.path("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("precious"), "x").unwrap();
    let (file, dir) = (host.path("empty.conf"), own.display().to_string());
    let file = file.display().to_string();
    let args = ["-n", "a", "-f", &file, "-t", "/bin/false", "--dir", &dir];
    assert!(!host.rlxc("create", &args).status.success());
    assert!(own.join("precious").exists() && !host.has("a"));
}

#[test]
fn trees_that_change_under_a_copy_do_not_lead_it_astray() {
    let Some(host) = Host::new(Kind::Dir) else {
        return;
    };
    host.create("a");
    host.enlarge("a", 300);
    let secret = host.path("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("outside"), "x").unwrap();
    // A directory and a link to the outside change places all the time.
    let racer = format!(
        "cd {}/a/rootfs/many; mkdir swap; echo in > swap/f; ln -s {} link; end=$(($(date +%s)+4))
         while [ $(date +%s) -lt $end ]; do mv swap t; mv -T link swap; mv -T swap link; mv t swap; done",
        host.lxcpath().display(),
        secret.display()
    );
    let mut racing = host
        .command("/bin/sh")
        .args(["-c", &racer])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        // It may fail: what was seen is gone. It may not follow.
        if host.rlxc("copy", &["-n", "a", "-N", "b"]).status.success() {
            let found = host.sh(&format!(
                "find {}/b -name outside",
                host.lxcpath().display()
            ));
            assert_eq!(ok(&found), "");
            ok(&host.rlxc("destroy", &["-n", "b"]));
        }
        assert!(secret.join("outside").exists());
    }
    let _ = racing.kill();
    let _ = racing.wait();
    assert!(Path::new(&secret).join("outside").exists());
}
