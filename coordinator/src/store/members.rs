//! Invitations and the workers that came by them.

use gleaner_protocol::{Invitation, InvitationSecret, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};

/// Whether a worker may work for a lab project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It came by an invitation before.
    Member,
    /// It came by a valid invitation now, and is a member from now on.
    Admitted,
    /// It is no member and has no valid invitation.
    NotInvited,
}

impl Store {
    /// Makes `secret` an invitation until `expires_at`. Any number of workers may use it until
    /// then, and stay members after.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn invite(
        &self,
        secret: InvitationSecret,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let hash = hash(secret);
        let insert = move |connection: &Connection| {
            let statement = "INSERT INTO invitation (secret_hash, created_at, expires_at) \
                             VALUES (?1, ?2, ?3)";
            let values = params![hash, now.as_millis(), expires_at.as_millis()];
            connection.prepare_cached(statement)?.execute(values)
        };
        self.inner.writer.statement(insert).await.map(drop)
    }

    /// Whether `worker` may work for the project; durable when it is told. A repeat, with or
    /// without the invitation, finds a member.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn admit(
        &self,
        worker: WorkerId,
        invitation: Option<Invitation>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let secret = invitation.map(|invitation| hash(invitation.secret));
        let admit = move |connection: &Connection| admit(connection, worker, secret, now);
        self.inner.writer.statement(admit).await
    }

    /// All members.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn members(&self) -> Result<Vec<WorkerId>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare("SELECT worker FROM member ORDER BY admitted_at")?;
            query.query_map([], |row| row.get(0).map(WorkerId))?.collect()
        })
        .await
    }
}

fn admit(
    connection: &Connection,
    worker: WorkerId,
    secret: Option<[u8; 32]>,
    now: Timestamp,
) -> rusqlite::Result<Admission> {
    let mut member = connection.prepare_cached("SELECT 1 FROM member WHERE worker = ?1")?;
    if member.exists([worker.0])? {
        return Ok(Admission::Member);
    }
    let Some(secret) = secret else { return Ok(Admission::NotInvited) };
    let query = "SELECT expires_at FROM invitation WHERE secret_hash = ?1";
    let mut query = connection.prepare_cached(query)?;
    let expires_at: Option<u64> = query.query_row([secret], |row| row.get(0)).optional()?;
    if expires_at.is_none_or(|expires_at| expires_at <= now.as_millis()) {
        return Ok(Admission::NotInvited);
    }
    let statement = "INSERT INTO member (worker, secret_hash, admitted_at) VALUES (?1, ?2, ?3)";
    let values = params![worker.0, secret, now.as_millis()];
    connection.prepare_cached(statement)?.execute(values)?;
    Ok(Admission::Admitted)
}

fn hash(secret: InvitationSecret) -> [u8; 32] {
    blake3::derive_key("gleaner 2026 invitation v1", &secret.0)
}
