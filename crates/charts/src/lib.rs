//! Results as pictures: a Vega-Lite specification for whoever draws it in a browser, and an SVG for whoever cannot.
//!
//! Read in this order: [`Data`] (a result), [`Kind`] and [`Options`] (how it is to be looked at), [`Chart`] (both together,
//! and what comes of them), [`board`] (several pictures on one). Everything is a plain function of its arguments.
//!
//! **Invariant:** both are made from the same figures, so that they show the same; and of a result's and a caller's text
//! nothing but text gets into either: no markup, no addresses, no fonts to be fetched.

mod board;
mod chart;
mod data;
mod draw;
mod fields;
mod format;
mod kind;
mod options;
mod scale;
mod shape;
mod text;
mod vega;

pub use board::{Tile, board};
pub use chart::Chart;
pub use data::{Column, ColumnKind, Data};
pub use draw::{Picture, Size, notice};
pub use fields::Misfit;
pub use kind::{Kind, UnknownKind};
pub use options::{InvalidOption, Options, Others};
