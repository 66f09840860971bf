//! How many requests an organization and a key may make, counted over all servers without a write for each; how often whom
//! nobody knows may come; who is next where places are few.

mod limiter;
mod places;
mod rate;
mod visitors;

pub use limiter::{Admission, Limiter, RateStore};
pub use places::{Place, Places};
pub use rate::{Bucket, Period, Plan, Rate, Rates};
pub use visitors::{Visitors, network};
