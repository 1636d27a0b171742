//! A stage: its items are cut into units as units are asked for, and its units are handed out.
//!
//! ```text
//! Blocked ──items known──► Open ──last unit settled──► Reducing ──output durable──► Done
//! ```
//! Waiting units cost nothing: they are the items after the last block cut. Units in flight have
//! an entry; a settled one is a bit of its block. Where the job goes on when an item fails, a unit
//! of several items that finds no answer is replaced: its bit is set, and a block of units of one
//! item each has its items, so that what fails does not depend on how units were cut.

mod charges;
mod late;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_protocol::limits::ITEMS_PER_UNIT_MAX;
use gleaner_protocol::{
    BlobHash, BlobRef, ItemRange, OnFailure, StageIndex, StageSpec, Timestamp, UnitSize, WorkerId,
};

use crate::cut::{CutBlock, CutKind};
use crate::locality::Needed;
use crate::pace::{Pace, Usual};
use crate::sizing::{BLOCK_UNITS_FIXED, CutAdvice, ItemCost};
use crate::slot_time::{Charge, SlotTime};
use crate::tail::Tail;
use crate::unit::{Agreement, HeldLease, Holder, Unit};
use crate::wanting::{Fit, Wanting};
use crate::{
    Block, FirstNumbers, KeptRun, Opening, Opinion, RecoveredStage, StageOutput, StageSnapshot,
    StageState,
};

/// How many waiting units are looked at to find one a worker may take, before it gets a fresh one.
const WANTING_SEARCH_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Stage {
    index: StageIndex,
    input: BlobHash,
    unit_size: UnitSize,
    unit_items_max: u64,
    memory_bytes: u64,
    needed: Needed,
    on_failure: OnFailure,
    state: StageState,
    items: Option<u64>,
    made: Option<BlobRef>,
    next_item: u64,
    /// Answers taken over, in the order of their items; they lie between blocks.
    kept: Vec<KeptRun>,
    blocks: Vec<CutBlock>,
    /// Where numbers of attempts begin. Those of a job taken since the last start begin with 1: none
    /// was ever called like it.
    first: FirstNumbers,
    /// The place among the blocks of the newest one with items never cut before.
    newest: Option<usize>,
    units: BTreeMap<u64, Unit>,
    wanting: Wanting,
    /// What is out, once nothing is left that was never handed out.
    tail: Option<Tail>,
    cost: ItemCost,
    usual: Usual,
    items_settled: u64,
    items_failed: u64,
    /// Items of units that were replaced, whose bits are set without their items being settled.
    items_replaced: u64,
    units_settled: u64,
    attempts_leased: u64,
    /// Those of them that run, as far as their workers have said.
    attempts_running: u64,
    /// What its leases should still take, and what they have had, ended ones too.
    charged_out: SlotTime,
    charged_had: SlotTime,
    attempts_inconclusive: u64,
    cpu: Duration,
    /// What attempts took that ended without an answer.
    cpu_unanswered: Duration,
    outputs: Vec<StageOutput>,
}

/// What a worker is offered to take next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A unit, by its number, that is in the books.
    Unit(u64),
    /// Nothing until a block is cut: its proposed size.
    Cut {
        /// Its items.
        items: ItemRange,
        /// Items in each unit.
        unit_items: u32,
        /// How many units that makes.
        units: u32,
    },
}

/// What of a stage is with no worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Units that want another attempt.
    pub(crate) again: u64,
    /// Units that were cut and never handed out.
    pub(crate) ahead: u64,
    /// Items behind the last block.
    pub(crate) items_uncut: u64,
    /// Units that wait for whoever had them before a restart.
    pub(crate) for_holders: u64,
}

impl Waiting {
    /// Whether any worker could be given some.
    pub(crate) fn is_for_anybody(self) -> bool {
        self.again + self.ahead + self.items_uncut > 0
    }
}

/// Where a unit of a stage is.
#[derive(Debug)]
pub(crate) enum Whereabouts<'a> {
    /// It was handed out and is not settled.
    InFlight(&'a Unit),
    /// It was cut and never handed out; so many units come before it.
    Ahead(u64),
    /// Its result is final.
    Settled,
}

impl Stage {
    pub(crate) fn new(index: StageIndex, spec: &StageSpec) -> Self {
        Self {
            index,
            input: spec.input_hash(),
            unit_size: spec.unit_size,
            unit_items_max: spec.unit_items_max.map_or(ITEMS_PER_UNIT_MAX, |max| max.get().into()),
            memory_bytes: spec.task.limits.memory_bytes,
            needed: Needed::by(&spec.task),
            on_failure: spec.task.on_failure,
            state: StageState::Blocked,
            items: None,
            made: None,
            next_item: 0,
            kept: Vec::new(),
            blocks: Vec::new(),
            first: FirstNumbers::default(),
            newest: None,
            units: BTreeMap::new(),
            wanting: Wanting::default(),
            tail: None,
            cost: ItemCost::default(),
            usual: Usual::default(),
            items_settled: 0,
            items_failed: 0,
            items_replaced: 0,
            units_settled: 0,
            attempts_leased: 0,
            attempts_running: 0,
            charged_out: SlotTime::default(),
            charged_had: SlotTime::default(),
            attempts_inconclusive: 0,
            cpu: Duration::ZERO,
            cpu_unanswered: Duration::ZERO,
            outputs: Vec::new(),
        }
    }

    /// A stage as a restart finds it. Units cut and not settled are in flight, waiting for nobody
    /// until [`Stage::end_grace`].
    pub(crate) fn recover(&mut self, recovered: RecoveredStage, quorum: u32, first: FirstNumbers) {
        self.items = recovered.items;
        self.made = recovered.made;
        self.limit_units(recovered.unit_items_max);
        self.items_settled = recovered.items_settled;
        self.items_failed = recovered.items_failed;
        self.units_settled = recovered.units_settled;
        self.attempts_inconclusive = recovered.attempts_inconclusive;
        self.cpu = recovered.cpu;
        self.cpu_unanswered = recovered.cpu_unanswered;
        self.state = match (&recovered.items, &recovered.outputs) {
            (_, Some(_)) => StageState::Done,
            (Some(items), None) if *items == recovered.items_settled => StageState::Reducing,
            (Some(_), None) => StageState::Open,
            (None, None) => StageState::Blocked,
        };
        self.outputs = recovered.outputs.unwrap_or_default();
        self.kept = recovered.kept;
        if self.state != StageState::Open {
            return;
        }
        for block in recovered.blocks {
            // Items that an earlier block has, too, were cut once more.
            let cut = match block.items.start >= self.next_item {
                true => CutKind::First,
                false => CutKind::Alone,
            };
            self.next_item = self.next_item.max(block.items.end);
            self.blocks.push(CutBlock::handed_out(block, cut));
        }
        self.skip_kept();
        for unit in recovered.settled {
            if let Some(block) = self.block_mut(unit) {
                block.mark_settled(unit);
            }
        }
        let closed: u64 = self.blocks.iter().map(CutBlock::settled_items).sum();
        let known = closed + self.items_kept();
        self.items_replaced = known.saturating_sub(self.items_settled);
        let open: Vec<u64> = self.blocks.iter().flat_map(CutBlock::unsettled).collect();
        self.first = first;
        let unrecorded = self.unrecorded_attempts(quorum);
        self.units.extend(open.into_iter().map(|unit| (unit, Unit::recovered(unrecorded))));
        self.recover_attempts(&recovered.attempts, &recovered.opinions, quorum);
        for (attempt, worker) in recovered.inconclusive {
            if let Some(unit) = self.units.get_mut(&attempt.unit.number) {
                unit.on_inconclusive(attempt.number, worker);
            }
        }
    }

    fn recover_attempts(
        &mut self,
        attempts: &[gleaner_protocol::AttemptId],
        opinions: &[Opinion],
        quorum: u32,
    ) {
        for attempt in attempts {
            if let Some(unit) = self.units.get_mut(&attempt.unit.number) {
                unit.raise_attempts_issued(attempt.number);
            }
        }
        for opinion in opinions {
            if let Some(unit) = self.units.get_mut(&opinion.unit().number) {
                unit.on_opinion(*opinion, quorum);
            }
        }
    }

    /// Opens the stage: its items are known, and so are the answers of `kept`, which are in the
    /// order of their items and do not overlap.
    pub(crate) fn open(&mut self, opening: Opening, kept: Vec<KeptRun>) {
        let items = opening.items;
        self.items = Some(items);
        self.made = opening.made;
        self.limit_units(opening.unit_items_max);
        self.kept = kept;
        self.items_settled = self.items_kept();
        self.skip_kept();
        let open = self.items_settled < items;
        self.state = if open { StageState::Open } else { StageState::Reducing };
    }

    fn limit_units(&mut self, items_max: Option<NonZeroU32>) {
        if let Some(max) = items_max {
            self.unit_items_max = max.get().into();
        }
    }

    /// The grace after a restart is over: units that nobody came back with want attempts.
    pub(crate) fn end_grace(&mut self, quorum: u32) {
        for (number, unit) in &mut self.units {
            file(&mut self.wanting, &mut self.tail, *number, unit, quorum);
        }
    }

    /// What `worker` could take next: units that want another attempt first, then units never
    /// handed out, then a new block.
    ///
    /// A unit that ended without an answer on a worker goes to others, as long as one of those
    /// `able` to run it has not tried it.
    pub(crate) fn offer(
        &mut self,
        worker: WorkerId,
        able: impl Iterator<Item = WorkerId> + Clone,
        advice: CutAdvice,
    ) -> Option<Offer> {
        if self.state != StageState::Open {
            return None;
        }
        let fresh = self.offer_fresh(advice);
        // With nothing else to give, all are looked at: no unit may wait behind others for ever.
        let searched = if fresh.is_some() { WANTING_SEARCH_MAX } else { usize::MAX };
        let units = &self.units;
        let again = self.wanting.first_for(worker, searched, |number| {
            let unit = &units[&number];
            let untried =
                |other: WorkerId| unit.is_new_to(other) && !unit.was_inconclusive_on(other);
            match unit.is_new_to(worker) {
                false => Fit::TakesPart,
                true if untried(worker) || !able.clone().any(untried) => Fit::Takes,
                true => Fit::Waits,
            }
        });
        again.map(Offer::Unit).or(fresh)
    }

    fn offer_fresh(&self, advice: CutAdvice) -> Option<Offer> {
        match self.newest.map(|newest| &self.blocks[newest]) {
            Some(cut) if cut.next_unit < cut.block.end_unit() => Some(Offer::Unit(cut.next_unit)),
            _ => self.propose_cut(advice),
        }
    }

    fn propose_cut(&self, advice: CutAdvice) -> Option<Offer> {
        let left = self.items_to_cut();
        if left == 0 {
            return None;
        }
        let (unit_items, units) = match self.unit_size {
            UnitSize::Fixed(size) => (u64::from(size.get()), BLOCK_UNITS_FIXED),
            UnitSize::Auto => self.cost.unit_size(left, advice),
        };
        let unit_items = unit_items.min(self.unit_items_max);
        let units = units.min(left.div_ceil(unit_items));
        let end = self.next_item + (units * unit_items).min(left);
        Some(Offer::Cut {
            items: ItemRange { start: self.next_item, end },
            unit_items: u32::try_from(unit_items).expect("a unit has at most 4,096 items"),
            units: u32::try_from(units).expect("a block has at most 1,024 units"),
        })
    }

    /// Enters a block into the books.
    pub(crate) fn cut(&mut self, block: Block) {
        assert_eq!(block.items.start, self.next_item, "blocks follow one another");
        self.next_item = block.items.end;
        self.skip_kept();
        self.newest = Some(self.blocks.len());
        self.blocks.push(CutBlock::fresh(block, CutKind::First));
    }

    /// Whether any worker with enough memory could be given some of it.
    pub(crate) fn has_something_for_somebody(&self) -> bool {
        self.state == StageState::Open && (!self.wanting.is_empty() || self.has_fresh())
    }

    /// Whether anything of it was never handed out.
    fn has_fresh(&self) -> bool {
        let is_ahead = |newest: usize| self.blocks[newest].units_ahead() > 0;
        self.newest.is_some_and(is_ahead) || self.items_to_cut() > 0
    }

    /// Items behind the last block, up to the next answers taken over.
    fn items_to_cut(&self) -> u64 {
        let items = self.next_kept().map_or(self.items, |run| Some(run.items.start));
        items.map_or(0, |end| end - self.next_item)
    }

    pub(crate) fn has_replaced_units(&self) -> bool {
        self.items_replaced > 0
    }

    /// Closes a unit of several items that found no answer, and enters a block of units with one of
    /// them each, which all want attempts.
    pub(crate) fn replace(&mut self, number: u64, block: Block) {
        let unit = self.units.remove(&number).expect("only a unit in flight is replaced");
        self.forget(number, &unit);
        self.block_mut(number).expect("a unit in flight is of a block").mark_settled(number);
        self.items_replaced += block.items.len();
        self.blocks.push(CutBlock::handed_out(block, CutKind::Alone));
        for number in block.first_unit..block.end_unit() {
            let mut unit = Unit::default();
            unit.wanting = Some(self.wanting.enter(number));
            self.units.insert(number, unit);
        }
    }

    /// Takes a closed unit out of what is counted and filed.
    fn forget(&mut self, number: u64, unit: &Unit) {
        for lease in unit.leases() {
            self.uncount(lease);
        }
        if let Some(place) = unit.wanting {
            self.wanting.leave(place);
        }
        if let (Some(tail), Some(due)) = (&mut self.tail, unit.due) {
            tail.leave(due, number);
        }
    }

    /// The first answers taken over at or behind the next item to be cut.
    fn next_kept(&self) -> Option<&KeptRun> {
        let behind = self.kept.partition_point(|run| run.items.start < self.next_item);
        self.kept.get(behind)
    }

    fn skip_kept(&mut self) {
        while let Some(run) = self.next_kept().filter(|run| run.items.start == self.next_item) {
            self.next_item = run.items.end;
        }
    }

    /// Whether the same answers to the same items were taken over, whatever stage `run` is for.
    pub(crate) fn has_kept(&self, run: &KeptRun) -> bool {
        let at = self.kept.binary_search_by_key(&run.items.start, |kept| kept.items.start);
        at.is_ok_and(|at| self.kept[at] == KeptRun { stage: self.index, ..*run })
    }

    /// Items whose answers were taken over.
    fn items_kept(&self) -> u64 {
        self.kept.iter().map(|run| run.items.len()).sum()
    }

    /// Starts the next attempt of an offered unit; one never handed out becomes a unit in flight.
    pub(crate) fn lease(
        &mut self,
        number: u64,
        holder: Holder,
        leased_at: Timestamp,
        expires_at: Timestamp,
        quorum: u32,
    ) -> Leased {
        let next = self.newest.map(|newest| &mut self.blocks[newest]);
        let items = match next.filter(|cut| cut.next_unit == number && cut.units_ahead() > 0) {
            Some(cut) => {
                cut.next_unit += 1;
                self.units.insert(number, Unit::default());
                cut.block.items_of(number)
            }
            None => self.items_of(number).expect("an offered unit is of a block"),
        };
        let takes = self.usual.of(items.len()).map(|usual| holder.pace.of(usual));
        let unit = self.units.get_mut(&number).expect("an offered unit is in flight");
        let attempt = unit.issue(self.first.attempt);
        let due_at = takes.map(|takes| leased_at + holder.wait + takes);
        let worker = holder.worker;
        let running_since = None;
        let charge = Charge::expected(takes.unwrap_or_else(|| self.usual.unknown(items.len())));
        self.charged_out = self.charged_out.plus(charge.left());
        unit.lease(HeldLease {
            attempt,
            worker,
            leased_at,
            expires_at,
            due_at,
            running_since,
            charge,
        });
        self.attempts_leased += 1;
        self.file_handed_out(number, quorum);
        Leased { attempt, items, takes: takes.unwrap_or_default() }
    }

    /// The last number that an attempt of a unit may have without a record of its own: there are as
    /// many of these as the quorum needs at first.
    pub(crate) const fn unrecorded_attempts(&self, quorum: u32) -> u32 {
        self.first.attempt - 1 + quorum
    }

    /// Enters a lease of before a restart.
    pub(crate) fn adopt(&mut self, number: u64, lease: HeldLease, quorum: u32) {
        let unit = self.units.get_mut(&number).expect("a lease is adopted of a unit in flight");
        unit.adopt(lease);
        self.charged_out = self.charged_out.plus(lease.charge.left());
        self.attempts_leased += 1;
        self.file_handed_out(number, quorum);
    }

    /// Files a unit that was handed out. With the last one that never was, the stage's tail begins.
    fn file_handed_out(&mut self, number: u64, quorum: u32) {
        if self.tail.is_none() && !self.has_fresh() {
            self.tail = Some(Tail::default());
            for (number, unit) in &mut self.units {
                file(&mut self.wanting, &mut self.tail, *number, unit, quorum);
            }
        }
        let unit = self.units.get_mut(&number).expect("what was handed out is in flight");
        file(&mut self.wanting, &mut self.tail, number, unit, quorum);
    }

    /// A worker of this pace took so long for so many items: how long they usually take.
    pub(crate) fn learn_usual(
        &mut self,
        took: Duration,
        items: u64,
        pace: Pace,
    ) -> Option<Duration> {
        self.usual.learn(took, items, pace);
        self.usual.of(items)
    }

    /// Ends the lease of an attempt without its result, if it stood.
    pub(crate) fn end_lease(
        &mut self,
        number: u64,
        worker: WorkerId,
        attempt: u32,
        quorum: u32,
    ) -> Option<HeldLease> {
        let unit = self.units.get_mut(&number)?;
        let ended = unit.end_lease(worker, attempt)?;
        if let Some(place) = unit.wanting {
            self.wanting.reopen(worker, place);
        }
        file(&mut self.wanting, &mut self.tail, number, unit, quorum);
        self.uncount(&ended);
        Some(ended)
    }

    /// Counts a lease no more.
    fn uncount(&mut self, lease: &HeldLease) {
        self.attempts_leased -= 1;
        self.charged_out = self.charged_out.minus(lease.charge.left());
        self.attempts_running -= u64::from(lease.running_since.is_some());
    }

    /// Notes since when the attempt of a lease runs, or that it does not: whether that is news.
    pub(crate) fn set_running(
        &mut self,
        number: u64,
        worker: WorkerId,
        attempt: u32,
        since: Option<Timestamp>,
    ) -> bool {
        let Some(lease) = self.lease_of(number, worker, attempt) else { return false };
        let before = std::mem::replace(&mut lease.running_since, since);
        self.attempts_running -= u64::from(before.is_some());
        self.attempts_running += u64::from(since.is_some());
        before.is_some() != since.is_some()
    }

    /// Ends the lease of an attempt that came back. Its result is wanted while its unit is open, its
    /// worker has given no opinion on it and it has not ended before; then the unit is filed once the
    /// result is entered.
    pub(crate) fn on_returned(
        &mut self,
        number: u64,
        worker: WorkerId,
        attempt: u32,
        quorum: u32,
    ) -> (Use, Option<HeldLease>) {
        let Some(unit) = self.units.get_mut(&number) else { return (Use::Unwanted, None) };
        if unit.has_opinion_of(worker) || unit.is_inconclusive(attempt) {
            return (Use::Unwanted, self.end_lease(number, worker, attempt, quorum));
        }
        let ended = unit.end_lease(worker, attempt);
        if let Some(ended) = &ended {
            self.uncount(ended);
        }
        (Use::Wanted, ended)
    }

    /// Enters an opinion: what it led to, and how many there are.
    pub(crate) fn on_opinion(&mut self, opinion: Opinion, quorum: u32) -> (Agreement, usize) {
        let number = opinion.unit().number;
        let unit = self.units.get_mut(&number).expect("an opinion is entered of a unit in flight");
        let agreement = unit.on_opinion(opinion, quorum);
        if agreement == Agreement::Open {
            file(&mut self.wanting, &mut self.tail, number, unit, quorum);
        }
        (agreement, unit.opinions().len())
    }

    /// Enters an attempt that ended without an answer: how many there are.
    pub(crate) fn on_inconclusive(
        &mut self,
        number: u64,
        attempt: u32,
        worker: WorkerId,
        cpu: Duration,
        quorum: u32,
    ) -> usize {
        let unit = self.units.get_mut(&number).expect("an attempt is of a unit in flight");
        let attempts = unit.on_inconclusive(attempt, worker);
        if let Some(place) = unit.wanting {
            self.wanting.reopen(worker, place);
        }
        file(&mut self.wanting, &mut self.tail, number, unit, quorum);
        self.attempts_inconclusive += 1;
        self.cpu_unanswered = self.cpu_unanswered.saturating_add(cpu);
        attempts
    }

    /// Closes a unit: its opinions are dropped, a bit is kept. `cpu` is what its answer took, if
    /// there is one.
    pub(crate) fn settle(&mut self, number: u64, cpu: Option<Duration>) -> Closed {
        let unit = self.units.remove(&number).expect("only a unit in flight settles");
        self.forget(number, &unit);
        let leases = unit.into_leases();
        let block = self.block_mut(number).expect("a unit in flight is of a block");
        block.mark_settled(number);
        let (items, cut) = (block.block.items_of(number).len(), block.cut);
        self.items_settled += items;
        self.units_settled += 1;
        if let Some(cpu) = cpu {
            self.cpu = self.cpu.saturating_add(cpu);
            self.cost.learn(cpu, items);
        }
        if self.items != Some(self.items_settled) {
            return Closed { leases, cut, last: LastUnit::No };
        }
        self.state = StageState::Reducing;
        self.blocks = Vec::new();
        self.newest = None;
        self.tail = None;
        Closed { leases, cut, last: LastUnit::Yes }
    }

    /// The output is durable.
    pub(crate) fn finish(&mut self, outputs: Vec<StageOutput>) {
        self.state = StageState::Done;
        self.outputs = outputs;
    }

    /// Nothing more will be handed out.
    pub(crate) fn abandon(&mut self) {
        self.units.clear();
        self.wanting.clear();
        self.blocks.clear();
        self.newest = None;
        self.tail = None;
        (self.attempts_leased, self.attempts_running) = (0, 0);
        self.charged_out = SlotTime::default();
    }

    pub(crate) fn items_of(&self, number: u64) -> Option<ItemRange> {
        let cut = self.block(number)?;
        Some(cut.block.items_of(number))
    }

    /// The lease of an attempt, if it stands and is `worker`'s.
    pub(crate) fn lease_of(
        &mut self,
        number: u64,
        worker: WorkerId,
        attempt: u32,
    ) -> Option<&mut HeldLease> {
        self.units.get_mut(&number)?.lease_of(worker, attempt)
    }

    pub(crate) fn unit(&self, number: u64) -> Option<&Unit> {
        self.units.get(&number)
    }

    pub(crate) fn units(&self) -> impl Iterator<Item = (u64, &Unit)> {
        self.units.iter().map(|(number, unit)| (*number, unit))
    }

    /// Units numbered `from` or higher that run, in their order.
    pub(crate) fn leased(&self, from: u64) -> impl Iterator<Item = (u64, &Unit)> {
        let units = self.units.range(from..).map(|(number, unit)| (*number, unit));
        units.filter(|(_, unit)| !unit.leases().is_empty())
    }

    pub(crate) fn note_failed(&mut self, items: u64) {
        self.items_failed += items;
    }

    pub(crate) fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// What of it is with no worker, while it is open.
    pub(crate) fn waiting(&self, quorum: u32) -> Waiting {
        let mut waiting = Waiting { again: self.wanting.len() as u64, ..Waiting::default() };
        let (Some(items), StageState::Open) = (self.items, self.state) else { return waiting };
        let uncut_kept = self.kept.iter().filter(|run| run.items.start >= self.next_item);
        let kept: u64 = uncut_kept.map(|run| run.items.len()).sum();
        waiting.items_uncut = items - self.next_item - kept;
        waiting.ahead = self.newest.map_or(0, |newest| self.blocks[newest].units_ahead());
        let held = self.units.values();
        let held = held.filter(|unit| unit.attempts_wanted(quorum) > 0 && unit.wanting.is_none());
        waiting.for_holders = held.count() as u64;
        waiting
    }

    /// Where a unit is, if it is one of this stage's; of a stage that is done nothing is known.
    pub(crate) fn whereabouts(&self, number: u64) -> Option<Whereabouts<'_>> {
        if let Some(unit) = self.units.get(&number) {
            return Some(Whereabouts::InFlight(unit));
        }
        let cut = self.block(number)?;
        Some(match number.checked_sub(cut.next_unit) {
            Some(before) => Whereabouts::Ahead(before + self.wanting.len() as u64),
            None => Whereabouts::Settled,
        })
    }

    /// Since when the lease granted first of those that stand does.
    pub(crate) fn first_leased_at(&self) -> Option<Timestamp> {
        let leases = self.units.values().flat_map(Unit::leases);
        leases.map(|lease| lease.leased_at).min()
    }

    /// Whether a unit wants an attempt and waits for whoever had it before a restart.
    pub(crate) fn is_held(&self, number: u64, quorum: u32) -> bool {
        let unit = self.units.get(&number);
        unit.is_some_and(|unit| unit.attempts_wanted(quorum) > 0 && unit.wanting.is_none())
    }

    pub(crate) fn is_wanting(&self, number: u64) -> bool {
        self.units.get(&number).is_some_and(|unit| unit.wanting.is_some())
    }

    pub(crate) fn items(&self) -> Option<u64> {
        self.items
    }

    pub(crate) fn state(&self) -> StageState {
        self.state
    }

    pub(crate) fn items_settled(&self) -> u64 {
        self.items_settled
    }

    /// Items that gave no output.
    pub(crate) fn items_failed(&self) -> u64 {
        self.items_failed
    }

    /// The one file of its output, once it is done.
    pub(crate) fn output(&self) -> Option<BlobHash> {
        self.outputs.first().map(|output| output.blob.hash)
    }

    /// What its split function made of an earlier stage's output.
    pub(crate) fn made(&self) -> Option<BlobRef> {
        self.made
    }

    pub(crate) fn input(&self) -> BlobHash {
        self.input
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The large blobs that each of its units needs.
    pub(crate) fn needed(&self) -> &Needed {
        &self.needed
    }

    pub(crate) fn attempts_leased(&self) -> u64 {
        self.attempts_leased
    }

    pub(crate) fn attempts_running(&self) -> u64 {
        self.attempts_running
    }

    /// The files of its output, once done.
    pub(crate) fn outputs(&self) -> &[StageOutput] {
        &self.outputs
    }

    pub(crate) fn snapshot(&self, name: &str) -> StageSnapshot {
        StageSnapshot {
            name: name.to_owned(),
            state: self.state,
            items: self.items,
            items_settled: self.items_settled,
            items_kept: self.items_kept(),
            items_failed: self.items_failed,
            units_settled: self.units_settled,
            attempts_leased: self.attempts_leased,
            attempts_running: self.attempts_running,
            attempts_inconclusive: self.attempts_inconclusive,
            cpu: self.cpu,
            cpu_unanswered: self.cpu_unanswered,
            made: self.made,
            outputs: self.outputs.clone(),
        }
    }

    fn block(&self, unit: u64) -> Option<&CutBlock> {
        cut_of(&self.blocks, unit)
    }

    fn block_mut(&mut self, unit: u64) -> Option<&mut CutBlock> {
        let after = self.blocks.partition_point(|cut| cut.block.first_unit <= unit);
        self.blocks[..after].last_mut().filter(|cut| cut.block.contains(unit))
    }

    pub(crate) fn check_invariants(&self, quorum: u32) {
        let leases = || self.units.values().flat_map(Unit::leases);
        let leased = leases().count() as u64;
        assert_eq!(leased, self.attempts_leased, "{}: leases miscounted", self.index);
        let running = leases().filter(|lease| lease.running_since.is_some()).count() as u64;
        assert_eq!(running, self.attempts_running, "{}: running miscounted", self.index);
        let out = leases().map(|lease| lease.charge.left());
        let out = out.fold(SlotTime::default(), SlotTime::plus);
        assert_eq!(out, self.charged_out, "{}: charges miscounted", self.index);
        for (number, unit) in &self.units {
            unit.check_invariants(quorum);
            let cut = self.block(*number).expect("a unit in flight is of a block");
            assert!(!cut.is_settled(*number), "a settled unit is in flight");
        }
        for (place, number) in self.wanting.iter() {
            let unit = self.units.get(&number).expect("a wanting unit is in flight");
            assert!(unit.attempts_wanted(quorum) > 0, "unit {number} wants nothing");
            assert_eq!(unit.wanting, Some(place), "unit {number} is misfiled");
        }
        let filed = self.units.values().filter(|unit| unit.wanting.is_some()).count();
        assert_eq!(filed, self.wanting.len(), "{}: wanting units miscounted", self.index);
        if let Some(tail) = &self.tail {
            let expected = |(number, unit): (&u64, &Unit)| Some((unit.expected(quorum)?, *number));
            tail.check_invariants(self.units.iter().filter_map(expected));
        }
        for (worker, number) in self.wanting.passed() {
            assert!(!self.units[&number].is_new_to(worker), "{worker} never comes to {number}");
        }
        if self.state == StageState::Open && !self.blocks.is_empty() {
            let closed: u64 = self.blocks.iter().map(CutBlock::settled_items).sum();
            let known = closed + self.items_kept() - self.items_replaced;
            assert_eq!(known, self.items_settled, "{}: settled items miscounted", self.index);
        }
        if self.on_failure == OnFailure::Continue {
            assert!(self.items_failed <= self.items_settled, "{}: failures miscounted", self.index);
        }
    }
}

/// The block of a unit.
fn cut_of(blocks: &[CutBlock], unit: u64) -> Option<&CutBlock> {
    let after = blocks.partition_point(|cut| cut.block.first_unit <= unit);
    blocks[..after].last().filter(|cut| cut.block.contains(unit))
}

/// Files a unit in flight by what it wants, after any change to it.
fn file(wanting: &mut Wanting, tail: &mut Option<Tail>, number: u64, unit: &mut Unit, quorum: u32) {
    match (unit.wanting, unit.attempts_wanted(quorum) > 0) {
        (None, true) => unit.wanting = Some(wanting.enter(number)),
        (Some(place), false) => {
            wanting.leave(place);
            unit.wanting = None;
        }
        _ => {}
    }
    file_due(tail, number, unit, quorum);
}

/// Files a unit in flight by when it should be settled.
fn file_due(tail: &mut Option<Tail>, number: u64, unit: &mut Unit, quorum: u32) {
    if let Some(tail) = tail {
        let due = unit.expected(quorum);
        tail.refile(number, unit.due, due);
        unit.due = due;
    }
}

/// Whether a result that came back could still matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Wanted,
    Unwanted,
}

/// An attempt that was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leased {
    pub(crate) attempt: u32,
    pub(crate) items: ItemRange,
    /// About how long it takes; zero while nobody knows.
    pub(crate) takes: Duration,
}

/// What a unit leaves when it is closed.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Leases of it that stood.
    pub(crate) leases: Vec<HeldLease>,
    /// Which cut it was of.
    pub(crate) cut: CutKind,
    pub(crate) last: LastUnit,
}

/// Whether a settled unit was the last of its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastUnit {
    Yes,
    No,
}
