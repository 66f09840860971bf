use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use plinth_connections::{
    ConnectionError, ConnectionName, Description, Login, NewConnection, Place, SslMode, TlsMaterial,
};
use plinth_control_plane::OwnDatabase;
use plinth_core::{AllProjects, ConnectionsWrite, ErrorKind, Permit, Principal, Scope, ScopeSet};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::control_plane::uri;
use super::problem::Problems;
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_own_database).service(get_authority);
}

/// The organization's own database.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnDatabase)]
struct OwnDatabaseBody {
    /// Its project's id.
    #[schema(example = "still-meadow-47437464")]
    id: String,
    /// `org_` and the organization's id.
    #[schema(example = "org_0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70")]
    name: String,
    organization_id: Uuid,
    connection_uri: ConnectionUri,
}

/// How to connect.
#[derive(Serialize, ToSchema)]
struct ConnectionUri {
    /// For psql, psycopg2, node-postgres and their kin; with the password in it.
    #[schema(
        example = "postgresql://org_owner:secret@127.0.0.1:24317/org?channel_binding=require&sslmode=require"
    )]
    uri: String,
}

/// Read the organization's own database
///
/// Made when it is first asked for: a Postgres of the organization's alone, read and write, reached with TLS only, with the
/// tables `agents`, `tasks`, `knowledge_bases`, `documents` and `users`. It is among the organization's connections too, so
/// that questions can be asked of it. The answer is not wrapped in `data`. Each look is in the audit trail. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "misc",
    responses((status = 200, body = OwnDatabaseBody, description = "The database, with how to connect."), Problems),
)]
#[get("/misc/db")]
async fn get_own_database(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<AllProjects>()?;
    let own = services.control_plane.own_database(&permit).await?;
    connect(&services, permit.principal(), &own).await?;
    let host = own.tree.address(&own.endpoint);
    Ok(HttpResponse::Ok().json(OwnDatabaseBody {
        id: own.tree.project.id.to_string(),
        name: own.tree.project.name.clone(),
        organization_id: permit.org().as_uuid(),
        connection_uri: ConnectionUri {
            uri: uri(&host, &own.database.name, &own.database.owner, &own.password),
        },
    }))
}

/// Puts it among the organization's connections, unless it is there, or was and somebody removed it.
async fn connect(
    services: &Services,
    principal: &Principal,
    own: &OwnDatabase,
) -> Result<(), Problem> {
    if !own.is_new {
        return Ok(());
    }
    // What the organization's own database is connected by is Plinth's to make, whoever asked for the database.
    let scopes = ScopeSet::from_iter([Scope::ConnectionsWrite]);
    let permit: Permit<ConnectionsWrite> =
        Permit::check(&Principal { scopes, test_only: false, ..principal.clone() })?;
    let login = Login {
        place: Place::Managed { server: format!("endpoint:{}", own.endpoint.port) },
        database: own.database.name.to_string(),
        username: own.database.owner.to_string(),
        password: own.password.clone(),
        ssl_mode: SslMode::Require,
        tls: TlsMaterial::default(),
        tunnel: None,
    };
    let new = NewConnection {
        description: Description::parse("The organization's own database, which Plinth runs.")?,
        ..NewConnection::new(ConnectionName::parse("Own database")?, login)
    };
    match services.connections.create(&permit, new, false).await {
        Ok(_) | Err(ConnectionError::NameTaken(_)) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

/// Read the certificate authority
///
/// The certificate that signs those of endpoints, as PEM: give it to `sslrootcert`, or to Node.js as
/// `NODE_EXTRA_CA_CERTS`. Anybody may have it.
#[utoipa::path(
    tag = "misc",
    responses((status = 200, content_type = "application/x-pem-file", description = "The certificate."), Problems),
    security(()),
)]
#[get("/misc/ca.pem")]
async fn get_authority(services: web::Data<Services>) -> Result<HttpResponse, Problem> {
    let authority = services.authority.open().await.map_err(|err| {
        tracing::error!(error = format!("{err:#}"), "the certificate authority cannot be opened");
        Problem::new(ErrorKind::Unavailable, "the certificate authority cannot be opened", None)
    })?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/x-pem-file"))
        .body(authority.certificate().to_owned()))
}
