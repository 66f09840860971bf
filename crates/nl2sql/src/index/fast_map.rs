//! A map for keys that are short and looked up often.

use std::collections::HashMap;

/// Hashed with little work, by a number that is another one in each process.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
