//! Names of blocks: ULIDs, 48 bits of time and 80 of chance in Crockford's base 32.

/// Makes ULIDs of one time, each greater than the one before.
#[derive(Debug)]
pub(super) struct Ulids {
    next: u128,
}

impl Ulids {
    /// Names that are made now.
    pub(super) fn new(now_ms: i64) -> anyhow::Result<Self> {
        let mut chance = [0u8; 16];
        getrandom::fill(chance.get_mut(6..).unwrap_or_default())
            .map_err(|e| anyhow::anyhow!("asking the system for random numbers to name blocks: {e}"))?;
        let time = u128::from(u64::try_from(now_ms).unwrap_or(0) & ((1 << 48) - 1)) << 80;
        Ok(Self {
            next: time | u128::from_be_bytes(chance),
        })
    }

    /// The next name.
    pub(super) fn next(&mut self) -> String {
        let name = encode(self.next);
        self.next = self.next.wrapping_add(1);
        name
    }
}

fn encode(number: u128) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let letter = |at: u32| {
        let five = (number >> (5 * (25 - at))).to_le_bytes()[0] & 31;
        char::from(LETTERS[usize::from(five)])
    };
    (0..26).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification_and_rise() {
        assert_eq!(encode(0), "00000000000000000000000000");
        assert_eq!(encode(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        // The specification's example: 1469918176385 is 01ARYZ6S41.
        assert_eq!(&encode(1_469_918_176_385 << 80)[..10], "01ARYZ6S41");
        let mut ulids = Ulids::new(1_469_918_176_385).unwrap();
        let (a, b) = (ulids.next(), ulids.next());
        assert!(a < b && a.starts_with("01ARYZ6S41") && a.len() == 26, "{a} {b}");
    }
}
