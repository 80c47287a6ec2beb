//! bpf(2) for cgroup device programs: load, attach, replace, query.
//!
//! # References
//! bpf(2); `linux/bpf.h`: `BPF_PROG_TYPE_CGROUP_DEVICE`, `BPF_CGROUP_DEVICE`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_QUERY: libc::c_long = 16;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

#[repr(C, align(8))]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C, align(8))]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    /// `relative_fd`, spelled out so that the kernel never reads padding.
    relative_fd: u32,
}

fn fd_bits(fd: RawFd) -> u32 {
    u32::from_ne_bytes(fd.to_ne_bytes())
}

/// Loads a cgroup device program of encoded instructions (`struct bpf_insn` as one u64 each).
///
/// # Errors
/// EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL for a program that the verifier refuses.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let attr = LoadAttr {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: attr lives through the call and is passed with its true size; the pointers in it
    // name a slice of insn_cnt instructions and a static string.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_LOAD,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup2 directory beside others, in the place of `old` if given.
///
/// # Errors
/// EPERM without the privilege, EBADF if `cgroup` is not cgroup2, ENOENT if `old` is not attached.
pub fn attach_device_program(
    cgroup: impl AsFd,
    program: impl AsFd,
    old: Option<&OwnedFd>,
) -> io::Result<()> {
    let attr = AttachAttr {
        target_fd: fd_bits(cgroup.as_fd().as_raw_fd()),
        attach_bpf_fd: fd_bits(program.as_fd().as_raw_fd()),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI | old.map_or(0, |_| REPLACE),
        replace_bpf_fd: old.map_or(0, |fd| fd_bits(fd.as_raw_fd())),
        relative_fd: 0,
    };
    // SAFETY: attr lives through the call, is fully initialised and passed with its true size; the
    // descriptors are borrowed for the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_ATTACH,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[repr(C, align(8))]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// A descriptor of a loaded program, by its id.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN, ENOENT when it is gone.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // prog_id, next_id, open_flags.
    let attr = [id, 0, 0];
    // SAFETY: attr lives through the call and is passed with its true size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_GET_FD_BY_ID,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The ids of the device programs that are attached to a cgroup2 directory itself.
///
/// # Errors
/// EPERM without the privilege, EBADF if `cgroup` is not cgroup2.
pub fn query_device_programs(cgroup: impl AsFd) -> io::Result<Vec<u32>> {
    // The kernel attaches at most 64 programs of a kind.
    let mut ids = [0_u32; 64];
    let mut attr = QueryAttr {
        target_fd: fd_bits(cgroup.as_fd().as_raw_fd()),
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: attr lives through the call, is fully initialised and passed with its true size (a
    // kernel with a smaller structure accepts the zeroes behind it); prog_ids names 64 integers.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut attr, size_of_val(&attr)) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(attr.prog_cnt).unwrap_or(0).min(ids.len());
    Ok(ids[..count].to_vec())
}
