//! The hooks that are installed, called as LXC calls hooks; where LXC's own are here, both are given
//! the same and do the same.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Scratch, is_root, ok, program, text};

const PEERS: &str = "/usr/share/lxc/hooks";

/// Variables of an environment.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A hook as it is installed, with its directories put in.
fn hook(scratch: &Scratch, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/hooks");
    let libexec = scratch.path("libexec");
    let image = libexec.join("rlxc/rlxc-image");
    if !image.exists() {
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        symlink(env!("CARGO_BIN_EXE_rlxc-image"), &image).unwrap();
    }
    let text = std::fs::read_to_string(source.join(name)).unwrap();
    let text = text
        .replace("@LIBEXECDIR@", libexec.to_str().unwrap())
        .replace("@DATADIR@", "/nowhere")
        .replace("@SYSCONFDIR@", "/nowhere");
    let file = scratch.write(&format!("hooks/{name}"), text);
    executable(&file);
    file
}

fn executable(file: &Path) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A program that writes down its words, one a line.
fn recorder(scratch: &Scratch, name: &str) -> (String, PathBuf) {
    let log = scratch.path("called");
    let body = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {}\n", log.display());
    executable(&scratch.write(&format!("programs/{name}"), body));
    let path = scratch.path("programs");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", path.display());
    (path, log)
}

/// Runs a command that says `ready` in its new user namespace and goes on when a line comes.
fn in_mapped_namespace(command: &mut Command) -> Output {
    let piped = std::process::Stdio::piped;
    let mut child = command
        .stdin(piped())
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    for map in ["uid_map", "gid_map"] {
        let file = format!("/proc/{}/{map}", child.id());
        std::fs::write(file, "0 100000 1000\n").unwrap();
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn nvidia_asks_for_what_the_variables_say() {
    let Some(unshare) = program("unshare") else {
        return;
    };
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let (path, log) = recorder(&scratch, "nvidia-container-cli");
    let ours = hook(&scratch, "nvidia");
    let run = |hook: &Path, words: &[&str], variables: Variables<'_>| -> (Output, String) {
        let _ = std::fs::remove_file(&log);
        std::fs::write(&log, "").unwrap();
        let mut command = Command::new(&unshare);
        let wait = "echo ready; read -r _; exec \"$0\" \"$@\"";
        command
            .args(["--user", "--", "sh", "-c", wait])
            .arg(hook)
            .args(words)
            .args(["c1", "lxc", "mount"])
            .env_clear()
            .env("PATH", &path)
            .env("LXC_ROOTFS_MOUNT", "/mounted")
            .env("LXC_ROOTFS_PATH", "dir:/nowhere/rootfs")
            .env("LXC_LOG_LEVEL", "ERROR")
            .envs(variables.iter().copied());
        let output = in_mapped_namespace(&mut command);
        (output, std::fs::read_to_string(&log).unwrap())
    };
    let peer = Path::new(PEERS).join("nvidia");
    let all: [(&[&str], Variables<'_>); 8] = [
        (&[], &[]),
        (&[], &[("NVIDIA_VISIBLE_DEVICES", "void")]),
        (&[], &[("NVIDIA_VISIBLE_DEVICES", "none")]),
        (
            &[],
            &[
                ("NVIDIA_VISIBLE_DEVICES", "0,1"),
                ("NVIDIA_DRIVER_CAPABILITIES", "compute,video"),
            ],
        ),
        (&[], &[("CUDA_VERSION", "11.2.1")]),
        (
            &[],
            &[
                ("NVIDIA_VISIBLE_DEVICES", "all"),
                ("NVIDIA_DRIVER_CAPABILITIES", "all"),
                ("NVIDIA_REQUIRE_CUDA", "cuda>=9.0 brand=tesla"),
            ],
        ),
        (
            &[
                "--disable-require",
                "--ldcache=/l",
                "--root",
                "/r",
                "--ldconfig=@/x",
            ],
            &[("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_REQUIRE_X", "y")],
        ),
        (
            &[],
            &[
                ("NVIDIA_VISIBLE_DEVICES", "all"),
                ("NVIDIA_DISABLE_REQUIRE", "t"),
                ("NVIDIA_REQUIRE_X", "y"),
            ],
        ),
    ];
    for (words, variables) in all {
        let (output, called) = run(&ours, words, variables);
        ok(&output);
        if peer.exists() {
            let (output, theirs) = run(&peer, words, variables);
            ok(&output);
            assert_eq!(called, theirs, "{words:?} {variables:?}");
        }
    }
    let (output, called) = run(&ours, &[], &[("NVIDIA_VISIBLE_DEVICES", "0")]);
    ok(&output);
    assert!(
        called.contains("--user\nconfigure\n--no-cgroups\n"),
        "{called}"
    );
    assert!(
        called.ends_with("--device=0\n--utility\n/mounted\n"),
        "{called}"
    );
    let refused = [
        ("NVIDIA_VISIBLE_DEVICES", "0"),
        ("NVIDIA_DRIVER_CAPABILITIES", "fly"),
    ];
    let (output, called) = run(&ours, &[], &refused);
    assert!(
        !output.status.success() && called.is_empty(),
        "{}",
        text(&output)
    );
    // Without id maps nothing is done.
    let output = Command::new(&ours)
        .args(["c1", "lxc", "mount"])
        .env("PATH", &path)
        .env("LXC_ROOTFS_MOUNT", "/mounted")
        .env("LXC_ROOTFS_PATH", "dir:/nowhere/rootfs")
        .env("NVIDIA_VISIBLE_DEVICES", "all")
        .output()
        .unwrap();
    let said = text(&output);
    assert!(
        !output.status.success() && said.contains("lxc.idmap"),
        "{said}"
    );
}

#[test]
fn a_copied_cloud_image_is_another_instance() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let ours = hook(&scratch, "ubuntu-cloud-prep");
    let key = scratch.write("key", "ssh-ed25519 AAAA one\n\nssh-ed25519 BBBB two\n");
    let data = scratch.write("data", "#cloud-config\nruncmd: [ls]\n");
    let run = |hook: &Path, root: &Path, words: &[&str]| {
        Command::new(hook)
            .args(["copy", "lxc", "clone"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LXC_ROOTFS_MOUNT", root)
            .env("LXC_ROOTFS_PATH", format!("dir:{}", root.display()))
            .env("LXC_NAME", "copy")
            .env("LXC_SRC_NAME", "original")
            .output()
            .unwrap()
    };
    let root = |name: &str| {
        let dir = scratch.path(name);
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        dir
    };
    let words = [
        "--nolocales=yes",
        "--hostid",
        "x1",
        "--auth-key",
        key.to_str().unwrap(),
        "--userdata",
        data.to_str().unwrap(),
    ];
    let mine = root("mine");
    ok(&run(&ours, &mine, &words));
    let seed = "var/lib/cloud/seed/nocloud-net";
    let read = |root: &Path, name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read(&mine, "etc/hostname"), "copy\n");
    let meta = read(&mine, &format!("{seed}/meta-data"));
    assert!(meta.starts_with("instance-id: lxc-x1\nlocal-hostname: copy\npublic-keys:\n- ssh-"));
    let peer = Path::new(PEERS).join("ubuntu-cloud-prep");
    if peer.exists() {
        let theirs = root("theirs");
        ok(&run(&peer, &theirs, &words));
        for name in [
            "etc/hostname",
            &format!("{seed}/meta-data"),
            &format!("{seed}/user-data"),
        ] {
            assert_eq!(read(&mine, name), read(&theirs, name), "{name}");
        }
    }
    // Each copy gets an id of its own; no password is set.
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let root = root(name);
        ok(&run(&ours, &root, &["-L"]));
        ids.push(read(&root, &format!("{seed}/meta-data")));
        assert!(!read(&root, &format!("{seed}/user-data")).contains("password"));
    }
    assert_ne!(ids[0], ids[1]);
    // Links of the image lead to nothing outside; what is made belongs to the container's root.
    let hostile = root("hostile");
    let outside = scratch.path("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink("/../../outside", hostile.join("var")).unwrap();
    symlink(outside.join("hostname"), hostile.join("etc/hostname")).unwrap();
    std::os::unix::fs::chown(hostile.join("etc"), Some(100_000), Some(100_000)).unwrap();
    let _ = run(&ours, &hostile, &["-L"]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let file = hostile.join("etc/hostname").symlink_metadata().unwrap();
    assert!(file.is_file() && file.uid() == 100_000, "{file:?}");
}

#[test]
fn the_host_s_proxy_reaches_the_container_s_apt() {
    let Some(unshare) = program("unshare") else {
        return;
    };
    if !is_root() || !Path::new("/etc/apt/apt.conf.d").exists() {
        return;
    }
    let scratch = Scratch::new();
    let ours = hook(&scratch, "squid-deb-proxy-client");
    let setting = "Acquire::http::proxy \"http://[::1]:8000/\";\n";
    scratch.write("host/50squid-deb-proxy", setting);
    std::fs::create_dir_all(scratch.path("rootfs/etc/apt/apt.conf.d")).unwrap();
    let script = format!(
        "mount --bind {}/host /etc/apt/apt.conf.d && exec {} c1 lxc pre-start",
        scratch.0.display(),
        ours.display()
    );
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", &script])
        .env(
            "LXC_ROOTFS_PATH",
            format!("dir:{}/rootfs", scratch.0.display()),
        )
        .output()
        .unwrap();
    ok(&output);
    let file = scratch.path("rootfs/etc/apt/apt.conf.d/50squid-deb-proxy");
    assert_eq!(std::fs::read_to_string(file).unwrap(), setting);
}

#[test]
fn an_encrypted_root_file_system_is_mounted_with_its_signature() {
    let scratch = Scratch::new();
    let (path, log) = recorder(&scratch, "mount");
    let ours = hook(&scratch, "mountecryptfsroot");
    let run = |hook: &Path| {
        let _ = std::fs::remove_file(&log);
        let output = Command::new(hook)
            .args(["c1", "lxc", "pre-mount"])
            .env("PATH", &path)
            .env("LXC_ROOTFS_PATH", scratch.path("rootfs"))
            .env("LXC_CONFIG_FILE", scratch.path("config"))
            .output()
            .unwrap();
        let words = std::fs::read_to_string(&log).unwrap_or_default();
        let mut options: Vec<String> = words.split(['\n', ',']).map(str::to_owned).collect();
        options.sort();
        (output, options)
    };
    let (output, _) = run(&ours);
    assert!(!output.status.success() && text(&output).contains("sig"));
    scratch.write("sig", "0123456789abcdef\n");
    let (output, called) = run(&ours);
    ok(&output);
    assert!(
        called.contains(&"ecryptfs_sig=0123456789abcdef".to_owned()),
        "{called:?}"
    );
    let peer = Path::new(PEERS).join("mountecryptfsroot");
    if peer.exists() {
        let (output, theirs) = run(&peer);
        ok(&output);
        assert_eq!(called, theirs);
    }
    scratch.write("sig", "x,suid\n");
    assert!(!run(&ours).0.status.success());
}
