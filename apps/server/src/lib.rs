//! plinth-server.
