//! The library's soname, by which programs that were linked to LXC's find it.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblxc.so.1");
    println!("cargo:rerun-if-changed=build.rs");
}
