//! Archives with whatever is in them, honest or not.

use std::io::Write;

use tar::{EntryType, Header};

/// One entry, taken as it is: names are not looked at.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: EntryType,
    pub content: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub owner: (u64, u64),
    pub device: (u32, u32),
    /// Records of a PAX header before it
    pub pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    fn new(name: &str, kind: EntryType) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind,
            content: Vec::new(),
            link: Vec::new(),
            mode: 0o755,
            owner: (0, 0),
            device: (0, 0),
            pax: Vec::new(),
        }
    }

    pub fn file(name: &str, content: &str) -> Self {
        Self {
            content: content.as_bytes().to_vec(),
            mode: 0o644,
            ..Self::new(name, EntryType::Regular)
        }
    }

    pub fn dir(name: &str) -> Self {
        Self::new(name, EntryType::Directory)
    }

    pub fn symlink(name: &str, target: &str) -> Self {
        Self {
            link: target.as_bytes().to_vec(),
            ..Self::new(name, EntryType::Symlink)
        }
    }

    pub fn hardlink(name: &str, target: &str) -> Self {
        Self {
            link: target.as_bytes().to_vec(),
            ..Self::new(name, EntryType::Link)
        }
    }

    pub fn fifo(name: &str) -> Self {
        Self::new(name, EntryType::Fifo)
    }

    pub fn device(name: &str, kind: EntryType, device: (u32, u32)) -> Self {
        Self {
            device,
            ..Self::new(name, kind)
        }
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.to_owned(), value.to_vec()));
        self
    }

    fn header(&self, size: u64) -> Header {
        let mut header = Header::new_gnu();
        let raw = header.as_old_mut();
        let length = self.name.len().min(100);
        raw.name[..length].copy_from_slice(&self.name[..length]);
        let length = self.link.len().min(100);
        raw.linkname[..length].copy_from_slice(&self.link[..length]);
        header.set_entry_type(self.kind);
        header.set_size(size);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1_000_000_000);
        let _ = header.set_device_major(self.device.0);
        let _ = header.set_device_minor(self.device.1);
        header.set_cksum();
        header
    }

    /// Header and content as blocks, without the archive's end.
    pub fn blocks(&self) -> Vec<u8> {
        let mut blocks = Vec::new();
        let mut put = |header: &Header, content: &[u8]| {
            blocks.extend(header.as_bytes());
            blocks.extend(content);
            blocks.resize(blocks.len().next_multiple_of(512), 0);
        };
        if self.name.len() > 100 {
            let long = Self::new("././@LongLink", EntryType::GNULongName);
            put(&long.header(self.name.len() as u64), &self.name);
        }
        if !self.pax.is_empty() {
            let mut records = Vec::new();
            for (key, value) in &self.pax {
                let rest = key.len() + value.len() + 3;
                let mut length = rest + 1;
                while length != rest + length.to_string().len() {
                    length = rest + length.to_string().len();
                }
                records.extend(format!("{length} {key}=").bytes());
                records.extend(value);
                records.push(b'\n');
            }
            let pax = Self::new("pax", EntryType::XHeader);
            put(&pax.header(records.len() as u64), &records);
        }
        put(&self.header(self.content.len() as u64), &self.content);
        blocks
    }
}

/// A whole archive.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::blocks).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
