use crate::data::{ColumnKind, Data};
use crate::{Kind, Options};

/// Why a result cannot be looked at in this way. Where the options name columns, this is what has changed since.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// An option names a column that the result does not have.
    #[error("the result has no column `{0}`")]
    NoColumn(String),
    /// A column has to hold numbers, and does not.
    #[error("the column `{0}` holds no numbers")]
    NotNumbers(String),
    /// There is no column of numbers.
    #[error("the result has no column of numbers to draw")]
    NoNumbers,
    /// There are too few columns.
    #[error("a {kind} needs {needs}")]
    TooFew {
        /// Which kind.
        kind: Kind,
        /// What it needs, in words.
        needs: &'static str,
    },
}

/// Which columns a picture is made from, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) x: Option<usize>,
    pub(crate) y: Vec<usize>,
    pub(crate) series: Option<usize>,
    pub(crate) size: Option<usize>,
    pub(crate) compare: Option<usize>,
}

impl Fields {
    /// As the options say, and where they say nothing as the types suggest.
    pub(crate) fn of(kind: Kind, options: &Options, data: &Data) -> Result<Self, Misfit> {
        let find = Finding { data };
        let mut fields = Self {
            x: find.named(options.x.as_deref())?,
            y: find.numbers(&options.y)?,
            series: find.named(options.series.as_deref())?,
            size: find.number(options.size.as_deref())?,
            compare: find.number(options.compare.as_deref())?,
        };
        match kind {
            Kind::Table => {
                for it in &options.columns {
                    find.named(Some(it))?;
                }
            }
            Kind::Text => {}
            Kind::Metric => {
                if fields.y.is_empty() {
                    fields.y.extend(find.free_number(&[fields.compare]));
                }
                if fields.y.is_empty() {
                    return Err(Misfit::NoNumbers);
                }
            }
            Kind::Pie => {
                fields.measure(&find)?;
                if fields.x.is_none() {
                    fields.x = find.free(|it| it != ColumnKind::Number, &fields.y);
                }
                if fields.x.is_none() {
                    let needs = "a column of names and one of numbers";
                    return Err(Misfit::TooFew { kind, needs });
                }
            }
            Kind::Heatmap => {
                fields.measure(&find)?;
                if fields.x.is_none() {
                    let mut taken = fields.y.clone();
                    taken.extend(fields.series);
                    fields.x = find.free(|_| true, &taken);
                }
                if fields.series.is_none() {
                    let mut taken = fields.y.clone();
                    taken.extend(fields.x);
                    fields.series = find.free(|_| true, &taken);
                }
                if fields.x.is_none() || fields.series.is_none() {
                    let needs = "two columns for its sides and one of numbers";
                    return Err(Misfit::TooFew { kind, needs });
                }
            }
            Kind::Scatter => {
                if fields.y.is_empty() {
                    fields.y.extend(find.last_number(&[fields.x, fields.size]));
                }
                let y = *fields.y.first().ok_or(Misfit::NoNumbers)?;
                if fields.x.is_none() {
                    let taken = [y, fields.size.unwrap_or(usize::MAX)];
                    fields.x = find
                        .free(|it| it == ColumnKind::Number, &taken)
                        .or_else(|| find.free(ColumnKind::is_time, &taken));
                }
                let is_scale = |it: &usize| !data.columns[*it].kind.is_name();
                if !fields.x.as_ref().is_some_and(is_scale) {
                    if let Some(at) = fields.x {
                        return Err(Misfit::NotNumbers(data.columns[at].name.clone()));
                    }
                    let needs = "two columns of numbers";
                    return Err(Misfit::TooFew { kind, needs });
                }
            }
            Kind::Bar | Kind::Line | Kind::Area => {
                if fields.x.is_none() {
                    let mut taken = fields.y.clone();
                    taken.extend(fields.series);
                    fields.x = find
                        .free(ColumnKind::is_time, &taken)
                        .or_else(|| find.free(ColumnKind::is_name, &taken));
                }
                if fields.y.is_empty() {
                    let mut numbers = find.all_numbers(&[fields.x, fields.series]);
                    // Of numbers alone the first is what the others are measured along.
                    if fields.x.is_none() && numbers.len() > 1 {
                        fields.x = Some(numbers.remove(0));
                    }
                    // A second name divides one measure.
                    if fields.series.is_none() {
                        let mut taken = numbers.clone();
                        taken.extend(fields.x);
                        fields.series = find.free(ColumnKind::is_name, &taken);
                    }
                    if fields.series.is_some() {
                        numbers.drain(..numbers.len().saturating_sub(1));
                    }
                    fields.y = numbers;
                }
                if fields.y.is_empty() {
                    return Err(Misfit::NoNumbers);
                }
            }
        }
        Ok(fields)
    }

    /// The last number, where the options name none: queries put the measure after what it is measured by.
    fn measure(&mut self, find: &Finding<'_>) -> Result<(), Misfit> {
        if self.y.is_empty() {
            self.y.extend(find.last_number(&[self.x, self.series]));
        }
        if self.y.is_empty() { Err(Misfit::NoNumbers) } else { Ok(()) }
    }
}

struct Finding<'a> {
    data: &'a Data,
}

impl Finding<'_> {
    fn named(&self, name: Option<&str>) -> Result<Option<usize>, Misfit> {
        let Some(name) = name else { return Ok(None) };
        let at = self.data.columns.iter().position(|it| it.name == name);
        at.map(Some).ok_or_else(|| Misfit::NoColumn(name.to_owned()))
    }

    fn number(&self, name: Option<&str>) -> Result<Option<usize>, Misfit> {
        let at = self.named(name)?;
        match at.map(|it| &self.data.columns[it]) {
            Some(column) if column.kind != ColumnKind::Number => {
                Err(Misfit::NotNumbers(column.name.clone()))
            }
            _ => Ok(at),
        }
    }

    fn numbers(&self, names: &[String]) -> Result<Vec<usize>, Misfit> {
        let places: Result<Vec<_>, _> = names.iter().map(|it| self.number(Some(it))).collect();
        Ok(places?.into_iter().flatten().collect())
    }

    fn all_numbers(&self, taken: &[Option<usize>]) -> Vec<usize> {
        (0..self.data.columns.len())
            .filter(|it| self.data.columns[*it].kind == ColumnKind::Number)
            .filter(|it| !taken.contains(&Some(*it)))
            .collect()
    }

    fn free_number(&self, taken: &[Option<usize>]) -> Option<usize> {
        self.all_numbers(taken).first().copied()
    }

    fn last_number(&self, taken: &[Option<usize>]) -> Option<usize> {
        self.all_numbers(taken).last().copied()
    }

    fn free(&self, is_meant: impl Fn(ColumnKind) -> bool, taken: &[usize]) -> Option<usize> {
        (0..self.data.columns.len())
            .find(|it| is_meant(self.data.columns[*it].kind) && !taken.contains(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;

    const N: ColumnKind = ColumnKind::Number;
    const D: ColumnKind = ColumnKind::Date;
    const T: ColumnKind = ColumnKind::Text;

    fn data(columns: &[(&str, ColumnKind)]) -> Data {
        let column = |it: &(&str, ColumnKind)| Column { name: it.0.to_owned(), kind: it.1 };
        Data { columns: columns.iter().map(column).collect(), ..Data::default() }
    }

    fn fields(kind: Kind, columns: &[(&str, ColumnKind)]) -> Result<Fields, Misfit> {
        Fields::of(kind, &Options::default(), &data(columns))
    }

    #[test]
    fn types_say_what_is_drawn_where() {
        let line = fields(Kind::Line, &[("a", N), ("month", D), ("b", N)]).unwrap();
        assert_eq!((line.x, line.y, line.series), (Some(1), vec![0, 2], None));
        let divided = fields(Kind::Bar, &[("month", D), ("country", T), ("b", N)]).unwrap();
        assert_eq!((divided.x, divided.y, divided.series), (Some(0), vec![2], Some(1)));
        let alone = fields(Kind::Line, &[("a", N), ("b", N)]).unwrap();
        assert_eq!((alone.x, alone.y), (Some(0), vec![1]));
        let rows = fields(Kind::Bar, &[("a", N)]).unwrap();
        assert_eq!((rows.x, rows.y), (None, vec![0]));
        let map = fields(Kind::Heatmap, &[("day", T), ("hour", N), ("orders", N)]).unwrap();
        assert_eq!((map.x, map.series, map.y), (Some(0), Some(1), vec![2]));
        let points = fields(Kind::Scatter, &[("x", N), ("y", N)]).unwrap();
        assert_eq!((points.x, points.y), (Some(0), vec![1]));
    }

    #[test]
    fn what_does_not_fit_says_why() {
        assert_eq!(fields(Kind::Bar, &[("name", T)]), Err(Misfit::NoNumbers));
        assert!(matches!(fields(Kind::Scatter, &[("x", N)]), Err(Misfit::TooFew { .. })));
        let gone = Options { x: Some("country".to_owned()), ..Options::default() };
        let misfit = Fields::of(Kind::Bar, &gone, &data(&[("n", N)]));
        assert_eq!(misfit, Err(Misfit::NoColumn("country".to_owned())));
        let words = Options { y: vec!["name".to_owned()], ..Options::default() };
        let misfit = Fields::of(Kind::Bar, &words, &data(&[("name", T), ("n", N)]));
        assert_eq!(misfit, Err(Misfit::NotNumbers("name".to_owned())));
    }
}
