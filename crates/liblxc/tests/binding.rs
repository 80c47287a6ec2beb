//! The library as its users load it: by soname, under Debian's Python binding.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Place, dropped_in, here, lacks, sandboxed, text};

#[test]
fn the_python_binding_runs_on_the_library() {
    let needs = [
        ("/usr/lib/python3/dist-packages/lxc", "python3-lxc"),
        ("/bin/busybox", "busybox-static"),
    ];
    if lacks(true, &needs) {
        return;
    }
    let drop = dropped_in("python");
    let place = Place::new("python");
    let output = sandboxed(&drop, "timeout")
        .args(["100", "/usr/bin/python3"])
        .arg(here().join("tests/binding.py"))
        .arg(place.path())
        .arg(here().join("../../templates/lxc-busybox"))
        .output()
        .unwrap();
    let said = text(&output);
    assert!(said.contains("the binding is content"), "{said}");
}

/// The binding's own script, unchanged: it creates by the template `download`, for which one that needs
/// no network stands in, and asks for the address that the configuration gives.
const API_SETUP: &str = "\
cat > /etc/lxc/default.conf <<END
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.0.3.78/24
lxc.cap.drop = mac_admin mac_override sys_time sys_module
lxc.tty.max = 1
END
mount --bind \"$TEMPLATES\" /usr/share/lxc/templates
exec \"$@\"
";

#[test]
fn the_api_script_of_the_python_binding_passes() {
    const SCRIPT: &str = "/usr/share/doc/python3-lxc/examples/api_test.py";
    let needs = [
        (SCRIPT, "python3-lxc"),
        ("/usr/share/lxc/templates", "lxc-templates"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "a memory controller of cgroup v1, which the script uses",
        ),
        ("/bin/busybox", "busybox-static"),
    ];
    if lacks(true, &needs) {
        return;
    }
    let drop = dropped_in("api");
    let templates = drop.join("templates");
    std::fs::create_dir(&templates).unwrap();
    // It takes distribution, release and architecture, and the network is set up already.
    let template = format!(
        "#!/bin/sh -e\nfor arg; do case $arg in --name=*|--path=*|--rootfs=*) set -- \"$@\" \"$arg\";; esac; \
         shift; done\n{} \"$@\"\nfor arg; do case $arg in --rootfs=*)\n\
         sed -i /udhcpc/d \"${{arg#--rootfs=}}/etc/init.d/rcS\";; esac; done\n",
        here().join("../../templates/lxc-busybox").display()
    );
    let download = templates.join("lxc-download");
    std::fs::write(&download, template).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&download, mode).unwrap();
    let output = sandboxed(&drop, "sh")
        .args(["-e", "-c", API_SETUP, "sh", "timeout", "100"])
        .args(["/usr/bin/python3", SCRIPT])
        .env("TEMPLATES", &templates)
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Destroying the container"), "{said}");
}
