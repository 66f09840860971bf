//! Which templates there are: what `MiniJinja` reads, less what would let a text grow without saying so.

use std::collections::BTreeSet;

use minijinja::Error;
use minijinja::machinery::ast::{self, CallArg, Expr, Stmt};
use minijinja::machinery::{Token, WhitespaceConfig, parse, parse_expr, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::filters::{FILTERS, TESTS};
use super::meter::refused;

/// How many words and signs one expression may have, and how many `{% … %}` a template: what is read stands as deep inside of
/// each other at most, and is walked along as deep.
const MOST_TOKENS: usize = 250;
const MOST_TAGS: usize = 250;

/// Reads a template.
pub(super) fn read(text: &str) -> Result<Stmt<'_>, Error> {
    count(text, false)?;
    parse(text, "<template>", SyntaxConfig, WhitespaceConfig::default())
}

/// Reads an expression.
pub(super) fn read_expression(text: &str) -> Result<Expr<'_>, Error> {
    count(text, true)?;
    parse_expr(text)
}

fn count(text: &str, is_expression: bool) -> Result<(), Error> {
    let (mut tokens, mut tags) = (0, 0);
    for it in tokenize(text, is_expression, SyntaxConfig, WhitespaceConfig::default()) {
        match it?.0 {
            Token::TemplateData(_) => {}
            Token::VariableStart => tokens = 0,
            Token::BlockStart => (tokens, tags) = (0, tags + 1),
            _ => tokens += 1,
        }
        if tokens > MOST_TOKENS {
            return Err(refused(format!("holds an expression of more than {MOST_TOKENS} words")));
        }
        if tags > MOST_TAGS {
            return Err(refused(format!("holds more than {MOST_TAGS} `{{% … %}}`")));
        }
    }
    Ok(())
}

/// The names that a template uses and does not set, with what follows them: `steps.late.who`.
///
/// # Errors
///
/// What templates may not hold.
pub(super) fn names(template: &Stmt<'_>) -> Result<BTreeSet<String>, Error> {
    let mut walk = Walk::default();
    walk.stmt(template)?;
    Ok(walk.used)
}

/// The same of an expression.
pub(super) fn names_of(expression: &Expr<'_>) -> Result<BTreeSet<String>, Error> {
    let mut walk = Walk::default();
    walk.expr(expression)?;
    Ok(walk.used)
}

#[derive(Default)]
struct Walk<'a> {
    used: BTreeSet<String>,
    /// Names that are set, in the order in which they came to be.
    set: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn body(&mut self, body: &[Stmt<'a>]) -> Result<(), Error> {
        body.iter().try_for_each(|it| self.stmt(it))
    }

    /// What is set in it is not set after it.
    fn inner(&mut self, walk: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let known = self.set.len();
        walk(self)?;
        self.set.truncate(known);
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt<'a>) -> Result<(), Error> {
        match stmt {
            Stmt::Template(it) => self.body(&it.children),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(it) => self.expr(&it.expr),
            Stmt::IfCond(it) => {
                self.expr(&it.expr)?;
                self.body(&it.true_body)?;
                self.body(&it.false_body)
            }
            Stmt::ForLoop(it) if it.recursive => {
                Err(refused("`recursive` loops are not for templates"))
            }
            Stmt::ForLoop(it) => {
                self.expr(&it.iter)?;
                self.inner(|walk| {
                    walk.target(&it.target)?;
                    walk.optional(it.filter_expr.as_ref())?;
                    walk.set.push("loop");
                    walk.body(&it.body)
                })?;
                self.inner(|walk| walk.body(&it.else_body))
            }
            Stmt::WithBlock(it) => self.inner(|walk| {
                for (target, value) in &it.assignments {
                    walk.expr(value)?;
                    walk.target(target)?;
                }
                walk.body(&it.body)
            }),
            Stmt::Set(it) => {
                self.expr(&it.expr)?;
                self.target(&it.target)
            }
            Stmt::SetBlock(_) => Err(refused("`set` takes a value: `{% set name = … %}`")),
            Stmt::AutoEscape(_) | Stmt::FilterBlock(_) | Stmt::Do(_) => {
                Err(refused("`autoescape`, `filter` and `do` are not for templates"))
            }
        }
    }

    fn target(&mut self, target: &Expr<'a>) -> Result<(), Error> {
        match target {
            Expr::Var(it) => {
                self.set.push(it.id);
                Ok(())
            }
            Expr::List(it) => it.items.iter().try_for_each(|it| self.target(it)),
            _ => Err(refused("only names are set")),
        }
    }

    fn optional(&mut self, expr: Option<&Expr<'a>>) -> Result<(), Error> {
        expr.map_or(Ok(()), |it| self.expr(it))
    }

    fn args(&mut self, args: &[CallArg<'a>]) -> Result<(), Error> {
        args.iter().try_for_each(|it| match it {
            CallArg::Pos(it) | CallArg::Kwarg(_, it) => self.expr(it),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                Err(refused("arguments are given one by one"))
            }
        })
    }

    fn name(&mut self, name: &str, path: &[&str]) {
        if !self.set.contains(&name) {
            let mut used = name.to_owned();
            for it in path {
                used.push('.');
                used.push_str(it);
            }
            self.used.insert(used);
        }
    }

    fn expr(&mut self, expr: &Expr<'a>) -> Result<(), Error> {
        match expr {
            Expr::Var(it) => {
                self.name(it.id, &[]);
                Ok(())
            }
            Expr::Const(_) => Ok(()),
            Expr::UnaryOp(it) => self.expr(&it.expr),
            Expr::BinOp(it) => {
                self.expr(&it.left)?;
                self.expr(&it.right)
            }
            Expr::Compare(it) => {
                self.expr(&it.expr)?;
                it.ops.iter().try_for_each(|it| self.expr(&it.expr))
            }
            Expr::IfExpr(it) => {
                self.expr(&it.test_expr)?;
                self.expr(&it.true_expr)?;
                self.optional(it.false_expr.as_ref())
            }
            Expr::Slice(it) => {
                self.expr(&it.expr)?;
                let bounds = [&it.start, &it.stop, &it.step];
                bounds.into_iter().try_for_each(|it| self.optional(it.as_ref()))
            }
            Expr::Filter(it) => {
                if !FILTERS.contains(&it.name) {
                    return Err(refused(format!("there is no filter `{}`", it.name)));
                }
                self.optional(it.expr.as_ref())?;
                self.args(&it.args)
            }
            Expr::Test(it) => {
                if !TESTS.contains(&it.name) {
                    return Err(refused(format!("there is no test `{}`", it.name)));
                }
                self.expr(&it.expr)?;
                self.args(&it.args)
            }
            Expr::GetAttr(it) => self.attr(it),
            Expr::GetItem(it) => {
                self.expr(&it.expr)?;
                self.expr(&it.subscript_expr)
            }
            Expr::Call(it) => {
                self.expr(&it.expr)?;
                self.args(&it.args)
            }
            Expr::List(it) => it.items.iter().try_for_each(|it| self.expr(it)),
            Expr::Map(it) => it.keys.iter().chain(&it.values).try_for_each(|it| self.expr(it)),
        }
    }

    fn attr(&mut self, attr: &ast::GetAttr<'a>) -> Result<(), Error> {
        let mut path = vec![attr.name];
        let mut of = &attr.expr;
        loop {
            match of {
                Expr::Var(it) => {
                    path.reverse();
                    self.name(it.id, &path);
                    return Ok(());
                }
                Expr::GetAttr(it) => {
                    path.push(it.name);
                    of = &it.expr;
                }
                other => return self.expr(other),
            }
        }
    }
}
