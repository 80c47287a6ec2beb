//! What a container writes down about itself, and how two such texts differ.

use std::collections::BTreeSet;
use std::fs;

/// What the container writes down, in sections.
pub const LOOK: &str = r#"
s() { echo "== $1"; }
s mounts; cat /proc/self/mountinfo
s status; grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups|Uid|Gid|SigBlk|SigIgn|SigCgt|Umask)' /proc/1/status
s limits; cat /proc/self/limits
s maps; cat /proc/self/uid_map; echo -; cat /proc/self/gid_map; cat /proc/self/setgroups
s dev; ls -ln /dev
s pts; ls -ln /dev/pts
s environment; env | sort
s cgroup; cat /proc/self/cgroup
s namespaces; for n in user mnt pid uts ipc net cgroup time; do readlink /proc/self/ns/$n; done
s fds; for n in 0 1 2; do readlink /proc/1/fd/$n; done
s self; id; hostname; pwd; umask; cat /proc/1/comm /proc/1/oom_score_adj /proc/1/personality /proc/self/timens_offsets; echo pid $$
s sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/domainname
s links; ls /sys/class/net
s session; cut -d' ' -f5-8 /proc/1/stat
s devices; for d in null full zero random urandom tty; do test -c /dev/$d || echo no $d; done
test -c /dev/full && echo x >/dev/full; for d in zero random urandom; do test -c /dev/$d && head -c2 /dev/$d | wc -c; done; test -c /dev/tty && : </dev/tty
s written; echo 1 >/proc/sys/kernel/domainname; echo 1 >/sys/kernel/uevent_seqnum; touch /sys/x /proc/x /x && rm /x; : >/proc/sysrq-trigger
s privileges; unshare -n true && echo net; unshare -U true && echo user; chroot / true && echo chroot; renice -n -1 $$ && echo nice
ulimit -n 5000; ulimit -n; insmod /nothing.ko; dmesg 2>&1 | head -n1 | tr -d '0-9[]' | cut -c1-9; mount -o remount,rw /proc/sys; mount -t proc p /mnt && umount /mnt
s calls; mknod /tmp/n c 1 3; rm -f /tmp/n; mount -t tmpfs none /mnt && umount /mnt; umount -f /nonexistent; chown 5 /tmp; chown 0 /tmp; hostname newname; hostname
"#;

/// (section, line) in a form that does not depend on ids and times.
fn normalised(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            name.clone_into(&mut section);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = match section.as_str() {
            "mounts" => mount_line(&words),
            // mode, owner, group, numbers or size, and the name with a link's target; no time
            "dev" | "pts" if words.len() > 8 => {
                let size = if line.starts_with('c') {
                    [words[4], words[5]].join(" ")
                } else {
                    String::new()
                };
                let names = words
                    .iter()
                    .skip(words.len() - if line.contains("->") { 3 } else { 1 });
                format!(
                    "{} {} {} {size} {}",
                    words[0],
                    words[2],
                    words[3],
                    names.copied().collect::<Vec<_>>().join(" ")
                )
            }
            "dev" | "pts" => continue,
            "namespaces" => namespace(line),
            "status" if words.first() == Some(&"SigIgn:") => ignored(words[1]),
            _ => words.join(" "),
        };
        lines.push((section.clone(), line));
    }
    lines
}

/// root, mount point, options, propagation, type, super options
fn mount_line(words: &[&str]) -> String {
    let Some(dash) = words.iter().position(|word| *word == "-") else {
        return words.join(" ");
    };
    let propagation: Vec<&str> = words[6..dash]
        .iter()
        .map(|tag| tag.split(':').next().unwrap_or_default())
        .collect();
    // A pts number and a boot id's file say nothing.
    let root = if words[dash + 1] == "devpts" {
        ""
    } else {
        words[3]
    };
    format!(
        "{root} {} {} {} {}",
        words[4],
        words[5],
        propagation.join(","),
        words[dash + 1..].join(" ")
    )
}

/// The ignored signals but the two that the C library has for itself: posix_spawn(3) in the test's own library leaves them
/// ignored, and what LXC starts inherits that.
fn ignored(mask: &str) -> String {
    let mask = u64::from_str_radix(mask, 16).unwrap_or(u64::MAX);
    format!("SigIgn: {:016x}", mask & !(0b11 << 31))
}

fn namespace(link: &str) -> String {
    let kind = link.split(':').next().unwrap_or_default();
    let host = fs::read_link(format!("/proc/self/ns/{kind}"))
        .map(|path| path.to_string_lossy().into_owned());
    format!(
        "{kind} {}",
        if host.is_ok_and(|host| host == link) {
            "the host's"
        } else {
            "its own"
        }
    )
}

/// A difference that is meant: case (`*` = all), section, beginning of the lines, why.
pub type Explained = (&'static str, &'static str, &'static str, &'static str);

/// What only one of the two has seen, but for what is explained.
pub fn differences(case: &str, theirs: &str, ours: &str, explained: &[Explained]) -> Vec<String> {
    let explained = |(section, line): &&(String, String)| {
        explained.iter().any(|(of, part, begin, _)| {
            (*of == "*" || *of == case || case.strip_prefix("m-") == Some(*of))
                && part == section
                && line.starts_with(begin)
        })
    };
    let (theirs, ours) = (normalised(theirs), normalised(ours));
    let set = |lines: &[(String, String)]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let (their_set, our_set) = (set(&theirs), set(&ours));
    let only = |side: &str, lines: &[(String, String)], other: &BTreeSet<(String, String)>| {
        lines
            .iter()
            .filter(|line| !other.contains(*line) && !explained(line))
            .map(|(section, line)| format!("{case}: {section}: only {side}: {line}"))
            .collect::<Vec<_>>()
    };
    [
        only("LXC", &theirs, &our_set),
        only("we", &ours, &their_set),
    ]
    .concat()
}
