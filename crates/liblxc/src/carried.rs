//! The monitor, the storage worker and what removes an ephemeral container, carried inside the
//! library: executed by the dynamic linker, the library is the program.
//!
//! The small programs beside the library or in their installed place are preferred: their memory is
//! smaller.

use std::ffi::{OsString, c_char, c_int};
use std::io::Write as _;
use std::process::ExitCode;

// What the linker is told to be the library's entry (`build.rs`): C's own start-up, which a program
// gets from the compiler and a library does not.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text.rlxc_library_start,\"ax\",@progbits",
    ".globl rlxc_library_start",
    ".hidden rlxc_library_start",
    ".type rlxc_library_start,@function",
    "rlxc_library_start:",
    "xor ebp, ebp",
    "mov r9, rdx",
    "pop rsi",
    "mov rdx, rsp",
    "and rsp, -16",
    "push rax",
    "push rsp",
    "xor r8d, r8d",
    "xor ecx, ecx",
    "lea rdi, [rip + {main}]",
    "call {start}@PLT",
    "hlt",
    ".popsection",
    main = sym main,
    start = sym __libc_start_main,
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .text.rlxc_library_start,\"ax\",@progbits",
    ".globl rlxc_library_start",
    ".hidden rlxc_library_start",
    ".type rlxc_library_start,@function",
    "rlxc_library_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x5, x0",
    "ldr x1, [sp]",
    "add x2, sp, #8",
    "mov x6, sp",
    "adrp x0, {main}",
    "add x0, x0, :lo12:{main}",
    "mov x3, #0",
    "mov x4, #0",
    "bl {start}",
    "brk #1",
    ".popsection",
    main = sym main,
    start = sym __libc_start_main,
);

unsafe extern "C" {
    fn __libc_start_main() -> c_int;
}

extern "C" fn main(
    _argc: c_int,
    _argv: *const *const c_char,
    _envp: *const *const c_char,
) -> c_int {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    match first.as_ref().and_then(|word| word.to_str()) {
        Some(rlxc::carried::WORKER) => {
            let words = arguments.map(|word| word.to_string_lossy().into_owned());
            rlxc::worker_main(&words.collect::<Vec<_>>())
        }
        Some(rlxc::carried::DESTROY) => destroy(arguments.next(), arguments.next()),
        _ => {
            let code = rlxc::monitor_main();
            let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
            c_int::from(number.unwrap_or(1))
        }
    }
}

/// What a monitor asks for whose container is ephemeral.
fn destroy(lxcpath: Option<OsString>, name: Option<OsString>) -> c_int {
    let (Some(lxcpath), Some(Ok(name))) = (lxcpath, name.map(OsString::into_string)) else {
        return 2;
    };
    let opened = rlxc::Container::new(&name, Some(lxcpath.as_ref()));
    match opened.and_then(|mut container| container.destroy()) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            1
        }
    }
}
