//! The memory of this process: the title that it shows, the object it was loaded from, what of it can
//! be given back to the kernel.
//!
//! # References
//! PR_SET_MM(2const), dladdr(3), madvise(2), mallopt(3).

use std::ffi::{CStr, CString};
use std::io;

/// The kernel's `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Shows `title` as the command line of this process (`ps`), at most 2048 bytes of it.
///
/// # Errors
/// As prctl(2); needs a kernel with PR_SET_MM_MAP or CAP_SYS_RESOURCE for PR_SET_MM.
pub fn set_title(title: &CStr) -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let bad = || io::Error::from_raw_os_error(libc::EINVAL);
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .ok_or_else(bad)?
        .1
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // proc_pid_stat(5): the list begins with field 3.
    let field = |number: usize| fields.get(number - 3).copied().ok_or_else(bad);
    let bytes = title.to_bytes();
    let text = CString::new(&bytes[..bytes.len().min(2048)])?;
    let length = text.as_bytes_with_nul().len() as u64;
    let start = Box::leak(text.into_bytes_with_nul().into_boxed_slice()).as_ptr() as u64;
    // SAFETY: sbrk(0) only reports the end of the heap.
    let brk = unsafe { libc::sbrk(0) } as u64;
    let map = MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk,
        arg_start: start,
        arg_end: start + length,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: `map` has the kernel's layout and holds this process's own addresses; the title is
    // leaked on purpose, so that it stays readable.
    let ret = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP,
            (&raw const map) as libc::c_ulong,
            size_of::<MemoryMap>() as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The file that this code was loaded from: the shared library, or the executable (dladdr(3)).
pub fn own_object() -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: an all-zero Dl_info is valid, and dladdr fills it in.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here: fn() -> Option<std::path::PathBuf> = own_object;
    // SAFETY: any address may be asked for.
    if unsafe { libc::dladdr(here as *const libc::c_void, &raw mut info) } == 0
        || info.dli_fname.is_null()
    {
        return None;
    }
    // SAFETY: dladdr succeeded: a NUL-terminated string that lives as long as the object.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    std::fs::canonicalize(path).ok()
}

/// Gives unused memory of the allocator back to the kernel (malloc_trim(3)).
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Drops this process's pages of program code: they are read from the page cache again when they
/// are needed, which a process that mostly sleeps seldom does (madvise(2)).
pub fn release_code_pages() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, mode, path) = (fields.next(), fields.next(), fields.nth(3));
        // Only code of files: never written to, not even by relocations.
        if mode != Some("r-xp") || !path.is_some_and(|path| path.starts_with('/')) {
            continue;
        }
        let bounds = range.and_then(|range| range.split_once('-'));
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let Some((start, end)) = bounds.and_then(|(a, b)| Some((number(a)?, number(b)?))) {
            // SAFETY: a clean private mapping of a file: each page comes back with the same bytes.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
}

/// Keeps the allocator from holding on to freed memory: large blocks are mapped and unmapped at
/// once, and the heap's top is trimmed early (mallopt(3)).
pub fn prefer_small_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: called with documented parameters.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 16 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 * 1024);
        libc::mallopt(libc::M_TOP_PAD, 0);
    }
}
