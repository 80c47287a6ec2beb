//! ZFS by its FUSE daemon. LXC cannot mount what that serves, so the peer is the same work by hand.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Clock, Side, print_row, shell};
use crate::host;

/// A pool in memory and the daemon that serves it.
struct Pool {
    daemon: Child,
    name: String,
    image: PathBuf,
}

impl Pool {
    fn new() -> Result<Option<Self>, String> {
        if host::find_program("zfs-fuse").is_none() {
            println!("skipped: zfs-fuse");
            return Ok(None);
        }
        if Path::new("/run/zfs/zfs_socket").exists() && shell("zpool list").is_ok() {
            println!("skipped: zfs: a daemon of the machine's own is running");
            return Ok(None);
        }
        shell("mkdir -p /run/zfs /var/lock/zfs /var/lib/zfs")?;
        let daemon = Command::new("zfs-fuse")
            .arg("--no-daemon")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("zfs-fuse: {e}"))?;
        let name = format!("rlxcbench{}", std::process::id());
        let pool = Self {
            daemon,
            image: PathBuf::from(format!("/dev/shm/{name}.zfs")),
            name,
        };
        let script = format!(
            "for i in $(seq 100); do [ -S /run/zfs/zfs_socket ] && break; sleep 0.1; done
             truncate -s 512M {0}; zpool create -m none {1} {0}",
            pool.image.display(),
            pool.name
        );
        match shell(&script) {
            Ok(_) => Ok(Some(pool)),
            Err(error) => {
                println!("skipped: zfs: {error}");
                Ok(None)
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = shell(&format!("zpool destroy -f {}", self.name));
        // SIGTERM, that it unmounts what it serves.
        let _ = shell(&format!("kill {}", self.daemon.id()));
        let _ = self.daemon.wait();
        let _ = std::fs::remove_file(&self.image);
    }
}

/// A snapshot copy and its end against `zfs snapshot`, `zfs clone`, and `zfs destroy` of both.
pub(super) fn rows(place: &Path, ours: &Side, clock: &Clock) -> Result<(), String> {
    let Some(pool) = Pool::new()? else {
        return Ok(());
    };
    let lxcpath = place.join("zfs");
    let dir = lxcpath.join("a");
    std::fs::create_dir_all(dir.join("rootfs")).map_err(|e| e.to_string())?;
    let (name, rootfs) = (&pool.name, dir.join("rootfs"));
    shell(&format!(
        "zfs create -o mountpoint={} {name}/a; zfs mount {name}/a 2>/dev/null || true; zfs unmount {name}/a; \
         zfs set canmount=noauto {name}/a",
        rootfs.display()
    ))?;
    let text = format!("lxc.rootfs.path = zfs:{name}/a\nlxc.net.0.type = empty\n");
    std::fs::write(dir.join("config"), text).map_err(|e| e.to_string())?;
    // With its name kept nothing has to be written into the copy, and so nothing mounted, as by hand.
    let snapshot = ["-n", "a", "-N", "b", "-s", "-K"];
    let at = lxcpath.join("t");
    let by_hand = format!(
        "zfs snapshot -r {name}/a@t; zfs clone -p -o canmount=noauto -o mountpoint={} {name}/a@t {name}/t",
        at.display()
    );
    // The daemon lets go of what was unmounted a moment later.
    let end_by_hand = format!(
        "zfs unmount {name}/t 2>/dev/null || true; for i in $(seq 40); do zfs destroy -r {name}/t 2>/dev/null && break; sleep 0.05; done; \
         zfs destroy {name}/a@t"
    );
    let mut times = [const { Vec::new() }; 4];
    let mut last = Duration::ZERO;
    for _ in 0..=clock.runs {
        if !clock.allows(last) {
            break;
        }
        let begin = Instant::now();
        times[0].push(ours.run("copy", &lxcpath, &snapshot)?);
        times[1].push(ours.run("destroy", &lxcpath, &["-n", "b"])?);
        times[2].push(shell(&by_hand)?);
        times[3].push(shell(&end_by_hand)?);
        last = begin.elapsed();
    }
    if times[0].len() < 2 {
        println!("skipped: zfs: the time of this part is over");
        return Ok(());
    }
    let [copy, end, by_hand, end_by_hand] = times;
    print_row("zfs, snapshot against by hand: copy", copy, by_hand);
    print_row("zfs, snapshot against by hand: destroy", end, end_by_hand);
    Ok(())
}
