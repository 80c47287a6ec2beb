//! On the machine's own cgroups, as root.
#![allow(missing_docs, clippy::unwrap_used, clippy::zombie_processes)]

use std::process::{Child, Command};
use std::time::Duration;

use rlxc_cgroup::{Cgroups, Layout, Mode, Request};

const WAIT: Duration = Duration::from_secs(5);

fn made(name: &str) -> Option<Cgroups> {
    let layout = Layout::detect().unwrap();
    if !nix::unistd::geteuid().is_root() || layout.mode == Mode::None {
        println!("skipped: root and mounted cgroups");
        return None;
    }
    let request = Request {
        name: format!("rlxc-cgroup-{name}"),
        // A parent of each test's own, so that removing it disturbs no other.
        dir: Some(format!(
            "rlxc-cgroup-test-{}",
            name.trim_end_matches(|c: char| c.is_ascii_digit())
        )),
        ..Request::default()
    };
    let mut cgroups = Cgroups::create_monitor(&layout, &request).unwrap();
    cgroups.create_payload().unwrap();
    cgroups.create_inner().unwrap();
    Some(cgroups)
}

fn end(cgroups: &mut Cgroups) {
    cgroups.destroy_payload(WAIT).unwrap();
    let monitors: Vec<_> = cgroups
        .trees
        .iter_mut()
        .filter_map(|t| t.monitor.take())
        .collect();
    for dir in monitors {
        std::fs::remove_dir(&dir).unwrap();
        // Several threads share the parent of the cycles, which that test removes itself.
        let parent = dir.parent().unwrap();
        if !parent.ends_with("rlxc-cgroup-test-cycle") {
            // Fails while a second container of the same test is there, which removes it then.
            let _ = std::fs::remove_dir(parent);
        }
    }
}

fn sleeper() -> Child {
    Command::new("sleep").arg("60").spawn().unwrap()
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
fn a_process_enters_is_limited_frozen_thawed_killed_and_nothing_is_left() {
    let Some(mut cgroups) = made("life") else {
        return;
    };
    let mut child = sleeper();
    cgroups.enter_payload(pid(&child)).unwrap();
    let limit = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let v1 = [
        limit("memory.limit_in_bytes", "67108864"),
        limit("pids.max", "17"),
    ];
    let v2 = [limit("memory.max", "67108864"), limit("pids.max", "17")];
    cgroups.apply_limits(&v1, &v2).unwrap();
    assert_eq!(cgroups.get("pids.max").unwrap(), "17");
    let list = [
        limit("devices.deny", "a"),
        limit("devices.allow", "c 1:3 rwm"),
    ];
    cgroups.attach_devices(&list, &list).unwrap();
    cgroups.add_device(true, "c 1:5 r").unwrap();
    let stats = cgroups.stats();
    assert_eq!(stats.pids, Some(1));
    assert!(stats.cpu_ns.is_some() && stats.memory.is_some());
    cgroups.freeze(Some(WAIT)).unwrap();
    cgroups.unfreeze(Some(WAIT)).unwrap();
    cgroups.kill();
    child.wait().unwrap();
    cgroups.wait_empty(WAIT).unwrap();
    end(&mut cgroups);
}

#[test]
fn a_taken_name_gets_the_next_suffix_in_all_hierarchies() {
    let Some(mut first) = made("clash") else {
        return;
    };
    let mut second = made("clash").unwrap();
    for tree in &second.trees {
        assert!(
            tree.payload
                .as_ref()
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("clash-1")
        );
    }
    end(&mut second);
    end(&mut first);
}

#[test]
fn a_refused_value_is_shown_with_file_value_and_errno() {
    let Some(mut cgroups) = made("refused") else {
        return;
    };
    let error = cgroups.set("pids.max", "many").unwrap_err();
    assert_eq!(error.errno(), Some(nix::errno::Errno::EINVAL as i32));
    assert!(error.to_string().contains("pids.max") && error.to_string().contains("many"));
    assert!(cgroups.get("pids.max/../../x").is_err());
    assert!(cgroups.get("nothing.max").is_err());
    end(&mut cgroups);
    assert!(cgroups.get("pids.max").is_err());
}

#[test]
fn many_cycles_alone_and_side_by_side_leave_nothing() {
    let threads: Vec<_> = (0..50)
        .map(|n| {
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let Some(mut cgroups) = made(&format!("cycle{}", n % 20)) else {
                        return;
                    };
                    end(&mut cgroups);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let Some(mut last) = made("cycle") else {
        return;
    };
    let parents: Vec<_> = last
        .trees
        .iter()
        .filter_map(|t| t.monitor.clone())
        .collect();
    end(&mut last);
    for monitor in parents {
        // Not empty: a container of this test was left.
        std::fs::remove_dir(monitor.parent().unwrap()).unwrap();
    }
}

/// Exit success of a process that opens `/dev/zero` for reading after it has entered.
fn opens_zero(cgroups: &Cgroups) -> bool {
    let script = "read go; : < /dev/zero";
    let stdin = std::process::Stdio::piped();
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stdin(stdin)
        .spawn()
        .unwrap();
    cgroups.enter_payload(pid(&child)).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap().success()
}

#[test]
fn the_device_program_denies_an_open_and_is_replaced_live() {
    use rlxc_cgroup::Version;
    use rlxc_cgroup::devices::{Rule, Rules};
    let Some(mut cgroups) = made("bpf") else {
        return;
    };
    let tree = cgroups.trees.iter().find(|t| t.version == Version::V2);
    if let Some(dir) = tree.and_then(|t| t.payload.clone()) {
        let dir = std::fs::File::open(dir).unwrap();
        let mut rules = Rules::default();
        rules.add(Rule::parse(false, "a").unwrap());
        rules.add(Rule::parse(true, "c 1:3 rwm").unwrap());
        let first = rlxc_sys::bpf::load_device_program(&rules.program()).unwrap();
        rlxc_sys::bpf::attach_device_program(&dir, &first, None).unwrap();
        assert!(!opens_zero(&cgroups));
        let query = || rlxc_sys::bpf::query_device_programs(&dir).unwrap();
        let before = query();
        assert_eq!(before.len(), 1);
        rules.add(Rule::parse(true, "c 1:5 r").unwrap());
        let second = rlxc_sys::bpf::load_device_program(&rules.program()).unwrap();
        rlxc_sys::bpf::attach_device_program(&dir, &second, Some(&first)).unwrap();
        assert!(opens_zero(&cgroups));
        let after = query();
        assert!(after.len() == 1 && after != before);
    } else {
        println!("skipped: a cgroup2 hierarchy");
    }
    end(&mut cgroups);
}
