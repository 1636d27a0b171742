//! A worker that computes nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use gleaner_network::{HostKey, Node, WorkReceiver, WorkSender, peer_of_address};
use gleaner_protocol::limits::RESULTS_PER_MESSAGE_MAX;
use gleaner_protocol::{
    Capacity, Invitation, Lease, Outcome, Payload, RefusalWords, Ticket, ToCoordinator, ToWorker,
    UnitResult, WORK_PROTOCOL_VERSION, WorkerId,
};
use serde_bytes::ByteBuf;

/// What a task that does nothing gives for an item: nil.
const NOTHING: &[u8] = &[0xc0];

/// Enough for any task of the tests.
const SLOT_MEMORY_BYTES: u64 = 1 << 30;

/// How long an answer may take before a benchmark gives up.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A worker, connected or not.
pub struct StandIn {
    key: HostKey,
    node: Node,
    coordinator: WorkerId,
    ticket: Ticket,
}

/// Its stream, once it was welcomed.
pub struct Session {
    sender: WorkSender,
    receiver: WorkReceiver,
}

/// Connects all, `at_once` at a time.
///
/// # Errors
/// When one is refused, or gets no answer.
pub async fn connect_all(workers: &[StandIn], at_once: usize) -> Result<Vec<Session>> {
    stream::iter(workers).map(StandIn::connect).buffer_unordered(at_once).try_collect().await
}

impl StandIn {
    /// A new worker with this ticket. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// When the ticket leads nowhere, or there is no network.
    pub fn new(ticket: &Ticket) -> Result<Self> {
        let first = ticket.addresses.first().context("the ticket has no address")?;
        let coordinator = peer_of_address(first).context("the ticket names no coordinator")?;
        let key = HostKey::generate();
        let node = Node::start_caller(&key)?;
        Ok(Self { key, node, coordinator, ticket: ticket.clone() })
    }

    /// Forgets its connections, as a worker has that noticed their loss.
    ///
    /// # Errors
    /// When there is no network.
    pub async fn renew(&mut self) -> Result<()> {
        let node = Node::start_caller(&self.key)?;
        std::mem::replace(&mut self.node, node).stop().await;
        Ok(())
    }

    /// A stream on which nothing is said.
    ///
    /// # Errors
    /// When the coordinator cannot be reached.
    pub async fn call(&self) -> Result<(WorkSender, WorkReceiver)> {
        let stream = self.node.open_work_stream(self.coordinator, &self.ticket.addresses).await?;
        Ok(stream.split())
    }

    /// Says hello and waits until it is welcomed.
    ///
    /// # Errors
    /// When it is refused, or gets no answer.
    pub async fn connect(&self) -> Result<Session> {
        let (mut sender, mut receiver) = self.call().await?;
        let hello = ToCoordinator::Hello {
            version: WORK_PROTOCOL_VERSION,
            project: self.ticket.project,
            invitation: self.ticket.invitation.map(|secret| Invitation { secret }),
            held: Vec::new(),
            refusals: RefusalWords::Invitations,
        };
        sender.send(&hello).await?;
        match tokio::time::timeout(ANSWER_MAX, receiver.receive()).await?? {
            Some(ToWorker::Welcome { .. }) => Ok(Session { sender, receiver }),
            Some(ToWorker::Refused(reason)) => bail!("refused: {reason}"),
            other => bail!("no welcome, but {other:?}"),
        }
    }
}

impl Session {
    /// Asks for up to `units` units at a time.
    ///
    /// # Errors
    /// When the stream is lost.
    pub async fn ask(&mut self, units: u32) -> Result<()> {
        let capacity = Capacity { slots: 1, units, slot_memory_bytes: SLOT_MEMORY_BYTES };
        Ok(self.sender.send(&ToCoordinator::Request(capacity)).await?)
    }

    /// The next leases.
    ///
    /// # Errors
    /// When the stream is lost.
    pub async fn leases(&mut self) -> Result<Vec<Lease>> {
        loop {
            match self.receiver.receive().await?.context("the coordinator has left")? {
                ToWorker::Leases { leases } => return Ok(leases),
                _ => continue,
            }
        }
    }

    /// Answers leases, `held` at a time, until the stream ends.
    ///
    /// # Errors
    /// When a message cannot be sent.
    pub async fn work(mut self, held: u32) -> Result<()> {
        self.ask(held).await?;
        let mut wanted = held;
        while let Ok(Some(message)) = self.receiver.receive().await {
            let ToWorker::Leases { leases } = message else { continue };
            wanted = wanted.saturating_sub(u32::try_from(leases.len())?);
            self.answer(leases).await?;
            if wanted <= held / 2 {
                self.ask(held).await?;
                wanted = held;
            }
        }
        Ok(())
    }

    /// Returns the results of leases.
    ///
    /// # Errors
    /// When a message cannot be sent.
    pub async fn answer(&mut self, leases: Vec<Lease>) -> Result<()> {
        let mut results = leases.into_iter().map(nothing).peekable();
        while results.peek().is_some() {
            let results = results.by_ref().take(RESULTS_PER_MESSAGE_MAX).collect();
            self.sender.send(&ToCoordinator::Results { results }).await?;
        }
        Ok(())
    }
}

fn nothing(lease: Lease) -> UnitResult {
    let items = lease.claims.items;
    let outputs = (items.start..items.end).map(|_| ByteBuf::from(NOTHING)).collect();
    UnitResult {
        claims: lease.claims,
        token: lease.token,
        outcome: Outcome::Completed { outputs: Payload::Inline(outputs), failures: Vec::new() },
        cpu: Duration::from_micros(1),
        log: String::new(),
    }
}
