/// The API extensions of LXC 7.0.0, all of which are here, in LXC's order.
pub const API_EXTENSIONS: [&str; 30] = [
    "lxc_log",
    "lxc_config_item_is_supported",
    "console_log",
    "reboot2",
    "mount_injection",
    "cgroup_relative",
    "mount_injection_file",
    "seccomp_allow_nesting",
    "seccomp_notify",
    "network_veth_routes",
    "network_ipvlan",
    "network_l2proxy",
    "network_gateway_device_route",
    "network_phys_macvlan_mtu",
    "network_veth_router",
    "cgroup2_devices",
    "cgroup2",
    "pidfd",
    "cgroup_advanced_isolation",
    "network_bridge_vlan",
    "time_namespace",
    "seccomp_allow_deny_syntax",
    "devpts_fd",
    "seccomp_notify_fd_active",
    "seccomp_proxy_send_notify_fd",
    "idmapped_mounts",
    "idmapped_mounts_v2",
    "core_scheduling",
    "cgroup2_auto_mounting",
    "environment_runtime_hooks",
];

/// Whether an API extension is here (`lxc_has_api_extension`).
pub fn has_api_extension(name: &str) -> bool {
    API_EXTENSIONS.contains(&name)
}
