//! The walls of the control API: a token on every route, Host and Origin checked.

use anyhow::{Result, ensure};
use end_to_end::{JobFolder, Request, Swarm};

const ROUTES: [(&str, &str); 16] = [
    ("GET", "/v1/project"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/job-1"),
    ("POST", "/v1/jobs/job-1/cancel"),
    ("POST", "/v1/jobs/job-1/pause"),
    ("POST", "/v1/jobs/job-1/resume"),
    ("POST", "/v1/jobs/job-1/priority"),
    ("GET", "/v1/jobs/job-1/output"),
    ("GET", "/v1/jobs/job-1/output/s/s.csv"),
    ("GET", "/v1/jobs/job-1/units"),
    ("GET", "/v1/units/unit-1.0/logs"),
    ("GET", "/v1/jobs/job-1/why"),
    ("GET", "/v1/units/unit-1.0/why"),
    ("GET", "/v1/workers/worker-x/why"),
    ("GET", "/v1/workers"),
    ("POST", "/v1/invitations"),
];

#[test]
fn every_route_wants_its_token_its_host_and_no_foreign_origin() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let address = swarm.api_address()?;
    let bearer = format!("Bearer {}", swarm.api_token()?);
    ensure!(swarm.get("/v1/project")?.status == 200, "a good client is answered");
    for (method, path) in ROUTES {
        let request = || Request::new(method, path);
        let to_host = || request().header("Host", &address);
        let cases = [
            ("no token", 401, to_host()),
            ("a wrong token", 401, to_host().header("Authorization", "Bearer 0123456789abcdef")),
            ("an empty token", 401, to_host().header("Authorization", "Bearer ")),
            ("a token of another scheme", 401, to_host().header("Authorization", "Basic eDp5")),
            (
                "a foreign host",
                403,
                request().header("Host", "example.org").header("Authorization", &bearer),
            ),
            ("no host", 403, request().header("Authorization", &bearer)),
            (
                "a foreign origin",
                403,
                to_host().header("Authorization", &bearer).header("Origin", "https://example.org"),
            ),
            (
                "an opaque origin",
                403,
                to_host().header("Authorization", &bearer).header("Origin", "null"),
            ),
        ];
        for (what, expected, request) in cases {
            let reply = request.send(&address)?;
            let status = reply.status;
            ensure!(status == expected, "{method} {path} with {what}: {status}, not {expected}");
            ensure!(!reply.headers.contains("access-control-allow"), "{path} allows other origins");
        }
    }
    swarm.stop()
}

#[test]
fn results_are_attachments_that_no_browser_runs() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "trace"
        range = { field = "number", end = 3 }
        reduce = "concat"
        output = "page.html""#;
    let (job, _) = swarm.see_through(&JobFolder::of_test_tasks("", stage)?.manifest())?;
    let reply = swarm.get(&format!("/v1/jobs/{job}/output/s/page.html"))?;
    ensure!(reply.status == 200 && reply.body == b"[0][1][2]", "it is answered with {reply:?}");
    let expected = [
        "content-disposition: attachment",
        "content-security-policy: sandbox",
        "x-content-type-options: nosniff",
    ];
    for header in expected {
        ensure!(reply.headers.contains(header), "no {header:?} in {}", reply.headers);
    }
    swarm.stop()
}

#[cfg(unix)]
#[test]
fn the_token_is_for_its_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let swarm = Swarm::with_workers(&[])?;
    let mode = swarm.coordinator_folder().join("api-token").metadata()?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "its mode is {mode:o}");
    swarm.stop()
}
