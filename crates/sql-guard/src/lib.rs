//! plinth-sql-guard.
