//! What a worker promises a coordinator.

use std::future::Future;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};

use gleaner_network::{HostKey, Node, NodeConfig};
use gleaner_protocol::{
    Obstacle, Outcome, Payload, RefusedReason, ReleaseReason, ToCoordinator, ToWorker,
    WithdrawReason, WorkerId,
};
use gleaner_worker::{FolderError, RunError, StartError, start};

use crate::coordinator::{Coordinator, attempt, config, echoed, exists, item};

const FILES_MISSING: ReleaseReason = ReleaseReason::Unable(Obstacle::FilesMissing);

type Scenario = fn() -> Pin<Box<dyn Future<Output = ()>>>;

pub const ALL: &[(&str, Scenario)] = &[
    ("leased_units_are_run_and_answered", || Box::pin(leased_units_are_run_and_answered())),
    ("unacknowledged_results_survive_a_lost_stream", || {
        Box::pin(unacknowledged_results_survive_a_lost_stream())
    }),
    ("unacknowledged_results_survive_sigkill", || {
        Box::pin(unacknowledged_results_survive_sigkill())
    }),
    ("large_outputs_are_fetched_by_the_coordinator_alone", || {
        Box::pin(large_outputs_are_fetched_by_the_coordinator_alone())
    }),
    ("large_inputs_are_fetched_from_the_coordinator", || {
        Box::pin(large_inputs_are_fetched_from_the_coordinator())
    }),
    ("a_withdrawn_unit_leaves_its_slot", || Box::pin(a_withdrawn_unit_leaves_its_slot())),
    ("stopping_gives_leases_back", || Box::pin(stopping_gives_leases_back())),
    ("a_refused_module_is_an_answer", || Box::pin(a_refused_module_is_an_answer())),
    ("a_missing_module_is_given_back", || Box::pin(a_missing_module_is_given_back())),
    ("a_coordinator_without_a_good_record_is_not_obeyed", || {
        Box::pin(a_coordinator_without_a_good_record_is_not_obeyed())
    }),
    ("a_refusal_by_whom_the_record_does_not_name_ends_nothing", || {
        Box::pin(a_refusal_by_whom_the_record_does_not_name_ends_nothing())
    }),
    ("a_folder_serves_one_worker", || Box::pin(a_folder_serves_one_worker())),
];

async fn a_refusal_by_whom_the_record_does_not_name_ends_nothing() {
    let mut coordinator = Coordinator::start().await;
    let mut intruder = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    // What it asks for shows that it has learnt the record.
    stream.request().await;
    worker.stop().await;
    let mut worker = start(config(coordinator.joined_with(&intruder))).await.unwrap();
    let project = coordinator.project();
    loop {
        tokio::select! {
            stream = coordinator.accept() => drop(stream),
            mut stream = intruder.hear_for(project) => {
                stream.say(ToWorker::Refused(RefusedReason::InvitationRevoked)).await;
                assert!(stream.next().await.is_none(), "the worker closes the stream");
                break;
            }
        }
    }
    let mut stream = coordinator.accept().await;
    coordinator.lease_echoes(&mut stream, 0..3).await;
    assert!(stream.results(3).await.iter().all(echoed));
    stream.say(ToWorker::Refused(RefusedReason::InvitationRevoked)).await;
    let ended = worker.stopped().await;
    assert!(matches!(ended, Err(RunError::Refused { .. })), "{ended:?}");
}

async fn leased_units_are_run_and_answered() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    assert_eq!((stream.worker, stream.held.len()), (worker.id(), 0));
    let capacity = stream.request().await;
    assert_eq!((capacity.slots, capacity.units), (1, 2));
    coordinator.lease_echoes(&mut stream, 0..100).await;
    let results = stream.results(100).await;
    for result in &results {
        coordinator.assert_is_ours(result);
        assert!(echoed(result), "{result:?}");
    }
    stream.acknowledge(results.iter().map(|result| result.claims.attempt).collect()).await;
    worker.stop().await;
}

async fn unacknowledged_results_survive_a_lost_stream() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    coordinator.lease_echoes(&mut stream, 0..10).await;
    stream.results(10).await;
    stream.acknowledge((0..4).map(attempt).collect()).await;
    drop(stream);
    let mut stream = coordinator.accept().await;
    // The stream may have ended before the acknowledgement was heard.
    let held: Vec<_> = stream.held.iter().map(|(claims, _)| claims.attempt).collect();
    assert!((4..10).all(|unit| held.contains(&attempt(unit))), "{held:?}");
    let results = stream.results(held.len()).await;
    assert!(results.iter().all(echoed));
    stream.acknowledge(held).await;
    // What follows on the same stream is heard after the acknowledgement.
    coordinator.lease_echoes(&mut stream, 20..21).await;
    stream.results(1).await;
    drop(stream);
    let stream = coordinator.hear().await;
    let held: Vec<_> = stream.held.iter().map(|(claims, _)| claims.attempt).collect();
    assert_eq!(held, [attempt(20)]);
    worker.stop().await;
}

async fn unacknowledged_results_survive_sigkill() {
    let mut coordinator = Coordinator::start().await;
    let data = coordinator.joined();
    let work = || -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("work").arg(&data).stdin(Stdio::null()).spawn().unwrap()
    };
    let mut process = work();
    let mut stream = coordinator.accept().await;
    coordinator.lease_echoes(&mut stream, 0..5).await;
    stream.results(5).await;
    let worker = stream.worker;
    let spin = coordinator.lease(worker, 9, 1, Payload::Inline(vec![item(9)]));
    stream.tell_task(1, coordinator.task("spin")).await;
    stream.say(ToWorker::Leases { leases: vec![spin] }).await;
    heartbeat_of(&mut stream, 9).await;
    process.kill().unwrap();
    process.wait().unwrap();
    drop(stream);

    let mut process = work();
    let mut stream = coordinator.accept().await;
    assert_eq!(stream.worker, worker);
    let held: Vec<_> = stream.held.iter().map(|(claims, _)| claims.attempt).collect();
    assert_eq!(held, (0..5).map(attempt).collect::<Vec<_>>());
    let results = stream.results(5).await;
    for result in &results {
        coordinator.assert_is_ours(result);
        assert!(echoed(result));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

async fn large_outputs_are_fetched_by_the_coordinator_alone() {
    let mut coordinator = Coordinator::start().await;
    let data = coordinator.joined();
    let worker = start(config(&data)).await.unwrap();
    let mut stream = coordinator.accept().await;
    stream.tell_task(0, coordinator.task("large")).await;
    let lease = coordinator.lease(worker.id(), 0, 0, Payload::Inline(vec![item(0)]));
    stream.say(ToWorker::Leases { leases: vec![lease] }).await;
    let results = stream.results(1).await;
    let Outcome::Completed { outputs: Payload::Blob(blob), .. } = results[0].outcome else {
        panic!("200,000 bytes do not fit a message: {:?}", results[0].outcome);
    };
    let copy = data.join("copy");
    coordinator.node.fetch_blob(worker.id(), blob, &copy).await.unwrap();
    let items = Payload::decode_items(&std::fs::read(&copy).unwrap()).unwrap();
    assert_eq!((items.len(), items[0].len()), (1, 200_005));

    let network = NodeConfig { port: 0, loopback_only: true, mdns: false, ..NodeConfig::default() };
    let (stranger, _incoming) = Node::start(&HostKey::generate(), network).await.unwrap();
    // A stranger who is connected is refused all the same.
    let _stream = stranger.open_work_stream(worker.id(), worker.addresses()).await.unwrap();
    let refused = stranger.fetch_blob(worker.id(), blob, &data.join("stolen")).await;
    assert!(refused.is_err() && !exists(&data.join("stolen")));
    worker.stop().await;
}

async fn large_inputs_are_fetched_from_the_coordinator() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    stream.tell_task(0, coordinator.task("echo")).await;
    let good = coordinator.put_blob(&Payload::encode_items(&[item(0)]));
    let wrong = coordinator.put_blob(&Payload::encode_items(&[item(0), item(1)]));
    let lease = |unit, blob| coordinator.lease(worker.id(), unit, 0, Payload::Blob(blob));
    let leases = vec![lease(0, good), lease(1, wrong)];
    stream.say(ToWorker::Leases { leases }).await;
    let (mut answered, mut released) = (false, false);
    while !(answered && released) {
        match stream.next().await.expect("the worker goes on talking") {
            ToCoordinator::Results { results } => answered = results.iter().all(echoed),
            ToCoordinator::Release { attempts, reason } => {
                assert_eq!((attempts, reason), (vec![attempt(1)], FILES_MISSING));
                released = true;
            }
            _ => {}
        }
    }
    worker.stop().await;
}

async fn a_withdrawn_unit_leaves_its_slot() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    stream.tell_task(1, coordinator.task("spin")).await;
    let lease = coordinator.lease(worker.id(), 0, 1, Payload::Inline(vec![item(0)]));
    stream.say(ToWorker::Leases { leases: vec![lease] }).await;
    heartbeat_of(&mut stream, 0).await;
    coordinator.lease_echoes(&mut stream, 1..2).await;
    let (attempts, reason) = (vec![attempt(0)], WithdrawReason::Settled);
    stream.say(ToWorker::Withdraw { attempts, reason }).await;
    let results = stream.results(1).await;
    assert!(echoed(&results[0]));
    worker.stop().await;
}

async fn stopping_gives_leases_back() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    stream.tell_task(1, coordinator.task("spin")).await;
    let lease = |unit| coordinator.lease(worker.id(), unit, 1, Payload::Inline(vec![item(unit)]));
    let leases = vec![lease(0), lease(1)];
    stream.say(ToWorker::Leases { leases }).await;
    heartbeat_of(&mut stream, 0).await;
    let released = stream.find(|message| match message {
        ToCoordinator::Release { attempts, reason } => Some((attempts, reason)),
        _ => None,
    });
    let ((attempts, reason), ()) = tokio::join!(released, worker.stop());
    assert_eq!((attempts, reason), (vec![attempt(0), attempt(1)], ReleaseReason::Stopping));
}

/// A coordinator that checks nothing, or means harm: the worker looks for itself.
async fn a_refused_module_is_an_answer() {
    let nested = format!("(func {} {})", "loop ".repeat(2000), "end ".repeat(2000));
    let bomb = wat::parse_str(format!("(module {nested})")).unwrap();
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    let mut cases = vec![(
        coordinator.task("no_such_function"),
        "the module has no task function `no_such_function`",
    )];
    for (module, words) in [
        (b"not a module".as_slice(), "it is no WebAssembly module"),
        (b"\0asm\x01\0\0\0\x01", "unexpected end"),
        (&bomb, "nests loops deeper than 64"),
    ] {
        let module = coordinator.put_blob(module);
        cases.push((coordinator.task_of(module, "echo"), words));
    }
    for (number, (task, words)) in (0..).zip(cases) {
        stream.tell_task(number, task).await;
        let unit = u64::from(number);
        let input = Payload::Inline(vec![item(unit)]);
        let leases = vec![coordinator.lease(worker.id(), unit, number, input)];
        stream.say(ToWorker::Leases { leases }).await;
        let result = stream.results(1).await.remove(0);
        let Outcome::Refused { reason } = &result.outcome else { panic!("{result:?}") };
        assert!(reason.contains(words), "{reason}, not {words}");
        stream.acknowledge(vec![attempt(unit)]).await;
    }
    worker.stop().await;
}

async fn a_missing_module_is_given_back() {
    let mut coordinator = Coordinator::start().await;
    let worker = start(config(coordinator.joined())).await.unwrap();
    let mut stream = coordinator.accept().await;
    let nowhere = gleaner_protocol::BlobRef::of(b"nobody has this");
    stream.tell_task(0, coordinator.task_of(nowhere, "echo")).await;
    let lease = coordinator.lease(worker.id(), 0, 0, Payload::Inline(vec![item(0)]));
    stream.say(ToWorker::Leases { leases: vec![lease] }).await;
    let released = stream.find(|message| match message {
        ToCoordinator::Release { attempts, reason } => Some((attempts, reason)),
        _ => None,
    });
    assert_eq!(released.await, (vec![attempt(0)], FILES_MISSING));
    worker.stop().await;
}

async fn a_coordinator_without_a_good_record_is_not_obeyed() {
    let mut coordinator = Coordinator::start().await;
    let data = coordinator.joined();
    let worker = start(config(&data)).await.unwrap();
    let own = coordinator.node.id();
    let mut stream = coordinator.hear().await;
    stream.welcome(coordinator.record(3, vec![WorkerId([9; 32])])).await;
    assert_eq!(stream.next().await, None, "the record names someone else");
    let mut stream = coordinator.hear().await;
    stream.welcome(coordinator.record(5, vec![own])).await;
    stream.request().await;
    drop(stream);
    worker.stop().await;
    // The serial is remembered across restarts.
    let worker = start(config(&data)).await.unwrap();
    let mut stream = coordinator.hear().await;
    stream.welcome(coordinator.record(4, vec![own])).await;
    assert_eq!(stream.next().await, None, "a later record was seen");
    worker.stop().await;
}

async fn a_folder_serves_one_worker() {
    let coordinator = Coordinator::start().await;
    let data = coordinator.joined();
    let worker = start(config(&data)).await.unwrap();
    let second = start(config(&data)).await;
    assert!(matches!(second, Err(StartError::Folder(FolderError::InUse { .. }))));
    worker.stop().await;
    start(config(&data)).await.unwrap().stop().await;
}

/// Waits until the worker speaks for a unit.
async fn heartbeat_of(stream: &mut crate::coordinator::Stream, unit: u64) {
    stream
        .find(|message| match message {
            ToCoordinator::Heartbeat { attempts, .. } => {
                attempts.contains(&attempt(unit)).then_some(())
            }
            _ => None,
        })
        .await;
}
