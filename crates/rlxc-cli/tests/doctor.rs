//! Set-ups that were broken on purpose: doctor finds each, and mends those it says it can.
//!
//! Each runs in a mount namespace of its own with a copy of /etc, so that nothing outside changes.

mod common;

use std::io;
use std::process::{Command, Stdio};

use common::{Place, RLXC, Said, missing};

/// A user of its own in the copy of /etc; everything is as it should be.
const WHOLE: &str = r#"
set -e
mount --make-rprivate /
mkdir -p $PLACE/etc $PLACE/home/.config/lxc $PLACE/home/.local/share/lxc
cp -a /etc/passwd /etc/group /etc/lxc $PLACE/etc/ 2>/dev/null || cp -a /etc/passwd /etc/group $PLACE/etc/
mkdir -p $PLACE/etc/lxc
for f in ld.so.cache nsswitch.conf mtab; do cp -a /etc/$f $PLACE/etc/ 2>/dev/null || true; done
mount --bind $PLACE/etc /etc
echo "rlxc-doc:x:61234:61234::$PLACE/home:/bin/sh" >> /etc/passwd
echo "rlxc-doc:x:61234:" >> /etc/group
echo "other:2000000:65536" > /etc/subuid
echo "other:2000000:65536" > /etc/subgid
echo "rlxc-doc:100000:65536" >> /etc/subuid
echo "rlxc-doc:100000:65536" >> /etc/subgid
echo "rlxc-doc veth lxcbr0 10" > /etc/lxc/lxc-usernet
printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n' > $PLACE/home/.config/lxc/default.conf
cp $PLACE/home/.config/lxc/default.conf $PLACE/config
mkdir -p $PLACE/home/.local/share/lxc/c/rootfs/sbin
cp /bin/busybox $PLACE/home/.local/share/lxc/c/rootfs/sbin/init
chown -R 61234:61234 $PLACE/home
chown -R 100000:100000 $PLACE/home/.local/share/lxc/c/rootfs
chmod 755 $PLACE $PLACE/home
echo "lxc.rootfs.path = dir:$PLACE/home/.local/share/lxc/c/rootfs" >> $PLACE/config
cp $PLACE/config $PLACE/home/.local/share/lxc/c/config
"#;

/// Looks, mends, looks again.
const LOOK: &str = r#"
set +e
doctor() { $RLXC doctor --user rlxc-doc c "$@" </dev/null; }
doctor --format json
echo ----
doctor --fix 2>&1 >/dev/null
echo ----
doctor --fix --yes >/dev/null 2>&1
doctor --format json
"#;

/// The problems before, the preview, the problems after mending.
fn look(sabotage: &str) -> io::Result<(Vec<String>, String, Vec<String>)> {
    let place = Place::new("doctor")?;
    let script = format!("{WHOLE}\n{sabotage}\n{LOOK}");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env("PLACE", &place.dir)
        .env("RLXC", RLXC)
        .stdin(Stdio::null())
        .output()?;
    let said = Said::from(output);
    let mut parts = said.out.split("----\n");
    let mut problems = || -> io::Result<Vec<String>> {
        let text = parts.next().unwrap_or_default();
        if !text.starts_with('[') {
            return Ok(vec![text.to_owned()]);
        }
        let rows: Vec<serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| io::Error::other(format!("{error}: {text}\n{}", said.err)))?;
        let bad = rows.iter().filter(|row| row["ok"] == false);
        Ok(bad
            .map(|row| format!("{}: {}", row["check"], row["problem"]))
            .collect())
    };
    let before = problems()?;
    let preview = problems()?.concat();
    Ok((before, preview, problems()?))
}

/// What is broken, how, what is found, and whether it is mended.
const SABOTAGES: [(&str, &str, bool); 19] = [
    (
        "truncate -s 200M $PLACE/home/.local/share/lxc/c/c.log",
        "has grown beyond 100 MiB",
        false,
    ),
    (
        "echo 0 > $PLACE/n; mount --bind $PLACE/n /proc/sys/user/max_user_namespaces",
        "user.max_user_namespaces forbids",
        true,
    ),
    (
        "mount -t tmpfs none /proc/sys/kernel; echo 1 > /proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "AppArmor takes away",
        false,
    ),
    (
        "umount -R -l /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup",
        "control groups\": \"none is mounted",
        true,
    ),
    (
        "rm -r $PLACE/home/.local; mkdir -p $PLACE/away/c; cp $PLACE/config $PLACE/away/c/",
        ".local/share/lxc\": \"it does not exist",
        true,
    ),
    (
        "mount -t tmpfs -o noexec,mode=777 none $PLACE/home/.local/share/lxc; mkdir $PLACE/home/.local/share/lxc/c; cp $PLACE/config $PLACE/home/.local/share/lxc/c/",
        "mounted noexec",
        false,
    ),
    ("sed -i /rlxc-doc/d /etc/subuid", "rlxc-doc has none", true),
    (
        "sed -i s/rlxc-doc:100000:65536/rlxc-doc:100000:1000/ /etc/subgid",
        "rlxc-doc has 1000 at most",
        true,
    ),
    (
        "echo other:100500:65536 >> /etc/subuid",
        "other has some of the same ids",
        false,
    ),
    (
        "cp /usr/bin/newuidmap $PLACE/n; chmod 755 $PLACE/n; mount --bind $PLACE/n /usr/bin/newuidmap",
        "neither setuid root nor with file capabilities",
        true,
    ),
    (
        "mount --bind /dev/null /etc/lxc/lxc-usernet; umount /etc/lxc/lxc-usernet; printf '# none' > /etc/lxc/lxc-usernet",
        "no line for rlxc-doc",
        true,
    ),
    (
        "rm -r $PLACE/home/.config",
        "default.conf\": \"it does not exist",
        true,
    ),
    ("chmod 700 $PLACE/home", "user 100000 may not pass", true),
    (
        "mount -t proc -o hidepid=2 proc /proc",
        "mounted with hidepid",
        true,
    ),
    (
        "echo lxc.utsname.x = 1 >> $PLACE/home/.local/share/lxc/c/config; echo lxc.idmap = nonsense >> $PLACE/home/.local/share/lxc/c/config",
        "configuration of c\": \"",
        false,
    ),
    (
        "rm -r $PLACE/home/.local/share/lxc/c/rootfs",
        "rootfs does not exist",
        false,
    ),
    (
        "chmod 644 $PLACE/home/.local/share/lxc/c/rootfs/sbin/init",
        "/sbin/init is not executable",
        false,
    ),
    (
        "printf '\\177ELF\\2\\1\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\2\\0\\26\\0' > $PLACE/home/.local/share/lxc/c/rootfs/sbin/init",
        "is for another processor",
        false,
    ),
    (
        "chown 0:0 $PLACE/home/.local/share/lxc/c/rootfs",
        "which the container does not map",
        false,
    ),
];

#[test]
fn what_was_sabotaged_is_found_and_mended_where_that_is_safe() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let (whole, preview, _) = look("true")?;
    assert!(whole.is_empty(), "nothing is wrong yet: {whole:#?}");
    assert_eq!(preview, "");
    let mut wrong = Vec::new();
    for (sabotage, expected, mended) in SABOTAGES {
        let (before, preview, after) = look(sabotage)?;
        let has = |list: &[String]| list.iter().any(|line| line.contains(expected));
        let is_right =
            has(&before) && has(&after) != mended && (!mended || preview.contains("would do: "));
        if !is_right {
            wrong.push(format!(
                "{sabotage}\n  before {before:?}\n  preview {preview}\n  after {after:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
