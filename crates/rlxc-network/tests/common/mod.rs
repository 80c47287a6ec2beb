//! A network namespace as "host" and one as "container", both made by the test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rlxc_config::{Nic, NicKind, Veth};
use rlxc_network::netlink::{LinkKind, NewLink};
use rlxc_network::{Container, Context, Created, Netlink, netns, setup_host, setup_inside};

/// The test's host: the calling thread is in its namespace.
pub struct Host {
    pub netlink: Netlink,
    pub container: OwnedFd,
    pub context: Context,
}

/// Moves the calling thread into a fresh namespace with `lo`, and makes one for the container.
/// Without root: prints why the test is left out.
pub fn host() -> Option<Host> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not root");
        return None;
    }
    let container = fresh_namespace();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    let context = Context::new("c1", "/tmp/rlxc-network-tests");
    Some(Host {
        netlink: Netlink::open().unwrap(),
        container,
        context,
    })
}

pub fn fresh_namespace() -> OwnedFd {
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        netns::own().unwrap()
    })
    .join()
    .unwrap()
}

/// Runs `ip` in the calling thread's namespace.
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the kernel can make links of `kind` (on the test's own namespace).
/// `on` comes before the type (`link LINK`), `more` after it.
pub fn kernel_has(kind: &str, on: &str, more: &str) -> bool {
    let test = format!("link add {on} name rlxckind type {kind} {more}");
    let output = Command::new("ip")
        .args(test.split_whitespace())
        .output()
        .unwrap();
    if output.status.success() {
        ip("link del rlxckind");
        return true;
    }
    println!("skipped: the kernel has no {kind} links");
    false
}

impl Host {
    pub fn bridge(&mut self, name: &str) {
        let new = NewLink {
            name,
            kind: LinkKind::Bridge,
            up: true,
            ..NewLink::default()
        };
        self.netlink.request(new.message()).unwrap();
    }

    pub fn create(&mut self, nics: &BTreeMap<u32, Nic>) -> rlxc_network::Result<Created> {
        let container = Container {
            netns: self.container.as_fd(),
            pid: 0,
        };
        let created = setup_host(&mut self.netlink, nics, container, &self.context)?;
        if let Err(error) = self.inside(|| setup_inside(&created.inside).map(drop)) {
            // As the monitor does when the container's first process says that it failed.
            let netns = Some(self.container.as_fd());
            created.undo(&mut self.netlink, &self.context, netns);
            return Err(error);
        }
        Ok(created)
    }

    /// Runs something in the container's namespace.
    pub fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> rlxc_network::Result<T> + Send,
    ) -> rlxc_network::Result<T> {
        netns::run_in(self.container.as_fd(), work)
    }

    /// `ip` in the container.
    pub fn inside_ip(&self, arguments: &str) -> String {
        self.inside(|| Ok(ip(arguments))).unwrap()
    }

    /// The names of the host's links.
    pub fn links(&mut self) -> Vec<String> {
        let mut names: Vec<_> = self
            .netlink
            .links()
            .unwrap()
            .into_iter()
            .map(|l| l.name)
            .collect();
        names.sort();
        names
    }

    pub fn teardown(&mut self, created: &Created) {
        let errors = created.teardown(
            &mut self.netlink,
            &self.context,
            Some(self.container.as_fd()),
        );
        assert!(errors.is_empty(), "{errors:?}");
        created.finish(&mut self.netlink).unwrap();
    }
}

pub fn veth() -> Nic {
    Nic {
        kind: NicKind::Veth(Veth::default()),
        up: true,
        ..Nic::default()
    }
}

pub fn one(nic: Nic) -> BTreeMap<u32, Nic> {
    BTreeMap::from([(0, nic)])
}

/// Whether `program` can be run; says so if not.
pub fn have(program: &str) -> bool {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = dirs
        .iter()
        .any(|d| std::path::Path::new(d).join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}
