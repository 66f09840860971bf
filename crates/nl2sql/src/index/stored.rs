//! The values that are known, and where each was seen.

use super::fast_map::FastMap;

/// Where a value was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueAt {
    table: u32,
    column: u32,
    value: u32,
}

impl ValueAt {
    /// The table, the column there, and which of its values it is.
    pub(crate) fn place(self) -> (usize, usize, usize) {
        (self.table as usize, self.column as usize, self.value as usize)
    }
}

/// The most words of a value that are sought in a question.
const MAX_WORDS: usize = 10;

/// Values by their normalized text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    all: FastMap<Box<str>, Vec<ValueAt>>,
    /// From the first word of values to how many words those have at most.
    reach: FastMap<Box<str>, usize>,
    longest: usize,
}

impl Stored {
    /// Adds where a value was seen, by its normalized text.
    pub(crate) fn add(&mut self, key: &str, table: usize, column: usize, value: usize) {
        let position = |it: usize| u32::try_from(it).ok();
        let (Some(table), Some(column), Some(value)) =
            (position(table), position(column), position(value))
        else {
            return;
        };
        let at = ValueAt { table, column, value };
        if let Some(all) = self.all.get_mut(key) {
            all.push(at);
            return;
        }
        self.all.insert(key.into(), vec![at]);
        let words = key.split(' ').count();
        self.longest = self.longest.max(words.min(MAX_WORDS));
        let first = key.split(' ').next().unwrap_or_default();
        match self.reach.get_mut(first) {
            Some(most) => *most = words.max(*most),
            None => {
                self.reach.insert(first.into(), words);
            }
        }
    }

    /// Where that value was seen.
    pub(crate) fn seen(&self, key: &str) -> &[ValueAt] {
        self.all.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether it was seen anywhere.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.all.contains_key(key)
    }

    /// How many words a value has at most that begins with that one; zero if none does.
    pub(crate) fn reach(&self, first: &str) -> usize {
        self.reach.get(first).copied().unwrap_or_default()
    }

    /// The most words that a value has, of those that are sought.
    pub(crate) fn longest(&self) -> usize {
        self.longest.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_by_their_text_and_by_how_they_begin() {
        let mut stored = Stored::default();
        assert_eq!((stored.longest(), stored.reach("new")), (1, 0));
        stored.add("new york", 1, 2, 3);
        stored.add("new", 4, 5, 6);
        stored.add("new", 7, 8, 9);
        let places: Vec<_> = stored.seen("new").iter().map(|it| it.place()).collect();
        assert_eq!(places, [(4, 5, 6), (7, 8, 9)]);
        assert!(stored.has("new york") && !stored.has("york"));
        assert_eq!((stored.longest(), stored.reach("new"), stored.reach("york")), (2, 2, 0));
    }
}
