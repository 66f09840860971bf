use std::fmt::Write as _;
use std::time::Instant;

use plinth_connections::ConnectionId;
use plinth_core::Permit;
use plinth_queries::{
    Answer, Ask, CallerLimits, Input, Purpose, QueryError, RawRow, ResultColumn, TableFormat,
    UserTypes, format_table,
};

use super::account::Account;
use super::questions::QUESTIONS;
use super::say;
use crate::commands::server::Server;

/// Asks every question, shows what comes back, and says whether all of it was right.
pub(super) async fn ask_all(
    server: &Server,
    account: &Account,
    connection: ConnectionId,
) -> anyhow::Result<bool> {
    let permit = account.permit()?;
    let mut right = 0;
    let started = Instant::now();
    for (number, question) in QUESTIONS.iter().enumerate() {
        let number = number + 1;
        say(&format!("\n{number:>2}. {}", question.text))?;
        let input = Input::Question(question.text.to_owned());
        let answered = match collect(server, &permit, connection, input).await? {
            Ok(answered) => answered,
            Err(err) => {
                say(&format!("    no answer: {err}"))?;
                continue;
            }
        };
        let mut shown = String::new();
        for line in answered.sql.lines() {
            let _ = writeln!(shown, "    {line}");
        }
        shown.push('\n');
        let format = TableFormat { width: 96, rows: 8 };
        let table = format_table(&answered.columns, &answered.rows, &answered.types, format);
        for line in table.lines() {
            let _ = writeln!(shown, "    {line}");
        }
        say(shown.trim_end())?;
        let gold = Input::Sql(question.gold.to_owned());
        match collect(server, &permit, connection, gold).await? {
            Ok(gold) if same(&gold, &answered) => right += 1,
            Ok(_) => say("    ✗ this is not what the hand-written SQL gives")?,
            Err(err) => say(&format!("    ✗ the hand-written SQL failed: {err}"))?,
        }
    }
    let took = started.elapsed().as_secs_f64();
    let all = QUESTIONS.len();
    say(&format!("\n{right} of {all} questions answered rightly in {took:.1} s."))?;
    Ok(right == all)
}

struct Collected {
    sql: String,
    columns: Vec<ResultColumn>,
    rows: Vec<RawRow>,
    types: std::sync::Arc<UserTypes>,
}

async fn collect(
    server: &Server,
    permit: &Permit<plinth_core::QueriesRead>,
    connection: ConnectionId,
    input: Input,
) -> anyhow::Result<Result<Collected, QueryError>> {
    let ask = Ask {
        connection,
        input,
        conversation: None,
        limits: CallerLimits::default(),
        purpose: Purpose::Run,
        model: None,
        told: None,
    };
    let mut running = match server.services.queries.ask(permit, ask).await {
        Ok(Answer::Rows(running)) => running,
        Ok(Answer::Meta(_) | Answer::Planned(_)) => {
            anyhow::bail!("a question about rows was taken for one about the schema")
        }
        Err(err) => return Ok(Err(err)),
    };
    let mut rows = Vec::new();
    loop {
        match running.next().await {
            Ok(more) if more.is_empty() => break,
            Ok(more) => rows.extend(more),
            Err(err) => return Ok(Err(err)),
        }
    }
    Ok(Ok(Collected {
        sql: running.sql().to_owned(),
        columns: running.columns().to_vec(),
        types: running.types().clone(),
        rows,
    }))
}

/// Whether two results hold the same rows, in any order; the answer may have further columns, and may round.
fn same(gold: &Collected, answer: &Collected) -> bool {
    gold.rows.len() == answer.rows.len()
        && assignments(gold.columns.len(), answer.columns.len()).into_iter().any(|columns| {
            values(gold, &(0..gold.columns.len()).collect::<Vec<_>>()) == values(answer, &columns)
        })
}

/// The rows as sorted texts of these columns.
fn values(of: &Collected, columns: &[usize]) -> Vec<Vec<Option<String>>> {
    let mut rows: Vec<Vec<_>> = of
        .rows
        .iter()
        .map(|row| {
            let all: Vec<_> = row.values().collect();
            columns.iter().map(|at| all[*at].map(plain)).collect()
        })
        .collect();
    rows.sort();
    rows
}

/// Numbers as far as two decimals, so that a rounded average equals the exact one.
fn plain(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => format!("{number:.2}"),
        _ => text.into_owned(),
    }
}

/// Every way to find `wanted` columns among `there`.
fn assignments(wanted: usize, there: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..wanted {
        all = all
            .iter()
            .flat_map(|chosen: &Vec<usize>| {
                (0..there)
                    .filter(|it| !chosen.contains(it))
                    .map(|it| [chosen.as_slice(), &[it]].concat())
            })
            .collect();
    }
    all
}
