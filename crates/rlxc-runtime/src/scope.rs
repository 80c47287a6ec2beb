//! A scope of systemd's for an ordinary user's container, whose cgroup belongs to the user.
//!
//! As with LXC: only for who is not root, and only in a pure cgroup2 layout. The D-Bus client is in
//! the program `rlxc-worker`.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Moves the calling process into a new scope and gives the scope's name, or why it could not; `None`
/// where there is no systemd to be asked. `dir` is where the other programs of rlxc are.
pub(crate) fn enter_new(name: &str, dir: Option<&Path>) -> Option<Result<String, String>> {
    let bus = bus()?;
    let worker = crate::locate::worker_near(dir);
    Some(ask(
        worker.as_deref(),
        ["start", &bus, name],
        std::process::id(),
    ))
}

/// Moves a process of the caller's into a scope that is there.
pub(crate) fn attach(unit: &str, worker: Option<&Path>, pid: i32) -> Result<(), String> {
    let bus = bus().ok_or("there is no bus of the user's systemd")?;
    let pid = u32::try_from(pid).map_err(|error| error.to_string())?;
    ask(worker, ["attach", &bus, unit], pid).map(drop)
}

fn ask(worker: Option<&Path>, question: [&str; 3], pid: u32) -> Result<String, String> {
    let worker = worker.ok_or("the program rlxc-worker is missing: install rlxc completely")?;
    let output = Command::new(worker)
        .arg("scope")
        .args(question)
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", worker.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{}: {}", output.status, text(&output.stderr))),
    }
}

/// The address of the bus that the user's systemd is on, where a scope is of use.
fn bus() -> Option<String> {
    let user = nix::unistd::geteuid();
    if user.is_root() || !is_pure_cgroup2(&std::fs::read_to_string("/proc/self/cgroup").ok()?) {
        return None;
    }
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let found = || {
        let places = [run, Some(usual)].into_iter().flatten();
        let mut sockets = places.map(|dir| dir.join("bus"));
        // Another user's, after su(1), would refuse us.
        let socket = sockets.find(|path| is_socket_of(path, user.as_raw()))?;
        Some(format!("unix:path={}", escaped(socket.to_str()?)))
    };
    named.filter(|address| !address.is_empty()).or_else(found)
}

fn is_pure_cgroup2(memberships: &str) -> bool {
    memberships.starts_with("0::") && memberships.lines().count() == 1
}

fn is_socket_of(path: &Path, user: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket() && meta.uid() == user)
}

/// A path as a D-Bus address has it: all but a few characters as `%HH`.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' | b'.' | b'*' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pure_layout_asks() {
        assert!(is_pure_cgroup2(
            "0::/user.slice/user-1000.slice/session-1.scope\n"
        ));
        assert!(!is_pure_cgroup2("2:pids:/\n0::/\n"));
        assert!(!is_pure_cgroup2("1:name=systemd:/\n"));
        assert!(!is_pure_cgroup2(""));
    }

    #[test]
    fn a_path_is_escaped_for_an_address() {
        assert_eq!(escaped("/run/user/1000/bus"), "/run/user/1000/bus");
        assert_eq!(escaped("/a b;c,d%"), "/a%20b%3bc%2cd%25");
    }
}
