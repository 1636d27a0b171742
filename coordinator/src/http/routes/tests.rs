//! Whether the document of the control API knows the routes that there are.

use std::collections::BTreeSet;

use gleaner_protocol::api::OPENAPI;

/// The routes as they are made; what is read is the source, as a router cannot be asked.
const SOURCE: &str = include_str!("mod.rs");

#[test]
fn the_document_has_every_route_and_no_other() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("it is JSON");
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods of a path");
            methods.keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    let routes = routes(SOURCE);
    assert!(routes.contains(&("/v1/jobs".into(), "post".into())), "{routes:?}");
    let forgotten: Vec<_> = routes.difference(&described).collect();
    let invented: Vec<_> = described.difference(&routes).collect();
    assert!(
        forgotten.is_empty() && invented.is_empty(),
        "in protocol/src/api/openapi.json, add {forgotten:?} and remove {invented:?}"
    );
}

/// The paths and methods in calls of `.route("…", get(…).post(…))`.
fn routes(source: &str) -> BTreeSet<(String, String)> {
    let calls = source.split(".route(").skip(1);
    calls
        .flat_map(|call| {
            let mut parts = call.splitn(3, '"').skip(1);
            let path = parts.next().unwrap_or_default().replace("{*", "{");
            let handlers = parts.next().unwrap_or_default();
            let handlers = handlers.split(".fallback(").next().unwrap_or_default();
            let methods = ["get", "head", "post", "put", "patch", "delete"];
            let is_used = |method: &&str| {
                [" ", "."].iter().any(|before| handlers.contains(&format!("{before}{method}(")))
            };
            let used = methods.into_iter().filter(is_used).map(str::to_owned);
            used.map(|method| (path.clone(), method)).collect::<Vec<_>>()
        })
        .collect()
}
