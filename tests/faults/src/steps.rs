//! Operations that change a disk: counted, and one of them the moment at which something goes
//! wrong.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;

use fuser::Errno;

/// Operations that are told when a test fails.
const TOLD_MAX: usize = 60;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A new file.
    Create,
    /// Bytes written.
    Write,
    /// A file made shorter or longer.
    Resize,
    /// A file synced.
    Sync,
    /// A folder synced.
    SyncFolder,
    /// A file or folder under another name.
    Rename,
    /// One more name for a file.
    Link,
    /// A file's name removed.
    Unlink,
    /// A new folder.
    MakeFolder,
    /// A folder removed.
    RemoveFolder,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Create, "create"),
    (Kind::Write, "write"),
    (Kind::Resize, "resize"),
    (Kind::Sync, "sync"),
    (Kind::SyncFolder, "sync-folder"),
    (Kind::Rename, "rename"),
    (Kind::Link, "link"),
    (Kind::Unlink, "unlink"),
    (Kind::MakeFolder, "make-folder"),
    (Kind::RemoveFolder, "remove-folder"),
];

/// One operation of a run: the 7th of all, or the 7th of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which are counted; all without one.
    pub kind: Option<Kind>,
    /// Its number, from 1.
    pub number: u64,
}

/// What goes wrong, from one step on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is written or read any more, until the disk is started again.
    PowerCut,
    /// Operations fail.
    Fail {
        /// In which way.
        error: Failure,
        /// How many.
        operations: u64,
    },
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`.
    Io,
    /// `ENOSPC`, of what needs room.
    NoRoom,
}

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When.
    pub step: Step,
    /// What.
    pub trouble: Trouble,
}

/// How many operations there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of each kind.
    pub of_kind: BTreeMap<Kind, u64>,
}

/// Counts operations and says which go wrong.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    plan: Option<Plan>,
    /// Whether what was planned has begun.
    has_begun: bool,
    counts: Counts,
    is_cut: bool,
    /// How many operations fail from here on, and how.
    failing: Option<(Failure, u64)>,
    failed: u64,
    told: VecDeque<String>,
    /// What there was to be told when something went wrong first.
    told_at_trouble: Option<String>,
}

impl Kind {
    fn needs_room(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Write
                | Self::Resize
                | Self::Rename
                | Self::Link
                | Self::MakeFolder
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = KINDS.iter().find(|(kind, _)| kind == self).expect("all kinds have names");
        f.pad(name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind}:{}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

/// Why a text names no step.
#[derive(Debug, PartialEq, Eq)]
pub struct NoStep;

impl fmt::Display for NoStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = KINDS.map(|(_, name)| name).join(", ");
        write!(f, "a step is a number, such as 7, or one of a kind, such as write:7, of {kinds}")
    }
}

impl std::error::Error for NoStep {}

impl FromStr for Step {
    type Err = NoStep;

    fn from_str(text: &str) -> Result<Self, NoStep> {
        let (kind, number) = match text.split_once(':') {
            Some((name, number)) => {
                let kind = KINDS.iter().find(|(_, known)| *known == name).ok_or(NoStep)?;
                (Some(kind.0), number)
            }
            None => (None, text),
        };
        let number = number.parse().map_err(|_| NoStep)?;
        Ok(Self { kind, number })
    }
}

impl Counts {
    /// Of all kinds together.
    pub fn all(&self) -> u64 {
        self.of_kind.values().sum()
    }

    /// Of one kind, or of all.
    pub fn of(&self, kind: Option<Kind>) -> u64 {
        match kind {
            Some(kind) => self.of_kind.get(&kind).copied().unwrap_or_default(),
            None => self.all(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations", self.all())?;
        self.of_kind.iter().try_for_each(|(kind, count)| write!(f, ", {kind} {count}"))
    }
}

impl Steps {
    pub(crate) fn with_plan(plan: Option<Plan>) -> Self {
        Self { plan, ..Self::default() }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Those of a disk that is started again: nothing goes wrong any more.
    pub(crate) fn after_power_cut(&self) -> Self {
        Self { has_begun: self.has_begun, ..Self::default() }
    }

    /// The last operations before something went wrong first, or until now; a line each.
    pub(crate) fn told(&self) -> String {
        let told = || self.told.iter().map(|line| format!("{line}\n")).collect();
        self.told_at_trouble.clone().unwrap_or_else(told)
    }

    pub(crate) fn plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
    }

    /// Lets whatever comes pass.
    pub(crate) fn mend(&mut self) {
        (self.plan, self.failing) = (None, None);
    }

    /// One operation on `what`; how it fails, if it does.
    pub(crate) fn take(&mut self, kind: Kind, what: &str) -> Result<(), Errno> {
        if self.is_cut {
            return Err(Errno::EIO);
        }
        *self.counts.of_kind.entry(kind).or_default() += 1;
        self.begin_trouble(kind);
        let taken = self.outcome(kind);
        self.tell(kind, what, taken);
        taken
    }

    fn begin_trouble(&mut self, kind: Kind) {
        let Some(Plan { step, trouble }) = self.plan else { return };
        let is_counted = step.kind.is_none_or(|counted| counted == kind);
        if !is_counted || self.counts.of(step.kind) != step.number {
            return;
        }
        self.plan = None;
        self.has_begun = true;
        match trouble {
            Trouble::PowerCut => self.is_cut = true,
            Trouble::Fail { error, operations } => self.failing = Some((error, operations)),
        }
    }

    fn outcome(&mut self, kind: Kind) -> Result<(), Errno> {
        if self.is_cut {
            return Err(Errno::EIO);
        }
        let Some((failure, operations)) = self.failing else { return Ok(()) };
        self.failing = operations.checked_sub(1).filter(|left| *left > 0).map(|n| (failure, n));
        let error = match failure {
            Failure::Io => Errno::EIO,
            Failure::NoRoom if kind.needs_room() => Errno::ENOSPC,
            Failure::NoRoom => return Ok(()),
        };
        self.failed += 1;
        Err(error)
    }

    fn tell(&mut self, kind: Kind, what: &str, taken: Result<(), Errno>) {
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        let outcome = match taken {
            Ok(()) => String::new(),
            Err(_) if self.is_cut => "  <- the power is cut here".to_owned(),
            Err(error) => format!("  <- fails, {error:?}"),
        };
        self.told.push_back(format!("{:>6} {kind:<13} {what}{outcome}", self.counts.all()));
        if taken.is_err() && self.told_at_trouble.is_none() {
            self.told_at_trouble = Some(self.told());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(plan: Plan, kinds: &[Kind]) -> (String, bool) {
        let mut steps = Steps::with_plan(Some(plan));
        let mut outcome = |kind| if steps.take(kind, "a file").is_ok() { '.' } else { 'x' };
        let outcomes = kinds.iter().map(|kind| outcome(*kind)).collect();
        (outcomes, steps.after_power_cut().has_begun())
    }

    #[test]
    fn one_step_goes_wrong_and_those_that_follow_as_the_plan_says() {
        use Kind::{Sync, Write};
        let kinds = [Write, Sync, Write, Sync, Write, Sync];
        let fail = |error, operations| Trouble::Fail { error, operations };
        for (step, trouble, expected) in [
            ("2", Trouble::PowerCut, ".xxxxx"),
            ("sync:2", Trouble::PowerCut, "...xxx"),
            ("3", fail(Failure::Io, 1), "..x..."),
            ("write:2", fail(Failure::Io, 2), "..xx.."),
            ("2", fail(Failure::NoRoom, 4), "..x.x."),
            ("7", Trouble::PowerCut, "......"),
        ] {
            let step = step.parse().expect("a step");
            let (outcomes, has_begun) = outcomes(Plan { step, trouble }, &kinds);
            assert_eq!(outcomes, expected, "{step} {trouble:?}");
            assert_eq!(has_begun, expected.contains('x'), "{step} {trouble:?}");
        }
    }

    #[test]
    fn a_step_is_read_as_it_is_written() {
        for text in ["12", "sync-folder:3"] {
            assert_eq!(text.parse::<Step>().expect("a step").to_string(), text);
        }
        assert_eq!("nap:3".parse::<Step>(), Err(NoStep));
        assert_eq!("write:x".parse::<Step>(), Err(NoStep));
    }
}
