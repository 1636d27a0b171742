//! All that the program prints.
//!
//! Results go to stdout; notes, progress and failures to stderr. Every line is escaped here, as it
//! may hold a stranger's words: control characters would move a terminal's cursor or fake a line,
//! and directional overrides would make a name read as another. Only the live page of `watch` draws
//! on the terminal by itself, with the same [`escape`]. Deliberately absent: what to say, which is
//! in `words` and the commands.

mod gauge;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use gleaner_protocol::api::{ApiError, JobState, JobView, StageState, StageView};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::Exit;
use crate::words;

pub use gauge::{Gauge, Measure};

/// How often live bars are drawn again, so that the time goes on.
const TICK: Duration = Duration::from_millis(250);

/// How often a line of progress is printed where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

const BAR_OF_KNOWN_ITEMS: &str =
    "{prefix}  {wide_bar} {human_pos}/{human_len}  {per_sec:1}  {eta} left  {msg}";
const BAR_OF_UNKNOWN_ITEMS: &str = "{prefix}  {spinner} {human_pos} items  {per_sec:1}  {msg}";
const BAR_WITHOUT_ITEMS: &str = "{prefix}  {msg}";

/// For whom to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// What was answered to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes, in so many words.
    Yes,
    /// Anything else.
    No,
}

/// Why something could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The reader has gone, as `head` does when it has enough.
    #[error("nobody reads the output any more")]
    Closed,
    /// The output cannot be written.
    #[error("cannot print")]
    Io(#[source] io::Error),
}

impl PrintError {
    /// Whether `error` is that the reader has gone.
    pub fn is_closed(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Self::Closed)))
    }
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Prints, in one form.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    form: Form,
}

impl Printer {
    /// A printer of one form.
    pub fn new(form: Form) -> Self {
        Self { form }
    }

    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether a person is at a terminal, to see a page and to press keys.
    pub fn has_terminal(&self) -> bool {
        self.form == Form::Text && io::stdout().is_terminal() && io::stdin().is_terminal()
    }

    /// Prints a result: `lines` for people, `value` as one line of JSON for programs.
    ///
    /// # Errors
    /// [`PrintError`].
    pub fn result(
        &self,
        value: &impl Serialize,
        lines: impl FnOnce() -> Vec<String>,
    ) -> Result<(), PrintError> {
        let mut out = io::stdout().lock();
        match self.form {
            Form::Json => {
                serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Form::Text => {
                for line in lines() {
                    writeln!(out, "{}", escape(&line))?;
                }
            }
        }
        Ok(out.flush()?)
    }

    /// Prints a remark for people that is no result.
    pub fn note(&self, line: &str) {
        if self.form == Form::Text {
            to_stderr(&format!("{}\n", escape(line)));
        }
    }

    /// Whether there is somebody to ask.
    pub fn can_ask(&self) -> bool {
        self.form == Form::Text && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question on the terminal and waits for a line: only `y` or `yes` is a yes.
    ///
    /// # Errors
    /// [`PrintError::Io`] when the terminal cannot be read.
    pub fn ask(&self, question: &str) -> Result<Reply, PrintError> {
        to_stderr(&format!("{} ", escape(question)));
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Reply::Yes,
            _ => Reply::No,
        })
    }

    /// Prints what went wrong, and what to do.
    pub fn failure(&self, line: &str, hint: Option<&str>) {
        let (error, hint) = (line.to_owned(), hint.map(str::to_owned));
        match self.form {
            Form::Json => {
                let json = serde_json::to_string(&ApiError { error, hint });
                to_stderr(&format!("{}\n", json.expect("two texts are JSON")));
            }
            Form::Text => {
                to_stderr(&format!("error: {}\n", escape(&error)));
                if let Some(hint) = hint {
                    to_stderr(&format!("hint: {}\n", escape(&hint)));
                }
            }
        }
    }

    /// Begins to show the progress of a job: live bars on a terminal, lines elsewhere, nothing to
    /// programs.
    pub fn progress(&self) -> Progress {
        match self.form {
            Form::Json => Progress::Silent,
            Form::Text if io::stderr().is_terminal() => Progress::Live {
                bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
                stages: Vec::new(),
            },
            Form::Text => Progress::Plain { printer: *self, stages: Vec::new() },
        }
    }

    /// Begins to show how far long work is, in the same way.
    pub fn gauge(&self) -> Gauge {
        Gauge::new(*self)
    }
}

/// Prints what clap has to say about the command line.
pub fn usage(error: &clap::Error) -> Exit {
    // Help to a reader that has gone is no failure.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The progress of a job as it is shown.
pub enum Progress {
    /// Nothing.
    Silent,
    /// A bar for each stage.
    Live {
        /// The bars' common place.
        bars: MultiProgress,
        /// A bar for each stage.
        stages: Vec<StageBar>,
    },
    /// Lines.
    Plain {
        /// Where to.
        printer: Printer,
        /// What was last said of each stage.
        stages: Vec<Said>,
    },
}

/// A stage's bar.
pub struct StageBar {
    bar: ProgressBar,
    template: &'static str,
    /// Of the items it shows, those that an earlier job answered.
    items_kept: u64,
}

/// What was last said of a stage, and what it was when its rate began to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    state: StageState,
    at: Instant,
    first_computed: u64,
    first_at: Instant,
}

impl Progress {
    /// Shows where the job stands now. A job that ended before its stages did leaves what was
    /// shown last: they stand as they were, and do not go on.
    pub fn update(&mut self, job: &JobView) {
        if job.state.is_final() && job.state != JobState::Done {
            return;
        }
        match self {
            Self::Silent => {}
            Self::Live { bars, stages } => {
                while stages.len() < job.stages.len() {
                    stages.push(StageBar::new(bars.add(ProgressBar::new(0))));
                }
                let width = job.stages.iter().map(|stage| stage.name.chars().count()).max();
                for (bar, stage) in stages.iter_mut().zip(&job.stages) {
                    bar.update(stage, width.unwrap_or(0));
                }
            }
            Self::Plain { printer, stages } => {
                for (index, stage) in job.stages.iter().enumerate() {
                    say(printer, stages, index, stage);
                }
            }
        }
    }

    /// Prints a remark without tearing the bars.
    pub fn note(&self, printer: &Printer, line: &str) {
        match self {
            Self::Live { bars, .. } => bars.suspend(|| printer.note(line)),
            _ => printer.note(line),
        }
    }

    /// Leaves what was shown last.
    pub fn finish(self) {
        if let Self::Live { stages, .. } = self {
            stages.iter().for_each(|stage| stage.bar.abandon());
        }
    }
}

impl StageBar {
    fn new(bar: ProgressBar) -> Self {
        let template = BAR_WITHOUT_ITEMS;
        Self { bar: bar.with_style(bar_style(template)), template, items_kept: 0 }
    }

    fn update(&mut self, stage: &StageView, width: usize) {
        // What was settled when it was first seen, or is known from an earlier job, is no progress.
        let is_first = self.template == BAR_WITHOUT_ITEMS || self.items_kept != stage.items_kept;
        self.items_kept = stage.items_kept;
        let template = match (stage.state, stage.items) {
            (StageState::Open, Some(_)) => BAR_OF_KNOWN_ITEMS,
            (StageState::Open, None) => BAR_OF_UNKNOWN_ITEMS,
            _ => BAR_WITHOUT_ITEMS,
        };
        if self.template != template {
            self.template = template;
            self.bar.set_style(bar_style(template));
            match stage.state {
                StageState::Open => self.bar.enable_steady_tick(TICK),
                _ => self.bar.disable_steady_tick(),
            }
        }
        self.bar.set_position(stage.items_settled);
        if let Some(items) = stage.items {
            self.bar.set_length(items);
        }
        self.bar.set_prefix(format!("{:width$}", escape(&stage.name)));
        self.bar.set_message(match stage.state {
            StageState::Open => words::attempts(stage),
            _ => words::stage(stage),
        });
        if is_first {
            // The bar has noted the position by now; the rate is measured from here.
            self.bar.reset_eta();
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates are sound");
    style.progress_chars("━╸ ")
}

/// Says where a stage stands when its state has changed or some time has passed.
fn say(printer: &Printer, said: &mut Vec<Said>, index: usize, stage: &StageView) {
    let now = Instant::now();
    let before = said.get(index).copied();
    let is_due = match before {
        None => stage.state != StageState::Blocked,
        Some(said) => {
            said.state != stage.state
                || (stage.state == StageState::Open && now - said.at >= PLAIN_INTERVAL)
        }
    };
    let computed = words::items_computed(stage);
    let opened = Said { state: stage.state, at: now, first_computed: computed, first_at: now };
    let first = before.filter(|said| said.state != StageState::Blocked).unwrap_or(opened);
    if before.is_none() {
        said.push(first);
    }
    if is_due {
        let computed = computed.saturating_sub(first.first_computed);
        printer.note(&words::progress(stage, computed, now - first.first_at));
        said[index] = Said { state: stage.state, at: now, ..first };
    }
}

fn to_stderr(text: &str) {
    // There is nowhere left to say that stderr is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// `line` without anything that a terminal would act on.
pub fn escape(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_dangerous) {
        return Cow::Borrowed(line);
    }
    let escape = |c: char| match is_dangerous(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(line.chars().map(escape).collect())
}

/// Control characters, line and paragraph separators, and characters that reorder text (Unicode
/// Standard Annex 9).
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(escape("plain, ünïcode"), "plain, ünïcode");
        assert_eq!(escape("a\x1b[2J\nb\r\t"), "a\\u{1b}[2J\\nb\\r\\t");
        assert_eq!(escape("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(escape("\u{9b}0m"), "\\u{9b}0m");
    }

    #[test]
    fn what_is_known_from_an_earlier_job_is_no_rate() {
        let stage = |items_settled, items_kept| StageView {
            name: "s".into(),
            state: StageState::Open,
            items: Some(60),
            items_settled,
            items_kept,
            items_failed: 0,
            units_settled: 0,
            attempts_running: 1,
            attempts_assigned: 0,
            attempts_inconclusive: 0,
            cpu_seconds: 0.0,
            cpu_seconds_unanswered: 0.0,
        };
        let blocked = StageView { state: StageState::Blocked, items: None, ..stage(0, 0) };
        let mut bar = StageBar::new(ProgressBar::hidden());
        bar.update(&blocked, 1);
        for known in [stage(30, 30), stage(50, 50)] {
            bar.update(&known, 1);
            assert_eq!(bar.bar.per_sec(), 0.0, "{known:?}");
        }
        bar.update(&stage(51, 50), 1);
        assert!(bar.bar.per_sec() > 0.0, "one was computed");
    }

    #[test]
    fn only_a_reader_that_has_gone_is_no_failure() {
        let closed = PrintError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(PrintError::is_closed(&closed.into()));
        let full = PrintError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!PrintError::is_closed(&full.into()));
    }
}
