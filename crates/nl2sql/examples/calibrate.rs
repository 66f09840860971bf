//! Fits the weights of the confidence to questions with known answers.
//!
//! `calibrate PREDICTIONS RESULTS CORPUS > lexicon/confidence.txt`: predictions as `predict` writes them with `--best`,
//! results as the kit's runner writes them with `--out`; only records of that corpus are used.

use std::{collections::HashMap, fs, io::Write};

use plinth_nl2sql::SIGNALS;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [predictions, results, corpus] = arguments.as_slice() else {
        return Err("usage: calibrate PREDICTIONS RESULTS CORPUS".into());
    };
    let mut signals: HashMap<String, Vec<f64>> = HashMap::new();
    for line in fs::read_to_string(predictions)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        if let Ok(all) = serde_json::from_value::<Vec<f64>>(record["signals"].clone()) {
            signals.insert(record["id"].as_str().unwrap_or_default().to_owned(), all);
        }
    }
    let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
    for line in fs::read_to_string(results)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        if record["corpus"] != corpus.as_str() {
            continue;
        }
        if let Some(all) = signals.get(record["id"].as_str().unwrap_or_default()) {
            rows.push((all.clone(), if record["ex"] == true { 1.0 } else { 0.0 }));
        }
    }
    let n = SIGNALS.len();
    let size = rows.iter().map(|_| 1.0).sum::<f64>().max(1.0);
    // of one scale, so that one step fits all
    let scale: Vec<f64> = (0..n)
        .map(|at| {
            let sum: f64 = rows.iter().map(|it| it.0[at] * it.0[at]).sum();
            (sum / size).sqrt().max(1e-9)
        })
        .collect();
    let mut weights = vec![0.0; n];
    for step in 0..4000 {
        let mut gradient = vec![0.0; n];
        for (all, right) in &rows {
            let sum: f64 = (0..n).map(|at| weights[at] * all[at] / scale[at]).sum();
            let error = right - 1.0 / (1.0 + (-sum).exp());
            for at in 0..n {
                gradient[at] += error * all[at] / scale[at];
            }
        }
        let rate = if step < 2000 { 0.5 } else { 0.2 };
        for at in 0..n {
            weights[at] += rate * (gradient[at] / size - 0.0005 * weights[at]);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "# Weights of the confidence, fitted by examples/calibrate.rs to {} questions of {corpus}",
        rows.len()
    )?;
    for at in 0..n {
        writeln!(out, "{} = {:.4}", SIGNALS[at], weights[at] / scale[at])?;
    }
    Ok(())
}
