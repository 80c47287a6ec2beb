//! The library as its users load it: by soname, under Debian's Python binding.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the built programs and of the library.
fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().to_path_buf()
}

fn library() -> Option<PathBuf> {
    // Built here, since a test target alone does not make the shared library.
    let made = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "-p",
            "liblxc",
            "-p",
            "rlxc-container-monitor",
            "-p",
            "rlxc-worker",
        ])
        .status();
    assert!(made.unwrap().success());
    let library = built().join("liblxc.so");
    library.exists().then_some(library)
}

#[test]
fn the_python_binding_runs_on_the_library() {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root || !Path::new("/usr/lib/python3/dist-packages/lxc").exists() {
        return println!("skipped: root and the Python binding (package python3-lxc)");
    }
    if !Path::new("/bin/busybox").exists() {
        return println!("skipped: /bin/busybox (package busybox-static)");
    }
    let library = library().unwrap();
    let place = std::env::temp_dir().join(format!("rlxc-capi-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    // Beside the programs that the library starts.
    let folder = built().join("capi");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&library, folder.join("liblxc.so.1")).unwrap();
    for program in ["rlxc-monitor", "rlxc-worker"] {
        std::fs::copy(built().join(program), folder.join(program)).unwrap();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("/usr/bin/python3")
        .arg(here.join("tests/binding.py"))
        .arg(&place)
        .arg(here.join("../../templates/lxc-busybox"))
        .env("LD_LIBRARY_PATH", &folder)
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(&place);
    let said =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(said.contains("the binding is content"), "{said}");
}

#[test]
fn the_soname_is_that_of_lxc() {
    let bytes = std::fs::read(library().unwrap()).unwrap();
    assert!(bytes.windows(12).any(|w| w == b"liblxc.so.1\0"));
}
