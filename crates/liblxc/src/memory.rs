//! Strings and arrays across the border: in by pointer, out by the C allocator.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A C string as text; `None` for NULL or other encodings than UTF-8.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that lives as long as the result.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not NULL, and a string by the caller's word.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// A C string as a path.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn path(text: *const c_char) -> Option<PathBuf> {
    // SAFETY: the same word is given.
    let bytes = unsafe { bytes(text) }?;
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

/// A C string's bytes; `None` for NULL.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not NULL, and a string by the caller's word.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A NULL-terminated array of C strings.
///
/// # Safety
/// `list` is NULL or such an array.
pub(crate) unsafe fn list(list: *const *const c_char) -> Vec<String> {
    let mut words = Vec::new();
    if list.is_null() {
        return words;
    }
    let mut at = list;
    // SAFETY: the array ends with NULL, so every element up to it may be read.
    unsafe {
        while !(*at).is_null() {
            words.push(CStr::from_ptr(*at).to_string_lossy().into_owned());
            at = at.add(1);
        }
    }
    words
}

/// A copy for the caller to free; NULL when memory is short.
pub(crate) fn give(text: &[u8]) -> *mut c_char {
    // SAFETY: the block is one byte larger than the text, and is filled wholly.
    unsafe {
        let block = libc::malloc(text.len() + 1).cast::<u8>();
        if !block.is_null() {
            std::ptr::copy_nonoverlapping(text.as_ptr(), block, text.len());
            *block.add(text.len()) = 0;
        }
        block.cast()
    }
}

/// An array for the caller to free, element by element; with a closing NULL.
pub(crate) fn give_list<T: AsRef<[u8]>>(items: &[T]) -> *mut *mut c_char {
    // SAFETY: room for every item and the closing NULL.
    unsafe {
        let block = libc::calloc(items.len() + 1, size_of::<*mut c_char>()).cast::<*mut c_char>();
        if !block.is_null() {
            for (n, item) in items.iter().enumerate() {
                *block.add(n) = give(item.as_ref());
            }
        }
        block
    }
}

/// LXC's two-call convention: the length always, the text where it fits.
///
/// # Safety
/// `buffer` is NULL or has `size` bytes.
pub(crate) unsafe fn fill(value: &str, buffer: *mut c_char, size: c_int) -> c_int {
    let Ok(length) = c_int::try_from(value.len()) else {
        return -1;
    };
    if buffer.is_null() || size <= 0 {
        return length;
    }
    let room = usize::try_from(size - 1).unwrap_or(0).min(value.len());
    // SAFETY: at most `size - 1` bytes and the NUL.
    unsafe {
        std::ptr::copy_nonoverlapping(value.as_ptr(), buffer.cast(), room);
        *buffer.add(room) = 0;
    }
    length
}

/// As [`fill`], but a buffer that is too short is left as it is.
///
/// # Safety
/// As [`fill`].
pub(crate) unsafe fn fill_whole(value: &str, buffer: *mut c_char, size: c_int) -> c_int {
    let fits = usize::try_from(size).is_ok_and(|size| size > value.len());
    let buffer = if fits { buffer } else { std::ptr::null_mut() };
    // SAFETY: by the caller's word.
    unsafe { fill(value, buffer, size) }
}

/// Frees what [`give`] made; NULL is nothing.
pub(crate) fn release(text: *mut c_char) {
    // SAFETY: only blocks of the C allocator are kept in the structures of this library.
    unsafe { libc::free(text.cast()) }
}
