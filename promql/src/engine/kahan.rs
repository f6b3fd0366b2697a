//! Sums that keep what rounding loses (Neumaier), with upstream's rule for infinities.

/// A running sum and its compensation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kahan {
    /// The plain sum.
    pub(crate) sum: f64,
    /// What rounding has lost so far.
    pub(crate) lost: f64,
}

impl Kahan {
    /// Adds one value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The compensated sum.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// A mean that falls back to an incremental form when the sum would overflow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    state: Kahan,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Adds one value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.state.sum = value;
            return;
        }
        if !self.incremental {
            let mut next = self.state;
            next.add(value);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            self.incremental = true;
            self.state.sum /= self.count - 1.0;
            self.state.lost /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        self.state.sum *= q;
        self.state.lost *= q;
        self.state.add(value / self.count);
    }

    /// The mean of what was added.
    #[inline]
    pub(crate) fn mean(self) -> f64 {
        if self.incremental {
            self.state.total()
        } else {
            self.state.sum / self.count + self.state.lost / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones_and_means_do_not_overflow() {
        let mut sum = Kahan::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
        let mut mean = Mean::default();
        for value in [f64::MAX, f64::MAX, f64::MAX] {
            mean.add(value);
        }
        assert!((mean.mean() / f64::MAX - 1.0).abs() < 1e-12);
    }
}
