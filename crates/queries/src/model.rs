use plinth_nl2sql::model::{DryRun, ModelFailure, ModelPrivacy, ModelQuestion, ModelStrategy};
use plinth_nl2sql::{AskContext, CONFIDENCE_THRESHOLD, Engine};

use crate::Notes;
use crate::knowledge::Knowledge;

/// Asks the model for a statement; `None` if nothing usable came of it, which the log says once.
pub(crate) async fn propose(
    model: &ModelStrategy,
    engine: &Engine,
    knowledge: &Knowledge,
    question: &str,
    context: &AskContext,
    dry_run: &dyn DryRun,
) -> Option<(String, Notes)> {
    let asked = ModelQuestion {
        question,
        engine,
        index: knowledge.index(),
        catalog: knowledge.annotated(),
        guard: knowledge.guard(),
        context,
        dry_run,
        // Cells of a customer's database leave the house only when its owner says so; nobody can say so yet.
        privacy: ModelPrivacy::SchemaOnly,
    };
    let reading = match model.ask(&asked).await {
        Ok(reading) if reading.confidence >= CONFIDENCE_THRESHOLD => reading,
        Ok(reading) => {
            tracing::info!(
                model = reading.model,
                confidence = reading.confidence,
                "the model is not sure enough"
            );
            return None;
        }
        Err(failure) => {
            note(model.model(), &failure);
            return None;
        }
    };
    let notes = Notes {
        explanation: Some(reading.explanation),
        tables: reading.tables,
        assumptions: reading.assumptions,
        confidence: Some(reading.confidence),
        engine: reading.model,
        ..Notes::default()
    };
    Some((reading.sql, notes))
}

fn note(model: &str, failure: &ModelFailure) {
    match failure {
        ModelFailure::Declined { .. } => {
            tracing::info!(model, "the model declines; the embedded engine answers");
        }
        other => {
            tracing::warn!(model, error = %other, "the model did not help; the embedded engine answers");
        }
    }
}
