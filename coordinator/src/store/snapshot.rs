//! The store read whole, apart from whoever writes it: to be verified, and to be copied.
//!
//! Invariants: nothing is ever written; all that is read of a snapshot stood in the store at one
//! moment, whatever is committed meanwhile. Deliberately absent: what to do about what is found.

use std::path::{Path, PathBuf};

use gleaner_protocol::{
    AttemptId, BlobHash, BlobRef, JobId, JobSpec, Outcome, OutcomeClass, Payload, StageIndex,
    UnitId, wire,
};
use rusqlite::{Connection, Row};

use super::load::all;
use super::records::class_name;
use super::{FILE, StoreError, load, schema};

/// How many lines SQLite says of a damaged file at most: one would do.
const DAMAGES_MAX: u32 = 20;

/// Rows between two words about progress.
const ROWS_TOLD: u64 = 1024;

/// The store as it stood at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    connection: Connection,
    version: u32,
}

/// Something in the store that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: a job, a unit, a table.
    pub about: String,
    /// What is wrong with it.
    pub found: String,
}

/// What a blob is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobUse {
    /// A job is made of it.
    Job(JobId),
    /// It is a file of a stage's output.
    Output {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageIndex,
        /// The file's name.
        name: String,
    },
    /// It holds the items that a split function made.
    Items {
        /// The job.
        job: JobId,
        /// The stage that is read from it.
        stage: StageIndex,
    },
    /// It holds the outputs of a unit.
    Outcome(AttemptId),
}

/// Takes what is found.
type Found<'a> = &'a mut dyn FnMut(Finding);

impl Snapshot {
    /// The store in the coordinator's folder as it stands now.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read at all.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let connection = schema::open_reader(&path)?;
        let version = begin(&connection).map_err(|error| StoreError::of_sqlite(&path, error))?;
        Ok(Self { path, connection, version })
    }

    /// The version of its tables.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// How many outcomes of attempts there are to be looked at.
    pub(crate) fn outcomes(&self) -> Result<u64, StoreError> {
        let query = "SELECT (SELECT count(*) FROM opinion) + (SELECT count(*) FROM inconclusive)";
        let count = self.connection.query_row(query, [], |row| row.get(0));
        count.map_err(|error| StoreError::of_sqlite(&self.path, error))
    }

    /// How many jobs there are, removed ones not counted.
    pub(crate) fn jobs(&self) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM job WHERE job NOT IN (SELECT job FROM removed_job)";
        let count = self.connection.query_row(query, [], |row| row.get(0));
        count.map_err(|error| StoreError::of_sqlite(&self.path, error))
    }

    /// What SQLite finds wrong with the file, its indices and its keys. What is damaged so is not
    /// to be read any further.
    ///
    /// # Errors
    /// Any [`StoreError`] that says nothing of what the file holds.
    pub(crate) fn damages(&self, found: Found<'_>) -> Result<(), StoreError> {
        self.pass("the file", found, |found| {
            let check = format!("PRAGMA integrity_check({DAMAGES_MAX})");
            let words: Vec<String> = all(&self.connection, &check, [], |row| row.get(0))?;
            for words in words.into_iter().filter(|words| words != "ok") {
                found(Finding { about: "the file".to_owned(), found: words });
            }
            Ok(())
        })
    }

    /// What of the records cannot be read, is not what was accepted, or does not agree with other
    /// records. `read` hears of outcomes as they are read.
    ///
    /// # Errors
    /// Any [`StoreError`] that says nothing of what the records are.
    pub(crate) fn contradictions(
        &self,
        found: Found<'_>,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let connection = &self.connection;
        self.pass("references", found, |found| dangling(connection, found))?;
        self.pass("jobs", found, |found| specifications(connection, found))?;
        self.pass("answers", found, |found| answers(connection, found, read))?;
        self.pass("attempts without an answer", found, |found| inconclusive(connection, found))?;
        self.pass("units", found, |found| units_never_cut(connection, found))?;
        self.pass("sums", found, |found| wrong_sums(connection, found))?;
        self.pass("a start", found, |_| load::recovered_within(connection).map(drop))
    }

    /// The blobs of jobs, of their outputs and of what was made for them: those that a running
    /// coordinator has in its memory as well.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(crate) fn blobs_of_jobs(&self) -> Result<Vec<(BlobRef, BlobUse)>, StoreError> {
        blobs_of_jobs(&self.connection).map_err(|error| StoreError::of_sqlite(&self.path, error))
    }

    /// Gives the blobs that hold outputs of units to `each`, in the order of their hashes; one that
    /// holds those of several comes as often.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(crate) fn blobs_of_units(
        &self,
        each: &mut dyn FnMut(BlobRef, AttemptId),
    ) -> Result<(), StoreError> {
        blobs_of_units(&self.connection, each)
            .map_err(|error| StoreError::of_sqlite(&self.path, error))
    }

    /// Runs one look at the records. What cannot be read is a finding about `about`.
    fn pass(
        &self,
        about: &str,
        found: Found<'_>,
        look: impl FnOnce(Found<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let Err(error) = look(found) else { return Ok(()) };
        match StoreError::of_sqlite(&self.path, error) {
            StoreError::Corrupt { found: words, .. } => {
                found(Finding { about: about.to_owned(), found: words });
                Ok(())
            }
            error => Err(error),
        }
    }
}

impl BlobUse {
    /// The job that needs it.
    pub const fn job(&self) -> JobId {
        match self {
            Self::Job(job) | Self::Output { job, .. } | Self::Items { job, .. } => *job,
            Self::Outcome(attempt) => attempt.unit.job,
        }
    }
}

impl std::fmt::Display for BlobUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(job) => write!(f, "{job} is made of it"),
            Self::Output { job, stage, name } => write!(f, "the output {name} of {job} {stage}"),
            Self::Items { job, stage } => write!(f, "the items of {job} {stage}"),
            Self::Outcome(attempt) => write!(f, "the outputs of {attempt}"),
        }
    }
}

/// Writes the store in `folder`, as it stands at one moment, into the new file `copy`: whole, and
/// without a log beside it. Not synced to disk.
///
/// # Errors
/// Any [`StoreError`]; what was written of the copy stays.
pub(crate) fn copy(folder: &Path, copy: &Path) -> Result<(), StoreError> {
    let path = folder.join(FILE);
    let Some(name) = copy.to_str() else {
        let words = "SQLite takes names of text alone";
        let source = std::io::Error::new(std::io::ErrorKind::InvalidFilename, words);
        return Err(StoreError::of_io(copy, source));
    };
    let connection = schema::open_reader(&path)?;
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    copied.map(drop).map_err(|error| StoreError::of_sqlite(&path, error))
}

/// Holds the store as it is: all later queries see no other.
fn begin(connection: &Connection) -> rusqlite::Result<u32> {
    connection.execute_batch("BEGIN")?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn dangling(connection: &Connection, found: Found<'_>) -> rusqlite::Result<()> {
    let query = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check() GROUP BY 1, 2";
    let rows = all(connection, query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for (table, parent, rows) in rows {
        let (table, parent, rows): (String, String, u64) = (table, parent, rows);
        let words = format!("{rows} rows refer to a `{parent}` that is not there");
        found(Finding { about: format!("the table `{table}`"), found: words });
    }
    Ok(())
}

fn specifications(connection: &Connection, found: Found<'_>) -> rusqlite::Result<()> {
    let query = "SELECT job, spec, (SELECT count(*) FROM stage WHERE stage.job = job.job) FROM job";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (job, stages) = (JobId(row.get(0)?), row.get::<_, u64>(2)?);
        let words = match wire::decode::<JobSpec>(row.get_ref(1)?.as_blob()?) {
            Err(error) => format!("its specification cannot be read: {error}"),
            Ok(spec) if spec.stages.len() as u64 != stages => {
                format!("it has {stages} stages, and {} in its specification", spec.stages.len())
            }
            Ok(_) => continue,
        };
        found(Finding { about: job.to_string(), found: words });
    }
    let query = "SELECT DISTINCT job FROM job JOIN stage USING (job) \
                 WHERE ended = 'done' AND done = 0 AND job NOT IN (SELECT job FROM removed_job)";
    for job in all(connection, query, [], |row| row.get(0).map(JobId))? {
        let words = "it is done, and a stage of it is not".to_owned();
        found(Finding { about: job.to_string(), found: words });
    }
    Ok(())
}

fn answers(
    connection: &Connection,
    found: Found<'_>,
    read: &mut dyn FnMut(u64),
) -> rusqlite::Result<()> {
    // While a removed job is swept, the rows of its blobs go before the answers that name them.
    let query = "SELECT job, unit, attempt, outcome, class, answer, hash, \
                 job IN (SELECT job FROM removed_job) \
                 FROM opinion LEFT JOIN outcome_blob USING (job, unit, attempt)";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if let Some(words) = wrong_answer(row)? {
            found(Finding { about: attempt(row)?.to_string(), found: words });
        }
        count += 1;
        if count % ROWS_TOLD == 0 {
            read(count);
        }
    }
    Ok(())
}

/// What is wrong with an answer, if something is.
fn wrong_answer(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let outcome: Outcome = match wire::decode(row.get_ref(3)?.as_blob()?) {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Some(format!("its answer cannot be read: {error}"))),
    };
    if outcome.answer().0 != row.get::<_, [u8; 32]>(5)? {
        return Ok(Some("its answer is not the one that was accepted".to_owned()));
    }
    let class: String = row.get(4)?;
    if outcome.class() == OutcomeClass::Inconclusive || class_name(outcome.class()) != class {
        return Ok(Some(format!("its answer is filed as {class:?}, which it is not")));
    }
    let filed: Option<[u8; 32]> = row.get(6)?;
    let is_swept: bool = row.get(7)?;
    if !is_swept && blob_of(&outcome).map(|blob| blob.hash.0) != filed {
        return Ok(Some("the blob of its outputs is not the one on file".to_owned()));
    }
    Ok(None)
}

fn inconclusive(connection: &Connection, found: Found<'_>) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT job, unit, attempt, outcome FROM inconclusive")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(error) = wire::decode::<Outcome>(row.get_ref(3)?.as_blob()?) {
            let words = format!("how it ended cannot be read: {error}");
            found(Finding { about: attempt(row)?.to_string(), found: words });
        }
    }
    Ok(())
}

fn units_never_cut(connection: &Connection, found: Found<'_>) -> rusqlite::Result<()> {
    for table in ["settled", "settled_alone", "replaced", "opinion", "inconclusive", "attempt"] {
        let query = format!(
            "SELECT job, unit FROM {table} AS row WHERE row.unit >= coalesce( \
             (SELECT first_unit + units FROM block WHERE block.job = row.job \
             AND first_unit <= row.unit ORDER BY first_unit DESC LIMIT 1), 0)"
        );
        let unit = |row: &Row<'_>| Ok(UnitId { job: JobId(row.get(0)?), number: row.get(1)? });
        for unit in all(connection, &query, [], unit)? {
            let words = format!("it is in `{table}`, and was never cut");
            found(Finding { about: unit.to_string(), found: words });
        }
    }
    Ok(())
}

/// Sums stand beside what they are of, so that a restart need not count.
fn wrong_sums(connection: &Connection, found: Found<'_>) -> rusqlite::Result<()> {
    let query = "SELECT job, stage, units_settled, items_settled, \
        (SELECT count(*) FROM settled AS s WHERE (s.job, s.stage) = (stage.job, stage.stage)) + \
        (SELECT count(*) FROM settled_alone AS s \
            WHERE (s.job, s.stage) = (stage.job, stage.stage)), \
        (SELECT coalesce(sum(items_end - items_start), 0) FROM settled AS s \
            WHERE (s.job, s.stage) = (stage.job, stage.stage)) + \
        (SELECT count(*) FROM settled_alone AS s \
            WHERE (s.job, s.stage) = (stage.job, stage.stage)) + \
        (SELECT coalesce(sum(items_end - items_start), 0) FROM kept AS k \
            WHERE (k.job, k.stage) = (stage.job, stage.stage)) \
        FROM stage WHERE job NOT IN (SELECT job FROM removed_job)";
    let sums = all(connection, query, [], |row| {
        let stage: (JobId, StageIndex) = (JobId(row.get(0)?), StageIndex(row.get(1)?));
        let said: [u64; 2] = [row.get(2)?, row.get(3)?];
        let counted: [u64; 2] = [row.get(4)?, row.get(5)?];
        Ok((stage, said, counted))
    })?;
    for ((job, stage), said, counted) in
        sums.into_iter().filter(|(_, said, counted)| said != counted)
    {
        let [units, items] = said;
        let words = format!(
            "it says that {units} units and {items} items are settled; there are {} and {}",
            counted[0], counted[1]
        );
        found(Finding { about: format!("{job} {stage}"), found: words });
    }
    Ok(())
}

fn blobs_of_jobs(connection: &Connection) -> rusqlite::Result<Vec<(BlobRef, BlobUse)>> {
    const STAYS: &str = "job NOT IN (SELECT job FROM removed_job)";
    let mut blobs = Vec::new();
    let specs = format!("SELECT job, spec FROM job WHERE {STAYS}");
    let spec = |row: &Row<'_>| Ok((JobId(row.get(0)?), row.get::<_, Vec<u8>>(1)?));
    for (job, spec) in all(connection, &specs, [], spec)? {
        // One that cannot be read is a contradiction, and told as that.
        let spec = wire::decode::<JobSpec>(&spec).ok();
        let named = spec.iter().flat_map(JobSpec::blobs);
        blobs.extend(named.map(|blob| (blob, BlobUse::Job(job))));
    }
    let outputs = format!("SELECT job, stage, hash, bytes, name FROM output WHERE {STAYS}");
    blobs.extend(all(connection, &outputs, [], |row| {
        let (job, stage) = (JobId(row.get(0)?), StageIndex(row.get(1)?));
        Ok((blob(row)?, BlobUse::Output { job, stage, name: row.get(4)? }))
    })?);
    let made = format!("SELECT job, stage, hash, bytes FROM made_items WHERE {STAYS}");
    blobs.extend(all(connection, &made, [], |row| {
        let (job, stage) = (JobId(row.get(0)?), StageIndex(row.get(1)?));
        Ok((blob(row)?, BlobUse::Items { job, stage }))
    })?);
    Ok(blobs)
}

fn blobs_of_units(
    connection: &Connection,
    each: &mut dyn FnMut(BlobRef, AttemptId),
) -> rusqlite::Result<()> {
    let query = "SELECT job, unit, attempt, outcome FROM outcome_blob \
                 JOIN opinion USING (job, unit, attempt) ORDER BY hash";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // One that cannot be read is a contradiction, and told as that.
        let outcome = wire::decode::<Outcome>(row.get_ref(3)?.as_blob()?).ok();
        if let Some(blob) = outcome.as_ref().and_then(blob_of) {
            each(blob, attempt(row)?);
        }
    }
    Ok(())
}

/// The blob whose hash and length are a row's third and fourth value.
fn blob(row: &Row<'_>) -> rusqlite::Result<BlobRef> {
    Ok(BlobRef { hash: BlobHash(row.get(2)?), bytes: row.get(3)? })
}

/// The attempt that a row's first three values are.
fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptId> {
    let unit = UnitId { job: JobId(row.get(0)?), number: row.get(1)? };
    Ok(AttemptId { unit, number: row.get(2)? })
}

fn blob_of(outcome: &Outcome) -> Option<BlobRef> {
    match outcome {
        Outcome::Completed { outputs: Payload::Blob(blob), .. } => Some(*blob),
        _ => None,
    }
}
