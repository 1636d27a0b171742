//! The live page of `gleaner watch`: a job, its stages and the workers on a whole terminal.
//!
//! [`Page`] is what is known, [`render::draw`] a pure function of it, and [`Screen`] the terminal,
//! which is given back however the program ends: at the end of the job, by a key, a signal, an
//! error or a panic. What strangers wrote is escaped as the printer escapes it. Deliberately
//! absent: asking the coordinator, which the command does.

mod render;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use gleaner_protocol::api::{JobView, WorkerView};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use crate::words;

/// How far back the rate looks: long enough to be steady, short enough to show a change.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// The most messages that are kept; as many as a tall terminal shows.
const MESSAGES_MAX: usize = 50;

/// How often the thread that reads keys looks whether it is still wanted.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// What is known of a job while it is watched.
pub struct Page {
    job: JobView,
    workers: Vec<WorkerView>,
    /// What came up while it was watched, the newest last.
    messages: VecDeque<String>,
    /// How many items were computed when, the newest last.
    computed: VecDeque<(Instant, u64)>,
    now: Instant,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To see no more; the job goes on.
    Leave,
    /// To pause the job, or to let it go on when it is paused.
    Pause,
    /// To end the command, by Ctrl-C.
    Interrupt,
    /// To see the page at the terminal's new size.
    Redraw,
}

/// The terminal, taken over whole while this lives.
pub struct Screen {
    terminal: DefaultTerminal,
    wishes: mpsc::UnboundedReceiver<Wish>,
}

impl Page {
    /// A page of `job` as it stands at `now`.
    pub fn new(job: JobView, now: Instant) -> Self {
        let mut page = Self {
            job: job.clone(),
            workers: Vec::new(),
            messages: VecDeque::new(),
            computed: VecDeque::new(),
            now,
        };
        page.on_job(job, now);
        page
    }

    /// The job as it stands now.
    pub fn on_job(&mut self, job: JobView, now: Instant) {
        let computed = words::total(job.stages.iter().map(words::items_computed));
        self.computed.push_back((now, computed));
        self.job = job;
        self.on_tick(now);
    }

    /// The job as it was last heard of.
    pub fn job(&self) -> &JobView {
        &self.job
    }

    /// The workers that are connected now.
    pub fn on_workers(&mut self, workers: Vec<WorkerView>) {
        self.workers = workers;
    }

    /// Something to say.
    pub fn on_message(&mut self, message: String) {
        if self.messages.back() == Some(&message) {
            return;
        }
        self.messages.push_back(message);
        if self.messages.len() > MESSAGES_MAX {
            self.messages.pop_front();
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant) {
        self.now = now;
        // The last one before the window stays: the rate is measured from it.
        while self.computed.get(1).is_some_and(|(at, _)| now.duration_since(*at) > RATE_WINDOW) {
            self.computed.pop_front();
        }
    }

    /// Items computed a second, over the last half minute; none before anything was.
    fn rate(&self) -> Option<f64> {
        let (since, first) = *self.computed.front()?;
        let (_, last) = *self.computed.back()?;
        let seconds = self.now.duration_since(since).as_secs_f64();
        (last > first && seconds >= 1.0).then(|| (last - first) as f64 / seconds)
    }

    /// How long the items of the stages that are open will take at this rate.
    fn time_left(&self) -> Option<Duration> {
        let rate = self.rate()?;
        let left = |stage: &gleaner_protocol::api::StageView| {
            stage.items.unwrap_or(0).saturating_sub(stage.items_settled)
        };
        let left = words::total(self.job.stages.iter().map(left));
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When the terminal refuses; it is as it was then.
    pub fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (sender, wishes) = mpsc::unbounded_channel();
        let screen = Self { terminal, wishes };
        thread::Builder::new().name("keys".into()).spawn(move || read_keys(&sender))?;
        Ok(screen)
    }

    /// Draws `page`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, page: &Page) -> io::Result<()> {
        self.terminal.draw(|frame| render::draw(page, frame)).map(drop)
    }

    /// The next wish of the user's; none will come when the terminal cannot be read.
    pub async fn wish(&mut self) -> Option<Wish> {
        self.wishes.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Reads keys until nobody wants them any more. Reading blocks, so it has a thread of its own.
fn read_keys(wishes: &mpsc::UnboundedSender<Wish>) {
    while !wishes.is_closed() {
        let event = match event::poll(KEY_PATIENCE) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let wish = match event {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => wish_of(key),
            Ok(Event::Resize(..)) => Some(Wish::Redraw),
            Ok(_) => None,
            Err(_) => return,
        };
        if wish.is_some_and(|wish| wishes.send(wish).is_err()) {
            return;
        }
    }
}

fn wish_of(key: KeyEvent) -> Option<Wish> {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            Some(Wish::Interrupt)
        }
        KeyCode::Char('p') => Some(Wish::Pause),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
        _ => None,
    }
}
