use std::collections::HashMap;

/// A map for what every request looks into, or what is looked up a hundred thousand times: the hasher of the standard library
/// is a quarter of what it costs to know who is calling, by instructions. This one begins with random numbers too, but does not
/// promise to withstand chosen keys: what is looked for is a digest, a number or an id of ours. Where it is a name of a
/// customer's catalog, there are few, and whoever chose them only slows the reading of their own database.
pub type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
