//! The built binary, driven as operators drive it: started, told to stop, killed, started twice, given wrong settings.
//! Everything is seen from outside only: exit codes, what is printed, HTTP, processes and files.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::print_stdout, reason = "skips are for whoever runs the tests")]
#![cfg(target_os = "linux")]

mod alerts;
mod audit;
mod bootstrap;
mod client;
mod crash;
mod demo;
mod folder;
mod kills;
mod lifecycle;
mod listening;
mod load;
mod model;
mod nodes;
mod plinth;
mod postgres_kills;
mod replicas;
mod rotation;
mod scene;
mod secrets;
mod settings;
mod soak;
mod workers;
mod writes;
