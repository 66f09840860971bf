//! Function calls.

use pg_query::NodeEnum;
use pg_query::protobuf::{CoercionForm, FuncCall};

use super::{Name, Walker};
use crate::facts::Candidates;
use crate::lists::functions;
use crate::rejection::{Rejection, Rule};

impl<'a> Walker<'a> {
    pub(super) fn call(&mut self, call: &'a FuncCall) -> Result<(), Rejection> {
        let name = self.name(&call.funcname, call.location)?;
        if call.over.is_none() {
            self.hear_call(name.name);
        }
        self.function(name, call)?;
        self.expressions(&call.args)?;
        self.expressions(&call.agg_order)?;
        self.optional(call.agg_filter.as_deref())?;
        call.over.as_deref().map_or(Ok(()), |it| self.window(it))
    }

    fn function(&mut self, name: Name<'a>, call: &'a FuncCall) -> Result<(), Rejection> {
        let builtin =
            matches!(name.schema, None | Some("pg_catalog")) && self.facts.has_builtin(name.name);
        if !builtin {
            // A call can only mean a function of an extension now. `pg_catalog` has none of those that are known.
            return match self.facts.functions(name.schema, name.name) {
                Candidates::Harmless => {
                    self.cast_by_call(name, call);
                    Ok(())
                }
                Candidates::None | Candidates::Unknown => {
                    Err(self.function_refused(name, call.location))
                }
            };
        }
        if name.schema.is_none() {
            self.qualify(name.name, call)?;
        } else if name.name == "json_object" {
            // The grammar of 16 makes `json_object(…)` a qualified name; an older server takes it as it is written.
            let own = self.facts.functions(None, name.name);
            if self.facts.server_version_num < 160_000 && own == Candidates::Unknown {
                return Err(self.function_refused(name, call.location));
            }
        }
        let arguments = call.args.len();
        if let Some(safe) = functions::safe_arities(name.name)
            && (call.func_variadic || !safe.contains(&arguments))
        {
            let message =
                format!("`{}` with {arguments} arguments runs a query in a text", name.name);
            return Err(self.refuse(Rule::FunctionNotAllowed, message, call.location));
        }
        if let Some(at) = functions::xml_argument(name.name) {
            // Named or out of order, the argument is not where it is looked for.
            for arg in call.args.iter().skip(if named(call) { 0 } else { at }) {
                let arg = match &arg.node {
                    Some(NodeEnum::NamedArgExpr(it)) => it.arg.as_deref(),
                    _ => Some(arg),
                };
                self.no_xml_literal(arg)?;
                if !named(call) {
                    break;
                }
            }
        }
        // `AT LOCAL` came with 17, as a call with one argument.
        if name.name == "timezone"
            && arguments == 1
            && call.funcformat() == CoercionForm::CoerceSqlSyntax
        {
            self.since(170_000, "AT LOCAL", call.location)?;
        }
        self.cast_by_call(name, call);
        Ok(())
    }

    /// `text(x)` is a cast where no function fits better.
    fn cast_by_call(&mut self, name: Name<'a>, call: &'a FuncCall) {
        if let [only] = call.args.as_slice() {
            self.note_cast(name.name, Some(only), call.location);
        }
    }

    /// Where the database has functions or types of a built-in function's name, an unqualified call could mean one of
    /// them. Then the call is made to say which it means.
    fn qualify(&mut self, name: &'a str, call: &'a FuncCall) -> Result<(), Rejection> {
        let ambiguous = self.facts.functions(None, name) == Candidates::Unknown
            || self.facts.types(None, name) == Candidates::Unknown;
        if !ambiguous {
            return Ok(());
        }
        let at = usize::try_from(call.location).ok().filter(|at| {
            let first = self.text.get(*at..).and_then(|it| it.chars().next());
            first.is_some_and(|it| it.is_alphabetic() || it == '_' || it == '"')
        });
        match at {
            Some(at) if !self.in_view() => {
                self.findings.qualify.push(at);
                Ok(())
            }
            _ => {
                let message = format!(
                    "`{name}` may mean a function of the database's own; write `pg_catalog.{name}` for the built-in one"
                );
                Err(self.refuse(Rule::FunctionNotAllowed, message, call.location))
            }
        }
    }

    fn function_refused(&self, name: Name<'a>, location: i32) -> Rejection {
        let message = format!(
            "the function `{}` may not be called: only built-in functions that compute from their arguments, and those \
             of common extensions, are let through",
            name.name
        );
        self.refuse(Rule::FunctionNotAllowed, message, location)
    }
}

fn named(call: &FuncCall) -> bool {
    call.args.iter().any(|it| matches!(it.node, Some(NodeEnum::NamedArgExpr(_))))
}
