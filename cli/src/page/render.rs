//! A page as it is drawn. Pure: a page and a size in, a frame out.

use std::borrow::Cow;
use std::time::Duration;

use gleaner_protocol::api::{JobState, StageState, StageView, WorkerView};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use super::Page;
use crate::printer::escape;
use crate::words;

const BAR_FULL: &str = "━";
const BAR_EMPTY: &str = "─";

/// The narrowest terminal on which stages have a bar and workers all their columns.
const WIDE: u16 = 72;

/// Whether there is room for everything that is known of a stage or a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breadth {
    Wide,
    Narrow,
}

impl Breadth {
    fn of(area: Rect) -> Self {
        if area.width >= WIDE { Self::Wide } else { Self::Narrow }
    }
}

/// What the stages, the workers and the messages need at least to be shown.
const SECTION_HEIGHT_MIN: u16 = 2;

/// Draws `page` on the whole frame. Sections that find no room are left out, the last ones first.
pub fn draw(page: &Page, frame: &mut Frame<'_>) {
    let stages = section_height(page.job.stages.len());
    let workers = section_height(page.workers.len().max(1));
    let areas = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(stages),
        Constraint::Length(workers),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .split(frame.area());
    draw_summary(page, frame, areas[0]);
    draw_stages(page, frame, areas[1]);
    draw_workers(page, frame, areas[2]);
    draw_messages(page, frame, areas[3]);
    let footer = match page.job.state {
        JobState::Paused => "p lets it go on; q leaves it",
        _ => "p pauses it; q leaves, and it goes on",
    };
    let footer = Line::from(footer).dim();
    frame.render_widget(Paragraph::new(footer), areas[4]);
}

fn section_height(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(2)
}

fn draw_summary(page: &Page, frame: &mut Frame<'_>, area: Rect) {
    let job = &page.job;
    let rows = Layout::vertical([Constraint::Length(1); 3]).split(area);
    let state = words::job_state(job.state);
    let title = Line::from(vec![
        Span::from(job.job.to_string()).bold(),
        Span::from("  "),
        Span::from(escape(&job.name)).bold(),
        Span::from("  "),
        Span::from(state).style(state_style(job.state)),
    ]);
    frame.render_widget(Paragraph::new(title), rows[0]);
    let fraction = words::fraction(job);
    let label = format!(" {:>3}", words::percent(fraction));
    let width = area.width.saturating_sub(u16::try_from(label.len()).unwrap_or(0));
    let mut progress = bar(fraction, width);
    progress.push(Span::from(label));
    frame.render_widget(Paragraph::new(Line::from(progress)), rows[1]);
    frame.render_widget(Paragraph::new(summary(page)), rows[2]);
}

/// Items, rate, time left and CPU in a line, the most important first.
fn summary(page: &Page) -> String {
    let mut parts = vec![format!("{} items", words::job_items(&page.job))];
    if let Some(rate) = page.rate() {
        parts.push(format!("{rate:.1} items/s"));
    }
    if let Some(left) = page.time_left().filter(|left| !left.is_zero()) {
        parts.push(format!("about {} left", words::span(left)));
    }
    let cpu: f64 = page.job.stages.iter().map(|stage| stage.cpu_seconds).sum();
    parts.push(format!(
        "{} of CPU",
        words::span(Duration::try_from_secs_f64(cpu).unwrap_or_default())
    ));
    parts.join("  ")
}

fn draw_stages(page: &Page, frame: &mut Frame<'_>, area: Rect) {
    let Some(area) = section("stages", frame, area) else { return };
    let names = page.job.stages.iter().map(|stage| escape(&stage.name).chars().count());
    let longest = names.max().unwrap_or(0);
    let room = if area.width < WIDE { 12 } else { 24 };
    let name_width = u16::try_from(longest).unwrap_or(room).min(room);
    let lines: Vec<Line<'_>> = page
        .job
        .stages
        .iter()
        .take(area.height.into())
        .map(|stage| stage_line(stage, name_width, area.width))
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn stage_line(stage: &StageView, name_width: u16, width: u16) -> Line<'_> {
    let name: String = escape(&stage.name).chars().take(name_width.into()).collect();
    let mut spans = vec![Span::from(format!("{name:0$}  ", usize::from(name_width)))];
    if let (StageState::Open, Some(items)) = (stage.state, stage.items) {
        let fraction = stage.items_settled as f64 / items.max(1) as f64;
        if width >= WIDE {
            spans.extend(bar(fraction, width / 4));
            spans.push(Span::from(" "));
        }
        spans.push(Span::from(format!("{:>3}  ", words::percent(fraction))));
    }
    spans.push(match stage.state {
        StageState::Blocked => Span::from(words::stage(stage)).dim(),
        StageState::Done => Span::from(words::stage(stage)).green(),
        StageState::Open | StageState::Reducing => Span::from(words::stage(stage)),
    });
    Line::from(spans)
}

fn draw_workers(page: &Page, frame: &mut Frame<'_>, area: Rect) {
    let slots = words::total(page.workers.iter().map(|worker| u64::from(worker.slots)));
    let title = format!("workers: {} with {slots} slots", page.workers.len());
    let Some(area) = section(&title, frame, area) else { return };
    if page.workers.is_empty() {
        let line = Line::from("none is connected: the job waits for one").yellow();
        return frame.render_widget(Paragraph::new(line), area);
    }
    let breadth = Breadth::of(area);
    let (widths, head): (&[u16], &[&str]) = match breadth {
        Breadth::Wide => (
            &[18, 6, 8, 9, 9, 14, 20],
            &["worker", "slots", "running", "assigned", "results", "CPU", "connected since"],
        ),
        Breadth::Narrow => (&[16, 5, 7, 7], &["worker", "slots", "running", "results"]),
    };
    let widths = widths.iter().copied().map(Constraint::Length);
    let rows = page.workers.iter().map(|worker| worker_row(worker, breadth));
    let table = Table::new(rows, widths).header(Row::new(head.iter().copied()).dim());
    frame.render_widget(table, area);
}

fn worker_row(worker: &WorkerView, breadth: Breadth) -> Row<'static> {
    let (slots, running) = (worker.slots.to_string(), worker.running.to_string());
    let mut cells = vec![words::short(worker.worker), slots, running];
    if breadth == Breadth::Wide {
        cells.push(worker.leases.saturating_sub(worker.running).to_string());
    }
    cells.push(worker.results.to_string());
    if breadth == Breadth::Wide {
        let cpu = Duration::try_from_secs_f64(worker.cpu_seconds).unwrap_or_default();
        cells.extend([words::span(cpu), words::local_time(&worker.connected_at)]);
    }
    Row::new(cells.into_iter().map(|cell| Cell::from(escape(&cell).into_owned())))
}

fn draw_messages(page: &Page, frame: &mut Frame<'_>, area: Rect) {
    if page.messages.is_empty() && page.job.failure.is_none() {
        return;
    }
    let Some(area) = section("messages", frame, area) else { return };
    let failure = page.job.failure.as_deref().map(|failure| Line::from(escape(failure)).red());
    let said = page.messages.iter().map(|message| Line::from(escape(message)));
    let mut lines: Vec<Line<'_>> = said.chain(failure).collect();
    let hidden = lines.len().saturating_sub(area.height.into());
    lines.drain(..hidden);
    frame.render_widget(Paragraph::new(lines), area);
}

/// The area below a section's title; none when there is no room for it.
fn section(title: &str, frame: &mut Frame<'_>, area: Rect) -> Option<Rect> {
    if area.height < SECTION_HEIGHT_MIN {
        return None;
    }
    let title = Line::from(format!(" {title} ")).dim();
    let block = Block::new().borders(Borders::TOP).border_style(Style::new().dim()).title(title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    Some(inside)
}

/// A bar of `width` columns, `fraction` of it full.
fn bar(fraction: f64, width: u16) -> Vec<Span<'static>> {
    let width = usize::from(width);
    // A job that is not done is never shown as full.
    let full = ((fraction.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    vec![
        Span::from(Cow::from(BAR_FULL.repeat(full))).style(Style::new().fg(Color::Cyan)),
        Span::from(Cow::from(BAR_EMPTY.repeat(width - full))).dim(),
    ]
}

fn state_style(state: JobState) -> Style {
    match state {
        JobState::Running => Style::new().fg(Color::Cyan),
        JobState::Paused => Style::new().fg(Color::Magenta),
        JobState::Done => Style::new().fg(Color::Green),
        JobState::Failed => Style::new().fg(Color::Red),
        JobState::Cancelled => Style::new().fg(Color::Yellow),
    }
}
