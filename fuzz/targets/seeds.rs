//! Writes what the targets begin with into `corpus/`: the guard's own statements and, where it lies beside the workspace, the
//! shared corpus of attacks; the questions of `questions.txt`, and those of the question sets for their words.

use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut statements = Vec::new();
    for entry in fs::read_dir(here.join("../crates/sql-guard/tests/corpus"))? {
        statements.extend(texts(&entry?.path(), "sql")?);
    }
    let attacks = here.join("../../shared/security/sql-attacks.jsonl");
    if attacks.is_file() {
        statements.extend(texts(&attacks, "sql")?);
    }
    write(&here.join("corpus/guard"), &statements)?;
    let questions = fs::read_to_string(here.join("questions.txt"))?;
    let mut questions: Vec<String> = questions.lines().map(str::to_owned).collect();
    for set in ["sample.jsonl", "sample2.jsonl"] {
        questions.extend(texts(&here.join("../apps/bench/questions").join(set), "question")?);
    }
    write(&here.join("corpus/question"), &questions)?;
    Ok(())
}

/// That field of each line of JSON.
fn texts(file: &Path, field: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut texts = Vec::new();
    for line in fs::read_to_string(file)?.lines().filter(|it| it.starts_with('{')) {
        let case: serde_json::Value = serde_json::from_str(line)?;
        texts.extend(case[field].as_str().map(str::to_owned));
    }
    Ok(texts)
}

fn write(folder: &Path, texts: &[String]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), text)?;
    }
    Ok(())
}
