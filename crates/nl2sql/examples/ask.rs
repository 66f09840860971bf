//! Asks one question over a serialized catalog and prints what the engine makes of it: `ask CATALOG QUESTION`.

use std::io::Write;

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, SchemaIndex};
use plinth_schema_introspect::Catalog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [catalog, question] = arguments.as_slice() else {
        return Err("usage: ask CATALOG QUESTION".into());
    };
    let catalog: Catalog = serde_json::from_str(&std::fs::read_to_string(catalog)?)?;
    let index = SchemaIndex::build(&catalog, &AllowedTables::All);
    let context = AskContext { now: jiff::Zoned::now() };
    let outcome = Engine::new().ask(question, &index, &context);
    writeln!(std::io::stdout(), "{outcome:#?}")?;
    Ok(())
}
