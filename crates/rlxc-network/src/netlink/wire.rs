//! The bytes of a netlink message: a writer for requests and a reader for answers.
//!
//! Only what rtnetlink needs. The typed message crates link the decoder of every kernel link kind
//! into the program that stays with each container; requests here are a dozen attributes each, so
//! they are written directly, and the tests decode them again with `netlink-packet-route`.
//!
//! # References
//! netlink(7), rtnetlink(7); `Documentation/userspace-api/netlink/intro.rst`.

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLA_F_NESTED: u16 = 0x8000;

/// Header flags (netlink(7)).
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const ECHO: u16 = 0x8;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const CAPPED: u16 = 0x100;
    pub(crate) const ACK_TLVS: u16 = 0x200;
}

/// One request under construction: header, fixed part, attributes.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Vec<u8>,
    what: String,
}

impl Message {
    /// A request of `kind` (RTM_*) with header `flags` beside NLM_F_REQUEST; `what` names it in
    /// errors ("create veth \"vethA\"").
    pub fn new(kind: u16, flags: u16, what: impl Into<String>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Self {
            bytes,
            what: what.into(),
        }
    }

    /// What the request does, for errors.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Appends the fixed part (`struct ifinfomsg` and the like), padded to four bytes.
    #[must_use]
    pub fn fixed(mut self, part: &[u8]) -> Self {
        self.bytes.extend_from_slice(part);
        self.pad();
        self
    }

    /// Appends an attribute with raw bytes.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Appends a native-endian u32 attribute.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a native-endian u16 attribute.
    #[must_use]
    pub fn u16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a NUL-terminated string attribute.
    #[must_use]
    pub fn text(mut self, kind: u16, value: &str) -> Self {
        let mut terminated = Vec::with_capacity(value.len() + 1);
        terminated.extend_from_slice(value.as_bytes());
        terminated.push(0);
        self.push(kind, &terminated);
        self
    }

    /// Appends an attribute that holds what `inner` writes.
    #[must_use]
    pub fn nested(mut self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0u16.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        let mut done = inner(self);
        let len = u16::try_from(done.bytes.len() - start).unwrap_or(u16::MAX);
        done.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        done
    }

    /// Applies `add` if there is a value.
    #[must_use]
    pub fn maybe<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// The finished bytes with length, `extra` flags and sequence number filled in.
    pub(crate) fn finish(mut self, sequence: u32, extra: u16) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | extra;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// One received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// Splits a datagram into messages; a truncated tail is left out.
pub(crate) fn replies(mut datagram: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let len = read_u32(datagram, 0)? as usize;
        if len < HEADER || len > datagram.len() {
            return None;
        }
        let reply = Reply {
            kind: read_u16(datagram, 4)?,
            flags: read_u16(datagram, 6)?,
            sequence: read_u32(datagram, 8)?,
            body: &datagram[HEADER..len],
        };
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(reply)
    })
}

/// The attributes in `bytes` as (type without flag bits, value); a malformed tail ends them.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(read_u16(bytes, 0)?);
        if len < 4 || len > bytes.len() {
            return None;
        }
        let kind = read_u16(bytes, 2)? & NLA_TYPE_MASK;
        let value = &bytes[4..len];
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A text attribute up to its NUL; what is no UTF-8 is replaced.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_written_and_nested_lengths_fit() {
        let bytes = Message::new(16, 0, "test")
            .fixed(&[1, 2, 3])
            .text(3, "eth0")
            .nested(18, |m| m.text(1, "veth").u16(5, 7))
            .finish(9, flag::ACK);
        let all: Vec<_> = replies(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].kind, all[0].sequence), (16, 9));
        assert_eq!(all[0].flags, flag::REQUEST | flag::ACK);
        let attrs: Vec<_> = attributes(&all[0].body[4..]).collect();
        assert_eq!(text(attrs[0].1), "eth0");
        let inner: Vec<_> = attributes(attrs[1].1).collect();
        assert_eq!(text(inner[0].1), "veth");
        assert_eq!(read_u16(inner[1].1, 0), Some(7));
    }

    proptest::proptest! {
        #[test]
        fn reading_arbitrary_bytes_never_panics(bytes: Vec<u8>) {
            for reply in replies(&bytes) {
                for (_, value) in attributes(reply.body) {
                    attributes(value).count();
                }
            }
        }
    }
}
