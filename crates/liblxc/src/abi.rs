//! `struct lxc_container` as LXC 7.0.0 lays it out, and what stands behind it.

use std::cell::UnsafeCell;
use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use rlxc::{Container, Error};

use crate::memory::{give, release};

/// How many function members stand in one row.
const MEMBERS: usize = 61;

/// One function member; its type is in the header.
type Member = *const ();

/// LXC's container object. The first block is private to the library but read by known programs.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct lxc_container {
    pub(crate) name: *mut c_char,
    pub(crate) configfile: *mut c_char,
    pub(crate) pidfile: *mut c_char,
    pub(crate) slock: *mut c_void,
    pub(crate) privlock: *mut c_void,
    pub(crate) numthreads: c_int,
    pub(crate) lxc_conf: *mut c_void,
    pub(crate) error_string: *mut c_char,
    pub(crate) error_num: c_int,
    pub(crate) daemonize: bool,
    pub(crate) config_path: *mut c_char,
    members: [Member; MEMBERS],
    pub(crate) rcv_timeout: c_int,
    set_timeout: Member,
}

const _: () = {
    assert!(size_of::<lxc_container>() == 584);
    assert!(std::mem::offset_of!(lxc_container, config_path) == 72);
    assert!(std::mem::offset_of!(lxc_container, members) == 80);
    assert!(std::mem::offset_of!(lxc_container, rcv_timeout) == 568);
    assert!(std::mem::offset_of!(lxc_container, set_timeout) == 576);
};

/// What is behind the pointer that callers hold.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) c: lxc_container,
    pub(crate) inner: Mutex<Inner>,
}

/// The Rust side.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) container: Container,
    pub(crate) close_all_fds: bool,
    pub(crate) references: u32,
}

macro_rules! members {
    ($($module:ident :: $function:ident),* $(,)?) => {
        [$(crate::$module::$function as Member),*]
    };
}

/// The functions in the header's order.
fn members() -> [Member; MEMBERS] {
    members![
        query::is_defined,
        query::state,
        query::is_running,
        life::freeze,
        life::unfreeze,
        query::init_pid,
        config::load_config,
        life::start,
        variadic::startl,
        life::stop,
        life::want_daemonize,
        life::want_close_all_fds,
        config::config_file_name,
        life::wait,
        config::set_config_item,
        copies::destroy,
        config::save_config,
        copies::create,
        variadic::createl,
        copies::rename,
        life::reboot,
        life::shutdown,
        config::clear_config,
        config::clear_config_item,
        config::get_config_item,
        config::get_running_config_item,
        config::get_keys,
        query::get_interfaces,
        query::get_ips,
        query::get_cgroup_item,
        query::set_cgroup_item,
        config::get_config_path,
        config::set_config_path,
        copies::clone,
        query::console_getfd,
        query::console,
        attach::attach,
        attach::attach_run_wait,
        variadic::attach_run_waitl,
        copies::snapshot,
        copies::snapshot_list,
        copies::snapshot_restore,
        copies::snapshot_destroy,
        query::may_control,
        lend::add_device_node,
        lend::remove_device_node,
        lend::attach_interface,
        lend::detach_interface,
        checkpoint::checkpoint,
        checkpoint::restore,
        copies::destroy_with_snapshots,
        copies::snapshot_destroy_all,
        checkpoint::migrate,
        query::console_log,
        life::reboot2,
        lend::mount,
        lend::umount,
        query::seccomp_notify_fd,
        query::seccomp_notify_fd_active,
        query::init_pidfd,
        query::devpts_fd,
    ]
}

/// What `lxc_conf` shows while there is a configuration: to programs that look behind the pointer,
/// nothing is set. The size is beyond that of LXC's structure.
#[repr(C, align(16))]
struct Opaque(UnsafeCell<[u8; 1 << 16]>);

// SAFETY: this library only takes the address.
unsafe impl Sync for Opaque {}

static CONFIGURATION: Opaque = Opaque(UnsafeCell::new([0; 1 << 16]));

/// Programs test `lxc_conf` for NULL to see whether there is a configuration.
fn shown(container: &Container) -> *mut c_void {
    match container.document {
        Some(_) => CONFIGURATION.0.get().cast(),
        None => std::ptr::null_mut(),
    }
}

impl Handle {
    /// A container object with one reference, for the caller to put.
    pub(crate) fn make(container: Container) -> *mut lxc_container {
        let path = |path: &std::path::Path| give(path.as_os_str().as_bytes());
        let c = lxc_container {
            name: give(container.name().as_bytes()),
            configfile: path(container.config_file()),
            pidfile: std::ptr::null_mut(),
            slock: std::ptr::null_mut(),
            privlock: std::ptr::null_mut(),
            numthreads: 1,
            lxc_conf: shown(&container),
            error_string: std::ptr::null_mut(),
            error_num: 0,
            daemonize: true,
            config_path: path(container.lxcpath()),
            members: members(),
            rcv_timeout: 0,
            set_timeout: crate::life::set_timeout as Member,
        };
        let inner = Inner {
            container,
            close_all_fds: false,
            references: 1,
        };
        let inner = Mutex::new(inner);
        Box::into_raw(Box::new(Self { c, inner })).cast()
    }

    /// Frees the object with its strings.
    ///
    /// # Safety
    /// `handle` was made by [`Handle::make`] and nobody uses it any more.
    pub(crate) unsafe fn free(handle: *mut Self) {
        // SAFETY: by the caller's word.
        let handle = unsafe { Box::from_raw(handle) };
        let c = &handle.c;
        for string in [
            c.name,
            c.configfile,
            c.pidfile,
            c.error_string,
            c.config_path,
        ] {
            release(string);
        }
    }
}

/// Calls `job` on the container behind `c`; NULL, an error or a panic give `failed`.
///
/// # Safety
/// `c` is NULL or a live container of this library.
pub(crate) unsafe fn call<T>(
    c: *mut lxc_container,
    failed: T,
    job: impl FnOnce(&mut Inner, &mut lxc_container) -> Result<T, Error>,
) -> T {
    if c.is_null() {
        return failed;
    }
    let handle: *mut Handle = c.cast();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: live by the caller's word; the lock keeps other threads off the Rust side, and
        // the C side is written only under it.
        let (inner, c) = unsafe { (&(*handle).inner, &mut (*handle).c) };
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        adopt(&mut inner, c);
        let result = job(&mut inner, c);
        c.lxc_conf = shown(&inner.container);
        result.map_err(|error| complain(c, &error))
    }));
    outcome.unwrap_or(Err(())).unwrap_or(failed)
}

/// Programs overwrite the member to use another file.
fn adopt(inner: &mut Inner, c: &lxc_container) {
    // SAFETY: the member is always NULL or a string.
    let Some(file) = (unsafe { crate::memory::bytes(c.configfile) }) else {
        return;
    };
    // Asked at every call, and nearly always the same.
    if file != inner.container.config_file().as_os_str().as_bytes() {
        let file = OsStr::from_bytes(file);
        inner.container.set_config_file(file);
    }
}

/// Calls `job` on a copy of the container behind `c`, while other threads and forked children may
/// use the original: for what lasts, waits, or forks. `with_config` says whether `job` needs the
/// configuration; without one in memory `job` sees none either way.
///
/// # Safety
/// As [`call`].
pub(crate) unsafe fn apart<T>(
    c: *mut lxc_container,
    failed: T,
    with_config: bool,
    job: impl FnOnce(&mut Container) -> Result<T, Error>,
) -> T {
    if c.is_null() {
        return failed;
    }
    let handle: *mut Handle = c.cast();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut copy = {
            // SAFETY: as in `call`.
            let (inner, c) = unsafe { (&(*handle).inner, &(*handle).c) };
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            adopt(&mut inner, c);
            match with_config {
                true => inner.container.clone(),
                false => inner.container.questions(),
            }
        };
        job(&mut copy).map_err(|error| {
            // SAFETY: as in `call`; the C side is written under the lock.
            let (inner, c) = unsafe { (&(*handle).inner, &mut (*handle).c) };
            let _inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            complain(c, &error);
        })
    }));
    outcome.unwrap_or(Err(())).unwrap_or(failed)
}

/// Whether the object has a configuration in memory; LXC refuses some calls without one.
///
/// # Safety
/// As [`call`].
pub(crate) unsafe fn has_config(c: *mut lxc_container) -> bool {
    // SAFETY: by the caller's word.
    unsafe { call(c, false, |inner, _| Ok(inner.container.document.is_some())) }
}

/// Keeps what went wrong where `error_num` and `error_string` show it.
fn complain(c: &mut lxc_container, error: &Error) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if let Some(remedy) = error.remedy() {
        text = format!("{text} ({remedy})");
    }
    tracing::error!("{text}");
    release(c.error_string);
    c.error_string = give(text.as_bytes());
    c.error_num = error.errno();
}
