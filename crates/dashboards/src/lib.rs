//! Dashboards: widgets on a grid, each a saved query and a way to look at its result; and links that show them to others.
//!
//! Read in this order: [`Dashboard`], [`Dashboards`] (what people do with them), [`Shown`] (what comes of a look), [`Share`],
//! then the ports [`DashboardStore`] and [`WidgetRunner`].
//!
//! **Invariant:** a widget runs as its owner, with the rights that they have at that moment, and who changes what it asks is its
//! owner. A link that is expired, revoked or whose maker may not look any more shows nothing; a widget that a value does not
//! reach that the link locks shows nothing through it.

mod dashboard;
mod error;
mod ids;
mod layout;
mod links;
mod look;
mod ports;
mod runner;
mod service;
mod share;
#[cfg(feature = "testing")]
pub mod testing;

pub use dashboard::{Dashboard, Filter, Position, Widget};
pub use error::{DashboardError, Fault, WidgetError};
pub use ids::{DashboardId, ShareId, WidgetId};
pub use layout::{COLUMNS, FilterSpec, WidgetSpec};
pub use look::{Looked, Shown};
pub use ports::{
    DashboardStore, DecideDashboard, Described, ResultColumn, WidgetResult, WidgetRun, WidgetRunner,
};
pub use runner::SavedQueries;
pub use service::{Ask, DashboardChange, DashboardParts, Dashboards, NewDashboard};
pub use share::{NewShare, Reach, Share, ShareKey, ShareKind};
