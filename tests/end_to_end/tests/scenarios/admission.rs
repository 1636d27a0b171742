//! Who may join: tickets that are wrong, damaged, expired or made up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Process, Swarm, wait_until};
use gleaner_client::Client;
use gleaner_protocol::{InvitationSecret, Ticket};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_is_no_ticket_is_refused_at_once() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ticket = swarm.invite()?;
    let mistyped = replace_last(&ticket);
    let cases = [
        ("http://example.org", "starts with `gleaner1`"),
        (&ticket[..ticket.len() / 2], "incomplete or mistyped"),
        (mistyped.as_str(), "incomplete or mistyped"),
    ];
    let data = tempfile::tempdir()?;
    for (ticket, words) in cases {
        let join = ["worker", "start", "--loopback", "--join", ticket];
        let answer = swarm.gleaner().ask(data.path(), &join)?;
        ensure!(answer.code != 0, "{ticket:?} is taken: {answer:?}");
        ensure!(answer.stderr.contains(words), "{ticket:?} is refused with {answer:?}");
    }
    swarm.stop()
}

/// The ticket with another last character.
fn replace_last(ticket: &str) -> String {
    let (rest, last) = ticket.split_at(ticket.len() - 1);
    format!("{rest}{}", if last == "a" { "b" } else { "a" })
}

#[test]
fn an_invitation_that_was_never_given_is_refused() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let mut ticket: Ticket = swarm.invite()?.parse()?;
    ticket.invitation = Some(InvitationSecret([7; 16]));
    refused(&swarm, &ticket.to_string(), "valid invitation")?;
    ticket.invitation = None;
    refused(&swarm, &ticket.to_string(), "valid invitation")?;
    swarm.stop()
}

#[test]
fn an_invitation_that_has_expired_is_refused() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::open(&swarm.coordinator_folder())?;
    let invitation = runtime.block_on(client.invite(Duration::from_secs(1)))?;
    let given = std::time::Instant::now();
    wait_until("the end of an invitation", LIMIT, || {
        Ok((given.elapsed() > Duration::from_secs(2)).then_some(()))
    })?;
    refused(&swarm, &invitation.ticket, "valid invitation")?;
    swarm.stop()
}

#[test]
fn a_ticket_for_another_key_is_not_believed() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let other = Swarm::with_workers(&[])?;
    let mut ticket: Ticket = swarm.invite()?.parse()?;
    let others: Ticket = other.invite()?.parse()?;
    // The key of one project, the addresses and the invitation of another.
    ticket.addresses = others.addresses;
    ticket.invitation = others.invitation;
    refused(&swarm, &ticket.to_string(), "another project")?;
    ensure!(other.connected_workers()? == 0, "the other project took the worker");
    other.stop()?;
    swarm.stop()
}

/// Starts a worker with `ticket` and waits until it says `words`; nobody may take it.
fn refused(swarm: &Swarm, ticket: &str, words: &str) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut command = swarm.gleaner().command(data.path());
    command.args(["worker", "start", "--loopback", "--slots", "1", "--join", ticket]);
    let process = Process::start("stranger", &mut command, &data.path().join("log"))?;
    wait_until(&format!("a refusal that says {words:?}"), LIMIT, || {
        Ok(process.log().contains(words).then_some(()))
    })
    .with_context(|| process.log())?;
    ensure!(swarm.connected_workers()? == 0, "it was taken:\n{}", process.log());
    Ok(())
}
