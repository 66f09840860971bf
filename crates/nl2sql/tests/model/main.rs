//! The model strategy with a scripted model, a scripted planner, and the real guard and engine.

mod injection;
mod loops;
mod shop;
