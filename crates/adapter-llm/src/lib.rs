//! plinth-adapter-llm.
