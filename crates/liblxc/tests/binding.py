"""The Python binding's whole life cycle on the library under test: lxcpath, template."""
import os
import sys

import lxc

lxcpath, template = sys.argv[1:3]
maps = open("/proc/self/maps").read()
assert os.environ["LD_LIBRARY_PATH"] in maps, "another liblxc was loaded"
assert lxc.version == "7.0.0", lxc.version

c = lxc.Container("rlxc-lib-py", lxcpath)
assert not c.defined and c.state == "STOPPED" and not c.running
assert c.set_config_item("lxc.net.0.type", "empty")
assert c.create(template), "create"
assert c.defined and lxc.list_containers(config_path=lxcpath) == ("rlxc-lib-py",)
assert c.get_config_item("lxc.uts.name") == "rlxc-lib-py"
assert "lxc.rootfs.path" in c.get_keys()
try:
    c.set_config_item("lxc.nosuch", "1")
    raise AssertionError("an unknown key was taken")
except KeyError:
    pass
assert c.append_config_item("lxc.environment", "A=b")
assert c.save_config()
again = lxc.Container("rlxc-lib-py", lxcpath)
assert again.get_config_item("lxc.environment") == ["A=b"], again.get_config_item("lxc.environment")

assert c.start() and c.wait("RUNNING", 10) and c.running
assert c.init_pid > 1
assert lxc.list_containers(active=True, defined=False, config_path=lxcpath) == ("rlxc-lib-py",)
assert c.attach_wait(lxc.attach_run_command, ["/bin/sh", "-c", "exit 7"]) >> 8 == 7
read, write = os.pipe()

def inside():
    os.write(write, open("/etc/hostname").read().strip().encode())
    return 3

assert c.attach_wait(inside) >> 8 == 3
assert os.read(read, 100) == b"rlxc-lib-py"
assert "lo" in c.get_interfaces()
assert c.get_cgroup_item("pids.current") or c.get_cgroup_item("cgroup.procs")
assert c.freeze() and c.state == "FROZEN"
assert c.unfreeze() and c.state == "RUNNING"
assert not c.destroy(), "a running container was destroyed"
assert c.stop() and c.wait("STOPPED", 10)

assert c.snapshot() == "snap0"
assert [s[0] for s in c.snapshot_list()] == ["snap0"]
assert c.snapshot_destroy("snap0")
copy = c.clone("rlxc-lib-copy", lxcpath)
assert copy and copy.defined and copy.get_config_item("lxc.uts.name") == "rlxc-lib-copy"
assert copy.destroy() and not copy.defined
assert c.destroy() and not c.defined
print("the binding is content")
