//! Fills templates in. `MiniJinja` reads them and has the values, filters and tests; walking along what it read is our own,
//! because nothing there says how large a value may become, or how deep.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::filters::{count_filter, count_test};
use super::known::Long;
use super::meter::{LARGEST, Meter, STEP, Short, refused, short, too_long, written};
use super::numbers;
use super::{Style, escape_line, write_value};
use crate::decimal::Decimal;

/// How many numbers `range` makes at most.
const LONGEST_RANGE: usize = 100_000;

/// A text that is being written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What stands there.
    pub(super) text: String,
    /// What stands where the marks are; without a mark values stand in the text.
    pub(super) values: Vec<String>,
    size: usize,
}

impl Written {
    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.size += bytes;
        if self.size > LARGEST { Err(ErrorKind::WriteFailure.into()) } else { Ok(()) }
    }
}

/// What a template's names mean.
pub(super) trait Names {
    /// What it means; undefined if nothing.
    fn get(&self, name: &str, long: Long) -> Result<Value, Error>;
}

/// One rendering.
pub(super) struct Machine<'m> {
    pub(super) names: &'m dyn Names,
    /// What has the filters and tests.
    pub(super) environment: &'m Environment<'static>,
    pub(super) meter: &'m Arc<Meter>,
    pub(super) style: Style,
    /// What begins the marks that stand for values: `None` where values stand there themselves.
    pub(super) mark: Option<&'m str>,
    pub(super) frames: Vec<Frame<'m>>,
    pub(super) written: Written,
    /// At which line it is.
    pub(super) line: usize,
    /// How numbers are given now that no double holds.
    pub(super) long: Long,
}

#[derive(Default)]
pub(super) struct Frame<'m> {
    set: Vec<(&'m str, Value)>,
    turn: Option<Turn>,
}

/// Where a loop is.
struct Turn {
    at: usize,
    items: Arc<Vec<Value>>,
}

impl Turn {
    /// What templates have as `loop`.
    fn value(&self) -> Value {
        let (at, length) = (self.at, self.items.len());
        let item = |at: Option<usize>| at.and_then(|it| self.items.get(it)).cloned();
        let known = [
            ("index", Value::from(at + 1)),
            ("index0", Value::from(at)),
            ("revindex", Value::from(length - at)),
            ("revindex0", Value::from(length - at - 1)),
            ("length", Value::from(length)),
            ("first", Value::from(at == 0)),
            ("last", Value::from(at + 1 == length)),
            ("depth", Value::from(1)),
            ("depth0", Value::from(0)),
            ("previtem", item(at.checked_sub(1)).unwrap_or_default()),
            ("nextitem", item(Some(at + 1)).unwrap_or_default()),
        ];
        Value::from_iter(known)
    }
}

impl<'m> Machine<'m> {
    fn body(&mut self, body: &[Stmt<'m>]) -> Result<(), Error> {
        body.iter().try_for_each(|it| self.run(it))
    }

    /// Writes what the statement says.
    pub(super) fn run(&mut self, stmt: &Stmt<'m>) -> Result<(), Error> {
        self.meter.spend(STEP)?;
        match stmt {
            Stmt::Template(it) => self.body(&it.children),
            Stmt::EmitRaw(it) => {
                self.written.grow(it.raw.len())?;
                self.meter.spend(it.raw.len())?;
                self.written.text.push_str(it.raw);
                Ok(())
            }
            Stmt::EmitExpr(it) => {
                self.line = usize::from(it.span().start_line);
                let value = self.passed_on(&it.expr)?;
                if value.is_undefined() {
                    return Err(undefined(&it.expr));
                }
                self.write(&value)
            }
            Stmt::IfCond(it) => {
                self.line = usize::from(it.span().start_line);
                let holds = self.holds(&it.expr)?;
                self.body(if holds { &it.true_body } else { &it.false_body })
            }
            Stmt::ForLoop(it) => {
                self.line = usize::from(it.span().start_line);
                self.repeat(it)
            }
            Stmt::WithBlock(it) => {
                self.frames.push(Frame::default());
                for (target, value) in &it.assignments {
                    let value = self.eval(value)?;
                    self.assign(target, value)?;
                }
                self.body(&it.body)?;
                self.frames.pop();
                Ok(())
            }
            Stmt::Set(it) => {
                self.line = usize::from(it.span().start_line);
                let value = self.eval(&it.expr)?;
                self.assign(&it.target, value)
            }
            _ => Err(refused("holds what is not for templates")),
        }
    }

    fn repeat(&mut self, it: &ast::ForLoop<'m>) -> Result<(), Error> {
        let over = self.defined(&it.iter)?;
        let mut items = self.meter.entries(&over)?;
        if let Some(filter) = &it.filter_expr {
            let mut kept = Vec::new();
            for item in items {
                self.frames.push(Frame::default());
                self.assign(&it.target, item.clone())?;
                if self.holds(filter)? {
                    kept.push(item);
                }
                self.frames.pop();
            }
            items = kept;
        }
        if items.is_empty() {
            return self.body(&it.else_body);
        }
        let items = Arc::new(items);
        for (at, item) in items.iter().enumerate() {
            // What is set in one turn is not there in the next.
            let turn = Some(Turn { at, items: items.clone() });
            self.frames.push(Frame { set: Vec::new(), turn });
            self.assign(&it.target, item.clone())?;
            self.body(&it.body)?;
            self.frames.pop();
        }
        Ok(())
    }

    fn assign(&mut self, target: &Expr<'m>, value: Value) -> Result<(), Error> {
        match target {
            Expr::Var(it) => {
                let frame = self.frames.last_mut().expect("there is one from the beginning");
                self.meter.spend(frame.set.len())?;
                match frame.set.iter_mut().find(|known| known.0 == it.id) {
                    Some(known) => known.1 = value,
                    None => frame.set.push((it.id, value)),
                }
                Ok(())
            }
            Expr::List(it) => {
                let values = self.meter.entries(&value)?;
                if values.len() != it.items.len() {
                    return Err(refused("sets another number of names than there are values"));
                }
                it.items.iter().zip(values).try_for_each(|(it, value)| self.assign(it, value))
            }
            _ => Err(refused("only names are set")),
        }
    }

    fn write(&mut self, value: &Value) -> Result<(), Error> {
        if value.is_undefined() {
            return Err(ErrorKind::UndefinedError.into());
        }
        self.meter.weigh_whole(value)?;
        let text = write_value(value)?;
        self.meter.spend(text.len())?;
        if value.is_safe() {
            self.written.grow(text.len())?;
            self.written.text.push_str(&text);
            return Ok(());
        }
        if let Some(mark) = self.mark {
            // The mark too: it is what is read as Markdown.
            self.written.grow(text.len() + mark.len())?;
            self.meter.spend(mark.len())?;
            self.written.text.push_str(mark);
            self.written.text.push_str(&format!("{}e", self.written.values.len()));
            self.written.values.push(text);
            return Ok(());
        }
        let text = match self.style {
            Style::Plain | Style::Markdown => text,
            Style::Line => escape_line(&text),
            Style::Slack => crate::slack::escape(&text),
        };
        self.written.grow(text.len())?;
        self.written.text.push_str(&text);
        Ok(())
    }

    /// The value of an expression; undefined where a name or what is asked of it is not there.
    pub(super) fn eval(&mut self, expr: &Expr<'m>) -> Result<Value, Error> {
        self.meter.spend(STEP)?;
        match expr {
            Expr::Var(it) => self.lookup(it.id),
            Expr::Const(it) => Ok(it.value.clone()),
            Expr::GetAttr(it) => {
                let found = self.defined(&it.expr)?.get_attr(it.name)?;
                self.found(found)
            }
            Expr::GetItem(it) => {
                let (of, key) = (self.defined(&it.expr)?, self.defined(&it.subscript_expr)?);
                self.meter.glance(&of)?;
                // It is compared with keys that may be like it.
                self.meter.weigh(&key)?;
                self.found(of.get_item(&key)?)
            }
            Expr::UnaryOp(it) => match it.op {
                UnaryOpKind::Not => Ok(Value::from(!self.holds(&it.expr)?)),
                UnaryOpKind::Neg => numbers::negated(&self.defined(&it.expr)?),
            },
            Expr::BinOp(it) => self.binary(it),
            Expr::Compare(it) => self.compare(it),
            Expr::IfExpr(it) => {
                if self.holds(&it.test_expr)? {
                    return self.eval(&it.true_expr);
                }
                // Nothing, as in Jinja, and not a name without a value.
                it.false_expr.as_ref().map_or_else(|| Ok("".into()), |it| self.eval(it))
            }
            Expr::Slice(it) => self.slice(it),
            Expr::Filter(it) => self.filter(it),
            Expr::Test(it) => self.test(it),
            Expr::Call(it) => self.call(it),
            Expr::List(it) => {
                let items = it.items.iter().map(|it| self.defined(it));
                let items = items.collect::<Result<Vec<_>, _>>()?;
                self.meter.keep("[…]", items.into())
            }
            Expr::Map(it) => {
                let mut pairs = Vec::new();
                for (key, value) in it.keys.iter().zip(&it.values) {
                    pairs.push((self.defined(key)?, self.defined(value)?));
                }
                self.meter.keep("{…}", Value::from_iter(pairs))
            }
        }
    }

    /// A part of a value: lists that are only read when somebody asks are read once.
    fn found(&self, value: Value) -> Result<Value, Error> {
        if value.kind() == ValueKind::Iterable { self.meter.keep(".", value) } else { Ok(value) }
    }

    fn lookup(&self, name: &str) -> Result<Value, Error> {
        for frame in self.frames.iter().rev() {
            self.meter.spend(frame.set.len())?;
            if let Some(it) = frame.set.iter().find(|it| it.0 == name) {
                return Ok(it.1.clone());
            }
            if let Some(turn) = frame.turn.as_ref().filter(|_| name == "loop") {
                return Ok(turn.value());
            }
        }
        self.names.get(name, self.long)
    }

    /// The value of an expression that is passed on as it is, if it only says where that stands: a number that no double
    /// holds to its last digit.
    pub(super) fn passed_on(&mut self, expr: &Expr<'m>) -> Result<Value, Error> {
        if !is_path(expr) {
            return self.eval(expr);
        }
        let before = std::mem::replace(&mut self.long, Long::Exact);
        let value = self.eval(expr);
        self.long = before;
        value
    }

    /// The value of an expression that has to have one.
    fn defined(&mut self, expr: &Expr<'m>) -> Result<Value, Error> {
        let value = self.eval(expr)?;
        if value.is_undefined() { Err(undefined(expr)) } else { Ok(value) }
    }

    fn holds(&mut self, expr: &Expr<'m>) -> Result<bool, Error> {
        Ok(self.defined(expr)?.is_true())
    }

    fn binary(&mut self, it: &ast::BinOp<'m>) -> Result<Value, Error> {
        let left = self.defined(&it.left)?;
        // The other side is looked at only where it matters.
        match it.op {
            BinOpKind::ScAnd if !left.is_true() => return Ok(left),
            BinOpKind::ScOr if left.is_true() => return Ok(left),
            _ => {}
        }
        let right = self.defined(&it.right)?;
        let compared = match it.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => return Ok(right),
            BinOpKind::Concat => return self.concat(&left, &right),
            BinOpKind::Add => return self.add(&left, &right),
            BinOpKind::Mul => return self.multiply(&left, &right),
            BinOpKind::Sub => return numbers::subtract(&left, &right),
            BinOpKind::Div => return numbers::divide(&left, &right),
            BinOpKind::FloorDiv => return numbers::divide_whole(&left, &right),
            BinOpKind::Rem => return numbers::remainder(&left, &right),
            BinOpKind::Pow => return numbers::power(&left, &right),
            BinOpKind::Eq => CompareOpKind::Eq,
            BinOpKind::Ne => CompareOpKind::Ne,
            BinOpKind::Lt => CompareOpKind::Lt,
            BinOpKind::Lte => CompareOpKind::Lte,
            BinOpKind::Gt => CompareOpKind::Gt,
            BinOpKind::Gte => CompareOpKind::Gte,
            BinOpKind::In => CompareOpKind::In,
        };
        self.compared(&left, compared, &right).map(Value::from)
    }

    fn concat(&self, left: &Value, right: &Value) -> Result<Value, Error> {
        self.meter.weigh(left)?;
        self.meter.weigh(right)?;
        short("~", [left, right].iter().filter_map(|it| it.as_str()).map(str::len).sum())?;
        let mut text = Short::default();
        for it in [left, right] {
            text.write_str(&written("~", it)?).map_err(|_| too_long("~"))?;
        }
        self.meter.keep("~", Value::from(text.0))
    }

    fn add(&self, left: &Value, right: &Value) -> Result<Value, Error> {
        if left.as_str().is_some() && right.as_str().is_some() {
            return self.concat(left, right);
        }
        if is_list(left) && is_list(right) {
            let mut all = self.meter.entries(left)?;
            all.extend(self.meter.entries(right)?);
            return self.meter.keep("+", all.into());
        }
        numbers::add(left, right)
    }

    fn multiply(&self, left: &Value, right: &Value) -> Result<Value, Error> {
        for (it, times) in [(left, right), (right, left)] {
            if it.as_str().is_none() && !is_list(it) {
                continue;
            }
            let times = times.as_usize();
            let times =
                times.ok_or_else(|| refused("texts and lists are multiplied by numbers"))?;
            if let Some(text) = it.as_str() {
                // It is read, also where nothing is made of it.
                self.meter.spend(text.len())?;
                if Decimal::parse(text.trim()).is_some() {
                    return Err(refused(
                        "a text of digits is no number; `| float` or `| int` makes one of it",
                    ));
                }
                short("*", text.len().saturating_mul(times))?;
                return self.meter.keep("*", Value::from(text.repeat(times)));
            }
            let entries = self.meter.entries(it)?;
            let all = entries.len().saturating_mul(times);
            self.meter.spend(all.saturating_mul(STEP))?;
            let all: Vec<Value> = entries.iter().cycle().take(all).cloned().collect();
            return self.meter.keep("*", all.into());
        }
        numbers::multiply(left, right)
    }

    fn compare(&mut self, it: &ast::Compare<'m>) -> Result<Value, Error> {
        let mut left = self.defined(&it.expr)?;
        for next in &it.ops {
            let right = self.defined(&next.expr)?;
            if !self.compared(&left, next.op, &right)? {
                return Ok(Value::from(false));
            }
            left = right;
        }
        Ok(Value::from(true))
    }

    fn compared(&self, left: &Value, how: CompareOpKind, right: &Value) -> Result<bool, Error> {
        if matches!(how, CompareOpKind::In | CompareOpKind::NotIn) {
            // As a test it would say no.
            if !matches!(
                right.kind(),
                ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
            ) {
                return Err(refused(format!("looks for something in a {}", right.kind())));
            }
            if right.as_str().is_some() && is_many(left) {
                return Err(refused(format!("looks for a {} in a text", left.kind())));
            }
            self.meter.weigh(left)?;
            self.meter.weigh(right)?;
            let is_in = self
                .environment
                .empty_state()
                .perform_test("in", &[left.clone(), right.clone()])?;
            return Ok(is_in == matches!(how, CompareOpKind::In));
        }
        if !matches!(how, CompareOpKind::Eq | CompareOpKind::Ne) {
            comparable(left, right)?;
        }
        match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => self.meter.spend(left.len().min(right.len()))?,
            _ if is_many(left) && is_many(right) => {
                self.meter.weigh(left)?;
                self.meter.weigh(right)?;
            }
            _ => {}
        }
        Ok(match how {
            CompareOpKind::Eq => left == right,
            CompareOpKind::Ne => left != right,
            CompareOpKind::Lt => left < right,
            CompareOpKind::Lte => left <= right,
            CompareOpKind::Gt => left > right,
            CompareOpKind::Gte | CompareOpKind::In | CompareOpKind::NotIn => left >= right,
        })
    }

    fn slice(&mut self, it: &ast::Slice<'m>) -> Result<Value, Error> {
        let of = self.defined(&it.expr)?;
        let mut bounds = [None; 3];
        for (bound, it) in bounds.iter_mut().zip([&it.start, &it.stop, &it.step]) {
            let Some(it) = it else { continue };
            let value = self.defined(it)?;
            if !value.is_none() {
                let whole = value.as_i64();
                *bound = Some(whole.ok_or_else(|| refused("lists are cut at whole numbers"))?);
            }
        }
        if !(of.is_none() || of.as_str().is_some() || is_list(&of)) {
            return Err(refused(format!("cannot cut a {}", of.kind())));
        }
        if let Some(text) = of.as_str() {
            // Letters, not values: what is cut is long.
            self.meter.spend(text.len().saturating_mul(4))?;
            let letters: Vec<char> = text.chars().collect();
            let text: String = cut(&letters, bounds)?.into_iter().collect();
            return self.meter.keep("[…:…]", text.into());
        }
        let entries = self.meter.entries(&of)?;
        self.meter.keep("[…:…]", cut(&entries, bounds)?.into())
    }

    fn args(&mut self, first: Option<Value>, args: &[CallArg<'m>]) -> Result<Vec<Value>, Error> {
        let (mut values, mut named) = (Vec::from_iter(first), Vec::new());
        for it in args {
            match it {
                CallArg::Pos(it) => values.push(self.defined(it)?),
                CallArg::Kwarg(name, it) => named.push((*name, self.defined(it)?)),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    return Err(refused("arguments are given one by one"));
                }
            }
        }
        if !named.is_empty() {
            values.push(Kwargs::from_iter(named).into());
        }
        Ok(values)
    }

    fn filter(&mut self, it: &ast::Filter<'m>) -> Result<Value, Error> {
        let of = it.expr.as_ref().ok_or_else(|| refused("holds a filter of nothing"))?;
        let of = match it.name {
            "d" | "default" => self.eval(of)?,
            // What becomes JSON is passed on.
            "tojson" if is_path(of) => {
                let value = self.passed_on(of)?;
                if value.is_undefined() {
                    return Err(undefined(of));
                }
                value
            }
            _ => self.defined(of)?,
        };
        let args = self.args(Some(of), &it.args)?;
        self.apply(it.name, &args)
    }

    fn apply(&self, name: &str, args: &[Value]) -> Result<Value, Error> {
        if let ("map", [value, by, rest @ ..]) = (name, args)
            && let Some(by) = by.as_str()
        {
            // One after the other, and each is counted before the next is made.
            let mut made = Vec::new();
            for it in self.meter.entries(value)? {
                let args: Vec<Value> = std::iter::once(it).chain(rest.iter().cloned()).collect();
                made.push(self.apply(by, &args)?);
            }
            return self.meter.keep("map", made.into());
        }
        count_filter(self.meter, name, args)?;
        let made = self.environment.empty_state().apply_filter(name, args)?;
        // What only picks one of what there is makes nothing.
        if matches!(name, "attr" | "d" | "default" | "first" | "last" | "max" | "min") {
            return self.found(made);
        }
        self.meter.keep(name, made)
    }

    fn test(&mut self, it: &ast::Test<'m>) -> Result<Value, Error> {
        let of = self.eval(&it.expr)?;
        // These read a text; the others tell what is not there from what is.
        let reads = matches!(it.name, "startingwith" | "endingwith" | "lower" | "upper");
        if of.is_undefined() && reads {
            return Err(ErrorKind::UndefinedError.into());
        }
        let args = self.args(Some(of), &it.args)?;
        count_test(self.meter, it.name, &args)?;
        if let (
            "<" | "lt" | "lessthan" | "<=" | "le" | ">" | "gt" | "greaterthan" | ">=" | "ge",
            [left, right],
        ) = (it.name, &args[..])
        {
            comparable(left, right)?;
        }
        self.environment.empty_state().perform_test(it.name, &args).map(Value::from)
    }

    fn call(&mut self, it: &ast::Call<'m>) -> Result<Value, Error> {
        match &it.expr {
            Expr::Var(name) if name.id == "range" => {
                let args = self.args(None, &it.args)?;
                self.range(&args)
            }
            Expr::Var(name) if name.id == "dict" => {
                let mut pairs = BTreeMap::new();
                for of in self.args(None, &it.args)? {
                    if of.kind() != ValueKind::Map {
                        return Err(refused("`dict` takes named values"));
                    }
                    for key in self.meter.entries(&of)? {
                        let value = of.get_item(&key)?;
                        pairs.insert(key, value);
                    }
                }
                self.meter.keep("dict", Value::from_iter(pairs))
            }
            Expr::GetAttr(of) if of.name == "cycle" && is_loop(&of.expr) => {
                let args = self.args(None, &it.args)?;
                let turn = self.frames.iter().rev().find_map(|it| it.turn.as_ref());
                let at = turn.filter(|_| !args.is_empty()).map(|it| it.at % args.len());
                let at = at.ok_or_else(|| refused("`loop.cycle` takes values in a loop"))?;
                Ok(args[at].clone())
            }
            _ => Err(refused(
                "calls what cannot be called; there are `range`, `dict` and `loop.cycle`",
            )),
        }
    }

    fn range(&self, args: &[Value]) -> Result<Value, Error> {
        let whole = |it: &Value| it.as_i64().ok_or_else(|| refused("`range` takes whole numbers"));
        let args = args.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        let (from, to, step) = match args[..] {
            [to] => (0, to, 1),
            [from, to] => (from, to, 1),
            [from, to, step] if step != 0 => (from, to, step),
            _ => return Err(refused("`range` takes a bound or two, and a step other than 0")),
        };
        let next = |it: &i64| it.checked_add(step);
        let numbers = std::iter::successors(Some(from), next)
            .take_while(|it| if step > 0 { *it < to } else { *it > to })
            .take(LONGEST_RANGE + 1);
        let count = numbers.clone().count();
        if count > LONGEST_RANGE {
            return Err(refused(format!("`range` makes {LONGEST_RANGE} numbers at most")));
        }
        // Before they are there: each takes more than its digits.
        self.meter.spend(count * STEP)?;
        let mut made = Vec::with_capacity(count);
        made.extend(numbers.map(Value::from));
        self.meter.keep("range", made.into())
    }
}

/// Refuses to put a text and a number in order: every text would be after every number, also one of digits.
fn comparable(left: &Value, right: &Value) -> Result<(), Error> {
    let is_pair = |a: &Value, b: &Value| a.as_str().is_some() && b.is_number();
    if is_pair(left, right) || is_pair(right, left) {
        return Err(refused(
            "a text and a number have no order; `| float` or `| int` makes a number of a text",
        ));
    }
    Ok(())
}

/// Whether an expression only says where a value stands.
fn is_path(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Var(_) => true,
        Expr::GetAttr(it) => is_path(&it.expr),
        Expr::GetItem(it) => {
            is_path(&it.expr) && matches!(it.subscript_expr, Expr::Const(_) | Expr::Var(_))
        }
        _ => false,
    }
}

/// That an expression has no value, with its name if it has one.
fn undefined(expr: &Expr<'_>) -> Error {
    fn name(expr: &Expr<'_>) -> Option<String> {
        Some(match expr {
            Expr::Var(it) => it.id.to_owned(),
            Expr::GetAttr(it) => format!("{}.{}", name(&it.expr)?, it.name),
            Expr::GetItem(it) => match &it.subscript_expr {
                Expr::Const(key) => format!("{}[{}]", name(&it.expr)?, key.value),
                _ => return None,
            },
            _ => return None,
        })
    }
    match name(expr) {
        Some(name) => Error::new(ErrorKind::UndefinedError, name),
        None => ErrorKind::UndefinedError.into(),
    }
}

fn is_loop(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Var(it) if it.id == "loop")
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn is_many(value: &Value) -> bool {
    is_list(value) || value.kind() == ValueKind::Map
}

/// From a bound to a bound by steps, as in Python.
fn cut<T: Clone>(entries: &[T], [from, to, step]: [Option<i64>; 3]) -> Result<Vec<T>, Error> {
    let length = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let step = step.unwrap_or(1);
    let (least, most) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let bound = |it: i64| (if it < 0 { it.saturating_add(length) } else { it }).clamp(least, most);
    let (first, last) = if step < 0 { (most, least) } else { (least, most) };
    let (mut at, to) = (from.map_or(first, bound), to.map_or(last, bound));
    if step == 0 {
        return Err(refused("lists are cut by steps of at least 1"));
    }
    let mut cut = Vec::new();
    while if step > 0 { at < to } else { at > to } {
        cut.extend(usize::try_from(at).ok().and_then(|it| entries.get(it)).cloned());
        at = at.saturating_add(step);
    }
    Ok(cut)
}
