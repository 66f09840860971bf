//! plinth-schema-introspect.
