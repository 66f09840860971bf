//! How sure a reading is.

use crate::{
    index::SchemaIndex,
    interpret::{Interpreter, Note},
    link::Item,
    logical::LogicalQuery,
};

/// Readings below this are not answered: the engine asks back.
pub const CONFIDENCE_THRESHOLD: f64 = 0.5;

/// Readings below this are not even worth a question back.
pub(crate) const HOPELESS: f64 = 0.15;

/// How likely that reading is right, from 0 to 1.
pub(crate) fn judge(
    index: &SchemaIndex,
    items: &[Item],
    reader: &Interpreter<'_>,
    query: &LogicalQuery,
    ignored: &[String],
) -> f64 {
    let _ = (index, items, query);
    let mut score: f64 = 0.9;
    for note in &reader.notes {
        score *= match note {
            Note::Close(_, gap) => 0.85 + 0.1 * gap / 0.12,
            Note::Weak(link) => 0.7 + 0.3 * link,
            Note::Unseen(_) => 0.8,
            Note::Idle(_) => 0.7,
            Note::Doubt(_) => 0.7,
            Note::Assumed(_) => 0.97,
        };
    }
    for _ in ignored {
        score *= 0.8;
    }
    score.clamp(0.0, 1.0)
}
