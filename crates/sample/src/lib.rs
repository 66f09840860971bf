//! plinth-sample.
