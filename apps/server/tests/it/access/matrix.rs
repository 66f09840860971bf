use std::collections::BTreeSet;
use std::rc::Rc;

use plinth_core::Scope;
use plinth_tenancy::Role;
use plinth_testdb::TestDatabase;

use super::operations::Operation;
use super::scene::{Call, Place, Scene};
use super::table::{ANY_SCOPE, OWN_KEYS, OWNERS, PUBLIC, SIGNED_IN, sample};
use crate::app::{Answer, Person, TestApp};
use crate::control_plane::Node;

/// Two organizations on one server.
struct Stage {
    app: Rc<TestApp>,
    ann: Scene,
    bob: Scene,
    /// Members of ann's organization, signed in.
    below: Vec<(Role, Person)>,
    /// The id of ann's organization.
    org: String,
    node: Node,
}

impl Stage {
    async fn set() -> Self {
        let app = Rc::new(TestApp::start().await);
        let script = "CREATE TABLE orders (id int PRIMARY KEY, total numeric NOT NULL);
                      GRANT SELECT ON orders TO plinth_test_owner; ANALYZE;";
        let node = Node::start(&app, 3).await;
        let target = Rc::new(TestDatabase::from_sql(script).await.unwrap());
        let mut ann = Scene::new(&app, "Acme", target.clone()).await;
        let mut bob = Scene::new(&app, "Other", target).await;
        // Something of every kind on both sides, whichever operation comes first.
        for operation in Operation::all() {
            sample(&operation, &mut ann).await;
            sample(&operation, &mut bob).await;
        }
        let mut below = Vec::new();
        for role in [Role::Viewer, Role::Editor] {
            let email = ann.address();
            let (person, _) = app.member(&ann.owner, &email, role.as_str()).await;
            assert!(person.get("/v1/me/access").await.is_success());
            below.push((role, person));
        }
        let org = ann.organization().await;
        Self { app, ann, bob, below, org, node }
    }
}

/// Every operation that asks who is calling.
fn guarded() -> impl Iterator<Item = Operation> {
    Operation::all().into_iter().filter(|it| PUBLIC.iter().all(|(id, _)| *id != it.id))
}

/// What is wrong, gathered so that one run tells everything.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "{} faults:\n{}", self.0.len(), self.0.join("\n"));
    }
}

async fn by(person: &Person, operation: &Operation, call: &Call) -> Answer {
    call.send(operation, |method, path| person.request(method, path)).await
}

#[test]
fn every_operation_is_in_exactly_one_list() {
    let mut faults = Faults::default();
    let operations = Operation::all();
    for it in &operations {
        let is_listed = PUBLIC.iter().any(|(id, _)| *id == it.id);
        faults.expect(it.is_public == is_listed, || {
            format!(
                "{}: the document says public = {}, access/table.rs says {is_listed}",
                it.id, it.is_public
            )
        });
        let any_scope = ANY_SCOPE.iter().any(|(id, _)| *id == it.id);
        let signed_in = SIGNED_IN.iter().any(|(id, _)| *id == it.id);
        let needs = [it.scope.is_some(), any_scope, signed_in, it.is_public];
        faults.expect(needs.iter().filter(|it| **it).count() == 1, || {
            format!(
                "{}: either its description names a scope, or it is in ANY_SCOPE or SIGNED_IN of access/table.rs",
                it.id
            )
        });
        if let Some(scope) = &it.scope {
            faults
                .expect(scope.parse::<Scope>().is_ok(), || format!("{}: no scope {scope}", it.id));
        }
    }
    let known: BTreeSet<_> = operations.iter().map(|it| it.id.as_str()).collect();
    let listed = PUBLIC.iter().chain(ANY_SCOPE).chain(SIGNED_IN).map(|(id, _)| id);
    for id in listed.chain(OWNERS).chain(OWN_KEYS.iter().map(|(id, _)| id)) {
        faults.expect(known.contains(id), || {
            format!("{id} is listed, but there is no such operation")
        });
    }
    faults.assert_none();
}

#[actix_web::test]
async fn whoever_may_not_is_refused_where_the_owner_is_answered() {
    let mut stage = Stage::set().await;
    let mut faults = Faults::default();
    let (key, secret) = stage.ann.new_key(&["full"]).await;
    let revoked = stage.app.somebody(&secret);
    assert_eq!(stage.ann.owner.delete(&format!("/v1/api-keys/{key}")).await.status, 204);

    for operation in guarded() {
        let name = &operation.id;
        let Some(first) = sample(&operation, &mut stage.ann).await else {
            faults.0.push(format!("{name} has no sample: add one to `sample` in access/table.rs"));
            continue;
        };
        // The owner's same call, on a twin of what the others try.
        let first = first.header("idempotency-key", format!("of-{name}"));
        let answer = by(&stage.ann.caller(&operation).await, &operation, &first).await;
        faults.expect(answer.is_success(), || {
            format!("{name}: the owner's call answered {} {}", answer.status, answer.text)
        });
        // The very same again, with the owner's idempotency key: nobody else is given the owner's answer.
        let again = by(&revoked, &operation, &first).await;
        faults.expect(again.status == 401, || format!("{name}: a replay {}", again.told()));

        let call = sample(&operation, &mut stage.ann).await.unwrap();
        let nobody = call.send(&operation, |method, path| stage.app.request(method, path)).await;
        faults.expect(nobody.status == 401, || format!("{name}: no token {}", nobody.told()));
        let gone = by(&revoked, &operation, &call).await;
        faults.expect(gone.status == 401, || format!("{name}: a revoked key {}", gone.told()));
        if SIGNED_IN.iter().any(|(id, _)| id == name) {
            let answer = by(&stage.ann.owner, &operation, &call).await;
            faults.expect(answer.status == 403, || format!("{name}: an API key {}", answer.told()));
        }
        if let Some(scope) = &operation.scope {
            let others: Vec<_> =
                Scope::ALL.iter().map(|it| it.as_str()).filter(|it| it != scope).collect();
            let lower = stage.app.somebody(&stage.ann.new_key(&others).await.1);
            let replayed = by(&lower, &operation, &first).await;
            faults.expect(replayed.status == 403, || {
                format!("{name}: a replay without {scope} {}", replayed.told())
            });
            let answer = by(&lower, &operation, &call).await;
            faults.expect(answer.status == 403, || {
                format!("{name}: a key with every scope but {scope} {}", answer.told())
            });
        }
        lower_roles(&stage, &operation, &call, &mut faults).await;
        foreign(&mut stage, &operation, &call, &mut faults).await;

        // None of the refused calls has done anything.
        let answer = by(&stage.ann.caller(&operation).await, &operation, &call).await;
        faults.expect(answer.is_success(), || {
            format!("{name}: after the refusals, the owner's call {}", answer.told())
        });
    }
    stage.node.end().await;
    faults.assert_none();
}

/// Members of the same organization who may do less: a viewer and an editor, signed in.
async fn lower_roles(stage: &Stage, operation: &Operation, call: &Call, faults: &mut Faults) {
    let name = &operation.id;
    for (role, person) in &stage.below {
        let allows = |scope: &String| role.scopes().iter().any(|it| it.as_str() == scope);
        let is_refused = match &operation.scope {
            Some(scope) => !allows(scope) || is_beyond_saved_queries(*role, name),
            None => OWNERS.contains(&name.as_str()),
        };
        if !is_refused {
            continue;
        }
        let call = if call.picks() {
            call.clone().without_pick().with(&Place::Path(0), &stage.org)
        } else {
            call.clone()
        };
        let answer = by(person, operation, &call).await;
        let holds = match OWN_KEYS.iter().find(|(id, _)| id == name) {
            // An error names the id that was sent.
            Some((_, 200)) => answer.status == 200 && !shows_a_key(&answer, &stage.ann),
            Some((_, status)) => answer.status == *status,
            None => answer.status == 403,
        };
        faults.expect(holds, || format!("{name}: {role} {}", answer.told()));
    }
}

fn shows_a_key(answer: &Answer, scene: &Scene) -> bool {
    scene.things.iter().any(|(kind, id)| *kind == "key" && answer.text.contains(id))
}

/// A viewer runs saved queries, and makes none.
fn is_beyond_saved_queries(role: Role, operation: &str) -> bool {
    role.saved_queries_only() && operation == "create_query"
}

/// The other organization's owner, who may do everything in their own, at each id of the call.
async fn foreign(stage: &mut Stage, operation: &Operation, call: &Call, faults: &mut Faults) {
    let name = &operation.id;
    let own = sample(operation, &mut stage.bob).await.unwrap();
    let bob = stage.bob.caller(operation).await;
    for place in own.places(&stage.bob) {
        let mut ids = stage.ann.one_of_each();
        // What the owner's own call is about, at the same place.
        ids.push(("same thing", call.at(&place).to_owned()));
        for (kind, id) in ids {
            let answer = by(&bob, operation, &own.with(&place, &id)).await;
            faults.expect(answer.status == 404 || is_unreadable(&place, &answer), || {
                format!("{name}: another's {kind} at {place:?} {}", answer.told())
            });
        }
        // It looks exactly like nothing.
        let id = call.at(&place);
        let none = like(id);
        let theirs = by(&bob, operation, &own.with(&place, id)).await.plain(id);
        let nothing = by(&bob, operation, &own.with(&place, &none)).await.plain(&none);
        faults.expect(theirs == nothing, || {
            format!("{name}: another's thing is told from none:\n  {theirs:?}\n  {nothing:?}")
        });
    }
    let answer = by(&bob, operation, &own).await;
    faults.expect(answer.is_success(), || format!("{name}: bob in his own {}", answer.told()));
    for (kind, id) in &stage.ann.things {
        faults
            .expect(!answer.text.contains(id), || format!("{name}: bob is shown a {kind} of ann"));
    }
}

/// An id of another kind does not fit into a field of the body.
fn is_unreadable(place: &Place, answer: &Answer) -> bool {
    matches!(place, Place::Body(_)) && answer.status == 422
}

/// An id of the same shape that nothing has.
fn like(id: &str) -> String {
    let (prefix, rest) = id.split_once('_').unwrap_or(("", id));
    // A UUIDv7 of the year 2023: the shape is right, and nothing here is so old.
    let old = "018a3a2b4c5d7e6f8091a2b3c4d5e6f7";
    if prefix.is_empty() {
        // A project at a remote is called what it is called there.
        if id.starts_with("remote-project-") {
            return format!("{id}-none");
        }
        assert_eq!(rest.len(), 36, "{id} is no id");
        return [&old[..8], &old[8..12], &old[12..16], &old[16..20], &old[20..]].join("-");
    }
    assert_eq!(rest.len(), old.len(), "{id} is no id");
    format!("{prefix}_{old}")
}
