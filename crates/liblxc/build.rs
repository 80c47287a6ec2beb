//! The library's soname, by which programs that were linked to LXC's find it, and its entry.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblxc.so.1");
    // Executed by the dynamic linker, the library is the monitor (src/carried.rs).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-e,rlxc_library_start");
    // Functions with the same code are kept once, and relocations are packed: lld can do the first,
    // which Rust brings along for some targets; the second also needs a C library that reads it.
    let release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    for wish in ["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"] {
        if release && is_known(wish) {
            println!("cargo:rustc-cdylib-link-arg={wish}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// Whether the linker for this target takes the argument, and whether what it makes runs: tried with an
/// empty program.
fn is_known(argument: &str) -> bool {
    let [Some(rustc), Some(out), Some(target), Some(host)] =
        ["RUSTC", "OUT_DIR", "TARGET", "HOST"].map(env::var_os)
    else {
        return false;
    };
    let out = Path::new(&out);
    let (source, program) = (out.join("probe.rs"), out.join("probe"));
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut command = Command::new(rustc);
    command.arg(format!("-Clink-arg={argument}"));
    command.arg("--target").arg(&target);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("-Clinker=");
        option.push(linker);
        command.arg(option);
    }
    command.arg("-o").arg(&program).arg(source);
    let runs = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    // What is built for another machine cannot be tried.
    runs(&mut command) && host == target && runs(&mut Command::new(program))
}
