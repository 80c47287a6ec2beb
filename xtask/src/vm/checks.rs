//! What runs in the VM. To add a check: write a test file whose tests begin with
//! `if std::env::var_os("RLXC_VM").is_none() { println!("skipped: the VM: cargo xtask vm-test"); return; }`
//! (or one that can run on any machine), and name it here.

/// One test binary that is built on the host and run in the VM.
#[derive(Debug)]
pub(crate) struct Check {
    /// The package.
    pub(crate) package: &'static str,
    /// The file below its `tests/`, without `.rs`.
    pub(crate) test: &'static str,
    /// Only tests whose names contain one of these; empty: all.
    pub(crate) only: &'static [&'static str],
}

impl Check {
    /// `PACKAGE/TEST`
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.package, self.test)
    }
}

/// All of them, in the order in which they run.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        package: "rlxc-cgroup",
        test: "live",
        only: &[],
    },
    Check {
        package: "rlxc-cgroup",
        test: "limits",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "systemd_inside",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_mounts",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_tree",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_delegation",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_scope",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_devices",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "cgroup_faults",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "recover",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "apparmor",
        only: &[],
    },
    Check {
        package: "rlxc-network",
        test: "types",
        only: &["vlan"],
    },
    Check {
        package: "rlxc-network",
        test: "openvswitch",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "network_differential",
        only: &[],
    },
    Check {
        package: "rlxc-tests",
        test: "network",
        only: &["hardware", "wireless"],
    },
    Check {
        package: "rlxc-tests",
        test: "storage",
        only: &["logical_volumes", "network_block"],
    },
    // The last of all: v1 hierarchies take controllers from cgroup2 for a while.
    Check {
        package: "rlxc-tests",
        test: "cgroup_layouts",
        only: &[],
    },
];
