//! The bytes of an archive: decompressed, counted, hashed and bounded.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use ring::digest::{Context, SHA256};
use tar::Entry;

/// How an archive is compressed, told from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all
    None,
    /// gzip
    Gzip,
    /// xz
    Xz,
    /// Zstandard
    Zstd,
}

impl Compression {
    /// By the magic number; anything unknown counts as not compressed.
    ///
    /// # Errors
    /// A sentence for what is known and cannot be unpacked.
    pub fn of(start: &[u8]) -> Result<Self, &'static str> {
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'h', b's', b'q', b's', ..] => {
                return Err("is a squashfs image where an archive is needed");
            }
            [b'B', b'Z', b'h', ..] => return Err("is compressed by bzip2; use gzip, xz or zstd"),
            _ => Self::None,
        })
    }
}

/// What may come out of an archive at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes after decompression
    pub bytes: u64,
    /// Entries
    pub entries: u64,
    /// Bytes out for one byte in, looked at from [`Limits::RATIO_FROM`] bytes on
    pub ratio: u64,
}

impl Limits {
    /// Small archives may be as regular as they like.
    pub const RATIO_FROM: u64 = 256 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
            // gzip gives at most 1032 for one; whole systems of real images 2 to 20.
            ratio: 200,
        }
    }
}

/// Bytes of one entry's headers at most: names, attributes, the map of a sparse file.
const HEADERS: u64 = 4 << 20;

struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        self.count.set(self.count.get() + got as u64);
        Ok(got)
    }
}

/// An archive's content.
pub(crate) struct Stream<'a> {
    inner: Box<dyn Read + 'a>,
    compressed: Rc<Cell<u64>>,
    out: u64,
    limits: Limits,
    digest: Context,
    zeros_at_end: u64,
    /// Bytes that may be read before the next entry, while one is looked for
    headers: Rc<Cell<Option<u64>>>,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(source: impl Read + 'a, limits: Limits) -> io::Result<Self> {
        let compressed = Rc::new(Cell::new(0));
        let counted = Counted {
            inner: source,
            count: Rc::clone(&compressed),
        };
        let mut source = BufReader::with_capacity(256 << 10, counted);
        let kind = Compression::of(source.fill_buf()?).map_err(io::Error::other)?;
        let inner: Box<dyn Read + 'a> = match kind {
            Compression::None => Box::new(source),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Compression::Xz => Box::new(xz(source)?),
            Compression::Zstd => Box::new(Frames::new(source)),
        };
        Ok(Self {
            inner,
            compressed,
            out: 0,
            limits,
            digest: Context::new(&SHA256),
            zeros_at_end: 0,
            headers: Rc::default(),
        })
    }

    /// Reads what follows the last entry, so that the digest covers everything and a truncated
    /// stream is noticed; returns the digest in hexadecimal.
    pub(crate) fn finish(mut self) -> io::Result<(String, Self)> {
        io::copy(&mut self, &mut io::sink())?;
        let digest = std::mem::replace(&mut self.digest, Context::new(&SHA256));
        Ok((crate::digest::hex(digest.finish().as_ref()), self))
    }

    /// Calls `each` with every entry, which is read to its end then.
    ///
    /// The headers of one entry, with names and attributes, are kept in memory by the reader: no more
    /// of them is read than an honest entry has.
    pub(crate) fn entries(
        &mut self,
        mut each: impl FnMut(&mut Entry<'_, &mut Self>) -> crate::Result<()>,
        damaged: impl Fn(io::Error) -> crate::Error,
    ) -> crate::Result<()> {
        let headers = Rc::clone(&self.headers);
        let mut archive = tar::Archive::new(self);
        let mut entries = archive.entries().map_err(&damaged)?;
        let mut at_end = true;
        loop {
            headers.set(at_end.then_some(HEADERS));
            let next = entries.next();
            headers.set(None);
            let Some(entry) = next else {
                return Ok(());
            };
            let mut entry = entry.map_err(&damaged)?;
            each(&mut entry)?;
            // What is passed over would count as headers. A sparse file's holes are no bytes of the
            // archive, and may be endless.
            at_end = !entry.header().entry_type().is_gnu_sparse();
            if at_end {
                io::copy(&mut entry, &mut io::sink()).map_err(&damaged)?;
            }
        }
    }

    /// Bytes after decompression.
    pub(crate) fn length(&self) -> u64 {
        self.out
    }

    /// Whether the stream ends as archives do, with a block of zeros.
    pub(crate) fn has_end_mark(&self) -> bool {
        self.zeros_at_end >= 512
    }
}

fn xz<R: BufRead>(source: R) -> io::Result<liblzma::bufread::XzDecoder<R>> {
    // 256 MiB: more than any preset's dictionary.
    let stream =
        liblzma::stream::Stream::new_stream_decoder(256 << 20, liblzma::stream::CONCATENATED)?;
    Ok(liblzma::bufread::XzDecoder::new_stream(source, stream))
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        let new = &into[..got];
        self.digest.update(new);
        self.out += got as u64;
        // One block's worth is enough to know.
        let tail = &new[got.saturating_sub(512)..];
        match tail.iter().rposition(|byte| *byte != 0) {
            Some(at) => self.zeros_at_end = (tail.len() - at - 1) as u64,
            None => self.zeros_at_end += tail.len() as u64,
        }
        if let Some(left) = self.headers.get() {
            let left = left.checked_sub(got as u64);
            let too_many = || io::Error::other(format!("has headers of more than {HEADERS} bytes"));
            self.headers.set(Some(left.ok_or_else(too_many)?));
        }
        if self.out > self.limits.bytes {
            return Err(io::Error::other(format!(
                "holds more than {} MiB",
                self.limits.bytes >> 20
            )));
        }
        let ceiling = self.compressed.get().saturating_mul(self.limits.ratio);
        if self.out > Limits::RATIO_FROM && self.out > ceiling {
            return Err(io::Error::other(format!(
                "is a decompression bomb: {} MiB came out of {} KiB",
                self.out >> 20,
                self.compressed.get() >> 10
            )));
        }
        Ok(got)
    }
}

/// Zstandard: frame after frame, as its tools take them.
struct Frames<R: BufRead> {
    source: Option<R>,
    frame: Option<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self {
            source: Some(source),
            frame: None,
        }
    }

    /// Begins the next frame, if there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        let Some(mut source) = self.source.take() else {
            return Ok(false);
        };
        loop {
            let start = source.fill_buf()?;
            if start.is_empty() {
                return Ok(false);
            }
            if matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
                let mut header = [0; 8];
                source.read_exact(&mut header)?;
                let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
                let skipped = io::copy(&mut source.by_ref().take(length.into()), &mut io::sink())?;
                if skipped < length.into() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            let frame = ruzstd::decoding::StreamingDecoder::new(source)
                .map_err(|error| io::Error::other(format!("zstd: {error}")))?;
            self.frame = Some(frame);
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.frame.is_none() && !self.next_frame()? {
                return Ok(0);
            }
            let Some(frame) = &mut self.frame else {
                return Ok(0);
            };
            let got = frame.read(into)?;
            if got > 0 || into.is_empty() {
                return Ok(got);
            }
            let Some(frame) = self.frame.take() else {
                return Ok(0);
            };
            let (source, decoder) = frame.into_parts();
            let said = decoder.get_checksum_from_data();
            if said.is_some() && said != decoder.get_calculated_checksum() {
                return Err(io::Error::other("zstd: the checksum does not fit"));
            }
            self.source = Some(source);
        }
    }
}
