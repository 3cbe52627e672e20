//! Numbers that look random and are the same for the same seed.

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a limit; 0 where there is none.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).unwrap_or(0);
        high % limit.max(1)
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The same name has the same.
pub(super) fn seed_of(name: &str) -> u64 {
    let bytes = name.bytes().map(u64::from);
    bytes.fold(0, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte))
}
