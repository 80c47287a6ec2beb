//! Proxy neighbours: addresses a link answers ARP and NDP for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::raw;
use super::wire::{Message, flag};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const NDA_DST: u16 = 1;
const NTF_PROXY: u8 = 8;
const NUD_PERMANENT: u16 = 0x80;

/// A proxy entry for `address` on link `link`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Index of the link that answers
    pub link: u32,
    /// Its name, for errors
    pub name: String,
    /// The address answered for
    pub address: IpAddr,
}

impl Proxy {
    fn put(&self, kind: u16, flags: u16, what: &str) -> Message {
        let (family, bytes) = raw(self.address);
        let mut fixed = [0; 12];
        fixed[0] = family;
        fixed[4..8].copy_from_slice(&self.link.to_ne_bytes());
        fixed[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
        fixed[10] = NTF_PROXY;
        let what = format!(
            "{what} the neighbour proxy for {} on \"{}\"",
            self.address, self.name
        );
        Message::new(kind, flags, what)
            .fixed(&fixed)
            .bytes(NDA_DST, &bytes)
    }

    /// The request that adds the entry; one that is there already is replaced.
    pub(crate) fn add(&self) -> Message {
        self.put(RTM_NEWNEIGH, flag::CREATE | flag::REPLACE, "add")
    }

    /// The request that removes the entry.
    pub(crate) fn delete(&self) -> Message {
        self.put(RTM_DELNEIGH, 0, "remove")
    }
}
