//! The store's tables, and how an older store becomes a newer one.

use std::path::Path;

use gleaner_protocol::{AttemptId, JobId, JobSpec, Outcome, Payload, UnitId, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::StoreError;
use super::load::all;

/// Each takes a store from the version of its position to the next. Never changed once released.
const MIGRATIONS: [Migration; 8] = [
    Migration { tables: include_str!("schema_1.sql"), fill: None },
    Migration { tables: include_str!("schema_2.sql"), fill: None },
    Migration { tables: include_str!("schema_3.sql"), fill: Some(fill_outcome_blobs) },
    Migration { tables: include_str!("schema_4.sql"), fill: None },
    Migration { tables: include_str!("schema_5.sql"), fill: Some(fill_quorums) },
    Migration { tables: include_str!("schema_6.sql"), fill: None },
    Migration { tables: include_str!("schema_7.sql"), fill: None },
    Migration { tables: include_str!("schema_8.sql"), fill: None },
];

/// The version of the tables that this program writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

struct Migration {
    tables: &'static str,
    /// Fills new tables with what SQL cannot read out of older ones.
    fill: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

/// Pages of the write-ahead log (4 KiB each) before they move into the main file: 16 MiB keep
/// that rare at full speed, and a restart short.
const WAL_PAGES: u32 = 4096;

/// A connection for the writer: the tables brought up to date, every commit synced to disk.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    let mut connection = open().map_err(|error| StoreError::of_sqlite(path, error))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// A connection that only reads, beside the writer's.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| StoreError::of_sqlite(path, error))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sqlite_error = |error| StoreError::of_sqlite(path, error);
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sqlite_error)?;
    let known = VERSION;
    if found > known {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        apply(connection, version, migration).map_err(sqlite_error)?;
    }
    Ok(())
}

fn apply(connection: &mut Connection, version: u32, migration: Migration) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration.tables)?;
    if let Some(fill) = migration.fill {
        fill(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// The blobs that outcomes name are inside them.
fn fill_outcome_blobs(connection: &Connection) -> rusqlite::Result<()> {
    let query = "SELECT job, unit, attempt, outcome FROM opinion WHERE class = 'completed'";
    let mut outcomes = connection.prepare(query)?;
    let mut rows = outcomes.query([])?;
    while let Some(row) = rows.next()? {
        let outcome: Vec<u8> = row.get(3)?;
        let outcome: Outcome = wire::decode(&outcome).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, Type::Blob, Box::new(error))
        })?;
        let unit = UnitId { job: JobId(row.get(0)?), number: row.get(1)? };
        note_outcome_blob(connection, AttemptId { unit, number: row.get(2)? }, &outcome)?;
    }
    Ok(())
}

/// The quorums of stages are in the specifications of their jobs.
fn fill_quorums(connection: &Connection) -> rusqlite::Result<()> {
    let query = "SELECT key, job, stage, spec FROM stage_answers JOIN job USING (job)";
    let stages: Vec<([u8; 32], u64, u32, u32)> = all(connection, query, [], |row| {
        let spec: Vec<u8> = row.get(3)?;
        let spec: JobSpec = wire::decode(&spec).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, Type::Blob, Box::new(error))
        })?;
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, spec.quorum.get()))
    })?;
    let fill = "UPDATE stage_answers SET quorum = ?4 WHERE key = ?1 AND job = ?2 AND stage = ?3";
    let mut fill = connection.prepare(fill)?;
    stages.into_iter().try_for_each(|stage| fill.execute(stage).map(drop))
}

/// Notes the blob that an outcome names, if it does.
pub(super) fn note_outcome_blob(
    connection: &Connection,
    attempt: AttemptId,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    let Outcome::Completed { outputs: Payload::Blob(blob), .. } = outcome else { return Ok(()) };
    let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
    let statement = "INSERT INTO outcome_blob (job, unit, attempt, hash) VALUES (?, ?, ?, ?)";
    let mut statement = connection.prepare_cached(statement)?;
    statement.execute(params![job.0, unit, number, blob.hash.0]).map(drop)
}
