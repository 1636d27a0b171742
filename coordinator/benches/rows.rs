//! How many rows of an answer's size SQLite makes durable in a second, committed as many at a time
//! as the store commits at most: `cargo bench -p gleaner-coordinator --bench rows -- SECONDS`.
//!
//! The store cannot settle more units than that on this disk. Prints JSON.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

/// Rows in a transaction: as long as the store's queue.
const BATCH_ROWS: u64 = 1024;

/// A small answer.
const ANSWER: [u8; 64] = [7; 64];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(3);
    println!("{{\"rows_per_second\":{:?}}}", rows_per_second(Duration::from_secs(seconds)));
    ExitCode::SUCCESS
}

fn rows_per_second(period: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = Connection::open(folder.path().join("rows.db")).expect("a database");
    connection.pragma_update(None, "journal_mode", "wal").expect("set");
    connection.pragma_update(None, "synchronous", "full").expect("set");
    let table = "CREATE TABLE answer (stage INTEGER, unit INTEGER, bytes BLOB, \
                 PRIMARY KEY (stage, unit)) WITHOUT ROWID";
    connection.execute(table, ()).expect("made");
    let (start, mut rows) = (Instant::now(), 0);
    while start.elapsed() < period {
        let transaction = connection.transaction().expect("begun");
        let mut insert = transaction
            .prepare_cached("INSERT INTO answer (stage, unit, bytes) VALUES (?1, ?2, ?3)")
            .expect("prepared");
        for unit in rows..rows + BATCH_ROWS {
            insert.execute(params![1, unit, ANSWER]).expect("inserted");
        }
        drop(insert);
        transaction.commit().expect("committed");
        rows += BATCH_ROWS;
    }
    rows as f64 / start.elapsed().as_secs_f64()
}
