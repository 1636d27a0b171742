//! Who may join: tickets that are wrong, damaged, expired, used up, taken back or made up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Answer, Swarm, wait_until};
use gleaner_client::Client;
use gleaner_protocol::api::InviteRequest;
use gleaner_protocol::{InvitationSecret, Ticket};
use serde_json::Value;

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
    for (ticket, words) in cases {
        let answer = join(&swarm, ticket)?;
        ensure!(answer.code == 2, "{ticket:?} is taken: {answer:?}");
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
    refused(&swarm, &ticket.to_string(), "never gave the invitation")?;
    ticket.invitation = None;
    refused(&swarm, &ticket.to_string(), "holders of an invitation only")?;
    swarm.stop()
}

#[test]
fn an_invitation_that_has_expired_is_refused() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::open(&swarm.coordinator_folder())?;
    let request = InviteRequest { valid_seconds: 1, uses_max: None, note: "brief".into() };
    let invitation = runtime.block_on(client.invite(&request))?;
    wait_until("the end of an invitation", LIMIT, || {
        Ok((invitations(&swarm)?[0]["state"] == "expired").then_some(()))
    })?;
    refused(&swarm, &invitation.ticket, "has expired")?;
    swarm.stop()
}

#[test]
fn an_invitation_is_used_up_by_those_who_joined_and_not_by_those_who_looked() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let ticket = swarm.tell(&["coordinator", "invite", "--uses", "1", "--ticket-only"])?;
    let ticket = ticket.trim();
    let look = swarm.gleaner().ask(swarm.data().as_path(), &["worker", "join", ticket])?;
    ensure!(look.code == 1, "nobody was there to say yes: {look:?}");
    ensure!(look.stderr.contains("no terminal") && look.stderr.contains("--yes"), "{look:?}");

    let data = tempfile::tempdir()?;
    let arguments = ["worker", "join", "--yes", "--no-start", "--loopback", ticket];
    swarm.gleaner().tell(data.path(), &arguments)?;
    ensure!(invitations(&swarm)?[0]["state"] == "used_up", "{:?}", invitations(&swarm)?);
    refused(&swarm, ticket, "is used up: 1 of 1")?;
    swarm.gleaner().tell(data.path(), &arguments).context("a member may come again")?;

    // A restart of the coordinator forgets no member and no use.
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    refused(&swarm, ticket, "is used up")?;
    swarm.stop()
}

#[test]
fn a_revoked_invitation_keeps_its_members_unless_they_are_removed_too() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let invitation = invitations(&swarm)?[0].clone();
    let id = invitation["invitation"].as_str().context("an invitation has an id")?;
    let ticket = swarm.invite()?;
    let keep = swarm.tell(&["coordinator", "invite", "--revoke", id])?;
    ensure!(keep.contains("still member worker-"), "{keep}");
    ensure!(swarm.connected_workers()? == 1, "its member was sent away");
    let latest = invitations(&swarm)?[0]["invitation"].clone();
    let latest = latest.as_str().context("an invitation has an id")?;
    swarm.tell(&["coordinator", "invite", "--revoke", latest])?;
    refused(&swarm, &ticket, "was revoked")?;

    let removed = swarm.tell(&["coordinator", "invite", "--revoke", id, "--members"])?;
    ensure!(removed.contains("removed      worker-"), "{removed}");
    let log = swarm.wait_for_worker_failure(0)?;
    ensure!(log.contains("refused this worker") && log.contains("was revoked"), "{log}");
    ensure!(log.contains("hint: "), "{log}");
    let unknown = swarm.ask(&["coordinator", "invite", "--revoke", "invitation-99"])?;
    ensure!(
        unknown.code == 1 && unknown.stderr.contains("there is no invitation-99"),
        "{unknown:?}"
    );
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

#[test]
fn a_ticket_that_leads_nowhere_says_what_was_tried() -> Result<()> {
    let gone = Swarm::with_workers(&[])?;
    let ticket = gone.invite()?;
    gone.stop()?;
    let swarm = Swarm::with_workers(&[])?;
    refused(&swarm, &ticket, "127.0.0.1 port")?;
    swarm.stop()
}

#[test]
fn a_project_is_left_and_joined_again_without_a_new_invitation() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let data = tempfile::tempdir()?;
    let gleaner = swarm.gleaner();
    let nothing = gleaner.ask(data.path(), &["worker", "start", "--loopback"])?;
    ensure!(nothing.stderr.contains("gleaner worker join TICKET"), "{nothing:?}");
    let ticket = swarm.invite()?;
    let join = ["worker", "join", "--yes", "--no-start", "--loopback", &ticket];
    gleaner.tell(data.path(), &join)?;
    let projects = gleaner.tell(data.path(), &["worker", "projects"])?;
    ensure!(projects.contains("trial") && projects.contains("tester"), "{projects}");
    gleaner.tell(data.path(), &["worker", "leave", "trial"])?;
    let left = gleaner.ask(data.path(), &["worker", "leave", "trial"])?;
    ensure!(left.code == 1 && left.stderr.contains("worker projects"), "{left:?}");
    swarm.tell(&["coordinator", "invite", "--revoke", "1"])?;
    gleaner.tell(data.path(), &join).context("membership stays")?;
    swarm.stop()
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_that_cannot_lock_tasks_in_is_told_before_it_joins() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ticket = swarm.invite()?;
    // Landlock stacks at most 16 layers on a thread and the processes it starts: with all of them
    // taken, a slot can put up none of its own.
    let answer = std::thread::scope(|scope| {
        let without_walls = scope.spawn(|| {
            use_up_landlock()?;
            join(&swarm, &ticket)
        });
        without_walls.join().expect("a thread that starts a command does not panic")
    })?;
    ensure!(answer.code == 1, "it joins: {answer:?}");
    for words in ["cannot lock tasks in", "landlock", "hint: "] {
        ensure!(answer.stderr.contains(words), "no {words:?} in {answer:?}");
    }
    ensure!(invitations(&swarm)?[0]["members"] == Value::Array(Vec::new()), "it is a member");
    swarm.stop()
}

/// Takes every layer of landlock that the calling thread may have; they forbid nothing that a
/// worker does.
#[cfg(target_os = "linux")]
fn use_up_landlock() -> Result<()> {
    use landlock::{AccessFs, Ruleset, RulesetAttr};

    const LAYERS_MAX: u32 = 16;
    for _ in 0..LAYERS_MAX {
        let layer = Ruleset::default().handle_access(AccessFs::MakeBlock)?.create()?;
        layer.restrict_self()?;
    }
    Ok(())
}

/// Joins with `ticket` as a stranger, and does not start.
fn join(swarm: &Swarm, ticket: &str) -> Result<Answer> {
    let data = tempfile::tempdir()?;
    let join = ["worker", "join", "--yes", "--no-start", "--loopback", ticket];
    swarm.gleaner().ask(data.path(), &join)
}

/// Joins with `ticket`, and is told `words` and what to do; nothing may be remembered.
fn refused(swarm: &Swarm, ticket: &str, words: &str) -> Result<()> {
    let data = tempfile::tempdir()?;
    let arguments = ["worker", "join", "--yes", "--loopback", "--slots", "1", ticket];
    let answer = swarm.gleaner().ask(data.path(), &arguments)?;
    ensure!(answer.code == 1, "it is taken: {answer:?}");
    let error = answer.stderr.lines().find(|line| line.starts_with("error: "));
    ensure!(error.is_some_and(|line| line.contains(words)), "no {words:?} in {answer:?}");
    ensure!(answer.stderr.contains("\nhint: "), "it does not say what to do: {answer:?}");
    let projects = swarm.gleaner().tell_json(data.path(), &["worker", "projects"])?;
    ensure!(projects == Value::Array(Vec::new()), "it was remembered: {projects}");
    Ok(())
}

/// All invitations, newest first.
fn invitations(swarm: &Swarm) -> Result<Vec<Value>> {
    let list = swarm.tell(&["coordinator", "invite", "--list", "--json"])?;
    Ok(serde_json::from_str(&list)?)
}
