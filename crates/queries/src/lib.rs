//! plinth-queries.
