//! The client against a server that speaks the protocol by a script, faults included.

mod protocol;
mod providers;
mod secrecy;
mod server;
mod strategy;
