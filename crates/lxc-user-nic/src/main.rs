//! Creates and deletes network interfaces for unprivileged users within their quota (setuid-safe).
//!
//! Installed setuid root. It reads nothing of the environment, gives nothing of it to a program it
//! runs, opens what the caller names with the caller's rights, and gives one answer for everything
//! that can be wrong with a namespace.
//!
//! # References
//! lxc-user-nic(1), lxc-usernet(5).

mod database;
mod privilege;
mod usernet;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, geteuid};
use rlxc_network::netlink::{Link, LinkKind, NewLink, Target};
use rlxc_network::{Netlink, names, ovs};

use database::{Database, Record};
use usernet::Allotment;

const USAGE: &str = "\
Usage: lxc-user-nic create LXCPATH NAME PID TYPE BRIDGE [NICNAME]
       lxc-user-nic delete LXCPATH NAME NETNS TYPE BRIDGE NICNAME

Makes a nic of TYPE veth on BRIDGE (or `none`) in the network namespace of PID, within the caller's
share of /etc/lxc/lxc-usernet, or removes the Open vSwitch port of one.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os()
        .skip(1)
        .map(|a| a.into_string())
        .collect();
    let Ok(arguments) = arguments.into_iter().collect::<Result<Vec<String>, _>>() else {
        return say(USAGE);
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["create", _, _, pid, kind, bridge] => create(pid, kind, bridge, None),
        ["create", _, _, pid, kind, bridge, name] => create(pid, kind, bridge, Some(name)),
        ["delete", _, _, netns, kind, bridge, nic] => delete(Path::new(netns), kind, bridge, nic),
        _ => return say(USAGE),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => say(&format!("lxc-user-nic: {text}\n")),
    }
}

/// Says why and fails; nobody listening is no reason to stop.
fn say(text: &str) -> ExitCode {
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}

/// Rights, limits and the mask as a setuid program needs them.
fn prepare() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("must be installed setuid root (chmod u+s)".into());
    }
    umask(Mode::from_bits_truncate(0o022));
    // A caller's file size limit would cut the database of all users.
    setrlimit(Resource::RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY)
        .map_err(|e| format!("cannot lift the file size limit: {e}"))
}

fn checked<'a>(kind: &str, bridge: &'a str) -> Result<&'a str, String> {
    if kind != "veth" {
        return Err(format!("the type must be veth, not {kind:?}"));
    }
    match names::name_problem(bridge) {
        None if !bridge.starts_with('-') => Ok(bridge),
        _ => Err(format!("{bridge:?} is no bridge's name")),
    }
}

fn database_path() -> PathBuf {
    Path::new(rlxc_config::paths::RUNDIR).join("lxc/nics")
}

fn open_database(host: &mut Netlink) -> Result<Database, String> {
    let path = database_path();
    // One list for all records, made under the lock: what others add comes with a link. If there
    // is none, all stays on record.
    let mut links: Option<Option<BTreeSet<String>>> = None;
    let exists = |nic: &str| {
        let list = || Some(host.links().ok()?.into_iter().map(|l| l.name).collect());
        let links = links.get_or_insert_with(list);
        links.as_ref().is_none_or(|links| links.contains(nic))
    };
    Database::open(&path, exists).map_err(|e| format!("cannot use {}: {e}", path.display()))
}

fn create(pid: &str, kind: &str, bridge: &str, name: Option<&str>) -> Result<(), String> {
    prepare()?;
    let bridge = checked(kind, bridge)?;
    let name = name.unwrap_or("eth%d");
    // The kernel expands one %d and refuses other signs of a format.
    if names::name_problem(name).is_some() {
        return Err(format!("{name:?} is no interface's name"));
    }
    let pid: u32 = pid.parse().map_err(|_| privilege::REFUSED.to_owned())?;
    let (uid, caller) = privilege::caller()?;
    let namespace = privilege::open_namespace(uid, Path::new(&format!("/proc/{pid}/ns/net")))?;
    let mut host = Netlink::open().map_err(|e| chain(&e))?;
    let rules = Path::new(rlxc_config::paths::SYSCONFDIR).join("lxc/lxc-usernet");
    let text =
        std::fs::read(&rules).map_err(|e| format!("cannot read {}: {e}", rules.display()))?;
    let text = rlxc_config::Usernet::parse(&String::from_utf8_lossy(&text));
    let allotments = usernet::allotments(&text, &caller, kind, bridge);
    if allotments.is_empty() {
        return Err(format!(
            "{} has no rule for {kind} nics of {} on {bridge}: root adds a line \"{} {kind} \
             {bridge} 10\"",
            rules.display(),
            caller.user,
            caller.user
        ));
    }
    let (mut database, owner) = reserve(&mut host, &allotments, kind, bridge)?;
    let bridge_link = match bridge {
        "none" => None,
        name => Some(host.link(name).map_err(|e| chain(&e))?.ok_or_else(|| {
            format!("there is no bridge {name:?}: make it first (`rlxc net up` makes lxcbr0)")
        })?),
    };
    let nic = host_name(&mut host, uid)?;
    let record = Record {
        owner,
        kind: kind.into(),
        bridge: bridge.into(),
        nic: nic.clone(),
    };
    database
        .add(record)
        .map_err(|e| format!("cannot write the database: {e}"))?;
    let made = make(&mut host, &namespace, &nic, name, bridge_link.as_ref());
    match made {
        Ok(line) => {
            let written = std::io::stdout().write_all(line.as_bytes());
            written.map_err(|e| format!("cannot write the answer: {e}"))
        }
        Err(text) => {
            if let Some(bridge) = bridge_link.filter(|b| b.kind.as_deref() != Some("bridge"))
                && ovs::is_ovs_bridge(&bridge.name)
            {
                let _ = ovs::delete_port(&bridge.name, &nic);
            }
            if let Ok(Some(link)) = host.link(&nic) {
                let _ = host.delete_link(link.index, &nic);
            }
            let _ = database.remove(&nic);
            Err(text)
        }
    }
}

/// Locks the database and finds the allotment that the nic goes to.
///
/// Nics of a container that has just stopped may still be there, since nobody waits for the kernel
/// to delete them: they do not count. Whoever is let go a moment after the stop (its monitor's
/// descriptor of the namespace) gets that moment, without the lock.
fn reserve(
    host: &mut Netlink,
    allotments: &[Allotment],
    kind: &str,
    bridge: &str,
) -> Result<(Database, String), String> {
    for pause in [0, 20] {
        std::thread::sleep(Duration::from_millis(pause));
        let mut database = open_database(host)?;
        let room = |database: &Database| {
            let free = |a: &&Allotment| database.count(&a.owner, kind, bridge) < a.number;
            allotments.iter().find(free).map(|a| a.owner.clone())
        };
        if let Some(owner) = room(&database) {
            return Ok((database, owner));
        }
        let theirs = |record: &&Record| allotments.iter().any(|a| a.owner == record.owner);
        let records = database.records.iter().filter(theirs);
        for nic in records.map(|r| r.nic.clone()).collect::<Vec<_>>() {
            let link = host.link(&nic).map_err(|e| chain(&e))?;
            if let Some(link) = link
                && host.is_orphan(&link).unwrap_or(false)
            {
                database
                    .remove(&nic)
                    .map_err(|e| format!("cannot write the database: {e}"))?;
            }
        }
        if let Some(owner) = room(&database) {
            return Ok((database, owner));
        }
    }
    Err("Quota reached".to_owned())
}

/// The host's end: `vethUID_XXXX`, so that an administrator sees whose it is.
fn host_name(host: &mut Netlink, uid: Uid) -> Result<String, String> {
    let name = match uid.as_raw() {
        uid @ 1..=65_536 => host.free_name(&format!("veth{uid}_"), 4),
        _ => host.free_name("veth", 6),
    };
    name.map_err(|e| chain(&e))
}

/// Makes the pair, one end in the namespace, and joins the other to the bridge. Returns the
/// answer's line.
fn make(
    host: &mut Netlink,
    namespace: &OwnedFd,
    nic: &str,
    name: &str,
    bridge: Option<&Link>,
) -> Result<String, String> {
    let mut address = [0; 6];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut address))
        .map_err(|e| format!("cannot read /dev/urandom: {e}"))?;
    // A bridge takes the lowest address of its ports: fe keeps its own unchanged.
    address[0] = 0xfe;
    let mtu = bridge.map(|link| link.mtu);
    let peer = NewLink {
        name,
        mtu,
        target: Some(Target::Fd(namespace.as_fd())),
        ..NewLink::default()
    };
    let new = NewLink {
        name: nic,
        mtu,
        address: Some(address),
        kind: LinkKind::Veth(Box::new(peer)),
        ..NewLink::default()
    };
    host.request(new.message()).map_err(|e| chain(&e))?;
    let vanished = || "the link vanished right after it was made".to_owned();
    let outside = host
        .link(nic)
        .map_err(|e| chain(&e))?
        .ok_or_else(vanished)?;
    let mut master = None;
    if let Some(bridge) = bridge {
        if bridge.kind.as_deref() == Some("bridge") {
            master = Some(bridge.index);
        } else if ovs::is_ovs_bridge(&bridge.name) {
            ovs::add_port(&bridge.name, nic, None, &[]).map_err(|e| chain(&e))?;
        } else {
            return Err(format!("{:?} is no bridge", bridge.name));
        }
    }
    host.attach_and_set_up(outside.index, nic, master)
        .map_err(|e| chain(&e))?;
    let peer = outside.link.ok_or_else(vanished)?;
    let inside = privilege::inside(namespace, || Netlink::open()?.link_by_index(peer))?
        .map_err(|_| privilege::REFUSED.to_owned())?
        .map_err(|e| chain(&e))?
        .ok_or_else(vanished)?;
    Ok(format!(
        "{}:{}:{nic}:{}\n",
        inside.name, inside.index, outside.index
    ))
}

fn delete(netns: &Path, kind: &str, bridge: &str, nic: &str) -> Result<(), String> {
    prepare()?;
    let bridge = checked(kind, bridge)?;
    let (uid, caller) = privilege::caller()?;
    privilege::open_namespace(uid, netns)?;
    let mut host = Netlink::open().map_err(|e| chain(&e))?;
    let database = open_database(&mut host)?;
    let own = database.records.iter().any(|record| {
        record.nic == nic
            && record.kind == kind
            && record.bridge == bridge
            && caller.is(&record.owner)
    });
    if !own {
        return Err(format!(
            "the database has no nic {nic:?} of {} on {bridge}",
            caller.user
        ));
    }
    if ovs::is_ovs_bridge(bridge) {
        ovs::delete_port(bridge, nic).map_err(|e| chain(&e))?;
    }
    // A pair on another bridge goes with its namespace, its record with the pair.
    Ok(())
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}
