//! The library's soname, by which programs that were linked to LXC's find it.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblxc.so.1");
    // Executed by the dynamic linker, the library is the monitor (src/carried.rs).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-e,rlxc_library_start");
    println!("cargo:rerun-if-changed=build.rs");
}
