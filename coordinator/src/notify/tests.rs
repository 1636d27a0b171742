use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;

use gleaner_coordinator_core::{Notice, Occasion, Owner, Record, Sequence};
use gleaner_protocol::{Answers, JobSpec, Notify, SubmissionId};

use super::*;

fn receiver(submitter: Option<u8>, target: &str) -> Receiver {
    let submitter = submitter.map(|number| SubmitterId([number; 32]));
    Receiver { submitter, target: NotifyTarget::Url(target.to_owned()) }
}

#[test]
fn slow_targets_and_their_submitters_leave_room_for_others() {
    let check = |busy: &[Receiver], next: &Receiver, expected| {
        assert_eq!(has_room(busy.iter(), next), expected, "{next:?} beside {busy:?}");
    };
    let (ada, bob) = (Some(1), Some(2));
    let to_one_target = vec![receiver(ada, "slow"); TRIES_TO_TARGET];
    check(&to_one_target, &receiver(ada, "slow"), false);
    check(&to_one_target, &receiver(ada, "other"), true);
    check(&to_one_target, &receiver(bob, "slow"), true);
    let many = |submitter| {
        let targets = (0..TRIES_OF_SUBMITTER).map(|number| format!("slow-{number}"));
        targets.map(move |target| receiver(submitter, &target)).collect::<Vec<_>>()
    };
    check(&many(ada), &receiver(ada, "other"), false);
    check(&many(ada), &receiver(bob, "other"), true);
    check(&many(None), &receiver(None, "other"), false);
    let others: Vec<_> = (1..).map(Some).flat_map(many).take(TRIES_AT_ONCE).collect();
    check(&others[TRIES_OF_SUBMITTER..], &receiver(Some(200), "other"), false);
    check(&others[TRIES_OF_SUBMITTER..], &receiver(None, "other"), true);
    check(&others, &receiver(None, "other"), false);
}

/// Answers one call, and tells when it was made.
fn quick_target() -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("called");
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !got.ends_with(b"}") {
            let read = stream.read(&mut buffer).expect("read");
            assert!(read > 0, "the call ended early");
            got.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("answered");
    };
    (address, std::thread::spawn(serve))
}

/// A job of the operator's, and that whoever listens there is to be told of it.
fn records(job: u64, address: SocketAddr) -> Vec<Record> {
    let job = JobId(job);
    let spec = JobSpec {
        name: "j".to_owned(),
        seed: 0,
        priority: 0,
        quorum: NonZeroU32::MIN,
        max_attempts: NonZeroU32::MIN,
        answers: Answers::Kept,
        keep: None,
        notify: Notify::default(),
        stages: Vec::new(),
    };
    let submission = SubmissionId(job.0.into());
    let at = Timestamp::from_millis(job.0);
    let notice = Notice {
        occasion: Occasion::Done,
        target: NotifyTarget::Url(format!("http://{address}/")),
        name: "j".to_owned(),
        items: 0,
        items_failed: 0,
        text: "it is done".to_owned(),
        at,
    };
    let owner = Owner::Operator;
    let accepted = Record::JobAccepted { job, submission, owner, spec, retry_of: None, at };
    vec![accepted, Record::NoticeDue { job, notice }]
}

#[tokio::test]
async fn a_target_that_does_not_answer_keeps_no_other_waiting() {
    const SLOW: u64 = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    // Whoever calls it waits.
    let slow = TcpListener::bind("127.0.0.1:0").expect("bound");
    let slow_address = slow.local_addr().expect("bound");
    let (quick, told) = quick_target();
    let mut all: Vec<_> = (1..=SLOW).flat_map(|job| records(job, slow_address)).collect();
    all.extend(records(SLOW + 1, quick));
    store.commit(Sequence(1), all).await.expect("queued");
    assert_eq!(commits.next().await.expect("durable"), Sequence(1));

    let notices = Arc::new(Notices::new(Vec::new()));
    let notifier = Notifier {
        project: "trial".to_owned(),
        clock: Clock::start(),
        store: store.clone(),
        notices: Arc::clone(&notices),
    };
    let mut tries = notices.tries.subscribe();
    let stop = CancellationToken::new();
    let running = tokio::spawn(notifier.run(stop.clone()));
    tries.changed().await.expect("somebody was told");
    assert_eq!(*tries.borrow(), 1, "those that wait had their time before");
    let due = store.due_notices(Clock::start().now()).await.expect("reads").due;
    assert!(due.iter().all(|stored| stored.job.0 <= SLOW && stored.tries == 0), "{due:?}");
    told.join().expect("the quick one was called");
    stop.cancel();
    running.await.expect("no panic");
}

#[test]
fn tries_are_ever_further_apart_and_end() {
    let pauses: Vec<_> = (1..TRIES_MAX).map(|tries| retry_pause(tries).as_secs()).collect();
    assert_eq!(pauses, [1, 4, 16, 64, 256, 1024, 3600, 3600, 3600]);
    assert_eq!(retry_pause(u32::MAX), RETRY_PAUSE_MAX);
}
