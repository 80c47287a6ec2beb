//! A container's life by the crate `lxc`, below the default lxcpath (the crate hands another one over
//! after it has freed it). Argument: template.

fn main() {
    let template = std::env::args().nth(1).unwrap();
    assert_eq!(lxc::version(), "7.0.0");
    assert_eq!(lxc::wait_states().len(), 8);
    assert!(lxc::get_global_config_item("lxc.lxcpath").is_some());
    // What bindgen made of the header.
    assert_eq!(size_of::<lxc_sys::lxc_container>(), 584);
    assert_eq!(size_of::<lxc_sys::lxc_attach_options_t>(), 96);
    assert_eq!(size_of::<lxc_sys::migrate_opts>(), 80);

    let c = lxc::Container::new("rlxc-lib-rust", None).unwrap();
    assert!(!c.is_defined());
    c.set_config_item("lxc.net.0.type", "empty").unwrap();
    c.create(&template, None, None, lxc::CreateFlags::QUIET, &[])
        .unwrap();
    assert!(c.is_defined());
    assert_eq!(
        c.get_config_item("lxc.uts.name").as_deref(),
        Some("rlxc-lib-rust")
    );
    assert_eq!(c.get_config_path(), "/var/lib/lxc");

    c.start(false, &[]).unwrap();
    c.wait("RUNNING", 10).unwrap();
    assert_eq!(c.state().to_string(), "RUNNING");
    assert!(c.init_pid() > 1 && c.may_control());
    assert_eq!(c.get_running_config_item("lxc.uts.name"), "rlxc-lib-rust");
    c.freeze().unwrap();
    c.unfreeze().unwrap();
    let mut options = lxc::attach::Options {
        attach_flags: 0,
        env_policy: 0,
        extra_env_vars: std::ptr::null_mut(),
        gid: 0,
        uid: 0,
        extra_keep_env: std::ptr::null_mut(),
        initial_cwd: std::ptr::null_mut(),
        log_fd: -1,
        stdin_fd: 0,
        stdout_fd: 1,
        stderr_fd: 2,
        namespaces: -1,
        personality: -1,
        groups: lxc_sys::lxc_groups_t {
            size: 0,
            list: std::ptr::null_mut(),
        },
        lsm_label: std::ptr::null_mut(),
    };
    // Without arguments: the crate hands those over after it has freed them.
    let status = c.attach_run_wait(&mut options, "/bin/false", &[]);
    assert_eq!(status.ok(), Some(1 << 8));
    c.stop().unwrap();
    assert!(!c.is_running());
    c.destroy_with_snapshots().unwrap();
    assert!(!c.is_defined());
    println!("the client is content");
}
