//! Writes what the targets begin with into `corpus/`: the guard's own statements, and the questions of `questions.txt`.

use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let statements = here.join("../crates/sql-guard/tests/corpus");
    let mut texts = Vec::new();
    for entry in fs::read_dir(statements)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            let case: serde_json::Value = serde_json::from_str(line)?;
            texts.extend(case["sql"].as_str().map(str::to_owned));
        }
    }
    write(&here.join("corpus/guard"), &texts)?;
    let questions = fs::read_to_string(here.join("questions.txt"))?;
    let questions: Vec<String> = questions.lines().map(str::to_owned).collect();
    write(&here.join("corpus/question"), &questions)?;
    Ok(())
}

fn write(folder: &Path, texts: &[String]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), text)?;
    }
    Ok(())
}
