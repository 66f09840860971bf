use std::collections::HashMap;

/// A map that every request looks into, some of them four times: the hasher of the standard library would be a quarter of
/// what it costs to know who is calling, by instructions. This one begins with random numbers too, and what is looked for is a digest or an
/// id of ours, never a text that a stranger can choose.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
