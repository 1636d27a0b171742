//! The control API is what its document says: every operation is called on a live coordinator, and
//! every answer is checked against its schema.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{JobFolder, Reply, Request, Swarm};
use gleaner_client::{JobFile, new_submission_id};
use gleaner_protocol::{BlobHash, SubmitterId};
use serde_json::{Value, json};

/// What of the document was seen to be true: an operation's name and the status it answered with.
type Seen = BTreeSet<(String, String)>;

struct Api<'a> {
    swarm: &'a Swarm,
    document: Value,
    seen: Seen,
}

impl Api<'_> {
    /// Calls the operation at `template`, whose parts in braces `path` fills in, and checks the
    /// answer; gives its body.
    fn call(&mut self, operation: &str, path: &str, body: &[u8], status: u16) -> Result<Vec<u8>> {
        let (method, template) = self.find(operation)?;
        ensure!(fits(&template, path.split('?').next().unwrap_or(path)), "{path} is no {template}");
        let address = self.swarm.api_address()?;
        let reply = Request::new(&method.to_ascii_uppercase(), path)
            .header("Host", &address)
            .header("Authorization", &format!("Bearer {}", self.swarm.api_token()?))
            .body(body)
            .send(&address)?;
        let said = String::from_utf8_lossy(&reply.body);
        ensure!(
            reply.status == status,
            "{operation} {path}: {}, not {status}: {said}",
            reply.status
        );
        self.check(&method, &template, &reply).with_context(|| format!("{operation}: {said}"))?;
        self.seen.insert((operation.to_owned(), status.to_string()));
        Ok(reply.body)
    }

    fn json(&mut self, operation: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        Ok(serde_json::from_slice(&self.call(operation, path, &body, 200)?)?)
    }

    fn find(&self, operation: &str) -> Result<(String, String)> {
        let named = operations(&self.document)
            .find(|(_, _, described)| described["operationId"] == operation);
        let (template, method, _) = named.with_context(|| format!("no operation {operation}"))?;
        Ok((method.to_owned(), template.to_owned()))
    }

    /// Checks an answer against what the document says of it.
    fn check(&self, method: &str, template: &str, reply: &Reply) -> Result<()> {
        let responses = &self.document["paths"][template][method]["responses"];
        let mut response = &responses[reply.status.to_string()];
        if let Some(pointer) = response["$ref"].as_str() {
            response =
                self.document.pointer(&pointer[1..]).context("a reference leads somewhere")?;
        }
        ensure!(!response.is_null(), "the document does not know of status {}", reply.status);
        let content = &response["content"];
        if method == "head" || content.is_null() {
            ensure!(reply.body.is_empty(), "the document knows of no body");
            return Ok(());
        }
        let kinds = content.as_object().context("contents by their type")?;
        let kind =
            kinds.keys().find(|kind| reply.headers.contains(&format!("content-type: {kind}")));
        let kind = kind.with_context(|| format!("none of {kinds:?} in {}", reply.headers))?;
        if kind != "application/json" {
            return Ok(());
        }
        let mut schema = content[kind]["schema"].clone();
        // References in it lead to the document's own parts.
        schema["components"] = self.document["components"].clone();
        let validator =
            jsonschema::draft202012::new(&schema).map_err(|e| anyhow::anyhow!("{e}"))?;
        let body = serde_json::from_slice(&reply.body)?;
        let wrong: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        ensure!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    }
}

/// Path, method and description of every operation.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Whether `path` is one of those that `template` stands for.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let fits = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

#[test]
fn every_operation_answers_as_the_document_says() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = squares()?;
    let (job, _) = swarm.see_through(&folder.manifest())?;
    let document = serde_json::from_slice(&swarm.get("/v1/openapi.json")?.body)?;
    let mut api = Api { swarm: &swarm, document, seen: Seen::new() };
    api.json("openapi", "/v1/openapi.json", &Value::Null)?;
    api.json("project", "/v1/project", &Value::Null)?;
    api.json("room", "/v1/room", &Value::Null)?;
    api.json("workers", "/v1/workers", &Value::Null)?;
    call_blobs(&mut api)?;
    call_jobs(&mut api, &folder, &job)?;
    call_invitations(&mut api)?;
    call_removal(&mut api, &folder, &job)?;
    call_submitters(&mut api)?;
    let promised: Seen = operations(&api.document)
        .flat_map(|(_, _, operation)| {
            let name = operation["operationId"].as_str().unwrap_or_default();
            let statuses = operation["responses"].as_object().into_iter().flatten();
            statuses.map(move |(status, _)| (name.to_owned(), status.clone()))
        })
        .filter(|(_, status)| status != "default")
        .collect();
    let unseen: Vec<_> = promised.difference(&api.seen).collect();
    ensure!(unseen.is_empty(), "call these here, too: {unseen:?}");
    swarm.stop()
}

fn squares() -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "square"
        range = { field = "number", end = 4 }
        reduce = "csv""#;
    JobFolder::of_test_tasks("", stage)
}

fn call_blobs(api: &mut Api<'_>) -> Result<()> {
    let path = format!("/v1/blobs/{}", BlobHash::of(b"hello"));
    api.call("find_blob", &path, b"", 404)?;
    api.call("put_blob", &path, b"other", 400)?;
    api.call("put_blob", &path, b"hello", 204)?;
    api.call("find_blob", &path, b"", 200)?;
    Ok(())
}

fn call_jobs(api: &mut Api<'_>, folder: &JobFolder, done: &str) -> Result<()> {
    let spec = JobFile::read(&folder.manifest())?.prepare()?.spec;
    let mut request = json!({"submission": new_submission_id(), "job": spec});
    let running = api.json("submit", "/v1/jobs", &request)?["job"].clone();
    let running = running.as_str().context("a job has an id")?;
    request["job"]["quorum"] = json!(17);
    api.call("submit", "/v1/jobs", &serde_json::to_vec(&request)?, 400)?;
    api.json("jobs", "/v1/jobs", &Value::Null)?;
    let priority = |job: &str| format!("/v1/jobs/{job}/priority");
    api.json("prioritise", &priority(running), &json!({"priority": 7}))?;
    api.call("prioritise", &priority(running), br#"{"priority": 2000000000}"#, 400)?;
    api.call("prioritise", &priority("job-99"), br#"{"priority": 7}"#, 404)?;
    let orders = [("pause", "/pause"), ("resume", "/resume"), ("cancel", "/cancel")];
    for (operation, end) in [("job", ""), ("output", "/output")].into_iter().chain(orders) {
        api.json(operation, &format!("/v1/jobs/{running}{end}"), &Value::Null)?;
        api.json(operation, &format!("/v1/jobs/{done}{end}"), &Value::Null)?;
        api.call(operation, &format!("/v1/jobs/job-99{end}"), b"", 404)?;
    }
    for job in [done, running] {
        api.call("failed", &format!("/v1/jobs/{job}/failed.csv"), b"", 200)?;
        api.json("provenance", &format!("/v1/jobs/{job}/provenance.json"), &Value::Null)?;
        api.call("partial", &format!("/v1/jobs/{job}/partial"), b"", 200)?;
    }
    let reports =
        [("failed", "failed.csv"), ("provenance", "provenance.json"), ("partial", "partial")];
    for (operation, report) in reports {
        api.call(operation, &format!("/v1/jobs/job-99/{report}"), b"", 404)?;
    }
    api.json("units", &format!("/v1/jobs/{done}/units?from=0&stage=s"), &Value::Null)?;
    api.json("units", &format!("/v1/jobs/{running}/units"), &Value::Null)?;
    api.call("units", "/v1/jobs/job-99/units", b"", 404)?;
    // The first number that no store holds.
    let beyond = "9223372036854775808";
    api.call("units", &format!("/v1/jobs/{done}/units?from={beyond}"), b"", 400)?;
    let number = done.trim_start_matches("job-");
    api.json("logs", &format!("/v1/units/unit-{number}.0/logs"), &Value::Null)?;
    api.call("logs", "/v1/units/unit-99.0/logs", b"", 404)?;
    api.call("logs", &format!("/v1/units/unit-{number}.{beyond}/logs"), b"", 404)?;
    api.json("why_job", &format!("/v1/jobs/{done}/why"), &Value::Null)?;
    api.json("why_job", &format!("/v1/jobs/{running}/why"), &Value::Null)?;
    api.call("why_job", "/v1/jobs/job-99/why", b"", 404)?;
    api.json("why_unit", &format!("/v1/units/unit-{number}.0/why"), &Value::Null)?;
    api.call("why_unit", "/v1/units/unit-99.0/why", b"", 404)?;
    api.call("why_unit", &format!("/v1/units/unit-{number}.{beyond}/why"), b"", 404)?;
    let nobody = gleaner_protocol::WorkerId([7; 32]);
    api.json("why_worker", &format!("/v1/workers/{nobody}/why"), &Value::Null)?;
    api.call("why_worker", "/v1/workers/nobody/why", b"", 404)?;
    api.json("job", &format!("/v1/jobs/{done}?after=0&wait_ms=10"), &Value::Null)?;
    api.call("output_file", &format!("/v1/jobs/{done}/output/s/s.csv"), b"", 200)?;
    api.call("output_file", &format!("/v1/jobs/{done}/output/s/none"), b"", 404)?;
    Ok(())
}

fn call_retry(api: &mut Api<'_>, done: &str, cancelled: &str) -> Result<()> {
    let retry = |job: &str| format!("/v1/jobs/{job}/retry");
    let made = api.json("retry", &retry(cancelled), &Value::Null)?;
    ensure!(made["retry_of"] == cancelled, "{made}");
    let made = made["job"].as_str().context("a job has an id")?;
    api.json("cancel", &format!("/v1/jobs/{made}/cancel"), &Value::Null)?;
    api.json("provenance", &format!("/v1/jobs/{made}/provenance.json"), &Value::Null)?;
    api.call("retry", &retry(done), b"", 400)?;
    api.call("retry", &retry("job-99"), b"", 404)?;
    api.call("remove", &format!("/v1/jobs/{made}"), b"", 204)?;
    Ok(())
}

fn call_removal(api: &mut Api<'_>, folder: &JobFolder, done: &str) -> Result<()> {
    let spec = JobFile::read(&folder.manifest())?.prepare()?.spec;
    let mut request = json!({"submission": new_submission_id(), "job": spec});
    // One worker never settles it.
    request["job"]["quorum"] = json!(2);
    let job = api.json("submit", "/v1/jobs", &request)?["job"].clone();
    let job = job.as_str().context("a job has an id")?;
    let path = format!("/v1/jobs/{job}");
    api.call("remove", &path, b"", 400)?;
    api.json("cancel", &format!("{path}/cancel"), &Value::Null)?;
    call_retry(api, done, job)?;
    api.call("remove", &path, b"", 204)?;
    api.call("remove", &path, b"", 410)?;
    api.call("retry", &format!("{path}/retry"), b"", 410)?;
    api.call("remove", "/v1/jobs/job-99", b"", 404)?;
    api.call("job", &path, b"", 410)?;
    api.call("submit", "/v1/jobs", &serde_json::to_vec(&request)?, 410)?;
    Ok(())
}

fn call_invitations(api: &mut Api<'_>) -> Result<()> {
    let request = json!({"valid_seconds": 60, "note": "for a test"});
    let invited = api.json("invite", "/v1/invitations", &request)?;
    api.call("invite", "/v1/invitations", br#"{"valid_seconds": 0}"#, 400)?;
    api.json("invitations", "/v1/invitations", &Value::Null)?;
    let Some(number) = invited["invitation"].as_str() else { bail!("no invitation: {invited}") };
    let revoke = |number: &str| format!("/v1/invitations/{number}/revoke");
    api.json("revoke", &revoke(number), &json!({"members": "keep"}))?;
    api.call("revoke", &revoke("invitation-99"), b"{}", 400)?;
    api.call("revoke", &revoke("nonsense"), b"{}", 404)?;
    Ok(())
}

fn call_submitters(api: &mut Api<'_>) -> Result<()> {
    let request = json!({
        "name": "ada", "submitter": SubmitterId([7; 32]), "terms": {"weight": 2, "jobs_max": 3},
    });
    api.json("add_submitter", "/v1/submitters", &request)?;
    let mut refused = request;
    refused["terms"]["weight"] = json!(1_000_000);
    api.call("add_submitter", "/v1/submitters", &serde_json::to_vec(&refused)?, 400)?;
    api.json("submitters", "/v1/submitters", &Value::Null)?;
    api.json("remove_submitter", "/v1/submitters/ada/remove", &Value::Null)?;
    api.call("remove_submitter", "/v1/submitters/ada/remove", b"", 404)?;
    Ok(())
}
