//! Language models behind HTTP.
//!
//! Start with [`OpenAiCompatible`]: whatever speaks `POST …/chat/completions`, which Ollama, vLLM, llama.cpp, most
//! gateways and most hosted models do. [`Endpoint`] says where it is and whose word that is.
//!
//! **Invariant:** a key is in a request's header and nowhere else: in no error, no log line, no debug output.

mod endpoint;
mod openai;
mod wire;

pub use endpoint::{Endpoint, InvalidEndpoint};
pub use openai::{InvalidModelSettings, OpenAiCompatible, OpenAiSettings};
