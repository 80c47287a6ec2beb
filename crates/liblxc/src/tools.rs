//! What programs import although no header declares it: LXC's own tools, and the Ruby binding.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};

use crate::abi::lxc_container;
use crate::config::set_config_item;
use crate::memory::{give, release, text};

/// A thread-local pointer to the configuration of the call that goes on, which LXC's tools import
/// for their log lines; they find NULL, as in a program that has loaded none.
///
/// Not to be read by Rust, to which it is no thread-local: the section makes it one for C.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tbss.current_config")]
pub static current_config: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// LXC's ring of list nodes.
#[repr(C)]
#[derive(Debug)]
pub struct LxcList {
    elem: *mut c_void,
    next: *mut LxcList,
    prev: *mut LxcList,
}

/// What `lxc_config_define_add` puts in a node.
#[repr(C)]
struct Define {
    key: *mut c_char,
    value: *mut c_char,
}

/// Appends `KEY=VALUE` to the list: 0, or −1 when there is no key or no `=`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_config_define_add(defines: *mut LxcList, arg: *mut c_char) -> c_int {
    if defines.is_null() {
        return -1;
    }
    // SAFETY: NULL or a string by the contract.
    let Some((key, value)) = (unsafe { text(arg) }).and_then(|text| text.split_once('=')) else {
        return -1;
    };
    if key.is_empty() {
        return -1;
    }
    // SAFETY: fresh blocks of the C allocator, written before anyone sees them; the list is a ring,
    // so its last node and the new one exist.
    unsafe {
        let node = libc::calloc(1, size_of::<LxcList>()).cast::<LxcList>();
        let define = libc::calloc(1, size_of::<Define>()).cast::<Define>();
        if node.is_null() || define.is_null() {
            libc::free(node.cast());
            libc::free(define.cast());
            return -1;
        }
        (*define).key = give(key.as_bytes());
        (*define).value = give(value.as_bytes());
        let last = (*defines).prev;
        (*node).elem = define.cast();
        (*node).next = defines;
        (*node).prev = last;
        (*last).next = node;
        (*defines).prev = node;
    }
    0
}

/// Sets every item of the list, up to the first that fails, and frees the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_config_define_load(
    defines: *mut LxcList,
    c: *mut lxc_container,
) -> bool {
    if defines.is_null() {
        return false;
    }
    // SAFETY: a ring made by `lxc_config_define_add`, by the contract.
    unsafe {
        let mut at = (*defines).next;
        let mut all = true;
        while all && at != defines {
            let define = (*at).elem.cast::<Define>();
            all = set_config_item(c, (*define).key, (*define).value);
            at = (*at).next;
        }
        lxc_config_define_free(defines);
        all
    }
}

/// Frees what the list holds; the list itself is empty then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_config_define_free(defines: *mut LxcList) {
    if defines.is_null() {
        return;
    }
    // SAFETY: as above; each node is read before it is freed.
    unsafe {
        let mut at = (*defines).next;
        while at != defines {
            let next = (*at).next;
            let define = (*at).elem.cast::<Define>();
            if !define.is_null() {
                release((*define).key);
                release((*define).value);
                libc::free(define.cast());
            }
            libc::free(at.cast());
            at = next;
        }
        (*defines).next = defines;
        (*defines).prev = defines;
    }
}

/// The execution domain of an architecture's name; −EINVAL for an unknown one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_config_parse_arch(arch: *const c_char, persona: *mut c_long) -> c_int {
    const LINUX32: [&CStr; 16] = [
        c"arm", c"armel", c"armhf", c"armv7l", c"athlon", c"i386", c"i486", c"i586", c"i686",
        c"linux32", c"mips", c"mipsel", c"ppc", c"powerpc", c"x32", c"x86",
    ];
    const LINUX: [&CStr; 15] = [
        c"aarch64",
        c"amd64",
        c"arm64",
        c"linux64",
        c"loongarch64",
        c"loong64",
        c"mips64",
        c"mips64el",
        c"ppc64",
        c"ppc64el",
        c"ppc64le",
        c"powerpc64",
        c"riscv64",
        c"s390x",
        c"x86_64",
    ];
    if arch.is_null() || persona.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: neither is NULL.
    unsafe {
        let arch = CStr::from_ptr(arch);
        *persona = match () {
            () if LINUX32.contains(&arch) => 8,
            () if LINUX.contains(&arch) => 0,
            () => return -libc::EINVAL,
        };
    }
    0
}

/// Whether LXC knows such storage.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_is_valid_storage_type(kind: *const c_char) -> bool {
    const KNOWN: [&CStr; 9] = [
        c"dir",
        c"btrfs",
        c"loop",
        c"lvm",
        c"nbd",
        c"overlay",
        c"overlayfs",
        c"rbd",
        c"zfs",
    ];
    if kind.is_null() {
        return false;
    }
    // SAFETY: not NULL, and a string by the caller's word.
    KNOWN.contains(&unsafe { CStr::from_ptr(kind) })
}

/// Waits for a process: its raw wait status, or −1. The Ruby binding imports it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_wait_for_pid_status(pid: libc::pid_t) -> c_int {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one integer, which lives through the call.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if waited == pid {
            return status;
        }
        // SAFETY: the calling thread's own errno.
        if waited == -1 && unsafe { *libc::__errno_location() } == libc::EINTR {
            continue;
        }
        return -1;
    }
}
