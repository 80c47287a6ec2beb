//! The members with a variable list of arguments: `startl`, `createl`, `attach_run_waitl`.
//!
//! Rust can call such functions but not yet be one. So a few instructions gather the arguments:
//! those that came in registers are put in an array, those on the stack stay where they are, and an
//! ordinary function gets both.

use std::ffi::{c_char, c_int};

use crate::abi::lxc_container;
use crate::attach::{Options, attach_run_wait};
use crate::copies::{BdevSpecs, create};
use crate::life::start;

/// How many arguments come in registers.
#[cfg(target_arch = "x86_64")]
const REGISTERS: usize = 6;
#[cfg(target_arch = "aarch64")]
const REGISTERS: usize = 8;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("how this architecture passes variable argument lists is not written down yet");

/// Where the arguments of one call lie.
struct Arguments {
    registers: *const usize,
    stack: *const usize,
}

impl Arguments {
    /// The `n`th argument.
    ///
    /// # Safety
    /// The caller passed that many.
    unsafe fn get(&self, n: usize) -> usize {
        // SAFETY: by the caller's word.
        unsafe {
            match n.checked_sub(REGISTERS) {
                None => *self.registers.add(n),
                Some(beyond) => *self.stack.add(beyond),
            }
        }
    }

    /// The strings from the `n`th argument to the NULL that ends them, with it.
    ///
    /// # Safety
    /// The caller passed such a list.
    unsafe fn strings(&self, mut n: usize) -> Vec<*const c_char> {
        let mut strings = Vec::new();
        loop {
            // SAFETY: the list goes on at least until its NULL.
            let string = unsafe { self.get(n) } as *const c_char;
            strings.push(string);
            if string.is_null() {
                return strings;
            }
            n += 1;
        }
    }
}

macro_rules! gathered {
    ($name:ident, $worker:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            // The pushes leave the stack where a call needs it (8 modulo 16 on entry, then 56).
            std::arch::naked_asm!(
                "lea rax, [rsp + 8]",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "push rdi",
                "mov rdi, rsp",
                "mov rsi, rax",
                "sub rsp, 8",
                "call {worker}",
                "add rsp, 56",
                "ret",
                worker = sym $worker,
            )
        }

        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "mov x9, sp",
                "sub sp, sp, #80",
                "stp x0, x1, [sp]",
                "stp x2, x3, [sp, #16]",
                "stp x4, x5, [sp, #32]",
                "stp x6, x7, [sp, #48]",
                "stp x29, x30, [sp, #64]",
                "mov x0, sp",
                "mov x1, x9",
                "bl {worker}",
                "ldp x29, x30, [sp, #64]",
                "add sp, sp, #80",
                "ret",
                worker = sym $worker,
            )
        }
    };
}

gathered!(startl, startl_with);
gathered!(createl, createl_with);
gathered!(attach_run_waitl, attach_run_waitl_with);

/// `bool startl(c, int useinit, ...)`: an empty list stands for no list.
unsafe extern "C" fn startl_with(registers: *const usize, stack: *const usize) -> bool {
    let all = Arguments { registers, stack };
    // SAFETY: by the header's contract: a list of strings that ends with NULL.
    unsafe {
        let words = all.strings(2);
        let argv = match words.len() {
            1 => std::ptr::null(),
            _ => words.as_ptr(),
        };
        start(all.get(0) as *mut lxc_container, all.get(1) as c_int, argv)
    }
}

/// `bool createl(c, t, bdevtype, specs, int flags, ...)`.
unsafe extern "C" fn createl_with(registers: *const usize, stack: *const usize) -> bool {
    let all = Arguments { registers, stack };
    // SAFETY: as above.
    unsafe {
        let words = all.strings(5);
        create(
            all.get(0) as *mut lxc_container,
            all.get(1) as *const c_char,
            all.get(2) as *const c_char,
            all.get(3) as *const BdevSpecs,
            all.get(4) as c_int,
            words.as_ptr(),
        )
    }
}

/// `int attach_run_waitl(c, options, program, arg, ...)`: the list begins with `arg`.
unsafe extern "C" fn attach_run_waitl_with(registers: *const usize, stack: *const usize) -> c_int {
    let all = Arguments { registers, stack };
    // SAFETY: as above.
    unsafe {
        let words = all.strings(3);
        attach_run_wait(
            all.get(0) as *mut lxc_container,
            all.get(1) as *const Options,
            all.get(2) as *const c_char,
            words.as_ptr(),
        )
    }
}
