use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use gleaner_protocol::WorkerId;
use gleaner_protocol::api::{JobState, JobView, StageState, WorkerView};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::render::draw;
use super::*;

fn views() -> (JobView, Vec<WorkerView>) {
    let job = r#"{"job": "job-7", "name": "planets", "state": "running", "version": 3,
        "submitted_at": "2026-11-22T14:00:00Z", "ended_at": null, "failure": null, "stages": [
        {"name": "search", "state": "open", "items": 2001, "items_settled": 800,
         "units_settled": 100, "attempts_running": 4, "attempts_assigned": 12,
         "attempts_inconclusive": 1, "cpu_seconds": 700.0},
        {"name": "report", "state": "blocked", "items": null, "items_settled": 0,
         "units_settled": 0, "attempts_running": 0, "attempts_assigned": 0,
         "attempts_inconclusive": 0, "cpu_seconds": 0.0}]}"#;
    let worker = |key: u8, leases: u64, running: u64| {
        serde_json::json!({"worker": WorkerId([key; 32]), "slots": 2, "leases": leases,
            "running": running, "results": 50, "connected_at": "soon", "cpu_seconds": 350.5})
    };
    let workers = serde_json::json!([worker(1, 12, 2), worker(2, 0, 0)]);
    (
        serde_json::from_str(job).expect("a job's view"),
        serde_json::from_value(workers).expect("workers' views"),
    )
}

/// A page on which 400 items were settled in the last 20 seconds.
fn page() -> Page {
    let (job, workers) = views();
    let begun = Instant::now();
    let mut page = Page::new(job.clone(), begun);
    let mut later = job;
    later.stages[0].items_settled = 1200;
    page.on_job(later, begun + Duration::from_secs(20));
    page.on_workers(workers);
    page
}

fn check(page: &Page, (width, height): (u16, u16), expected: Expect) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(page, frame)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let lines: Vec<_> = (0..height).map(|y| line(y).trim_end().to_owned()).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_wide_terminal_shows_everything() {
    let mut page = page();
    page.on_message("the coordinator is away; waiting for it to come back".into());
    check(
        &page,
        (100, 16),
        expect![[r#"
        job-7  planets  running
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────────────────── 59 %
        1200 of ? items  20.0 items/s  about 40.0 s left  11 min 40 s of CPU
         stages ────────────────────────────────────────────────────────────────────────────────────────────
        search  ━━━━━━━━━━━━━━─────────── 59 %  1200 of 2001 items, 4 running, 12 assigned, 1 retried
        report  waits for an earlier stage

         workers: 2 with 4 slots ───────────────────────────────────────────────────────────────────────────
        worker             slots  running  assigned  results   CPU            connected since
        worker-aeaqcaiba   2      2        10        50        5 min 50 s     soon
        worker-aibaeaqca   2      0        0         50        5 min 50 s     soon
         messages ──────────────────────────────────────────────────────────────────────────────────────────
        the coordinator is away; waiting for it to come back


        p pauses it; q leaves, and it goes on"#]],
    );
}

#[test]
fn a_narrow_terminal_shows_what_matters() {
    check(
        &page(),
        (40, 14),
        expect![[r#"
        job-7  planets  running
        ━━━━━━━━━━━━━━━━━━━━─────────────── 59 %
        1200 of ? items  20.0 items/s  about 40.
         stages ────────────────────────────────
        search  59 %  1200 of 2001 items, 4 runn
        report  waits for an earlier stage

         workers: 2 with 4 slots ───────────────
        worker           slots running results
        worker-aeaqcaiba 2     2       50
        worker-aibaeaqca 2     0       50


        p pauses it; q leaves, and it goes on"#]],
    );
}

#[test]
fn any_size_can_be_drawn_on() {
    for width in 1..30 {
        for height in 1..12 {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            terminal.draw(|frame| draw(&page(), frame)).expect("drawn");
        }
    }
}

#[test]
fn a_failure_and_a_strangers_words_are_shown_as_text() {
    let mut page = page();
    page.job.name = "pla\u{1b}[2Jnets".into();
    (page.job.state, page.job.failure) = (JobState::Failed, Some("item 3\n trapped".into()));
    page.job.stages[0].state = StageState::Done;
    page.on_workers(Vec::new());
    check(
        &page,
        (72, 14),
        expect![[r#"
        job-7  pla\u{1b}[2Jnets  failed
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────── 59 %
        1200 of ? items  20.0 items/s  about 40.0 s left  11 min 40 s of CPU
         stages ────────────────────────────────────────────────────────────────
        search  done, 1200 items
        report  waits for an earlier stage

         workers: 0 with 0 slots ───────────────────────────────────────────────
        none is connected: the job waits for one

         messages ──────────────────────────────────────────────────────────────
        item 3\n trapped

        p pauses it; q leaves, and it goes on"#]],
    );
}

#[test]
fn the_rate_is_that_of_the_last_half_minute() {
    let (mut job, _) = views();
    let begun = Instant::now();
    let mut page = Page::new(job.clone(), begun);
    assert_eq!((page.rate(), page.time_left()), (None, None));
    let stage = |job: &mut JobView, settled| job.stages[0].items_settled = settled;
    for second in 1..=60 {
        stage(&mut job, 800 + second * 10);
        page.on_job(job.clone(), begun + Duration::from_secs(second));
    }
    assert_eq!(page.rate(), Some(10.0));
    // 601 items are left.
    assert_eq!(page.time_left(), Some(Duration::from_secs_f64(60.1)));
    page.on_tick(begun + Duration::from_secs(90));
    assert!(page.rate() < Some(1.0), "it falls while nothing comes");
    page.on_tick(begun + Duration::from_secs(300));
    assert_eq!(page.rate(), None, "long ago");
}

#[test]
fn a_message_that_is_said_again_is_shown_once() {
    let mut page = page();
    page.on_message("away".into());
    page.on_message("away".into());
    assert_eq!(page.messages.len(), 1);
    (0..200).for_each(|number| page.on_message(number.to_string()));
    assert_eq!(page.messages.len(), MESSAGES_MAX);
}

#[test]
fn keys_are_wishes() {
    let key = |code, modifiers| wish_of(KeyEvent::new(code, modifiers));
    assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Leave));
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Interrupt));
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
    assert_eq!(key(KeyCode::Char('p'), KeyModifiers::NONE), Some(Wish::Pause));
}
