//! The library as its users load it: by soname, under Debian's Python binding.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

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
