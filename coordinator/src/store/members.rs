//! Invitations and the workers that came by them.

use std::collections::BTreeMap;

use gleaner_protocol::api::MembersFate;
use gleaner_protocol::{Invitation, InvitationId, InvitationSecret, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError};

type SecretHash = [u8; 32];

/// What an invitation allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationTerms {
    /// When it ends.
    pub expires_at: Timestamp,
    /// How many workers may come by it; any number when `None`.
    pub uses_max: Option<u32>,
    /// For whom it is, in the operator's words.
    pub note: String,
}

/// An invitation and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvitation {
    /// Its number.
    pub invitation: InvitationId,
    /// What it allows.
    pub terms: InvitationTerms,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// The members that came by it and when, in their order.
    pub members: Vec<(WorkerId, Timestamp)>,
}

/// Whether a worker may work for a lab project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It came by an invitation before.
    Member,
    /// It has a valid invitation: [`Store::admit`] has made it a member by it.
    Admitted,
    /// It is no member and cannot become one.
    Denied(Denial),
}

/// What is wrong with how a worker came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has no invitation.
    NotInvited,
    /// No such invitation was ever given.
    Unknown,
    /// Its time is over.
    Expired,
    /// As many came by it as may.
    UsedUp {
        /// How many may.
        uses_max: u32,
    },
    /// It was taken back.
    Revoked,
}

impl Store {
    /// Makes `secret` an invitation. Workers that come by it stay members after it has ended.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn invite(
        &self,
        secret: InvitationSecret,
        now: Timestamp,
        terms: InvitationTerms,
    ) -> Result<InvitationId, StoreError> {
        let hash = hash(secret);
        let insert = move |connection: &Connection| insert(connection, hash, now, &terms);
        self.inner.writer.statement(insert).await
    }

    /// Every invitation that was made, the newest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn invitations(&self) -> Result<Vec<StoredInvitation>, StoreError> {
        self.read(invitations).await
    }

    /// Takes an invitation back, and with [`MembersFate::Remove`] those who came by it: the
    /// invitation as it is then, and those who are members no more. `None` when there is no such
    /// invitation. A repeat finds it taken back.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn revoke(
        &self,
        invitation: InvitationId,
        members: MembersFate,
        now: Timestamp,
    ) -> Result<Option<(StoredInvitation, Vec<WorkerId>)>, StoreError> {
        let revoke = move |connection: &Connection| revoke(connection, invitation, members, now);
        self.inner.writer.statement(revoke).await
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

    /// What [`Store::admit`] would say now; nothing is changed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn would_admit(
        &self,
        worker: WorkerId,
        invitation: Option<Invitation>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let secret = invitation.map(|invitation| hash(invitation.secret));
        self.read(move |connection| judge(connection, worker, secret, now)).await
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

fn insert(
    connection: &Connection,
    hash: SecretHash,
    now: Timestamp,
    terms: &InvitationTerms,
) -> rusqlite::Result<InvitationId> {
    let statement =
        "INSERT INTO invitation (secret_hash, created_at, expires_at) VALUES (?1, ?2, ?3)";
    let values = params![hash, now.as_millis(), terms.expires_at.as_millis()];
    connection.prepare_cached(statement)?.execute(values)?;
    let statement = "INSERT INTO invitation_terms (secret_hash, number, note, uses_max) \
                     SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM invitation_terms \
                     RETURNING number";
    let values = params![hash, terms.note, terms.uses_max];
    let mut statement = connection.prepare_cached(statement)?;
    statement.query_row(values, |row| row.get(0).map(InvitationId))
}

fn admit(
    connection: &Connection,
    worker: WorkerId,
    secret: Option<SecretHash>,
    now: Timestamp,
) -> rusqlite::Result<Admission> {
    let admission = judge(connection, worker, secret, now)?;
    if admission == Admission::Admitted {
        let statement = "INSERT INTO member (worker, secret_hash, admitted_at) VALUES (?1, ?2, ?3)";
        let values = params![worker.0, secret, now.as_millis()];
        connection.prepare_cached(statement)?.execute(values)?;
    }
    Ok(admission)
}

fn judge(
    connection: &Connection,
    worker: WorkerId,
    secret: Option<SecretHash>,
    now: Timestamp,
) -> rusqlite::Result<Admission> {
    let mut member = connection.prepare_cached("SELECT 1 FROM member WHERE worker = ?1")?;
    if member.exists([worker.0])? {
        return Ok(Admission::Member);
    }
    let Some(secret) = secret else { return Ok(Admission::Denied(Denial::NotInvited)) };
    let query = "SELECT expires_at, uses_max, revoked_at FROM invitation \
                 JOIN invitation_terms USING (secret_hash) WHERE secret_hash = ?1";
    let mut query = connection.prepare_cached(query)?;
    let terms = query.query_row([secret], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let terms: Option<(u64, Option<u32>, Option<u64>)> = terms.optional()?;
    let Some((expires_at, uses_max, revoked_at)) = terms else {
        return Ok(Admission::Denied(Denial::Unknown));
    };
    if revoked_at.is_some() {
        return Ok(Admission::Denied(Denial::Revoked));
    }
    if expires_at <= now.as_millis() {
        return Ok(Admission::Denied(Denial::Expired));
    }
    match uses_max {
        Some(uses_max) if uses(connection, secret)? >= uses_max => {
            Ok(Admission::Denied(Denial::UsedUp { uses_max }))
        }
        _ => Ok(Admission::Admitted),
    }
}

fn uses(connection: &Connection, secret: SecretHash) -> rusqlite::Result<u32> {
    let query = "SELECT count(*) FROM member WHERE secret_hash = ?1";
    connection.prepare_cached(query)?.query_row([secret], |row| row.get(0))
}

fn revoke(
    connection: &Connection,
    invitation: InvitationId,
    members: MembersFate,
    now: Timestamp,
) -> rusqlite::Result<Option<(StoredInvitation, Vec<WorkerId>)>> {
    let statement = "UPDATE invitation_terms SET revoked_at = coalesce(revoked_at, ?2) \
                     WHERE number = ?1 RETURNING secret_hash";
    let values = params![invitation.0, now.as_millis()];
    let found = connection.prepare(statement)?.query_row(values, |row| row.get(0)).optional()?;
    let Some(secret): Option<SecretHash> = found else { return Ok(None) };
    let mut removed = Vec::new();
    if members == MembersFate::Remove {
        let statement = "DELETE FROM member WHERE secret_hash = ?1 RETURNING worker";
        let mut statement = connection.prepare(statement)?;
        for worker in statement.query_map([secret], |row| row.get(0).map(WorkerId))? {
            removed.push(worker?);
        }
    }
    let all = invitations(connection)?;
    let revoked = all.into_iter().find(|stored| stored.invitation == invitation);
    Ok(revoked.map(|revoked| (revoked, removed)))
}

fn invitations(connection: &Connection) -> rusqlite::Result<Vec<StoredInvitation>> {
    let mut members = members_by_invitation(connection)?;
    let query = "SELECT secret_hash, number, note, uses_max, revoked_at, created_at, expires_at \
                 FROM invitation JOIN invitation_terms USING (secret_hash) ORDER BY number DESC";
    let mut query = connection.prepare(query)?;
    query
        .query_map([], |row| {
            let stored = stored_invitation(row)?;
            let secret: SecretHash = row.get(0)?;
            let members = members.remove(&secret).unwrap_or_default();
            Ok(StoredInvitation { members, ..stored })
        })?
        .collect()
}

/// The invitation in a row, without its members.
fn stored_invitation(row: &Row<'_>) -> rusqlite::Result<StoredInvitation> {
    let revoked_at: Option<u64> = row.get(4)?;
    Ok(StoredInvitation {
        invitation: InvitationId(row.get(1)?),
        terms: InvitationTerms {
            expires_at: Timestamp::from_millis(row.get(6)?),
            uses_max: row.get(3)?,
            note: row.get(2)?,
        },
        created_at: Timestamp::from_millis(row.get(5)?),
        revoked_at: revoked_at.map(Timestamp::from_millis),
        members: Vec::new(),
    })
}

type Members = Vec<(WorkerId, Timestamp)>;

fn members_by_invitation(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<SecretHash, Members>> {
    let query = "SELECT secret_hash, worker, admitted_at FROM member ORDER BY admitted_at, worker";
    let mut query = connection.prepare(query)?;
    let mut rows = query.query([])?;
    let mut members = BTreeMap::<SecretHash, Members>::new();
    while let Some(row) = rows.next()? {
        let member = (WorkerId(row.get(1)?), Timestamp::from_millis(row.get(2)?));
        members.entry(row.get(0)?).or_default().push(member);
    }
    Ok(members)
}

fn hash(secret: InvitationSecret) -> SecretHash {
    blake3::derive_key("gleaner 2026 invitation v1", &secret.0)
}
