//! Relations with policies: see [`crate::policy`].

use pg_query::protobuf::{ColumnRef, RangeVar};
use plinth_schema_introspect::RelationKind;

use super::{Mode, Police, Walker};
use crate::facts::RelationId;
use crate::policy::{Cut, Use};
use crate::rejection::{Rejection, Rule};
use crate::views::judge;

impl<'a> Walker<'a> {
    /// Notes that a relation has to be replaced, or finds that it stands where it was put.
    pub(super) fn police(&mut self, id: RelationId, var: &'a RangeVar) -> Result<(), Rejection> {
        let (Some(police), Mode::Statement { .. }) = (self.police, self.mode) else {
            return Ok(());
        };
        let name = &self.facts.relations[id].name;
        let policed = police.policing.of(id);
        let closed = policed.and_then(|it| {
            let with_children = it.closed_with_children.as_ref().filter(|_| var.inh);
            it.closed.as_ref().or(with_children).cloned()
        });
        let closed = match closed {
            Some(why) => Some(why),
            None if policed.is_some_and(|it| it.own) => None,
            None => self.shown_below(police, id),
        };
        if let Some(why) = closed {
            let message = format!(
                "`{name}` is closed to you by a policy: {why}; ask whoever manages the connection"
            );
            return Err(self
                .refuse(Rule::PolicyClosed, message, var.location)
                .about(name.to_string()));
        }
        if policed.is_none_or(|it| it.source.is_none()) {
            return Ok(());
        }
        match police.places {
            None => {
                let written = [&var.catalogname, &var.schemaname];
                self.findings.uses.push(Use {
                    location: var.location,
                    parts: 1 + written.into_iter().filter(|it| !it.is_empty()).count(),
                    name: var.relname.clone(),
                    aliased: var.alias.is_some(),
                    only: !var.inh,
                    relation: id,
                });
                Ok(())
            }
            Some(places) if places.contains(&var.location) => {
                self.findings.replaced += 1;
                Ok(())
            }
            Some(_) => Err(self.refuse(
                Rule::PolicyUnsupported,
                "a policy limits what you see here, and the statement cannot be rewritten for it; write it more plainly",
                var.location,
            )),
        }
    }

    /// Why a view without a policy of its own would show what a policy hides; `None` if it would not.
    fn shown_below(&self, police: Police<'_>, id: RelationId) -> Option<String> {
        let relation = &self.facts.relations[id];
        let is_view = relation.kind == RelationKind::View;
        if !is_view && relation.kind != RelationKind::MaterializedView {
            return None;
        }
        let (mut under, mut unknown) = police.policing.under(id);
        // The list of what a view reads comes from the server; its text, as far as it can be looked through, must not tell
        // of more. What it calls could read anything.
        match judge(self.facts, id, 0) {
            Ok(reads) => {
                unknown |= reads.catalog;
                under.extend(&reads.relations);
            }
            Err(_) => unknown = true,
        }
        if let Some(below) = under.iter().find(|it| police.policing.hides_something_of(**it)) {
            let name = &self.facts.relations[*below].name;
            return Some(format!(
                "it shows `{name}`, of which a policy hides something from you, and has no policy of its own"
            ));
        }
        unknown.then(|| "what it shows is not known, and it has no policy of its own".to_owned())
    }

    /// A subquery has no schema: where a column is named with its table's, the schema goes.
    pub(super) fn police_column(&mut self, table: &[&str], column: &ColumnRef) {
        let Some(Police { policing, places: None }) = self.police else { return };
        let [.., schema, name] = table else { return };
        let replaced = self.facts.relation(Some(schema), name).and_then(|id| policing.of(id));
        if replaced.is_some_and(|it| it.source.is_some()) {
            self.findings.cuts.push(Cut { location: column.location, parts: table.len() - 1 });
        }
    }
}
