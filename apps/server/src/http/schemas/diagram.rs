//! Pictures of a schema.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use plinth_connections::ConnectionId;
use plinth_core::ErrorKind;
use plinth_schema_introspect::{
    DiagramOptions, MAX_DIAGRAM_TABLES, SchemaError, Visible, diagram, mermaid, svg,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::problem::{DatabaseProblems, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_diagram);
}

/// In which form.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DiagramFormat {
    /// An image.
    Svg,
    /// Text in Mermaid's language.
    Mermaid,
}

/// What of a schema is drawn.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DiagramQuery {
    /// `svg` or `mermaid`. Without it, Mermaid if `Accept` names `text/vnd.mermaid` or `text/plain` and no image, else SVG.
    #[param(inline)]
    format: Option<DiagramFormat>,
    /// Only these tables, as `schema.table`, divided by commas.
    #[param(example = "public.orders,public.customers")]
    tables: Option<String>,
    /// Only tables near this one, as `schema.table`.
    #[param(example = "public.orders")]
    around: Option<String>,
    /// With `around`, how many references away, 1 to 5.
    #[param(minimum = 1, maximum = 5, default = 1)]
    depth: Option<u32>,
    /// Tables at most, 1 to 200. Of more, those are shown that are most connected.
    #[param(minimum = 1, maximum = 200, default = 40)]
    limit: Option<u32>,
}

impl DiagramQuery {
    fn options(self) -> Result<DiagramOptions, Problem> {
        let within = |field: &str, number: Option<u32>, usual: u32, most: u32| {
            let number = number.unwrap_or(usual);
            if (1..=most).contains(&number) {
                return Ok(number);
            }
            let text = format!("must be from 1 to {most}");
            Err(Problem::invalid(format!("{field} {text}"), json!({ field: text })))
        };
        let most = u32::try_from(MAX_DIAGRAM_TABLES).unwrap_or(u32::MAX);
        let usual = DiagramOptions::default();
        let usual_most = u32::try_from(usual.most).unwrap_or(most);
        let depth = within("depth", self.depth, 1, 5)?;
        let limit = within("limit", self.limit, usual_most, most)?;
        let tables: Vec<String> = self
            .tables
            .iter()
            .flat_map(|it| it.split(','))
            .map(|it| it.trim().to_owned())
            .filter(|it| !it.is_empty())
            .collect();
        if tables.len() > MAX_DIAGRAM_TABLES {
            let text = format!("at most {MAX_DIAGRAM_TABLES} tables");
            return Err(Problem::invalid(format!("tables: {text}"), json!({ "tables": text })));
        }
        Ok(DiagramOptions {
            tables,
            around: self.around.map(|it| (it, depth)),
            most: limit as usize,
            ..usual
        })
    }
}

/// Draw a schema
///
/// Tables and the references between them, as SVG or in Mermaid's language. Of large schemas a connected part is shown;
/// the picture says how many tables were left out, and so do the headers `x-plinth-tables-shown` and
/// `x-plinth-tables-omitted`. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), DiagramQuery),
    responses(
        (status = 200, description = "The picture.", content(
            (String = "image/svg+xml", example = "<svg xmlns=\"http://www.w3.org/2000/svg\">…</svg>"),
            (String = "text/vnd.mermaid", example = "erDiagram\n    customers ||--o{ orders : \"customer_id\"\n"),
        ), headers(
            ("x-plinth-tables-shown" = u32, description = "How many tables are drawn."),
            ("x-plinth-tables-omitted" = u32, description = "How many are not."),
        )),
        Problems, DatabaseProblems,
    ),
)]
#[get("/connections/{id}/schema/diagram")]
async fn get_diagram(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    query: web::Query<DiagramQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let query = query.into_inner();
    let format = query.format.unwrap_or_else(|| accepted(&request));
    let options = query.options()?;
    let (opened, snapshot) = services.schemas.get(&permit, id.into_inner()).await?;
    let policies = services.queries.policies();
    let snapshot = policies.shown(permit.principal(), &opened, snapshot).await?;
    // Placing two hundred tables takes a moment: not on a thread that others' requests wait for.
    let drawn = web::block(move || {
        let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
        let diagram = diagram(&visible, &options)?;
        let (kind, text) = match format {
            DiagramFormat::Svg => ("image/svg+xml", svg(&diagram)),
            DiagramFormat::Mermaid => ("text/vnd.mermaid; charset=utf-8", mermaid(&diagram)),
        };
        Ok::<_, SchemaError>((kind, text, diagram.tables.len(), diagram.omitted))
    });
    let stopped = |_| Problem::new(ErrorKind::Unavailable, "the server is stopping", None);
    let (kind, text, shown, omitted) = drawn.await.map_err(stopped)??;
    Ok(HttpResponse::Ok()
        .content_type(kind)
        // Opened by itself a picture is a page: it may load and run nothing, whatever names stand in it.
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::VARY, "accept"))
        .insert_header(("x-plinth-tables-shown", shown.to_string()))
        .insert_header(("x-plinth-tables-omitted", omitted.to_string()))
        .body(text))
}

/// The form that the caller accepts, where the query does not say.
fn accepted(request: &HttpRequest) -> DiagramFormat {
    let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let accept = accept.unwrap_or_default().to_ascii_lowercase();
    let text = accept.contains("text/vnd.mermaid") || accept.contains("text/plain");
    if text && !accept.contains("image/") { DiagramFormat::Mermaid } else { DiagramFormat::Svg }
}
