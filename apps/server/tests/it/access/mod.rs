//! Who may call what, on whose things: held for every operation that the `OpenAPI` document names.
//!
//! `operations` reads the document, `table` has one sample call for each operation, `scene` makes what the calls are
//! about. A new route fails `matrix` until it has its line in `table`.

mod forged;
mod matrix;
mod operations;
mod scene;
mod table;
mod tokens;
