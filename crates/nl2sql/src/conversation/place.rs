//! Names the places that a kept query speaks of.

use crate::index::SchemaIndex;

impl SchemaIndex {
    /// Names what positions in it mean: two indexes of the same name have the same tables, columns and joins at the same
    /// places, on every server.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.made_fingerprint())
    }

    fn made_fingerprint(&self) -> String {
        // FNV-1a: the same in every build, which the standard library's hasher does not promise.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for table in &self.tables {
            add(table.schema.as_bytes());
            add(table.name.as_bytes());
            for column in &table.columns {
                add(column.name.as_bytes());
                add(column.type_name.as_bytes());
            }
            add(&[1]);
        }
        for edge in &self.edges {
            add(format!("{edge:?}").as_bytes());
        }
        format!("{hash:016x}")
    }
}
