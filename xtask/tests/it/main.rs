//! The commands from outside: the built xtask, with a script in place of cargo that says what a cargo would.

mod ci;
mod demo;
mod fake;
mod test_run;
