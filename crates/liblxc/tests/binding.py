"""Every method of the Python binding on the library under test: lxcpath, template."""
import os
import pty
import subprocess
import sys
import threading
import time

import lxc

lxcpath, template = sys.argv[1:3]
maps = open("/proc/self/maps").read()
assert os.environ["LD_LIBRARY_PATH"] in maps, "another liblxc was loaded"


def refused(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return
    raise AssertionError(f"{function} {arguments} was not refused")


def output(function, *arguments, **options):
    """What a function or command prints when attached, and its status."""
    read, write = os.pipe()
    status = c.attach_wait(function, *arguments, stdout=write, **options)
    os.close(write)
    with os.fdopen(read) as pipe:
        return status, pipe.read()


# Names, configuration, networks.
c = lxc.Container("rlxc-lib-py", lxcpath)
assert c.name == "rlxc-lib-py" and c.get_config_path() == lxcpath
assert c.config_file_name == f"{lxcpath}/rlxc-lib-py/config"
assert not c.defined and c.state == "STOPPED" and not c.running and c.init_pid == -1 and c.controllable
assert c.set_config_path("/nosuch") and c.get_config_path() == "/nosuch" and c.set_config_path(lxcpath)
assert c.set_config_item("lxc.net.0.type", "empty")
assert c.create(template), "create"
assert not c.create(template), "created twice"
assert c.defined and lxc.list_containers(config_path=lxcpath) == ("rlxc-lib-py",)
assert lxc.list_containers(config_path=lxcpath, as_object=True)[0].name == "rlxc-lib-py"
assert c.get_config_item("lxc.uts.name") == "rlxc-lib-py"
assert "lxc.rootfs.path" in c.get_keys() and "type" in c.get_keys("lxc.net.0")
refused(KeyError, c.set_config_item, "lxc.nosuch", "1")
refused(KeyError, c.get_config_item, "lxc.nosuch")
refused(KeyError, c.get_keys, "lxc.nosuch")
assert c.append_config_item("lxc.environment", "A=b")
assert c.set_config_item("lxc.cap.drop", ["sys_module", "mac_admin"])
assert c.get_config_item("lxc.cap.drop") == ["sys_module", "mac_admin"]
assert c.clear_config_item("lxc.cap.drop") and c.get_config_item("lxc.cap.drop") == ""
assert c.save_config()
again = lxc.Container("rlxc-lib-py", lxcpath)
assert again.get_config_item("lxc.environment") == ["A=b"], again.get_config_item("lxc.environment")
assert c.save_config(f"{lxcpath}/elsewhere")
c.clear_config()
assert c.load_config(f"{lxcpath}/elsewhere") and c.get_config_item("lxc.environment") == ["A=b"]
os.unlink(f"{lxcpath}/elsewhere")

first = len(c.network)
assert c.network.add("veth") and len(c.network) == first + 1
link = c.network[first]
link.link, link.flags, link.hwaddr = "lxcbr0", "up", "00:16:3e:01:02:03"
assert link.link == "lxcbr0" and link.flags == "up" and link.hwaddr == "00:16:3e:01:02:03"
assert link.type == "veth" and "link" in dir(link) and "veth" in repr(link)
del link.link
assert link.link == ""
link.link = "lxcbr0"
refused(AttributeError, getattr, link, "nosuch")
assert c.set_config_item(f"lxc.net.{first}.ipv4.address", "10.0.3.55/24")
assert c.set_config_item(f"lxc.net.{first}.name", "eth7")
refused(IndexError, c.network.remove, 99)
c.set_config_item("lxc.tty.max", "2")
c.set_config_item("lxc.console.buffer.size", "auto")

# Running.
assert c.start() and c.wait("RUNNING", 10) and c.running
assert not c.start(), "started twice"
assert c.init_pid > 1 and c.controllable
assert lxc.list_containers(active=True, defined=False, config_path=lxcpath) == ("rlxc-lib-py",)
assert c.get_running_config_item("lxc.uts.name") == "rlxc-lib-py"
assert c.get_running_config_item("lxc.init.cmd") is None
assert set(c.get_interfaces()) == {"lo", "eth7"}, c.get_interfaces()
assert c.get_ips(family="inet", timeout=5) == ("10.0.3.55",), c.get_ips(family="inet")
assert c.get_ips(interface="eth7", family="inet") == ("10.0.3.55",)
assert c.get_ips(interface="nosuch") == ()

# Attach: commands, functions, options.
assert c.attach_wait(lxc.attach_run_command, ["/bin/sh", "-c", "exit 7"]) >> 8 == 7
assert c.attach_wait(lxc.attach_run_command, ["/nosuch"]) >> 8 == 127


def inside():
    os.write(1, open("/etc/hostname").read().strip().encode())
    return 3


assert output(inside) == (3 << 8, "rlxc-lib-py")
assert output(lambda text: os.write(1, text.encode()) and 0, "an argument") == (0, "an argument")
status, environment = output(
    lxc.attach_run_command, ["env"], env_policy=lxc.LXC_ATTACH_CLEAR_ENV, extra_env_vars=["COLOUR=blue"],
    extra_keep_env=["LD_LIBRARY_PATH"])
lines = environment.splitlines()
assert status == 0 and "COLOUR=blue" in lines and "container=lxc" in lines and "A=b" in lines, lines
assert "LD_LIBRARY_PATH=" + os.environ["LD_LIBRARY_PATH"] in lines and not any(l.startswith("HOME=") for l in lines), lines
assert output(lxc.attach_run_command, ["pwd"], initial_cwd="/usr") == (0, "/usr\n")
assert output(lxc.attach_run_command, ["id", "-u"], uid=33, gid=33) == (0, "33\n")
status, host = output(lxc.attach_run_command, ["readlink", "/proc/self/ns/net"], namespaces=lxc.CLONE_NEWUTS | lxc.CLONE_NEWNS | lxc.CLONE_NEWPID)
assert status == 0 and host.strip() == os.readlink("/proc/self/ns/net"), host
status, machine = output(lxc.attach_run_command, ["uname", "-m"], personality=lxc.arch_to_personality("x86"))
assert (status, machine) == (0, "i686\n"), machine
pid = c.attach(lambda: 5)
assert os.waitpid(pid, 0)[1] >> 8 == 5
refused(TypeError, c.attach, "no function")
read, write = os.pipe()
os.write(write, b"exit 6\n")
os.close(write)
assert c.attach_wait(lxc.attach_run_shell, stdin=read) >> 8 == 6
os.close(read)


def raises():
    raise RuntimeError("inside")


quiet = os.open("/dev/null", os.O_WRONLY)
assert c.attach_wait(raises, stderr=quiet) != 0
threads = [threading.Thread(target=lambda: results.append(c.attach_wait(lxc.attach_run_command, ["true"]))) for _ in range(4)]
results = []
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert results == [0] * 4, results

# Terminals.
fd = c.console_getfd(1)
assert os.isatty(fd)
os.close(fd)
host, guest = pty.openpty()
shown = subprocess.Popen(
    [sys.executable, "-c", f"import lxc; lxc.Container('rlxc-lib-py', '{lxcpath}').console(ttynum=0)"],
    stdin=guest, stdout=guest, stderr=guest, start_new_session=True)
time.sleep(1)
c.attach_wait(lxc.attach_run_command, ["sh", "-c", "echo a word > /dev/console"])
said = b""
while b"a word" not in said:
    said += os.read(host, 4096)
os.write(host, b"\x01q")
assert shown.wait(10) == 0
refused(TypeError, c.console_getfd, "one")

# Cgroups, devices, the freezer, links.
before = c.get_cgroup_item("pids.max")
assert c.set_cgroup_item("pids.max", "321") and c.get_cgroup_item("pids.max") == "321" and before
refused(KeyError, c.get_cgroup_item, "nosuch.file")
assert not c.set_cgroup_item("nosuch.file", "1")
assert c.add_device_node("/dev/loop-control", "/dev/loop-control")
assert c.attach_wait(lxc.attach_run_command, ["test", "-c", "/dev/loop-control"]) == 0
assert c.remove_device_node("/dev/loop-control", "/dev/loop-control")
subprocess.check_call(["ip", "link", "add", "rlxcpy0", "type", "veth", "peer", "name", "rlxcpy9"])
assert c.attach_interface("rlxcpy0", "inner0") and "inner0" in c.get_interfaces()
assert c.detach_interface("inner0")
subprocess.check_call(["ip", "link", "del", "inner0"])
subprocess.check_call(["ip", "link", "add", "rlxcpy0", "type", "veth", "peer", "name", "rlxcpy9"])
assert c.add_device_net("rlxcpy0", "inner1") and "inner1" in c.get_interfaces()
assert c.freeze() and c.state == "FROZEN" and c.wait("FROZEN", 1)
assert c.unfreeze() and c.state == "RUNNING"
assert not c.destroy(), "a running container was destroyed"
assert not c.rename("rlxc-lib-other"), "a running container was renamed"
init = c.init_pid
assert c.reboot()
for _ in range(200):
    if c.init_pid not in (init, -1):
        break
    time.sleep(0.05)
assert c.init_pid not in (init, -1)
time.sleep(1)
assert c.shutdown(20) and c.state == "STOPPED" and c.wait("STOPPED", 1)
assert c.start(cmd=("/bin/sleep", "100")) and c.init_pid > 1
assert open(f"/proc/{c.init_pid}/cmdline").read().startswith("/bin/sleep")
assert c.stop() and c.wait("STOPPED", 10)

# Snapshots, copies, names.
with open(f"{lxcpath}/remark", "w") as remark:
    remark.write("why\n")
assert c.snapshot(f"{lxcpath}/remark") == "snap0"
assert c.snapshot() == "snap1"
(name, comment, stamp, place), second = sorted(c.snapshot_list())
assert (name, second[0], place) == ("snap0", "snap1", f"{lxcpath}/rlxc-lib-py/snaps")
assert open(comment).read() == "why\n" and len(stamp) == len("2026:11:24 10:00:00")
assert c.snapshot_restore("snap0", "rlxc-lib-restored")
restored = lxc.Container("rlxc-lib-restored", lxcpath)
assert restored.defined and restored.destroy()
assert not c.snapshot_restore("snap7", "rlxc-lib-restored")
assert c.snapshot_destroy("snap0") and c.snapshot_destroy("snap1")
assert not c.snapshot_destroy("snap1")
copy = c.clone("rlxc-lib-copy", lxcpath)
assert copy and copy.defined and copy.get_config_item("lxc.uts.name") == "rlxc-lib-copy"
assert copy.get_config_item(f"lxc.net.{first}.hwaddr") != "00:16:3e:01:02:03"
kept = c.clone("rlxc-lib-kept", lxcpath, flags=lxc.LXC_CLONE_KEEPMACADDR | lxc.LXC_CLONE_SNAPSHOT, bdevtype="overlay")
assert kept and kept.get_config_item(f"lxc.net.{first}.hwaddr") == "00:16:3e:01:02:03"
assert kept.get_config_item("lxc.rootfs.path").endswith(f":{lxcpath}/rlxc-lib-kept/overlay/delta")
assert not c.destroy(), "destroyed below its snapshot"
assert kept.destroy() and copy.rename("rlxc-lib-moved")
moved = lxc.Container("rlxc-lib-moved", lxcpath)
assert moved.defined and moved.destroy() and not moved.defined
assert c.destroy() and not c.defined
assert lxc.list_containers(config_path=lxcpath) == ()
assert lxc.get_global_config_item("lxc.lxcpath") == "/var/lib/lxc"
refused(KeyError, lxc.get_global_config_item, "lxc.nosuch")
print("the binding is content")
