/// The newest bytes of a stream, up to a fixed size.
#[derive(Debug)]
pub struct RingBuffer {
    bytes: Box<[u8]>,
    /// Position of the oldest byte
    start: usize,
    len: usize,
}

impl RingBuffer {
    /// An empty buffer of `size` bytes, rounded up to whole pages.
    pub fn new(size: u64) -> Self {
        const PAGE: usize = 4096;
        let size = usize::try_from(size).unwrap_or(usize::MAX / 2);
        let size = size.max(1).div_ceil(PAGE).saturating_mul(PAGE);
        Self {
            bytes: vec![0; size].into_boxed_slice(),
            start: 0,
            len: 0,
        }
    }

    /// Adds bytes; the oldest go when there is no room.
    pub fn push(&mut self, data: &[u8]) {
        let size = self.bytes.len();
        // Only its end can stay.
        let data = &data[data.len().saturating_sub(size)..];
        let at = (self.start + self.len) % size;
        let first = data.len().min(size - at);
        self.bytes[at..at + first].copy_from_slice(&data[..first]);
        self.bytes[..data.len() - first].copy_from_slice(&data[first..]);
        let total = self.len + data.len();
        let lost = total.saturating_sub(size);
        self.start = (self.start + lost) % size;
        self.len = total - lost;
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest `max` bytes (0: all), which stay.
    pub fn peek(&self, max: u64) -> Vec<u8> {
        let (first, second) = self.slices(self.wanted(max));
        [first, second].concat()
    }

    /// Forgets the oldest `max` bytes (0: all).
    pub fn discard(&mut self, max: u64) {
        let count = self.wanted(max);
        self.start = (self.start + count) % self.bytes.len();
        self.len -= count;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.len = 0;
    }

    fn wanted(&self, max: u64) -> usize {
        match usize::try_from(max) {
            Ok(0) | Err(_) => self.len,
            Ok(max) => max.min(self.len),
        }
    }

    fn slices(&self, count: usize) -> (&[u8], &[u8]) {
        let first = count.min(self.bytes.len() - self.start);
        (
            &self.bytes[self.start..self.start + first],
            &self.bytes[..count - first],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_stay_in_order() {
        let mut ring = RingBuffer::new(1);
        assert!(ring.is_empty());
        let all: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let mut rest = &all[..];
        for size in [1, 4095, 3, 5000, 4096, 100, 1000] {
            ring.push(&rest[..size]);
            rest = &rest[size..];
            let sent = all.len() - rest.len();
            let kept = sent.min(4096);
            assert_eq!(ring.peek(0), all[sent - kept..sent]);
        }
    }

    #[test]
    fn reading_consumes_from_the_old_end() {
        let mut ring = RingBuffer::new(4096);
        ring.push(b"abcdef");
        assert_eq!(ring.peek(2), b"ab");
        ring.discard(2);
        assert_eq!(ring.peek(100), b"cdef");
        ring.discard(0);
        assert_eq!((ring.len(), ring.peek(0)), (0, Vec::new()));
    }
}
