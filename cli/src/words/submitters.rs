//! Submitters and projects in words.

use gleaner_client::KnownProject;
use gleaner_protocol::SubmitterTerms;
use gleaner_protocol::api::SubmitterView;

use super::{bytes, local_time, table};

/// The submitters as a table.
pub fn listing(submitters: &[SubmitterView]) -> Vec<String> {
    if submitters.is_empty() {
        return vec!["no submitters from elsewhere".into()];
    }
    let head = ["name", "weight", "jobs", "storage", "added", "key"];
    let row = |view: &SubmitterView| {
        let (jobs, jobs_max) = (view.jobs_running.to_string(), view.terms.jobs_max);
        let storage = bytes(view.storage_bytes);
        let storage_max = view.terms.storage_bytes_max.map(bytes);
        vec![
            view.name.clone(),
            view.terms.weight.to_string(),
            of(jobs, jobs_max.map(|max| max.to_string())),
            of(storage, storage_max),
            local_time(&view.added_at),
            view.submitter.to_string(),
        ]
    };
    let head = head.map(String::from).to_vec();
    table(&[vec![head], submitters.iter().map(row).collect()].concat())
}

/// What a submitter may use, in one line.
pub fn terms(terms: &SubmitterTerms) -> String {
    let jobs = match terms.jobs_max {
        None => "any number of jobs".to_owned(),
        Some(1) => "one job running".to_owned(),
        Some(max) => format!("up to {max} jobs running"),
    };
    let storage = match terms.storage_bytes_max {
        None => "any size".to_owned(),
        Some(max) => format!("up to {} in all", bytes(max)),
    };
    format!("weight {}, {jobs}, {storage}", terms.weight)
}

/// Whether commands speak to the coordinator of this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// They do.
    InUse,
    /// They speak to another project.
    Idle,
}

/// The projects as a table, the one in use marked.
pub fn projects(projects: &[KnownProject], local_use: Local) -> Vec<String> {
    let mark = |is_in_use: bool| if is_in_use { "*" } else { " " }.to_owned();
    let row = |known: &KnownProject| {
        vec![mark(known.in_use), known.name.clone(), known.project.fingerprint()]
    };
    let local = "the coordinator of this machine".to_owned();
    let local = vec![mark(local_use == Local::InUse), gleaner_client::LOCAL.to_owned(), local];
    table(&[projects.iter().map(row).collect(), vec![local]].concat())
}

fn of(used: String, max: Option<String>) -> String {
    match max {
        None => used,
        Some(max) => format!("{used} of {max}"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use expect_test::{Expect, expect};
    use gleaner_protocol::{ProjectId, SubmitterId};

    use super::*;

    fn view(name: &str, terms: SubmitterTerms) -> SubmitterView {
        SubmitterView {
            name: name.into(),
            submitter: SubmitterId([0; 32]),
            terms,
            jobs_running: 2,
            storage_bytes: 3 << 20,
            added_at: "soon".into(),
        }
    }

    fn limited() -> SubmitterTerms {
        let weight = NonZeroU32::new(20).expect("not zero");
        SubmitterTerms { weight, jobs_max: Some(5), storage_bytes_max: Some(1 << 30) }
    }

    fn check(lines: &[String], expected: Expect) {
        let key = SubmitterId([0; 32]).to_string();
        expected.assert_eq(&lines.join("\n").replace(&key, "KEY"));
    }

    #[test]
    fn submitters_are_a_table() {
        check(&listing(&[]), expect!["no submitters from elsewhere"]);
        check(
            &listing(&[view("ada", SubmitterTerms::default()), view("bob", limited())]),
            expect![[r#"
                name  weight  jobs    storage           added  key
                ada   1       2       3.1 MB            soon   KEY
                bob   20      2 of 5  3.1 MB of 1.1 GB  soon   KEY"#]],
        );
    }

    #[test]
    fn terms_are_one_line() {
        check(
            &[terms(&SubmitterTerms::default())],
            expect!["weight 1, any number of jobs, any size"],
        );
        check(
            &[terms(&limited())],
            expect!["weight 20, up to 5 jobs running, up to 1.1 GB in all"],
        );
    }

    #[test]
    fn the_project_in_use_is_marked() {
        let known = |name: &str, in_use| KnownProject {
            name: name.into(),
            project: ProjectId([1; 32]),
            in_use,
        };
        let list = [known("planets", true), known("stars", false)];
        check(
            &projects(&list, Local::Idle),
            expect![[r#"
            *  planets  aeaq-caib-aeaq
               stars    aeaq-caib-aeaq
               local    the coordinator of this machine"#]],
        );
        check(&projects(&[], Local::InUse), expect!["*  local  the coordinator of this machine"]);
    }
}
