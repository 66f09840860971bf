//! plinth-connections.
