//! `gleaner worker projects`.

use anyhow::Result;
use gleaner_worker::{JoinedProject, readable_address};
use serde_json::{Value, json};

use crate::commands::Context;
use crate::failure::Exit;
use crate::words;

/// Lists the projects that were joined.
pub fn run(context: &Context) -> Result<Exit> {
    let projects = gleaner_worker::projects(&context.worker_data())?;
    let value: Vec<_> = projects.iter().map(value).collect();
    context.printer.result(&value, || lines(&projects))?;
    Ok(Exit::Done)
}

fn value(project: &JoinedProject) -> Value {
    json!({
        "project": project.project,
        "fingerprint": project.project.fingerprint(),
        "name": project.name,
        "operator": project.operator,
        "purpose": project.purpose,
        "addresses": project.addresses,
    })
}

fn lines(projects: &[JoinedProject]) -> Vec<String> {
    if projects.is_empty() {
        return vec!["no project was joined; join one with `gleaner worker join TICKET`".into()];
    }
    let head = ["project", "fingerprint", "operator", "coordinator"].map(String::from).to_vec();
    let row = |project: &JoinedProject| {
        let address = project.addresses.first().map(|address| readable_address(address));
        let (name, fingerprint) = (project.name.clone(), project.project.fingerprint());
        vec![name, fingerprint, project.operator.clone(), address.unwrap_or_default()]
    };
    words::table(&[vec![head], projects.iter().map(row).collect()].concat())
}
