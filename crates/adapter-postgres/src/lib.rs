//! plinth-adapter-postgres.
