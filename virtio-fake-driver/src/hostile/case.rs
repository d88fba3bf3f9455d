//! A violation, in all its variants.

use super::attack::Attack;

/// What a driver does, in all its variants.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// The id of the rule, for a split ring. It is empty if the case is not for split rings.
    split: &'static str,
    /// The id of the rule, for a packed ring. It is empty if the case is not for packed rings.
    packed: &'static str,
    pub(super) name: &'static str,
    /// The features that the driver must have accepted.
    needs: u64,
    /// The features that the driver must not have accepted.
    without: u64,
    pub(super) runs: Runs,
    pub(super) run: Run,
}

/// Prepares one variant of an attack.
pub(super) type Run = fn(&mut Attack<'_, '_>, usize);

/// The number of variants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Runs {
    Times(usize),
    /// So many for each access and each translation of a good request.
    Accesses(usize),
    /// So many for each translation of a good request.
    Translations(usize),
    /// One for each byte of the rings and a good request.
    Bytes,
}

impl Case {
    /// A case for both formats, where the rule has the same id.
    pub(super) const fn both(id: &'static str, name: &'static str, runs: Runs, run: Run) -> Self {
        Self { split: id, packed: id, name, needs: 0, without: 0, runs, run }
    }

    /// A case for both formats, where the rule has two ids.
    pub(super) const fn each(ids: [&'static str; 2], name: &'static str, runs: Runs, run: Run) -> Self {
        let [split, packed] = ids;
        Self { split, packed, name, needs: 0, without: 0, runs, run }
    }

    pub(super) const fn split(id: &'static str, name: &'static str, runs: Runs, run: Run) -> Self {
        Self::each([id, ""], name, runs, run)
    }

    pub(super) const fn packed(id: &'static str, name: &'static str, runs: Runs, run: Run) -> Self {
        Self::each(["", id], name, runs, run)
    }

    pub(super) const fn needs(self, needs: u64) -> Self {
        Self { needs, ..self }
    }

    pub(super) const fn without(self, without: u64) -> Self {
        Self { without, ..self }
    }

    /// Returns the id of the rule, if the case is for this format.
    pub(super) fn id(&self, is_packed: bool) -> Option<&'static str> {
        Some(if is_packed { self.packed } else { self.split }).filter(|id| !id.is_empty())
    }

    /// Returns whether a driver with these features can do it.
    pub(super) const fn fits(&self, features: u64) -> bool {
        features & self.needs == self.needs && features & self.without == 0
    }
}

/// Returns the choice with a number, which begins again after the last one.
pub(super) fn pick<T: Copy>(choices: &[T], n: usize) -> T {
    *choices.get(n % choices.len()).expect("there is a choice")
}
