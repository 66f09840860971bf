//! How many requests an organization and a key may make, counted over all servers without a write for each.

mod limiter;
mod rate;

pub use limiter::{Admission, Limiter, RateStore};
pub use rate::{Bucket, Period, Plan, Rate, Rates};
