//! `rlxc snapshot diff` where times say nothing, and where the storage itself knows what was touched.

use rlxc_tests::ok;

use crate::host::{Host, Kind};

fn diff(host: &Host, name: &str) -> String {
    ok(&host.rlxc("snapshot", &["diff", name, "snap0"]))
}

/// Same size, same time, another text.
#[test]
fn a_change_within_one_tick_of_the_clock_shows() {
    for kind in [Kind::Dir, Kind::Overlay, Kind::Btrfs] {
        let Some(host) = Host::new(kind) else {
            continue;
        };
        host.create("a");
        ok(&host.rlxc("snapshot", &["-n", "a"]));
        let below = match kind {
            Kind::Overlay => "overlay/delta/file",
            _ => "rootfs/file",
        };
        let path = |container: &str| host.lxcpath().join(container).join(below);
        let (file, copy) = (path("a"), path("a/snaps/snap0"));
        if kind == Kind::Btrfs {
            let file = file.display();
            let script = format!(
                "cp -p {file} /t.$$; printf 'two\n' > {file}; touch -r /t.$$ {file}; rm /t.$$"
            );
            ok(&host.sh(&script));
        } else {
            // As if it had been written just before it was copied, and once more just after.
            std::fs::write(&file, "two\n").unwrap();
            let now = std::time::SystemTime::now();
            for path in [&copy, &file] {
                let opened = std::fs::File::options().write(true).open(path).unwrap();
                opened.set_modified(now).unwrap();
            }
        }
        assert_eq!(diff(&host, "a"), "~ /file\n", "{kind:?}");
        ok(&host.rlxc("destroy", &["-s", "-n", "a"]));
    }
}

/// Of btrfs subvolumes only what the file system has noted is looked at; with another subvolume within, everything.
#[test]
fn what_btrfs_has_noted_is_all_that_changed() {
    let Some(host) = Host::new(Kind::Btrfs) else {
        return;
    };
    host.create("a");
    let rootfs = host.lxcpath().join("a/rootfs").display().to_string();
    let script = "for d in 1 2 3 4 5 6; do mkdir -p d$d/e/f; for f in 1 2 3; do echo $f > d$d/e/f/$f; done; done
        ln d1/e/f/1 d2/e/linked; ln -s x d3/link; mkdir -p p/sub q/sub; echo p > p/sub/f; echo q > q/sub/f";
    ok(&host.sh(&format!("cd {rootfs}; {script}")));
    let steps = [
        // Nothing, a text by one of its names, a mode, an attribute of a deep file
        "true",
        "echo other > d1/e/f/1; chmod 600 d4/e/f/2",
        "setfattr -n user.x -v y d5/e/f/3 2>/dev/null || chmod 700 d5/e/f",
        // One directory takes another's place, with what is in it untouched
        "rm -r q; mv p q",
        "rm -r d6; mkdir d6; echo new > d6/file; mv d3/e d3/moved; ln -sf y d3/link",
        "rm d2/e/linked; mkfifo d2/e/linked; echo 1 > d2/e/f/2; touch -r d2/e/f/1 d2/e/f/2",
    ];
    for restored in [false, true] {
        ok(&host.rlxc("snapshot", &["-n", "a"]));
        for step in steps {
            ok(&host.sh(&format!("cd {rootfs}; {step}")));
            // A change in the snapshot counts too.
            ok(&host.sh(&format!(
                "cd {rootfs}/../snaps/snap0/rootfs; echo >> tmp/noted"
            )));
            let noted = diff(&host, "a");
            ok(&host.sh(&format!("btrfs -q subvolume create {rootfs}/zz")));
            let whole = diff(&host, "a").replace("+ /zz\n", "");
            ok(&host.sh(&format!("btrfs -q subvolume delete {rootfs}/zz")));
            assert_eq!(noted, whole, "{step}");
            assert!(noted.contains(" /tmp/noted\n"), "{noted}");
        }
        let all = diff(&host, "a");
        for line in [
            "~ /d1/e/f/1\n",
            "~ /q/sub/f\n",
            "- /p\n",
            "+ /d3/moved\n",
            "~ /d3/link\n",
        ] {
            assert!(all.contains(line), "no {line:?} in {all}");
        }
        ok(&host.rlxc("snapshot", &["-n", "a", "-r", "snap0"]));
        // The other way round: now the container is the snapshot's snapshot.
        let name = "~ /etc/hostname\n";
        assert_eq!(diff(&host, "a").replace(name, ""), "");
        if restored {
            ok(&host.sh(&format!("cd {rootfs}; echo z > d4/e/f/3; rm tmp/noted")));
            let seen = diff(&host, "a").replace(name, "");
            assert_eq!(seen, "~ /d4/e/f/3\n- /tmp/noted\n");
        }
        ok(&host.rlxc("snapshot", &["-n", "a", "-d", "ALL"]));
    }
    ok(&host.rlxc("destroy", &["-n", "a"]));
}
