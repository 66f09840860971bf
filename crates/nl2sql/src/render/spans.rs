//! What lies between two moments, and what goes over several rows of a result.

use plinth_schema_introspect::TypeClass;

use super::{Renderer, Scope};
use crate::logical::{Expr, Literal, Moment, OrderKey, TimeUnit, WindowFunction};

impl Renderer<'_> {
    /// The time between two moments; of two days their difference.
    pub(super) fn duration(
        &self,
        from: &Expr,
        to: &Expr,
        unit: Option<TimeUnit>,
        scope: &Scope,
    ) -> Option<String> {
        if let Some((length, seconds)) = self.seconds(from, to, unit, scope)? {
            return Some(format!("{length} / {seconds}"));
        }
        let (start, end) = (self.expr(from, scope)?, self.expr(to, scope)?);
        Some(format!("({end} - {start})"))
    }

    /// The time between two moments in years, months and days.
    pub(super) fn age(&self, from: &Expr, to: &Expr, scope: &Scope) -> Option<String> {
        let from = self.expr(from, scope)?;
        Some(match to {
            Expr::Literal(Literal::Moment(Moment::Now(_, 0))) => format!("age({from})"),
            to => format!("age({}, {from})", self.expr(to, scope)?),
        })
    }

    /// The time between two moments in seconds, and how many of these the unit has; nothing within where it is a difference as
    /// it stands.
    pub(super) fn seconds(
        &self,
        from: &Expr,
        to: &Expr,
        unit: Option<TimeUnit>,
        scope: &Scope,
    ) -> Option<Option<(String, &'static str)>> {
        let day = |it: &Expr| matches!(it, Expr::Column(column) if self.index.column(*column).class == TypeClass::Date);
        let days = day(from) && day(to);
        let seconds = match unit {
            None => return Some(None),
            Some(TimeUnit::Day) if days => return Some(None),
            Some(TimeUnit::Hour) => "3600",
            Some(TimeUnit::Day) => "86400",
            Some(TimeUnit::Week) => "604800",
            Some(TimeUnit::Month) => "2629746",
            Some(TimeUnit::Quarter) => "7889238",
            Some(TimeUnit::Year) => "31556952",
        };
        let (start, end) = (self.expr(from, scope)?, self.expr(to, scope)?);
        let apart = if days {
            format!("{end}::timestamp - {start}::timestamp")
        } else {
            format!("{end} - {start}")
        };
        Some(Some((format!("extract(epoch FROM {apart})"), seconds)))
    }

    pub(super) fn window(
        &self,
        function: WindowFunction,
        argument: Option<&Expr>,
        partition: &[Expr],
        order: &[OrderKey],
        scope: &Scope,
    ) -> Option<String> {
        let of = match argument {
            Some(it) => self.expr(it, scope)?,
            None => String::new(),
        };
        let call = match function {
            WindowFunction::Running | WindowFunction::Whole => format!("sum({of})"),
            WindowFunction::Before => format!("lag({of})"),
            WindowFunction::Mean | WindowFunction::Moving(_) => format!("avg({of})"),
            WindowFunction::Rank => "rank()".to_owned(),
        };
        let mut over = Vec::new();
        if !partition.is_empty() {
            let keys =
                partition.iter().map(|it| self.expr(it, scope)).collect::<Option<Vec<_>>>()?;
            over.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !order.is_empty() {
            let keys = order
                .iter()
                .map(|it| self.order_key(it, scope, true))
                .collect::<Option<Vec<_>>>()?;
            over.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if let WindowFunction::Moving(rows) = function {
            over.push(format!("ROWS {} PRECEDING", rows.saturating_sub(1)));
        }
        Some(format!("{call} OVER ({})", over.join(" ")))
    }
}
