//! What can go wrong with namespaces and id maps.

use std::io;
use std::path::PathBuf;

use rlxc_config::IdKind;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with namespaces and id maps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `lxc.namespace.clone` and `lxc.namespace.keep` are both set.
    #[error("lxc.namespace.clone and lxc.namespace.keep exclude each other")]
    CloneAndKeep,
    /// A user namespace is asked for, but there is no map for it.
    #[error(
        "a new user namespace needs id maps: add lxc.idmap lines or remove \"user\" from lxc.namespace.clone"
    )]
    UserNamespaceWithoutMap,
    /// A key needs a namespace that the container does not get.
    #[error("{key} needs a {namespace} namespace of the container's own")]
    NeedsNamespace {
        /// The configuration key
        key: &'static str,
        /// The missing namespace
        namespace: &'static str,
    },
    /// `lxc.namespace.share.<ns>` has a value that names nothing.
    #[error(
        "lxc.namespace.share.{namespace}: \"{value}\" is neither a path, a pid nor a container's name"
    )]
    ShareValue {
        /// The namespace
        namespace: &'static str,
        /// The value as given
        value: String,
    },
    /// The container named in `lxc.namespace.share.<ns>` does not run.
    #[error("lxc.namespace.share.{namespace}: container \"{container}\" is not running")]
    ShareNotRunning {
        /// The namespace
        namespace: &'static str,
        /// The container's name
        container: String,
    },
    /// A file of a namespace could not be opened.
    #[error("opening the namespace file {path}")]
    Open {
        /// The file
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// The file is a namespace of another kind, or none.
    #[error("{path} is no {namespace} namespace")]
    WrongKind {
        /// The file
        path: PathBuf,
        /// The kind that is wanted
        namespace: &'static str,
    },
    /// Entering a namespace failed.
    #[error("entering the {namespace} namespace")]
    Enter {
        /// Its kind
        namespace: &'static str,
        /// Why
        source: io::Error,
    },
    /// A map is wrong in itself.
    #[error("id map \"{map}\": {reason}")]
    BadMap {
        /// The map as `u NSID HOSTID RANGE`
        map: String,
        /// What is wrong
        reason: &'static str,
    },
    /// Two maps of one kind share ids.
    #[error("id maps \"{first}\" and \"{second}\" overlap")]
    Overlap {
        /// One of them
        first: String,
        /// The other
        second: String,
    },
    /// More maps than the kernel takes.
    #[error("{count} {} maps: the kernel takes at most 340", kind_name(*.kind))]
    TooMany {
        /// Uid or gid maps
        kind: IdKind,
        /// How many there are
        count: usize,
    },
    /// The caller may not use host ids of a map.
    #[error(
        "{file} gives user {user} no range that holds {} {first}-{last}; as root run: usermod --add-{} {first}-{last} {user}",
        kind_name(*.kind), sub_name(*.kind)
    )]
    NotDelegated {
        /// Uid or gid
        kind: IdKind,
        /// The user
        user: String,
        /// /etc/subuid or /etc/subgid
        file: &'static str,
        /// First host id
        first: u32,
        /// Last host id
        last: u32,
    },
    /// The user has no subordinate ids at all.
    #[error(
        "{file} has no range for user {user}; as root run: usermod --add-{} 100000-165535 {user}", sub_name(*.kind)
    )]
    NoRange {
        /// Uid or gid
        kind: IdKind,
        /// The user
        user: String,
        /// /etc/subuid or /etc/subgid
        file: &'static str,
    },
    /// A file of subordinate ids could not be read.
    #[error("reading {path}")]
    Read {
        /// The file
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// The maps need newuidmap or newgidmap, which is missing or without privilege.
    #[error(
        "{tool} {problem}: the maps reach beyond the caller's own ids, which only root or {tool} may map; {remedy}"
    )]
    MapTool {
        /// newuidmap or newgidmap
        tool: &'static str,
        /// What is the matter with it
        problem: &'static str,
        /// What to do
        remedy: &'static str,
    },
    /// newuidmap or newgidmap refused.
    #[error("{tool} failed to write mapping \"{output}\": {command}")]
    MapToolFailed {
        /// newuidmap or newgidmap
        tool: &'static str,
        /// What it said, on one line
        output: String,
        /// Its command line
        command: String,
    },
    /// newuidmap or newgidmap could not be run.
    #[error("running {path}")]
    MapToolRun {
        /// The program
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// A map file was not taken by the kernel.
    #[error("writing \"{text}\" to {path}")]
    WriteMap {
        /// The file
        path: PathBuf,
        /// The maps, on one line
        text: String,
        /// Why
        source: io::Error,
    },
    /// A step of usernsexec or unshare failed.
    #[error("{step}")]
    Step {
        /// What was tried
        step: String,
        /// Why
        source: io::Error,
    },
    /// The command of usernsexec or unshare could not be executed.
    #[error("Failed to exec: '{program}'")]
    Exec {
        /// The command
        program: String,
        /// Why
        source: io::Error,
    },
    /// An option of usernsexec or unshare is wrong.
    #[error("{0}")]
    Option(String),
}

fn kind_name(kind: IdKind) -> &'static str {
    match kind {
        IdKind::Uid => "uid",
        IdKind::Gid => "gid",
    }
}

fn sub_name(kind: IdKind) -> &'static str {
    match kind {
        IdKind::Uid => "subuids",
        IdKind::Gid => "subgids",
    }
}
