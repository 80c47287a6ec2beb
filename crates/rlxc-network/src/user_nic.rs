//! Calling lxc-user-nic: the setuid program that makes nics for users within their quota.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::context::Context;
use crate::error::{Error, Result};

/// Where it is installed, in the order it is looked for.
const PLACES: [&str; 5] = [
    "/usr/lib/lxc/lxc-user-nic",
    "/usr/lib/x86_64-linux-gnu/lxc/lxc-user-nic",
    "/usr/lib/aarch64-linux-gnu/lxc/lxc-user-nic",
    "/usr/local/libexec/lxc/lxc-user-nic",
    "/usr/local/lib/lxc/lxc-user-nic",
];

/// What it says it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) container_name: String,
    pub(crate) container_index: u32,
    pub(crate) host_name: String,
    pub(crate) host_index: u32,
}

/// The lxc-user-nic that will be used.
///
/// # Errors
/// [`Error::Unsupported`] with the places looked at.
pub fn find(context: &Context) -> Result<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|p| Some(p.parent()?.join("lxc-user-nic")));
    let installed = Path::new(rlxc_config::paths::LIBEXECDIR).join("lxc/lxc-user-nic");
    let shown = installed.display().to_string();
    let places = std::iter::once(installed)
        .chain(PLACES.iter().map(PathBuf::from))
        .chain(beside);
    context
        .user_nic
        .clone()
        .or_else(|| places.into_iter().find(|p| p.is_file()))
        .ok_or_else(|| {
            Error::Unsupported(format!(
                "lxc-user-nic is not installed (looked at {shown}, {}): an unprivileged container needs it \
             for its network, setuid root",
                PLACES.join(", ")
            ))
        })
}

fn run(context: &Context, program: &Path, arguments: &[&str]) -> Result<String> {
    let shown = || format!("{} {}", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .arg(arguments[0])
        .arg(&context.lxcpath)
        .arg(&context.name)
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn {
            program: program.display().to_string(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text)
        .trim()
        .chars()
        .take(500)
        .collect();
    Err(Error::Program {
        program: shown(),
        status: output.status.to_string(),
        output: text,
    })
}

/// Asks for a veth nic on `bridge` (or on none) in the namespace of `pid`, called `name` there.
pub(crate) fn create(
    context: &Context,
    pid: i32,
    bridge: Option<&str>,
    name: &str,
) -> Result<Made> {
    let program = find(context)?;
    let pid = pid.to_string();
    let text = run(
        context,
        &program,
        &["create", &pid, "veth", bridge.unwrap_or("none"), name],
    )?;
    parse(&text).ok_or_else(|| Error::Program {
        program: program.display().to_string(),
        status: "an answer that is not NAME:INDEX:NAME:INDEX".into(),
        output: text.trim().chars().take(200).collect(),
    })
}

fn parse(text: &str) -> Option<Made> {
    let mut fields = text.lines().next()?.trim().split(':');
    let container_name = fields.next()?.to_owned();
    let container_index = fields.next()?.parse().ok()?;
    let host_name = fields.next()?.to_owned();
    let host_index = fields.next()?.parse().ok()?;
    let fine = crate::names::name_problem(&container_name).is_none()
        && crate::names::name_problem(&host_name).is_none();
    fine.then_some(Made {
        container_name,
        container_index,
        host_name,
        host_index,
    })
}

/// Gives a nic back: only Open vSwitch ports need it, other host ends die with the namespace.
pub(crate) fn delete(
    context: &Context,
    netns: BorrowedFd<'_>,
    bridge: &str,
    name: &str,
) -> Result<()> {
    if bridge.is_empty() || !crate::ovs::is_ovs_bridge(bridge) {
        return Ok(());
    }
    let program = find(context)?;
    let netns = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    run(context, &program, &["delete", &netns, "veth", bridge, name]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        let made = parse("eth0:2:veth1000_AbCd:7\n").unwrap();
        let indices = (made.container_index, made.host_index);
        assert_eq!((made.container_name.as_str(), indices), ("eth0", (2, 7)));
        for bad in ["", "eth0", "eth0:x:v:1", "eth0:2:v", "a/b:1:v:2", ":1:v:2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
