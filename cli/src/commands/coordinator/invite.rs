//! `gleaner coordinator invite`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use gleaner_client::Client;
use gleaner_protocol::api::{
    InvitationState, InvitationView, InviteReply, InviteRequest, MembersFate, ProjectView,
    RevokeReply,
};
use gleaner_protocol::{InvitationId, ParseIdError};
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::{duration, whole};
use crate::words;

/// What `gleaner coordinator invite` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How long the ticket can be used, such as 12h or 7d
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub valid: Duration,
    /// How many machines may join by it [default: any number]
    #[arg(long, value_name = "N", value_parser = whole(1, u32::MAX))]
    pub uses: Option<u32>,
    /// For whom it is, for your own list
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
    /// Print the ticket alone, for scripts
    #[arg(long)]
    pub ticket_only: bool,
    /// List the invitations given so far, and who came by them
    #[arg(long, conflicts_with_all = ["valid", "uses", "note", "ticket_only"])]
    pub list: bool,
    /// Take an invitation back, named as in the list; who came by it stays
    #[arg(long, value_name = "ID", value_parser = invitation_id,
          conflicts_with_all = ["valid", "uses", "note", "ticket_only", "list"])]
    pub revoke: Option<InvitationId>,
    /// With --revoke: those who came by it are members no more
    #[arg(long, requires = "revoke")]
    pub members: bool,
}

/// Makes an invitation, lists them, or takes one back.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let client = context.coordinator()?;
    if arguments.list {
        let invitations = client.invitations().await?;
        context.printer.result(&invitations, || table(&invitations))?;
        return Ok(Exit::Done);
    }
    if let Some(invitation) = arguments.revoke {
        let fate = if arguments.members { MembersFate::Remove } else { MembersFate::Keep };
        let reply = client.revoke(invitation, fate).await?;
        context.printer.result(&reply, || revoked(&reply))?;
        return Ok(Exit::Done);
    }
    invite(context, &client, arguments).await
}

async fn invite(context: &Context, client: &Client, arguments: Arguments) -> Result<Exit> {
    let Arguments { valid, uses, note, ticket_only, .. } = arguments;
    let project = client.project().await?;
    let request = InviteRequest { valid_seconds: valid.as_secs(), uses_max: uses, note };
    let reply = client.invite(&request).await?;
    let value = json!({
        "invitation": reply.invitation,
        "ticket": reply.ticket,
        "expires_at": reply.expires_at,
        "uses_max": reply.uses_max,
        "project": project.project,
        "fingerprint": project.project.fingerprint(),
        "command": command(&reply.ticket),
    });
    context.printer.result(&value, || match ticket_only {
        true => vec![reply.ticket.clone()],
        false => letter(&project, &reply),
    })?;
    let id = reply.invitation;
    context.printer.note(&format!(
        "{id}: whoever holds the ticket can join; `gleaner coordinator invite --revoke {id}` takes \
         it back"
    ));
    Ok(Exit::Done)
}

fn command(ticket: &str) -> String {
    format!("gleaner worker join {ticket}")
}

/// What to send to a colleague, whole: it is all they need to know.
fn letter(project: &ProjectView, reply: &InviteReply) -> Vec<String> {
    let uses = match reply.uses_max {
        None => String::new(),
        Some(1) => ", on one machine".into(),
        Some(uses) => format!(", on {uses} machines"),
    };
    // Whoever reads it may live elsewhere.
    let until = words::utc(&reply.expires_at);
    vec![
        format!("Please lend {} ({}) your computer's idle time.", project.name, project.operator),
        format!("What it is for: {}.", project.purpose.trim_end_matches('.')),
        String::new(),
        format!(
            "You need the program `gleaner`, version {} or newer, on 64-bit Linux. In a terminal:",
            env!("CARGO_PKG_VERSION")
        ),
        String::new(),
        command(&reply.ticket),
        String::new(),
        "It shows the project and asks before it joins. The fingerprint that it shows must be"
            .into(),
        String::new(),
        format!("    {}", project.project.fingerprint()),
        String::new(),
        format!("The line can be used until {until}{uses}. Ctrl-C stops lending;"),
        "the next `gleaner worker start` goes on.".into(),
    ]
}

fn table(invitations: &[InvitationView]) -> Vec<String> {
    if invitations.is_empty() {
        return vec!["no invitations yet; `gleaner coordinator invite` makes one".into()];
    }
    let head = ["invitation", "state", "used", "made", "expires", "note"];
    let row = |view: &InvitationView| {
        let used = match view.uses_max {
            Some(max) => format!("{} of {max}", view.members.len()),
            None => view.members.len().to_string(),
        };
        vec![
            view.invitation.to_string(),
            state(view.state).to_owned(),
            used,
            words::local_time(&view.created_at),
            words::local_time(&view.expires_at),
            view.note.clone(),
        ]
    };
    let head = vec![head.map(String::from).to_vec()];
    let mut lines = words::table(&[head, invitations.iter().map(row).collect()].concat());
    let members = invitations.iter().flat_map(|view| {
        view.members.iter().map(|member| {
            let at = words::local_time(&member.admitted_at);
            vec![view.invitation.to_string(), at, member.worker.to_string()]
        })
    });
    let members: Vec<_> = members.collect();
    if !members.is_empty() {
        let head = ["by", "joined", "worker"].map(String::from).to_vec();
        lines.push(String::new());
        lines.extend(words::table(&[vec![head], members].concat()));
    }
    lines
}

fn revoked(reply: &RevokeReply) -> Vec<String> {
    let RevokeReply { invitation, removed } = reply;
    let id = invitation.invitation;
    let mut lines = vec![format!("{id} is revoked: nobody else can join by it")];
    lines.extend(removed.iter().map(|worker| format!("removed      {worker}")));
    let stay = invitation.members.iter().map(|member| format!("still member {}", member.worker));
    lines.extend(stay);
    if !invitation.members.is_empty() {
        lines
            .push(format!("`gleaner coordinator invite --revoke {id} --members` removes them too"));
    }
    lines
}

fn state(state: InvitationState) -> &'static str {
    match state {
        InvitationState::Open => "open",
        InvitationState::UsedUp => "used up",
        InvitationState::Expired => "expired",
        InvitationState::Revoked => "revoked",
    }
}

fn invitation_id(text: &str) -> Result<InvitationId, ParseIdError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("invitation-{text}").parse();
    }
    text.parse()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use gleaner_protocol::api::MemberView;
    use gleaner_protocol::{ProjectId, WorkerId};

    use super::*;

    #[test]
    fn a_letter_says_all_that_a_colleague_needs() {
        let project = ProjectView {
            project: ProjectId([7; 32]),
            name: "planets".into(),
            operator: "Ada, Astronomy".into(),
            purpose: "looks for planets of nearby stars".into(),
            record_expires_at: "2027-11-22T00:00:00Z".into(),
            addresses: Vec::new(),
        };
        let reply = InviteReply {
            invitation: InvitationId(1),
            ticket: "gleaner1xyz".into(),
            expires_at: "2026-12-02T13:12:55.358Z".into(),
            uses_max: Some(3),
        };
        let letter = letter(&project, &reply).join("\n");
        let letter = letter.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        expect![[r#"
            Please lend planets (Ada, Astronomy) your computer's idle time.
            What it is for: looks for planets of nearby stars.

            You need the program `gleaner`, version VERSION or newer, on 64-bit Linux. In a terminal:

            gleaner worker join gleaner1xyz

            It shows the project and asks before it joins. The fingerprint that it shows must be

                a4dq-obyh-a4dq

            The line can be used until 2026-12-02 13:12:55 UTC, on 3 machines. Ctrl-C stops lending;
            the next `gleaner worker start` goes on."#]]
        .assert_eq(&letter);
    }

    #[test]
    fn the_list_tells_who_came_by_what() {
        let member = MemberView { worker: WorkerId([2; 32]), admitted_at: "monday".into() };
        let view = InvitationView {
            invitation: InvitationId(3),
            note: "for Bo".into(),
            state: InvitationState::Open,
            created_at: "monday".into(),
            expires_at: "friday".into(),
            uses_max: Some(3),
            members: vec![member],
        };
        expect![[r#"
            invitation    state  used    made    expires  note
            invitation-3  open   1 of 3  monday  friday   for Bo

            by            joined  worker
            invitation-3  monday  worker-aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba"#]]
        .assert_eq(&table(&[view]).join("\n"));
    }

    #[test]
    fn an_invitation_is_named_by_its_id_or_its_number() {
        assert_eq!(invitation_id("invitation-3"), Ok(InvitationId(3)));
        assert_eq!(invitation_id("3"), Ok(InvitationId(3)));
        for text in ["", "-3", "three", "invitation-"] {
            assert!(invitation_id(text).is_err(), "{text:?}");
        }
    }
}
