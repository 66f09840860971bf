//! plinth-adapter-target.
