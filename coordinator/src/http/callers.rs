//! What those who were let in may do: the operator everything, a submitter from elsewhere what
//! concerns its own jobs.
//!
//! One rule for all routes, and what it does not know is the operator's: a new route is closed to
//! submitters until it is named here. Another's job looks like one that does not exist.

use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use gleaner_coordinator_core::Owner;
use gleaner_protocol::{JobId, UnitId};

use super::answer::Fault;
use super::routes::Api;
use super::{Control, ControlError};

/// Whom a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Everybody who was let in; whose jobs they are is the handler's to look at.
    Everybody,
    /// The owner of a job.
    OwnerOf(JobId),
    /// The operator alone.
    Operator,
}

/// Stands before every route, behind the door that says who calls.
pub(super) async fn keep_to_own<C: Control>(
    State(api): State<Api<C>>,
    Extension(caller): Extension<Owner>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    if caller != Owner::Operator {
        let parameters = parameters.as_ref().ok();
        let parameter = |name: &str| {
            let mut all = parameters?.iter();
            all.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        match audience(request.uri().path(), parameter) {
            Audience::Everybody => {}
            Audience::OwnerOf(job) if api.control.owner_of(job).await? == caller => {}
            Audience::OwnerOf(job) => return Err(ControlError::NoSuchJob(job).into()),
            Audience::Operator => return Err(operators_alone(request.uri().path())),
        }
    }
    Ok(next.run(request).await)
}

/// Whom a path is for, by its first name and the job or unit that the router found in it.
fn audience<'a>(path: &str, parameter: impl Fn(&str) -> Option<&'a str>) -> Audience {
    let first = path.strip_prefix("/v1/").and_then(|path| path.split('/').next());
    let of_job = match (parameter("job"), parameter("unit")) {
        (Some(job), _) => job.parse().ok(),
        (None, Some(unit)) => unit.parse().ok().map(|UnitId { job, .. }| job),
        (None, None) => None,
    };
    match (first, of_job) {
        (Some("openapi.json" | "project" | "blobs" | "room"), _) => Audience::Everybody,
        // Who computes is everybody's to see; what for is not.
        (Some("workers"), _) if path == "/v1/workers" => Audience::Everybody,
        (Some("jobs"), None) if path == "/v1/jobs" => Audience::Everybody,
        (Some("jobs" | "units"), Some(job)) => Audience::OwnerOf(job),
        // What is no id is told so by its handler, which finds nothing.
        (Some("jobs" | "units"), None) if parameter("job").or(parameter("unit")).is_some() => {
            Audience::Everybody
        }
        _ => Audience::Operator,
    }
}

fn operators_alone(path: &str) -> Fault {
    let error = format!("{path} is for the coordinator's operator alone");
    let hint = "run the command on the coordinator's machine, or ask its operator to";
    Fault::new(StatusCode::FORBIDDEN, error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_not_named_is_the_operators() {
        let check = |path: &str, parameters: &[(&str, &'static str)], expected| {
            let parameter = |name: &str| {
                parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
            };
            assert_eq!(audience(path, parameter), expected, "{path}");
        };
        let seven = Audience::OwnerOf(JobId(7));
        check("/v1/project", &[], Audience::Everybody);
        check("/v1/room", &[], Audience::Everybody);
        check("/v1/blobs/abc", &[("hash", "abc")], Audience::Everybody);
        check("/v1/jobs", &[], Audience::Everybody);
        check("/v1/jobs/job-7", &[("job", "job-7")], seven);
        check("/v1/jobs/job%2D7/output/a/b", &[("job", "job-7"), ("stage", "a")], seven);
        check("/v1/units/unit-7.3/logs", &[("unit", "unit-7.3")], seven);
        check("/v1/jobs/x", &[("job", "x")], Audience::Everybody);
        for path in ["/v1/jobs/", "/v1/jobs/all", "/v1/invitations", "/v1/submitters", "/v2/jobs"] {
            check(path, &[], Audience::Operator);
        }
        check("/v1/submitters/ada/remove", &[("name", "ada")], Audience::Operator);
        check("/v1/anything/job-7", &[("job", "job-7")], Audience::Operator);
        check("/", &[], Audience::Operator);
    }
}
