use plinth_connections::ModelPrivacy as Policy;
use plinth_models::{Selected, WhyEmbedded};
use plinth_nl2sql::model::{
    Agreement, DryRun, ModelFailure, ModelPrivacy, ModelQuestion, ModelReading, ModelSettings,
    ModelStrategy, Withheld,
};
use plinth_nl2sql::{AskContext, CONFIDENCE_THRESHOLD, Engine};

use crate::knowledge::Knowledge;
use crate::{ModelNote, Notes};

/// A question, and everything that asking a model takes.
pub(crate) struct Asked<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) knowledge: &'a Knowledge,
    pub(crate) question: &'a str,
    pub(crate) context: AskContext,
    pub(crate) dry_run: &'a dyn DryRun,
    pub(crate) privacy: Policy,
}

/// Asks the model for a statement; none if nothing usable came of it, which the note and the log say.
pub(crate) async fn propose(
    selected: &Selected,
    asked: Asked<'_>,
) -> (Option<(String, Notes)>, ModelNote) {
    let taught = asked.knowledge.taught(asked.question, asked.context.now.date());
    let question = ModelQuestion {
        question: asked.question,
        engine: asked.engine,
        index: asked.knowledge.index(),
        catalog: asked.knowledge.annotated(),
        guard: asked.knowledge.guard(),
        context: &asked.context,
        dry_run: asked.dry_run,
        privacy: match asked.privacy {
            Policy::SchemaOnly => ModelPrivacy::SchemaOnly,
            Policy::SampleValues => ModelPrivacy::SampleValues,
            Policy::Results => ModelPrivacy::Results,
        },
        withheld: &Withheld::default(),
        taught: &taught,
        meter: &selected.meter,
    };
    let strategy = ModelStrategy::new(selected.model.clone(), ModelSettings::default());
    let outcome = strategy.ask(&question).await;
    let usage = selected.meter.total();
    let mut note = ModelNote {
        model: Some(selected.which.to_string()),
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        ..ModelNote::default()
    };
    let reading = match outcome {
        Ok(reading) => reading,
        Err(failure) => {
            tell(strategy.model(), &failure);
            let outcome = if matches!(failure, ModelFailure::Declined { .. }) {
                "declined"
            } else {
                "failed"
            };
            (note.outcome, note.reason) = (outcome.to_owned(), Some(failure.to_string()));
            return (None, note);
        }
    };
    note.agreement = Some(name(reading.agreement).to_owned());
    note.candidates = Some(reading.candidates);
    note.repairs = Some(reading.repairs);
    if reading.confidence < CONFIDENCE_THRESHOLD {
        tracing::info!(
            model = reading.model,
            confidence = reading.confidence,
            "the model is not sure enough"
        );
        "unsure".clone_into(&mut note.outcome);
        return (None, note);
    }
    "answered".clone_into(&mut note.outcome);
    let ModelReading { sql, explanation, tables, assumptions, confidence, model, .. } = reading;
    let notes = Notes {
        explanation: Some(explanation),
        tables,
        assumptions,
        confidence: Some(confidence),
        engine: model,
        ..Notes::default()
    };
    (Some((sql, notes)), note)
}

/// What is to be said where no model was asked; nothing where none was wanted.
pub(crate) fn not_asked(why: WhyEmbedded) -> Option<ModelNote> {
    let (outcome, reason) = match why {
        WhyEmbedded::Chosen => return None,
        WhyEmbedded::Inactive => ("inactive", "the organization's default model is switched off"),
        WhyEmbedded::BudgetSpent => {
            ("budget_exceeded", "this month's budget for language models is spent")
        }
    };
    Some(ModelNote {
        outcome: outcome.to_owned(),
        reason: Some(reason.to_owned()),
        ..ModelNote::default()
    })
}

fn name(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::NoOpinion => "none",
        Agreement::Same => "same",
        Agreement::SameResult => "same_result",
        Agreement::SameTables => "same_tables",
        Agreement::Different => "different",
    }
}

fn tell(model: &str, failure: &ModelFailure) {
    match failure {
        ModelFailure::Declined { .. } => {
            tracing::info!(model, "the model declines; the embedded engine answers");
        }
        other => {
            tracing::warn!(model, error = %other, "the model did not help; the embedded engine answers");
        }
    }
}
