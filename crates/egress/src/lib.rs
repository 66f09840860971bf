//! plinth-egress.
