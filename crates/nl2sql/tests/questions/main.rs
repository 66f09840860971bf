//! Questions over small schemas, each of which stands for a kind of trouble.

mod alike;
mod bakery;
mod described;
mod gym;
mod happened;
mod library;
mod ordinary;
mod other_words;
mod ratios;
mod readings;
#[path = "../schema/mod.rs"]
mod schema;
mod shapes;
mod sound;
mod strange_names;
mod support;
mod wording;
