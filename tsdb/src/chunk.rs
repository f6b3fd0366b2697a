//! The streaming code of the head: samples of one series as bits, appended one at a time.
//!
//! ```text
//!   first sample   time in the header (not in the bits)        value  64 bits as they are
//!   each further   time                                        value
//!     0                  same distance as before                 0                    same bits as before
//!     10   +  5 bits     distance differs by -16..15             10 cc + n bits       both integers: their difference, zigzag,
//!     110  +  9 bits     by -256..255                                                 cc = 0..3 for n = 4, 10, 18, 34
//!     1110 + 20 bits     by -524288..524287                      110 + n bits         xor with the one before, window as before
//!     1111 + 64 bits     anything                                111 + 6 + 6 + n      xor; zeros in front, n - 1, n bits
//! ```
//!
//! Bits fill bytes from the top. A steady grid costs one bit a timestamp, a counter that counts costs the bits of its
//! growth. Every bit pattern of a value survives. Decoding arbitrary bytes ends in samples or in [`ChunkError`],
//! never in a panic.

use model::Samples;

/// Samples a chunk holds at the most; then it is closed and the next one begins.
pub(crate) const CHUNK_SAMPLES: u16 = 240;

/// Widths of the integer differences, by their two-bit class.
const INT_BITS: [u8; 4] = [4, 10, 18, 34];

/// Integers up to here are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The bits end before the last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunk's bits end before its last sample")]
pub(crate) struct ChunkError;

/// A chunk that can grow. Its last bits wait in a word of their own, so that most appends touch no other memory.
#[derive(Debug, Clone)]
pub(crate) struct OpenChunk {
    /// The bits, up to the last whole word.
    bits: Vec<u8>,
    /// The bits after those, from the top; zeros below.
    tail: u64,
    first_ms: i64,
    last_ms: i64,
    delta: i64,
    last: u64,
    count: u16,
    /// Bits used of `tail`, 0 to 63.
    used: u8,
    /// The window of the last xor: zeros in front, and width (0: none yet).
    lead: u8,
    width: u8,
}

/// A chunk that is full. Its bytes are the same code.
#[derive(Debug, Clone)]
pub(crate) struct ClosedChunk {
    /// Time of the first sample.
    pub(crate) min_ms: i64,
    /// Time of the last sample.
    pub(crate) max_ms: i64,
    /// Number of samples.
    pub(crate) count: u16,
    /// The code.
    pub(crate) bytes: Box<[u8]>,
}

impl ClosedChunk {
    /// Appends the samples within the range to `out`.
    pub(crate) fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), ChunkError> {
        decode(&self.bytes, self.min_ms, self.count, start_ms, end_ms, out)
    }
}

impl Default for OpenChunk {
    fn default() -> Self {
        Self {
            bits: Vec::new(),
            tail: 0,
            first_ms: 0,
            last_ms: i64::MIN,
            delta: 0,
            last: 0,
            count: 0,
            used: 0,
            lead: 0,
            width: 0,
        }
    }
}

impl OpenChunk {
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Time of the first sample; meaningless when empty.
    pub(crate) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// Time of the last sample ever appended, `i64::MIN` when there was none.
    pub(crate) fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// Bits of the value appended last.
    pub(crate) fn last_bits(&self) -> u64 {
        self.last
    }

    /// Bytes held, unused capacity included.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bits.capacity()
    }

    /// The code so far, copied together.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let tail = self.tail.to_be_bytes();
        let tail = &tail[..usize::from(self.used.div_ceil(8))];
        let mut bytes = Vec::with_capacity(self.bits.len() + tail.len());
        bytes.extend_from_slice(&self.bits);
        bytes.extend_from_slice(tail);
        bytes
    }

    /// Continues after a closed chunk: remembers its last sample, so that order can be checked.
    pub(crate) fn after(last_ms: i64, last_bits: u64) -> Self {
        Self {
            last_ms,
            last: last_bits,
            ..Self::default()
        }
    }

    /// Appends a sample. The caller checked that `t_ms` is later than [`Self::last_ms`].
    pub(crate) fn push(&mut self, t_ms: i64, value: f64) {
        let bits = value.to_bits();
        if self.count == 0 {
            self.first_ms = t_ms;
            self.delta = 0;
            self.width = 0;
            self.put(bits, 64);
        } else {
            let delta = t_ms.wrapping_sub(self.last_ms);
            self.put_time(delta.wrapping_sub(self.delta));
            self.delta = delta;
            self.put_value(bits);
        }
        self.last_ms = t_ms;
        self.last = bits;
        self.count += 1;
    }

    /// Takes the chunk's samples out as a closed one; this one is empty then and remembers the last sample.
    pub(crate) fn close(&mut self) -> ClosedChunk {
        let tail = self.tail.to_be_bytes();
        let tail = &tail[..usize::from(self.used.div_ceil(8))];
        let mut bytes = std::mem::take(&mut self.bits);
        bytes.reserve_exact(tail.len());
        bytes.extend_from_slice(tail);
        let bytes = bytes.into_boxed_slice();
        let closed = ClosedChunk {
            min_ms: self.first_ms,
            max_ms: self.last_ms,
            count: self.count,
            bytes,
        };
        *self = Self::after(self.last_ms, self.last);
        closed
    }

    /// Appends the samples within the range to `out`.
    pub(crate) fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), ChunkError> {
        decode(&self.to_bytes(), self.first_ms, self.count, start_ms, end_ms, out)
    }

    fn put_time(&mut self, dod: i64) {
        match dod {
            0 => self.put(0, 1),
            -16..=15 => self.put(0b10 << 5 | low_bits(dod, 5), 7),
            -256..=255 => self.put(0b110 << 9 | low_bits(dod, 9), 12),
            -524_288..=524_287 => self.put(0b1110 << 20 | low_bits(dod, 20), 24),
            _ => {
                self.put(0b1111, 4);
                self.put(dod.cast_unsigned(), 64);
            }
        }
    }

    fn put_value(&mut self, bits: u64) {
        let xor = bits ^ self.last;
        if xor == 0 {
            self.put(0, 1);
            return;
        }
        let (lead, tail) = (zeros_in_front(xor), zeros_behind(xor));
        let width = 64 - lead - tail;
        let fits = self.width != 0 && lead >= self.lead && tail >= 64 - self.lead - self.width;
        // The old window may be far too wide for a quiet stretch; then a new one is cheaper.
        let reuse = fits && self.width <= width + 12;
        let xor_cost = if reuse { 3 + self.width } else { 15 + width };
        if let Some((class, zigzag)) = int_delta(self.last, bits) {
            let n = INT_BITS[usize::from(class)];
            if 4 + n <= xor_cost {
                self.put((0b10 << 2 | u64::from(class)) << n | zigzag, 4 + n);
                return;
            }
        }
        if reuse {
            self.put(0b110, 3);
            self.put(xor >> (64 - self.lead - self.width), self.width);
        } else {
            self.put(0b111 << 12 | u64::from(lead) << 6 | u64::from(width - 1), 15);
            self.put(xor >> tail, width);
            self.lead = lead;
            self.width = width;
        }
    }

    /// Appends the low `n` bits of `value`, 1 to 64; its other bits are zero.
    #[inline]
    fn put(&mut self, value: u64, n: u8) {
        let free = 64 - self.used;
        if n < free {
            self.tail |= value << (free - n);
            self.used += n;
            return;
        }
        let over = n - free;
        self.put_word(self.tail | value >> over);
        self.tail = if over == 0 { 0 } else { value << (64 - over) };
        self.used = over;
    }

    fn put_word(&mut self, word: u64) {
        if self.bits.capacity() - self.bits.len() < 8 {
            // Small steps instead of doubling: most of the head's memory is such tails. Few sizes, all of them with the
            // allocator's 16 bytes a power of two or close to one, so that one series' old buffer fits another.
            let step = if self.bits.len() < 112 { 64 } else { 128 };
            let room = (self.bits.len() + 16) / step * step + step - 16;
            self.bits.reserve_exact(room - self.bits.len());
        }
        self.bits.extend_from_slice(&word.to_be_bytes());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is wanted")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

fn low_bits(value: i64, n: u32) -> u64 {
    value.cast_unsigned() & ((1 << n) - 1)
}

#[expect(clippy::cast_possible_truncation, reason = "at the most 64")]
fn zeros_in_front(xor: u64) -> u8 {
    xor.leading_zeros() as u8
}

#[expect(clippy::cast_possible_truncation, reason = "at the most 64")]
fn zeros_behind(xor: u64) -> u8 {
    xor.trailing_zeros() as u8
}

/// The integer that a float holds exactly, bit for bit (so not -0.0).
fn exact_int(bits: u64) -> Option<i64> {
    let value = f64::from_bits(bits);
    if !(-EXACT..=EXACT).contains(&value) {
        return None;
    }
    let int = to_int(value);
    (to_float(int).to_bits() == bits).then_some(int)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates and takes NaN to 0, and callers compare or only decode"
)]
fn to_int(value: f64) -> i64 {
    value as i64
}

fn to_float(int: i64) -> f64 {
    int as f64
}

/// `(class, zigzag)` of the difference, when both are integers and it is small enough.
fn int_delta(from: u64, to: u64) -> Option<(u8, u64)> {
    let delta = exact_int(to)? - exact_int(from)?;
    let zigzag = (delta << 1 ^ delta >> 63).cast_unsigned();
    let class = match 64 - zigzag.leading_zeros() {
        0..=4 => 0,
        5..=10 => 1,
        11..=18 => 2,
        19..=34 => 3,
        _ => return None,
    };
    Some((class, zigzag))
}

/// Reads bits from the top of each byte on; past the end come zeros, and `overrun` tells.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// The next 57 bits or more at the top of a word.
    fn window(&self) -> u64 {
        let byte = self.at >> 3;
        let word = match self.bytes.get(byte..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let mut eight = [0; 8];
                let rest = self.bytes.get(byte..).unwrap_or(&[]);
                eight.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                u64::from_be_bytes(eight)
            }
        };
        word << (self.at & 7)
    }

    /// The next `n` bits, 1 to 57.
    fn take(&mut self, n: u8) -> u64 {
        let bits = self.window() >> (64 - n);
        self.at += usize::from(n);
        bits
    }

    /// The next `n` bits, 1 to 64.
    fn take_wide(&mut self, n: u8) -> u64 {
        if n <= 57 {
            return self.take(n);
        }
        let high = self.take(n - 32);
        high << 32 | self.take(32)
    }

    fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }
}

/// Decodes `count` samples and appends those within the range to `out`.
pub(crate) fn decode(
    bytes: &[u8],
    first_ms: i64,
    count: u16,
    start_ms: i64,
    end_ms: i64,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    if count == 0 {
        return Ok(());
    }
    let mut reader = BitReader { bytes, at: 0 };
    let (mut t_ms, mut delta) = (first_ms, 0i64);
    let mut bits = reader.take_wide(64);
    let (mut lead, mut width) = (0u8, 0u8);
    for number in 0..count {
        if number > 0 {
            delta = delta.wrapping_add(take_time(&mut reader));
            t_ms = t_ms.wrapping_add(delta);
            bits = take_value(&mut reader, bits, &mut lead, &mut width);
        }
        if reader.overrun() {
            return Err(ChunkError);
        }
        if t_ms > end_ms {
            break;
        }
        if t_ms >= start_ms {
            out.push(t_ms, f64::from_bits(bits));
        }
    }
    Ok(())
}

fn take_time(reader: &mut BitReader<'_>) -> i64 {
    let window = reader.window();
    let (skip, n) = match (!window).leading_zeros() {
        0 => {
            reader.at += 1;
            return 0;
        }
        1 => (2, 5),
        2 => (3, 9),
        3 => (4, 20),
        _ => (4, 64),
    };
    reader.at += skip;
    let raw = reader.take_wide(n);
    // Shift up and down again: the sign comes along.
    (raw << (64 - n)).cast_signed() >> (64 - n)
}

fn take_value(reader: &mut BitReader<'_>, last: u64, lead: &mut u8, width: &mut u8) -> u64 {
    let window = reader.window();
    if window >> 63 == 0 {
        reader.at += 1;
        return last;
    }
    if window >> 62 == 0b10 {
        reader.at += 4;
        let n = INT_BITS[usize::from(low_byte(window >> 60 & 3))];
        let zigzag = reader.take(n);
        let delta = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        return to_float(to_int(f64::from_bits(last)).wrapping_add(delta)).to_bits();
    }
    if window >> 61 == 0b111 {
        *lead = low_byte(window >> 55 & 63);
        *width = low_byte(window >> 49 & 63) + 1;
        reader.at += 15;
    } else {
        reader.at += 3;
    }
    if *width == 0 || *lead + *width > 64 {
        // Only damaged bytes lead here; running past the end is how the caller learns it.
        reader.at = usize::MAX >> 4;
        return last;
    }
    last ^ reader.take_wide(*width) << (64 - *lead - *width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(samples: &[(i64, u64)]) -> OpenChunk {
        let mut chunk = OpenChunk::default();
        for &(t_ms, bits) in samples {
            chunk.push(t_ms, f64::from_bits(bits));
        }
        chunk
    }

    fn check(samples: &[(i64, u64)]) -> usize {
        let mut chunk = encode(samples);
        let mut out = Samples::default();
        chunk.read(i64::MIN, i64::MAX, &mut out).unwrap();
        let got: Vec<_> = out
            .t_ms
            .iter()
            .zip(&out.values)
            .map(|(t, v)| (*t, v.to_bits()))
            .collect();
        assert_eq!(got, samples);
        let closed = chunk.close();
        out.clear();
        closed.read(i64::MIN, i64::MAX, &mut out).unwrap();
        assert_eq!(out.len(), samples.len());
        closed.bytes.len()
    }

    #[test]
    fn every_kind_of_value_survives() {
        let values = [
            0.0,
            -0.0,
            1.0,
            1.5,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::MAX,
            9_007_199_254_740_993.0,
            -9_007_199_254_740_992.0,
            1e300,
            4e-320,
            0.1,
            0.2,
            0.3,
            123_456_789.0,
            123_456_790.0,
            f64::from_bits(model::STALE_NAN),
            f64::from_bits(0x7ff8_0000_0000_0001),
            f64::from_bits(u64::MAX),
            7.0,
            8.0,
        ];
        let samples: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| (i as i64 * 15_000, v.to_bits()))
            .collect();
        check(&samples);
    }

    #[test]
    fn steady_series_are_small() {
        let grid = |f: fn(i64) -> f64| {
            (0..240)
                .map(|i| (1_700_000_000_000 + i * 15_000, f(i).to_bits()))
                .collect::<Vec<_>>()
        };
        for (name, series, most) in [
            ("constant", grid(|_| 1.0), 72),
            ("slow counter", grid(|i| (i * 3) as f64), 290),
            ("byte counter", grid(|i| (i * 100_000 + i % 7 * 999) as f64), 720),
        ] {
            let bytes = check(&series);
            assert!(bytes <= most, "{name}: {bytes} bytes");
        }
    }

    #[test]
    fn a_range_gives_only_its_samples() {
        let chunk = encode(
            &(0..100)
                .map(|i| (i * 10, (i as f64).to_bits()))
                .collect::<Vec<_>>(),
        );
        let mut out = Samples::default();
        chunk.read(205, 300, &mut out).unwrap();
        assert_eq!(
            (out.t_ms.first(), out.t_ms.last(), out.len()),
            (Some(&210), Some(&300), 10)
        );
    }

    proptest! {
        #[test]
        fn any_bits_at_any_times(
            start in any::<i64>(),
            steps in proptest::collection::vec((prop_oneof![1i64..40, 14_900i64..15_100, 1i64..10_000_000, 1i64..1_i64 << 40],
                prop_oneof![any::<u64>(), (-1000i64..100_000).prop_map(|i| (i as f64).to_bits()), Just(model::STALE_NAN),
                    any::<f64>().prop_map(f64::to_bits)]), 0..240)
        ) {
            let mut t = start.clamp(i64::MIN / 4, i64::MAX / 4);
            let samples: Vec<_> = steps.into_iter().map(|(step, bits)| { t += step; (t, bits) }).collect();
            check(&samples);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), first in any::<i64>(), count in any::<u16>()) {
            let mut out = Samples::default();
            let _ = decode(&bytes, first, count, i64::MIN, i64::MAX, &mut out);
        }
    }
}
