//! The sample database: an online shop and its support desk, made from a seed and loaded in seconds, so that somebody who
//! has just started Plinth has something to ask about.
//!
//! Start with [`load()`] and [`SCHEMA`]. For users the tables are described in `docs/sample-database.md`.
//!
//! ```text
//! departments ◄── employees ──┐ manager          suppliers     categories ──┐ parent
//!                  ▲  ▲  ▲ ◄──┘                       ▲           ▲   ▲ ◄───┘
//!                  │  │  │                            └─ products ┘
//!                  │  │  │                                 ▲   ▲
//!    approved by   │  │  │ wrote           customers ◄─ reviews │
//!        ┌─────────┘  │  └──────┐            ▲  ▲  ▲            │
//!     refunds         │   ticket_messages    │  │  └ addresses  │
//!        ▼            │         ▼            │  │       ▲       │
//!     payments        └────── tickets ───────┘  │       │       │
//!        │     assignee          ▼              │       │       │
//!        └──────────────────► orders ───────────┴───────┘       │
//!                             ▲    ▲   └─► coupons              │
//!                      shipments  order_items ──────────────────┘
//! ```
//!
//! Besides there are the views `monthly_revenue` and `customer_totals` and the materialized view `product_sales`.
//!
//! How it is made: orders, customers, reviews and tickets are spread over three years up to now, growing and swinging with
//! the seasons. Every order and every ticket is a pure function of its number: its life is played from the first moment up
//! to now, and stops there. So a table is written by going through all numbers once more, orders are never kept in memory,
//! and an order of this morning waits for its parcel while one of last month has arrived.
//!
//! **Invariants:** the same [`Options`] give the same rows on every platform (integers only, chance of our own); nothing in
//! the rows happened after [`Options::now`]; a load changes everything or nothing, and never drops what this crate did not
//! make.

mod calendar;
mod catalog;
mod company;
mod coupons;
mod load;
mod people;
mod random;
mod reviews;
mod rows;
mod sales;
mod support;
mod words;
mod world;

pub use load::{LoadError, Options, Progress, SCHEMA, Summary, is_loaded, load, loaded_on};
