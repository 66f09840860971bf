//! plinth-local-postgres.
