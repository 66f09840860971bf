//! plinth-tenancy.
