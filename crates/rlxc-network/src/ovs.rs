//! Open vSwitch bridges, by their own command: they have no netlink interface of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

const DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// Runs a program and returns what it printed.
///
/// # Errors
/// [`Error::Spawn`], [`Error::Program`] with the end of its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let path = DIRECTORIES
        .iter()
        .chain(&["/sbin", "/bin"])
        .map(|d| Path::new(d).join(program));
    let path = path
        .into_iter()
        .find(|p| p.exists())
        .unwrap_or_else(|| program.into());
    let output = Command::new(path)
        .args(arguments)
        // lxc-user-nic runs it for others: nothing of their environment goes along.
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn {
            program: program.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::Program {
        program: format!("{program} {}", arguments.join(" ")),
        status: output.status.to_string(),
        output: text.trim().chars().take(500).collect(),
    })
}

/// Whether `bridge` is one of Open vSwitch; no when its command is not there.
pub fn is_ovs_bridge(bridge: &str) -> bool {
    DIRECTORIES
        .iter()
        .any(|d| Path::new(d).join("ovs-vsctl").exists())
        && run("ovs-vsctl", &["br-exists", bridge]).is_ok()
}

/// Adds `port` to `bridge`, with its own VLAN and the tagged ones, in one transaction.
///
/// # Errors
/// As ovs-vsctl(8).
pub fn add_port(bridge: &str, port: &str, vlan: Option<u16>, tagged: &[u16]) -> Result<()> {
    let mut arguments = vec!["--may-exist", "add-port", bridge, port];
    let mut columns = Vec::new();
    if let Some(id) = vlan {
        columns.push(format!("tag={id}"));
    }
    if !tagged.is_empty() {
        let ids: Vec<String> = tagged.iter().map(u16::to_string).collect();
        columns.push(format!("trunks={}", ids.join(",")));
        columns.push(
            if vlan.is_some() {
                "vlan_mode=native-untagged"
            } else {
                "vlan_mode=trunk"
            }
            .into(),
        );
    }
    arguments.extend(columns.iter().map(String::as_str));
    run("ovs-vsctl", &arguments).map(drop)
}

/// Removes `port` from `bridge`; one that is gone is fine.
///
/// # Errors
/// As ovs-vsctl(8).
pub fn delete_port(bridge: &str, port: &str) -> Result<()> {
    run("ovs-vsctl", &["--if-exists", "del-port", bridge, port]).map(drop)
}
