//! usernsexec and unshare as they are seen from inside, ours and (where it is installed) Debian's LXC's.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rlxc_namespace::{idmap, unshare as tool_unshare, usernsexec};

const NAME: &str = "usernsexec_and_unshare_agree_with_lxc";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: root is missing");
        return;
    }
    let dir = std::env::temp_dir().join(format!("rlxc-security-tools-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    delegate_in_private(&dir);
    usernsexec_cases(&dir);
    unshare_cases(&dir);
    failures_have_a_reason();
    fs::remove_dir_all(&dir).unwrap();
    println!("test {NAME} ... ok");
}

/// newuidmap wants a range for root: given to this process and its children only.
fn delegate_in_private(dir: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).unwrap();
    let file = dir.join("sub");
    fs::write(&file, "root:100000:65536\n").unwrap();
    for target in ["/etc/subuid", "/etc/subgid"] {
        if Path::new(target).exists() {
            mount(Some(&file), target, none, MsFlags::MS_BIND, none).unwrap();
        }
    }
}

const LOOK: &str = "id -u; id -g; id -G; cat /proc/self/uid_map /proc/self/gid_map; grep Cap /proc/self/status; \
                    hostname; ls /proc/self/ns | wc -l; exit 7";

fn usernsexec_cases(dir: &Path) {
    let cases: [(&[&str], bool); 4] = [
        (&["b:0:100000:65536"], false),
        (&["u:0:100000:10", "g:0:100000:20", "u:10:165535:1"], false),
        (&[], true),
        (&["b:0:100000:10"], true),
    ];
    for (maps, map_self) in cases {
        let mut peer: Vec<String> = maps
            .iter()
            .flat_map(|map| ["-m".to_owned(), (*map).to_owned()])
            .collect();
        if map_self {
            peer.push("-s".into());
        }
        let maps = maps
            .iter()
            .flat_map(|map| idmap::parse_argument(map).unwrap())
            .collect();
        let ours = observe(dir, |command| {
            usernsexec::run(
                &usernsexec::Options {
                    maps,
                    map_self,
                    command,
                    ..Default::default()
                },
                &|_| (),
            )
            .unwrap()
        });
        assert_eq!(ours.1, 7, "{ours:?}");
        compare("lxc-usernsexec", &peer, &ours);
    }
}

fn unshare_cases(dir: &Path) {
    for (namespaces, user, hostname) in [
        ("UTSNAME|PID|IPC", None, Some("inside")),
        ("USER|MOUNT", Some(5), None),
        ("USER", None, None),
        ("NETWORK|MOUNT", None, None),
    ] {
        let mut peer = vec!["-s".to_owned(), namespaces.to_owned()];
        peer.extend(
            user.iter()
                .flat_map(|uid: &u32| ["-u".to_owned(), uid.to_string()]),
        );
        peer.extend(
            hostname
                .iter()
                .flat_map(|name| ["-H".to_owned(), (*name).to_owned()]),
        );
        let ours = observe(dir, |command| {
            let options = tool_unshare::Options {
                namespaces: tool_unshare::parse_namespaces(namespaces).unwrap(),
                user,
                hostname: hostname.map(str::to_owned),
                command,
                ..Default::default()
            };
            tool_unshare::run(&options, &|_| (), |_, _| Ok(())).unwrap()
        });
        assert_eq!(ours.1, 7, "{ours:?}");
        compare("lxc-unshare", &peer, &ours);
    }
    let time = observe(dir, |_| {
        let options = tool_unshare::Options {
            namespaces: tool_unshare::parse_namespaces("TIME|MOUNT|PID").unwrap(),
            remount: true,
            command: [
                "sh",
                "-c",
                &format!(
                    "readlink /proc/self/ns/time >{}; exit $$",
                    dir.join("out").display()
                ),
            ]
            .map(OsString::from)
            .to_vec(),
            ..Default::default()
        };
        tool_unshare::run(&options, &|_| (), |_, _| Ok(())).unwrap()
    });
    let host = fs::read_link("/proc/self/ns/time").unwrap();
    assert!(
        time.0.starts_with("time:[") && time.0.trim() != host.to_str().unwrap(),
        "{time:?}"
    );
    assert_eq!(
        time.1, 1,
        "the command is pid 1 and /proc shows its pid namespace"
    );
}

/// What [`LOOK`] prints in the command that `run` starts, and the status.
fn observe(dir: &Path, run: impl FnOnce(Vec<OsString>) -> i32) -> (String, i32) {
    let out = dir.join("out");
    fs::write(&out, "").unwrap();
    // Opened by this process: the command inside may have no right to.
    let script = format!("exec 3>&1; ({LOOK}) >{}; exit $?", out.display());
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let status = run(["sh", "-c", &script].map(OsString::from).to_vec());
    (fs::read_to_string(&out).unwrap(), status)
}

fn compare(tool: &str, options: &[String], ours: &(String, i32)) {
    let peer = Command::new(tool)
        .args(options)
        .args(["--", "sh", "-c", LOOK])
        .stdin(Stdio::null())
        .output();
    match peer {
        // LXC 5.0.2's lxc-unshare loses the status of its command; 7.0.0's has it.
        Ok(peer) => assert_eq!(
            String::from_utf8_lossy(&peer.stdout),
            ours.0,
            "{tool} {options:?}"
        ),
        Err(_) => println!("skipped: {tool} is not installed ({options:?})"),
    }
}

fn failures_have_a_reason() {
    let maps = idmap::parse_argument("u:0:100000:10").unwrap();
    let twice = [maps.clone(), maps].concat();
    let error = usernsexec::run(
        &usernsexec::Options {
            maps: twice,
            ..Default::default()
        },
        &|_| (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
    let options = usernsexec::Options {
        maps: idmap::parse_argument("b:0:100000:10").unwrap(),
        command: vec!["/nonexistent".into()],
        ..Default::default()
    };
    assert_eq!(usernsexec::run(&options, &|_| ()).unwrap(), 127);
    let killed = usernsexec::Options {
        command: ["sh", "-c", "kill -9 $$"].map(OsString::from).to_vec(),
        ..options
    };
    assert_eq!(usernsexec::run(&killed, &|_| ()).unwrap(), 137);
}
