//! The functions that stand alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rlxc::config::KEY_TABLE;
use rlxc::{Container, default_lxcpath, global_config_item, has_api_extension};

use crate::abi::{Handle, lxc_container};
use crate::memory::{give_list, path, text};

/// A container object for a name; it need not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_container_new(
    name: *const c_char,
    lxcpath: *const c_char,
) -> *mut lxc_container {
    let none = std::ptr::null_mut();
    // SAFETY: NULL or strings by the header's contract.
    let (name, lxcpath) = unsafe { (text(name), path(lxcpath)) };
    let Some(name) = name else { return none };
    let made = catch_unwind(|| match open(name, lxcpath.as_deref()) {
        Ok(container) => Handle::make(container),
        Err(error) => {
            if !matches!(error, rlxc::Error::Config(_)) {
                tracing::error!("{error}");
                return std::ptr::null_mut();
            }
            // LXC says so on standard error, log or not: the caller only learns that it failed.
            let _ = writeln!(
                std::io::stderr(),
                "Failed to load config for {name}: {error}"
            );
            tracing::error!("{error}");
            std::ptr::null_mut()
        }
    });
    made.unwrap_or(none)
}

fn open(name: &str, lxcpath: Option<&Path>) -> rlxc::Result<Container> {
    Container::without_config(name, lxcpath)?.remove_leftover()?;
    Container::new(name, lxcpath)
}

/// One more reference: 1, or 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_container_get(c: *mut lxc_container) -> c_int {
    if c.is_null() {
        return 0;
    }
    // SAFETY: a live container by the header's contract.
    let handle = unsafe { &mut *c.cast::<Handle>() };
    let mut inner = handle.inner.lock().unwrap_or_else(PoisonError::into_inner);
    if inner.references == 0 {
        return 0;
    }
    inner.references += 1;
    handle.c.numthreads = c_int::try_from(inner.references).unwrap_or(c_int::MAX);
    1
}

/// One reference less: 0, or 1 when that was the last and the object is freed, −1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_container_put(c: *mut lxc_container) -> c_int {
    if c.is_null() {
        return -1;
    }
    let handle = c.cast::<Handle>();
    // SAFETY: a live container by the header's contract.
    let left = unsafe {
        let handle = &mut *handle;
        let mut inner = handle.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.references = inner.references.saturating_sub(1);
        handle.c.numthreads = c_int::try_from(inner.references).unwrap_or(c_int::MAX);
        inner.references
    };
    if left > 0 {
        return 0;
    }
    // SAFETY: that was the last reference.
    unsafe { Handle::free(handle) };
    1
}

/// The names of the states, by number; 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_get_wait_states(states: *mut *const c_char) -> c_int {
    let names = crate::query::wait_states();
    if !states.is_null() {
        // SAFETY: the caller's array has room for all, as the header says.
        unsafe { std::ptr::copy_nonoverlapping(names.as_ptr(), states, names.len()) };
    }
    8
}

thread_local! {
    /// Answers stay valid for the life of the thread, as with LXC.
    static ITEMS: RefCell<BTreeMap<String, Option<CString>>> = const { RefCell::new(BTreeMap::new()) };
}

fn set_errno(errno: c_int) {
    // SAFETY: the calling thread's own errno.
    unsafe { *libc::__errno_location() = errno };
}

/// An item of lxc.conf: NULL with errno 0 when unset, EINVAL when unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_get_global_config_item(key: *const c_char) -> *const c_char {
    // SAFETY: NULL or a string by the header's contract.
    let key = unsafe { text(key) }.unwrap_or_default();
    let value = ITEMS.with_borrow_mut(|items| {
        if let Some(known) = items.get(key) {
            return Ok(known.as_ref().map(|value| value.as_ptr()));
        }
        let value = global_config_item(key).map_err(|_| ())?;
        let value = value.and_then(|value| CString::new(value).ok());
        let kept = items.entry(key.to_owned()).or_insert(value);
        Ok::<_, ()>(kept.as_ref().map(|value| value.as_ptr()))
    });
    match value {
        Ok(value) => {
            set_errno(0);
            value.unwrap_or(std::ptr::null())
        }
        Err(()) => {
            set_errno(libc::EINVAL);
            std::ptr::null()
        }
    }
}

/// The version of LXC whose interface this is.
#[unsafe(no_mangle)]
pub extern "C" fn lxc_get_version() -> *const c_char {
    c"7.0.0".as_ptr()
}

/// Whether a key of the table has exactly this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_config_item_is_supported(key: *const c_char) -> bool {
    // SAFETY: NULL or a string by the header's contract.
    unsafe { text(key) }
        .is_some_and(|key| KEY_TABLE.iter().any(|row| row.name == key && row.listed))
}

/// Whether the interface has an extension; NULL: yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lxc_has_api_extension(extension: *const c_char) -> bool {
    if extension.is_null() {
        return true;
    }
    // SAFETY: a string by the header's contract.
    unsafe { text(extension) }.is_some_and(has_api_extension)
}

/// Names, and on request container objects, in the caller's two arrays.
///
/// # Safety
/// The pointers are NULL or may be written.
unsafe fn list(
    find: fn(&Path) -> rlxc::Result<Vec<String>>,
    lxcpath: *const c_char,
    names: *mut *mut *mut c_char,
    containers: *mut *mut *mut lxc_container,
) -> c_int {
    // SAFETY: NULL or a string.
    let lxcpath: PathBuf = unsafe { path(lxcpath) }.unwrap_or_else(default_lxcpath);
    let Ok(Ok(mut found)) = catch_unwind(|| find(&lxcpath)) else {
        return -1;
    };
    if !containers.is_null() {
        let mut objects = Vec::new();
        found.retain(|name| match Container::new(name, Some(&lxcpath)) {
            Ok(container) => {
                objects.push(Handle::make(container));
                true
            }
            Err(_) => false,
        });
        // SAFETY: an array of the C allocator with room for every object.
        unsafe {
            *containers = std::ptr::null_mut();
            let array = libc::calloc(objects.len() + 1, size_of::<*mut c_void>());
            if array.is_null() {
                return -1;
            }
            let array = array.cast::<*mut lxc_container>();
            std::ptr::copy_nonoverlapping(objects.as_ptr(), array, objects.len());
            match objects.is_empty() {
                true => libc::free(array.cast()),
                false => *containers = array,
            }
        }
    }
    if !names.is_null() {
        // SAFETY: not NULL.
        unsafe {
            *names = match found.is_empty() {
                true => std::ptr::null_mut(),
                false => give_list(&found),
            };
        }
    }
    c_int::try_from(found.len()).unwrap_or(-1)
}

/// The containers that have a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn list_defined_containers(
    lxcpath: *const c_char,
    names: *mut *mut *mut c_char,
    containers: *mut *mut *mut lxc_container,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { list(rlxc::list_defined, lxcpath, names, containers) }
}

/// The containers that run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn list_active_containers(
    lxcpath: *const c_char,
    names: *mut *mut *mut c_char,
    containers: *mut *mut *mut lxc_container,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { list(rlxc::list_active, lxcpath, names, containers) }
}

/// Both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn list_all_containers(
    lxcpath: *const c_char,
    names: *mut *mut *mut c_char,
    containers: *mut *mut *mut lxc_container,
) -> c_int {
    // SAFETY: by the header's contract.
    unsafe { list(rlxc::list_all, lxcpath, names, containers) }
}
