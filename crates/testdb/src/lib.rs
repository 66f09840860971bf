//! plinth-testdb.
