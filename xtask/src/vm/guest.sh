# Runs as root in the VM, whose root is the host's, with writes kept in memory.
export RLXC_VM=1 HOME=/root LC_ALL=C RUST_BACKTRACE=0
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_CACHE_HOME
ip link set lo up
# File systems and volumes on a real tmpfs: overlay cannot lie on overlay.
mkdir -p /run/vm /var/lib/lxc
mount -t tmpfs -o mode=1777,size=60% vm /run/vm
export TMPDIR=/run/vm
mount -t tmpfs -o mode=0755 lxc /var/lib/lxc
mount -o remount,rw,nosuid,nodev,noexec /sys/fs/cgroup 2>/dev/null
for module in loop dm-mod dm-thin-pool dm-snapshot btrfs ext4 xfs squashfs overlay fuse \
    veth bridge macvlan ipvlan 8021q vxlan dummy tun nbd e1000 openvswitch mac80211_hwsim; do
    modprobe "$module" 2>/dev/null || echo "vm: no module $module"
done
for profiles in /etc/apparmor.d/lxc-containers /etc/apparmor.d/usr.bin.lxc-start; do
    [ ! -e "$profiles" ] || apparmor_parser -r "$profiles" || echo "vm: $profiles is not loaded"
done
