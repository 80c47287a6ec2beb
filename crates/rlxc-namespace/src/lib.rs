//! Namespaces and id maps: choosing, creating, mapping, joining.
//!
//! * [`choice::choose`]: which namespaces a configuration asks for, as plain data.
//! * [`share`]: the namespaces taken over from elsewhere, as descriptors.
//! * [`idmap`]: checking and translating id maps, the extra entry for the caller's own ids.
//! * [`subid`]: what /etc/subuid and /etc/subgid delegate.
//! * [`write_id_maps`]: giving a process its maps, directly or by newuidmap and newgidmap.
//! * [`run_mapped`]: a piece of work with all capabilities over the ids of the maps.
//! * [`user_namespace`]: a namespace held for idmapped mounts.
//! * [`usernsexec`], [`unshare`]: the logic of the two command line tools.

pub mod choice;
mod error;
pub mod idmap;
pub mod map_writer;
mod mapped;
pub mod share;
pub mod subid;
mod tool;
pub mod unshare;
pub mod usernsexec;

pub use choice::{Choice, ShareSource, choose};
pub use error::{Error, Result};
pub use idmap::{mapped_root, validate};
pub use map_writer::write_id_maps;
pub use mapped::{run_mapped, user_namespace};
pub use subid::{Caller, subordinate_ids};
