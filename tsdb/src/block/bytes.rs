//! Numbers as bytes: LEB128 varints, zigzag for signed ones, and a cursor that never reads past its end.

/// What does not fit, and where in the bytes at hand; the reader adds the file and the offset of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Position in the bytes at hand.
    pub(crate) at: usize,
    /// What does not fit.
    pub(crate) reason: &'static str,
}

/// Result of taking bytes apart.
pub(crate) type Taken<T> = Result<T, Damage>;

/// Appends `value` in groups of 7 bits, least significant first.
pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a length or a count.
pub(crate) fn put_len(out: &mut Vec<u8>, value: usize) {
    put_u64(out, u64::try_from(value).unwrap_or(u64::MAX));
}

/// Appends a signed number, zigzag.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, zigzag(value));
}

/// Appends a length and the bytes.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Signed to unsigned, small magnitudes to small numbers.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A place in some bytes.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes passed so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// True when nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// A complaint about this place.
    pub(crate) fn damage(&self, reason: &'static str) -> Damage {
        Damage { at: self.at, reason }
    }

    pub(crate) fn u8(&mut self) -> Taken<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.damage("cut short"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn u64(&mut self) -> Taken<u64> {
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.damage("a number is too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(self.damage("a number is too long"));
            }
        }
    }

    pub(crate) fn i64(&mut self) -> Taken<i64> {
        Ok(unzigzag(self.u64()?))
    }

    pub(crate) fn u32(&mut self) -> Taken<u32> {
        let value = self.u64()?;
        u32::try_from(value).map_err(|_| self.damage("a number is too large"))
    }

    /// A length or a count; the caller bounds it before it allocates.
    pub(crate) fn len(&mut self) -> Taken<usize> {
        let value = self.u64()?;
        usize::try_from(value).map_err(|_| self.damage("a length is too large"))
    }

    /// Number of things that each take at least one byte, so that it cannot be more than what is left.
    pub(crate) fn count(&mut self) -> Taken<usize> {
        let count = self.len()?;
        if count > self.bytes.len() - self.at {
            return Err(self.damage("a count is larger than the bytes behind it"));
        }
        Ok(count)
    }

    pub(crate) fn take(&mut self, len: usize) -> Taken<&'a [u8]> {
        let end = self
            .at
            .checked_add(len)
            .ok_or_else(|| self.damage("a length is too large"))?;
        let part = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.damage("cut short"))?;
        self.at = end;
        Ok(part)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Taken<[u8; N]> {
        let part = self.take(N)?;
        part.try_into().map_err(|_| self.damage("cut short"))
    }

    pub(crate) fn str(&mut self) -> Taken<&'a str> {
        let len = self.len()?;
        let part = self.take(len)?;
        std::str::from_utf8(part).map_err(|_| self.damage("text is not UTF-8"))
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let part = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_cut_ones_are_noticed() {
        for value in [
            0,
            1,
            127,
            128,
            16_384,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_u64(&mut out, value);
            assert_eq!(Cursor::new(&out).u64(), Ok(value));
            let signed = value.cast_signed();
            assert_eq!(unzigzag(zigzag(signed)), signed);
            assert!(Cursor::new(&out[..out.len() - 1]).u64().is_err());
        }
        assert!(Cursor::new(&[0xff; 11]).u64().is_err());
        assert!(
            Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])
                .u64()
                .is_err()
        );
    }
}
