//! The code of a chunk of floats: Gorilla's, with Prometheus' step sizes for milliseconds.
//!
//! ```text
//!   count: u16 BE | t_0: zigzag varint | v_0: u64 BE | t_1 - t_0: varint | v_1 | (change of the delta | v_n)*   | 0 to 7 bits of 0
//!
//!   change of the delta   0 | 10 + 14 bits | 110 + 17 bits | 1110 + 20 bits | 1111 + 64 bits
//!   v_n, XOR with before  0 same | 10 bits in the last window | 11 + zeros in front: 5 bits, width: 6 bits (0 is 64) + bits
//! ```
//!
//! Numbers of 14, 17 and 20 bits go from -(2^(n-1) - 1) to 2^(n-1). Bits come from the top of each byte on.

use model::Samples;

use crate::block::bytes::{Cursor, Damage, Taken, put_i64, put_u64};

/// Bits from the top of each byte on.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// The next `n` bits, 0 to 64.
    fn take(&mut self, n: u32) -> Taken<u64> {
        if n > 32 {
            let high = self.take(n - 32)?;
            return Ok(high << 32 | self.take(32)?);
        }
        let (start, end) = (self.at, self.at + n as usize);
        if end > self.bytes.len() * 8 {
            return Err(self.damage("the chunk is cut short"));
        }
        let rest = self.bytes.get(start >> 3..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let mut eight = [0; 8];
                eight.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                u64::from_be_bytes(eight)
            }
        };
        self.at = end;
        // Shifted down in two steps, as n may be 0.
        Ok(word << (start & 7) >> 1 >> (63 - n))
    }

    fn damage(&self, reason: &'static str) -> Damage {
        Damage {
            at: self.at >> 3,
            reason,
        }
    }
}

/// Number of samples that a chunk of any encoding says it holds.
pub(crate) fn count(data: &[u8]) -> Taken<u16> {
    Ok(u16::from_be_bytes(Cursor::new(data).array()?))
}

/// Calls `each(t_ms, value)` for every sample of a chunk. Times that do not rise are given as they are.
pub(crate) fn decode(data: &[u8], mut each: impl FnMut(i64, f64)) -> Taken<()> {
    let count = count(data)?;
    if count == 0 {
        return Ok(());
    }
    let mut cursor = Cursor::new(data);
    cursor.take(2)?;
    let mut t_ms = cursor.i64()?;
    let mut bits = u64::from_be_bytes(cursor.array()?);
    each(t_ms, f64::from_bits(bits));
    if count == 1 {
        return Ok(());
    }
    let mut delta = cursor.u64()?.cast_signed();
    let mut reader = BitReader {
        bytes: data,
        at: cursor.at() * 8,
    };
    let mut window = (0, 0);
    for number in 1..count {
        if number > 1 {
            delta = delta.wrapping_add(take_change(&mut reader)?);
        }
        t_ms = t_ms.wrapping_add(delta);
        bits ^= take_value(&mut reader, &mut window)?;
        each(t_ms, f64::from_bits(bits));
    }
    Ok(())
}

fn take_change(reader: &mut BitReader<'_>) -> Taken<i64> {
    let mut ones = 0;
    while ones < 4 && reader.take(1)? == 1 {
        ones += 1;
    }
    let n = match ones {
        0 => return Ok(0),
        1 => 14,
        2 => 17,
        3 => 20,
        _ => return Ok(reader.take(64)?.cast_signed()),
    };
    let bits = reader.take(n)?.cast_signed();
    Ok(if bits > 1 << (n - 1) {
        bits - (1 << n)
    } else {
        bits
    })
}

/// The XOR with the value before; `window` is (zeros in front, zeros behind).
fn take_value(reader: &mut BitReader<'_>, window: &mut (u32, u32)) -> Taken<u64> {
    if reader.take(1)? == 0 {
        return Ok(0);
    }
    if reader.take(1)? == 1 {
        let header = reader.take(11)?;
        let (lead, width) = (low_bits(header >> 6, 5), low_bits(header, 6));
        let width = if width == 0 { 64 } else { width };
        let tail = 64u32.checked_sub(lead + width);
        *window = (
            lead,
            tail.ok_or_else(|| reader.damage("a value is wider than 64 bits"))?,
        );
    }
    let (lead, tail) = *window;
    Ok(reader.take(64 - lead - tail)? << tail)
}

/// The low `n` bits, a handful.
fn low_bits(value: u64, n: u32) -> u32 {
    u32::try_from(value & ((1 << n) - 1)).unwrap_or(0)
}

/// A chunk that is being written.
#[derive(Debug, Default)]
pub(crate) struct XorChunk {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 stands for all.
    used: u32,
    count: u16,
    t_ms: i64,
    delta: i64,
    bits: u64,
    /// Zeros in front and behind; `None` before the first change.
    window: Option<(u32, u32)>,
}

impl XorChunk {
    /// Forgets the samples and keeps the memory.
    pub(crate) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        *self = Self {
            bytes,
            ..Self::default()
        };
        self.bytes.clear();
    }

    /// The finished chunk, its count in front.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if let Some(head) = self.bytes.first_chunk_mut::<2>() {
            *head = self.count.to_be_bytes();
        }
        &self.bytes
    }

    /// Appends a sample; the caller keeps the times rising and the samples below 65,536.
    pub(crate) fn push(&mut self, t_ms: i64, value: f64) {
        let bits = value.to_bits();
        match self.count {
            0 => {
                self.bytes.extend_from_slice(&[0, 0]);
                put_i64(&mut self.bytes, t_ms);
                self.bytes.extend_from_slice(&bits.to_be_bytes());
            }
            1 => {
                self.delta = t_ms.wrapping_sub(self.t_ms);
                put_u64(&mut self.bytes, self.delta.cast_unsigned());
                self.put_value(bits);
            }
            _ => {
                let delta = t_ms.wrapping_sub(self.t_ms);
                self.put_change(delta.wrapping_sub(self.delta));
                self.delta = delta;
                self.put_value(bits);
            }
        }
        self.t_ms = t_ms;
        self.bits = bits;
        self.count += 1;
    }

    fn put_change(&mut self, change: i64) {
        let fits = |n: u32| (-((1 << (n - 1)) - 1)..=1 << (n - 1)).contains(&change);
        let (mark, mark_bits, n) = match change {
            0 => (0, 1, 0),
            _ if fits(14) => (0b10, 2, 14),
            _ if fits(17) => (0b110, 3, 17),
            _ if fits(20) => (0b1110, 4, 20),
            _ => (0b1111, 4, 64),
        };
        self.put(mark, mark_bits);
        self.put(change.cast_unsigned(), n);
    }

    fn put_value(&mut self, bits: u64) {
        let xor = bits ^ self.bits;
        if xor == 0 {
            self.put(0, 1);
            return;
        }
        let (lead, tail) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        match self.window {
            Some((front, behind)) if lead >= front && tail >= behind => {
                self.put(0b10, 2);
                self.put(xor >> behind, 64 - front - behind);
            }
            _ => {
                self.window = Some((lead, tail));
                let width = 64 - lead - tail;
                self.put(0b11, 2);
                self.put(u64::from(lead), 5);
                // 64 does not fit into six bits and is written as 0, which is never needed.
                self.put(u64::from(width), 6);
                self.put(xor >> tail, width);
            }
        }
    }

    /// Appends the low `n` bits, 0 to 64.
    fn put(&mut self, value: u64, n: u32) {
        let mut left = n;
        while left > 0 {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let step = left.min(8 - self.used);
            let part = value >> (left - step) & ((1 << step) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << (8 - self.used - step)).to_le_bytes()[0];
            }
            self.used = (self.used + step) & 7;
            left -= step;
        }
    }
}

/// Any bytes as a chunk: samples or an error, never a panic. The body of the fuzz target `prometheus_chunk`.
#[must_use]
pub fn fuzz_chunk(bytes: &[u8]) -> usize {
    let mut samples = Samples::default();
    let _ = decode(bytes, |t_ms, value| samples.push(t_ms, value));
    samples.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
        let mut chunk = XorChunk::default();
        for (t_ms, bits) in samples {
            chunk.push(*t_ms, f64::from_bits(*bits));
        }
        chunk.finish().to_vec()
    }

    #[track_caller]
    fn check(samples: &[(i64, u64)]) -> Vec<u8> {
        let bytes = encode(samples);
        let mut got = Vec::new();
        decode(&bytes, |t_ms, value| got.push((t_ms, value.to_bits()))).unwrap();
        assert_eq!(got, samples);
        bytes
    }

    #[test]
    fn the_bits_are_those_of_the_format() {
        let one = 1f64.to_bits();
        // Count, zigzag of 1000, the bits of 1.0; then delta 15,000, a 0 for the same value; then no change, the same value.
        let head = [0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
        let want = |count: u8, rest: &[u8]| [&[0, count][..], &head, rest].concat();
        assert_eq!(check(&[(1000, one)]), want(1, &[]));
        assert_eq!(check(&[(1000, one), (16_000, one)]), want(2, &[0x98, 0x75, 0]));
        // 1.0 ^ 2.0 = 0x7ff0...: one zero in front, eleven bits, so 11 00001 001011 11111111111.
        let two = 2f64.to_bits();
        assert_eq!(
            check(&[(1000, one), (16_000, two)]),
            want(2, &[0x98, 0x75, 0b1100_0010, 0b0101_1111, 0b1111_1111])
        );
        // A change of the delta by 1: 10, 14 bits; the value the same.
        assert_eq!(
            check(&[(1000, one), (16_000, one), (31_001, one)]),
            want(3, &[0x98, 0x75, 0b0100_0000, 0b0000_0000, 0b1000_0000][..5])
        );
    }

    #[test]
    fn every_size_of_step_survives() {
        let mut samples = vec![(0i64, 1u64), (15_000, 1)];
        let mut t_ms = 15_000i64;
        for change in [
            0, 1, -1, 8191, 8192, 8193, -8191, -8192, 65_536, 65_537, -65_535, -65_536, 524_288, 524_289,
            -524_287, -524_288,
        ] {
            t_ms += 1_000_000 + change;
            samples.push((t_ms, change.cast_unsigned()));
        }
        samples.push((i64::MAX, f64::NAN.to_bits()));
        check(&samples);
        check(&[(i64::MIN, model::STALE_NAN), (i64::MAX, u64::MAX)]);
    }

    #[test]
    fn a_chunk_that_is_cut_short_is_damage() {
        let bytes = encode(
            &(0..120)
                .map(|i| (i * 15_000 + i % 7, (i as f64).to_bits()))
                .collect::<Vec<_>>(),
        );
        for len in 0..bytes.len() {
            assert!(
                decode(&bytes[..len], |_, _| {}).is_err(),
                "{len} of {}",
                bytes.len()
            );
        }
        // Zeros in front 31, width 63.
        assert!(
            decode(
                &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
                |_, _| {}
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_bits_at_any_times(
            start in any::<i64>(),
            steps in proptest::collection::vec((prop_oneof![1i64..40, 14_900i64..15_100, 1i64..10_000_000, any::<i64>()],
                prop_oneof![any::<u64>(), (0i64..1000).prop_map(|i| (i as f64).to_bits()), Just(model::STALE_NAN)]), 1..240)
        ) {
            let mut t = start;
            let samples: Vec<_> = steps.into_iter().map(|(step, bits)| { t = t.wrapping_add(step); (t, bits) }).collect();
            check(&samples);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = fuzz_chunk(&bytes);
        }
    }
}
