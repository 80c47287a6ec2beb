//! `LXC_MEMFD_REXEC`: a program that sets it is executed again from a sealed copy when it loads the
//! library, so that nothing in a container that it attaches to can write to it (CVE-2019-5736).

use std::ffi::{c_char, c_int};

/// Run by the dynamic linker with the program's arguments, before the program itself.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = constructor;

extern "C" fn constructor(_argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    const NAME: &[u8] = b"LXC_MEMFD_REXEC";
    rlxc::carried::object_is_program();
    // Rust's own environment is not set up yet; a program without the variable pays for this walk
    // only.
    let mut at = envp;
    // SAFETY: the dynamic linker hands over the program's lists, which end with NULL.
    let wanted = unsafe {
        loop {
            if at.is_null() || (*at).is_null() {
                break false;
            }
            let line = std::ffi::CStr::from_ptr(*at).to_bytes();
            if line
                .strip_prefix(NAME)
                .is_some_and(|rest| rest.first() == Some(&b'='))
            {
                break true;
            }
            at = at.add(1);
        }
    };
    // Without an interpreter the dynamic linker itself was executed, with the program among its
    // arguments: the monitor carried in this library for one, which nothing can write to anyway.
    // SAFETY: getauxval has no preconditions.
    let is_direct = unsafe { libc::getauxval(libc::AT_BASE) } != 0;
    if wanted && is_direct {
        // SAFETY: as above.
        unsafe { again(argv, envp) };
    }
}

/// Executes the program from a sealed copy, unless it runs from one. What fails leaves the program
/// as it is, as with LXC.
///
/// # Safety
/// Both lists end with NULL.
unsafe fn again(argv: *const *const c_char, envp: *const *const c_char) {
    const SEALS: c_int =
        libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // MFD_EXEC: some systems make memfds not executable by default; old kernels lack the flag.
    const MFD_EXEC: libc::c_uint = 0x10;
    // SAFETY: plain system calls on descriptors of our own and on literals.
    unsafe {
        let own = libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if own < 0 {
            return;
        }
        let sealed = libc::fcntl(own, libc::F_GET_SEALS);
        if sealed >= 0 && sealed & SEALS == SEALS {
            libc::close(own);
            return;
        }
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        let mut copy = libc::memfd_create(c"liblxc".as_ptr(), flags | MFD_EXEC);
        if copy < 0 {
            copy = libc::memfd_create(c"liblxc".as_ptr(), flags);
        }
        if copy >= 0 && fill(own, copy) && libc::fcntl(copy, libc::F_ADD_SEALS, SEALS) == 0 {
            libc::fexecve(copy, argv.cast(), envp.cast());
        }
        libc::close(own);
        if copy >= 0 {
            libc::close(copy);
        }
    }
}

/// # Safety
/// Both are open descriptors.
unsafe fn fill(from: c_int, to: c_int) -> bool {
    loop {
        // SAFETY: descriptors by the caller's word, no offset.
        match unsafe { libc::sendfile(to, from, std::ptr::null_mut(), 1 << 24) } {
            0 => return true,
            -1 => return false,
            _ => {}
        }
    }
}
