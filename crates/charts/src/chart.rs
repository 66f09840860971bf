use serde_json::Value;

use crate::data::Data;
use crate::draw::{self, Picture, Size};
use crate::fields::Fields;
use crate::shape::Shaped;
use crate::{Kind, Misfit, Options, vega};

/// A result, and how it is looked at.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    pub(crate) kind: Kind,
    pub(crate) options: &'a Options,
    pub(crate) data: &'a Data,
    pub(crate) title: &'a str,
    pub(crate) fields: Fields,
}

impl<'a> Chart<'a> {
    /// Finds what is to be drawn where.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the result cannot be looked at in this way.
    pub fn new(
        kind: Kind,
        options: &'a Options,
        data: &'a Data,
        title: &'a str,
    ) -> Result<Self, Misfit> {
        let fields = Fields::of(kind, options, data)?;
        Ok(Self { kind, options, data, title, fields })
    }

    /// The Vega-Lite specification (version 5) with its figures in it; null for tables and texts, which that language does
    /// not have, and where there is nothing to draw.
    pub fn vega_lite(&self) -> Value {
        vega::specification(self)
    }

    /// The picture.
    pub fn picture(&self, size: Size) -> Picture {
        draw::picture(self, size)
    }

    /// The words of a text, with the values of the first row in them.
    pub fn words(&self) -> String {
        draw::words(self)
    }

    pub(crate) fn shaped(&self) -> Shaped {
        Shaped::of(self.kind, self.options, &self.fields, self.data)
    }

    /// What the picture does not show, in words for whoever looks at it; empty if it shows everything.
    pub(crate) fn notes(&self, shaped: Option<&Shaped>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.data.more {
            notes.push(format!(
                "the first {} rows",
                crate::format::plain(count(self.data.len()), 0)
            ));
        }
        if let Some(it) = shaped {
            let mut add = |number: usize, what: &str| {
                if number > 0 {
                    notes.push(format!("{number} {what}"));
                }
            };
            match it.hidden_sum {
                Some(sum) => {
                    let what =
                        format!("more names, {} together, not shown", crate::format::number(sum));
                    add(it.hidden, &what);
                }
                None => add(it.hidden, "more names not shown"),
            }
            add(it.hidden_series, "more series not shown");
            add(it.skipped, "rows without a place on the axis not shown");
        }
        notes
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows that fit into memory")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
