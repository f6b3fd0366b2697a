//! Writing pages: bytes of one section, cut where a page is full, a checksum behind each page.

use super::footer::{Page, Pages};

/// A page is closed by the entry that reaches so many bytes.
const PAGE_BYTES: usize = 8 << 10;

/// The pages of one section while it grows; in memory until the columns are written.
#[derive(Debug, Default)]
pub(super) struct PageWriter {
    /// Closed pages and the open one.
    pub(super) bytes: Vec<u8>,
    /// `(length, number of the first entry)`.
    closed: Vec<(u32, u64)>,
    open_at: usize,
    open_first: u64,
    count: u64,
}

impl PageWriter {
    /// True when the next entry is the first of its page.
    pub(super) fn is_page_start(&self) -> bool {
        self.open_at == self.bytes.len()
    }

    /// Number of entries so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Call after each entry was appended to `bytes`.
    pub(super) fn entry_done(&mut self) {
        self.count += 1;
        if self.bytes.len() - self.open_at >= PAGE_BYTES {
            self.close();
        }
    }

    /// Closes the open page, if it has an entry.
    pub(super) fn close(&mut self) {
        if self.is_page_start() {
            return;
        }
        let crc = crc32fast::hash(&self.bytes[self.open_at..]);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        let len = u32::try_from(self.bytes.len() - self.open_at).unwrap_or(u32::MAX);
        self.closed.push((len, self.open_first));
        self.open_at = self.bytes.len();
        self.open_first = self.count;
    }

    /// The directory, for a section that starts at `offset`.
    pub(super) fn directory(&self, mut offset: u64) -> Pages {
        let mut pages = Vec::with_capacity(self.closed.len());
        for &(len, first) in &self.closed {
            pages.push(Page { offset, len, first });
            offset += u64::from(len);
        }
        Pages {
            pages,
            count: self.count,
        }
    }
}
