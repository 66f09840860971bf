//! Any bytes to the guard: it neither panics nor gives up nor takes long, what it approves is what it would approve again, and
//! calls nothing that nobody may call; and the tree that it judges is the one that `pg_query` decodes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plinth_fuzz::{clinic, forbidden_call, quickly, same_tree};
use plinth_sql_guard::{Guard, Rule};

static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let (catalog, allowed) = clinic();
    Guard::new(&catalog, &allowed)
});

fuzz_target!(|bytes: &[u8]| {
    let sql = String::from_utf8_lossy(bytes);
    same_tree(&sql);
    match quickly(|| GUARD.check(&sql)) {
        // So ends a statement over which the parser's thread has panicked.
        Err(rejection) => assert_ne!(rejection.rule, Rule::Unavailable, "not judged"),
        Ok(approved) => {
            assert_eq!(GUARD.check(&approved.sql).as_ref(), Ok(&approved), "judged otherwise");
            assert_eq!(forbidden_call(&approved.sql), None, "in {:?}", approved.sql);
        }
    }
});
