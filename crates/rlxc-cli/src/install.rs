//! What an installation puts where, in one place: read by `cargo xtask install`.

/// A place of an installation, below its prefix or the build's directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// PREFIX/bin
    Bin,
    /// LIBEXECDIR/lxc
    LibexecLxc,
    /// LIBEXECDIR/rlxc
    LibexecRlxc,
    /// LIBEXECDIR/lxc/hooks
    LibexecHooks,
    /// PREFIX/sbin
    Sbin,
    /// LIBDIR
    Lib,
}

/// A program or library and its place: built file, installed name, mode.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// File in the target directory
    pub built: &'static str,
    /// Directory
    pub place: Place,
    /// Name there
    pub name: &'static str,
    /// Mode
    pub mode: u32,
}

const fn item(built: &'static str, place: Place, name: &'static str, mode: u32) -> Item {
    Item {
        built,
        place,
        name,
        mode,
    }
}

/// All programs and the library.
pub const PROGRAMS: [Item; 8] = [
    item("rlxc", Place::Bin, "rlxc", 0o755),
    item("rlxc-worker", Place::LibexecRlxc, "rlxc-worker", 0o755),
    item("rlxc-image", Place::LibexecRlxc, "rlxc-image", 0o755),
    item("lxc-monitord", Place::LibexecLxc, "lxc-monitord", 0o755),
    item("lxc-user-nic", Place::LibexecLxc, "lxc-user-nic", 0o4755),
    item("lxc-init", Place::Sbin, "init.lxc", 0o755),
    item(
        "unmount-namespace",
        Place::LibexecHooks,
        "unmount-namespace",
        0o755,
    ),
    item("liblxc.so", Place::Lib, "liblxc.so.1.9.0", 0o644),
];

/// The programs with the C library in them: one that starts faster so, and one for a root file system that has no
/// libraries.
pub const STATIC_PROGRAMS: [Item; 2] = [
    item(
        "rlxc-monitor-static",
        Place::LibexecRlxc,
        "rlxc-monitor",
        0o755,
    ),
    item("lxc-init-static", Place::Sbin, "init.lxc.static", 0o755),
];

/// Symbolic links of the library: place, name, target.
pub const LIBRARY_LINKS: [(&str, &str); 2] = [
    ("liblxc.so.1", "liblxc.so.1.9.0"),
    ("liblxc.so", "liblxc.so.1"),
];

/// The list for `cargo xtask install`, a line each: `program BUILT PLACE NAME MODE`, `library NAME TARGET`,
/// `tool NAME`.
pub fn list() -> String {
    let mut text = String::new();
    let mut line = |words: &[&str]| {
        text.push_str(&words.join("\t"));
        text.push('\n');
    };
    for item in PROGRAMS.iter().chain(&STATIC_PROGRAMS) {
        let place = match item.place {
            Place::Bin => "bin",
            Place::LibexecLxc => "libexec/lxc",
            Place::LibexecRlxc => "libexec/rlxc",
            Place::LibexecHooks => "libexec/lxc/hooks",
            Place::Sbin => "sbin",
            Place::Lib => "lib",
        };
        let mode = format!("{:o}", item.mode);
        line(&["program", item.built, place, item.name, &mode]);
    }
    for (name, target) in LIBRARY_LINKS {
        line(&["library", name, target]);
    }
    for name in tool_names() {
        line(&["tool", &name]);
    }
    text
}

/// The `lxc-*` names that are links to `rlxc` in PREFIX/bin.
pub fn tool_names() -> impl Iterator<Item = String> {
    crate::verbs::VERBS
        .iter()
        .filter(|verb| verb.lxc)
        .map(|verb| format!("lxc-{}", verb.name))
}
