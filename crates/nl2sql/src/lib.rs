//! plinth-nl2sql.
