//! What there is of a job's output before it is whole: previews, and `gaps.csv` for what they lack.
//!
//! A preview is folded into blobs of its own that go with it. While it is folded the answer has a
//! blank line now and then, so that nobody takes it for dead.

use std::sync::Arc;
use std::time::Duration;

use gleaner_coordinator_core::{JobSnapshot, StageSnapshot, StageState};
use gleaner_protocol::api::{PartialEntry, PartialFile, PartialStage};
use gleaner_protocol::results::{GAPS_FILE, partial_name};
use gleaner_protocol::{BlobRef, StageIndex};
use gleaner_sandbox::Sandbox;
use serde::Serialize;
use tokio::io::AsyncReadExt;

use super::gaps::{GapTable, ItemsOut, Known};
use super::{JobParts, Report, ReportError};
use crate::blobs::{Blobs, BlobsApart};
use crate::driver::inputs::Inputs;
use crate::http::{BodyWriter, ReaderGone};
use crate::reduce::{PartialOutput, Places, ReduceError, SlotMerger, reduce_partial, wants_input};
use crate::split::StageInput;
use crate::store::Store;

/// Between two blank lines.
const BLANK_INTERVAL: Duration = Duration::from_secs(10);

/// How much of a file is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Previews of what a job has not done.
pub(crate) struct Partial {
    pub(crate) job: JobSnapshot,
    pub(crate) parts: JobParts,
    /// The items of units that workers have, in their order.
    pub(crate) out: Vec<ItemsOut>,
    pub(crate) blobs: Blobs,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) sandbox: Sandbox,
}

impl Report for Partial {
    const NAME: &str = "partial output";

    async fn write(self, store: &Store, body: &mut BodyWriter) -> Result<(), ReportError> {
        let apart = self.blobs.apart()?;
        let mut gaps = GapTable::start(&apart).await?;
        for (index, stage) in (0..).map(StageIndex).zip(&self.job.stages) {
            if stage.state == StageState::Done {
                continue;
            }
            // It is too large to be moved and held whole in what awaits it.
            let folding = Box::pin(self.fold(index, stage, store, &apart, &mut gaps));
            let (stage, files) = meanwhile_blank(body, folding).await?;
            for file in files {
                send(file, &apart, body).await?;
            }
            line(&PartialEntry::Stage(stage), body).await?;
        }
        let BlobRef { hash, bytes } = gaps.keep().await?;
        let name = GAPS_FILE.parse().expect("a plain name");
        send(PartialFile { stage: None, name, bytes, hash }, &apart, body).await
    }
}

impl Partial {
    /// How much there is of a stage, and its preview's files.
    async fn fold(
        &self,
        index: StageIndex,
        stage: &StageSnapshot,
        store: &Store,
        apart: &BlobsApart,
        gaps: &mut GapTable,
    ) -> Result<(PartialStage, Vec<PartialFile>), ReportError> {
        let mut told = PartialStage {
            stage: stage.name.clone(),
            items: stage.items,
            items_settled: 0,
            fault: None,
        };
        let Some(items) = stage.items else {
            gaps.blocked(&stage.name).await?;
            return Ok((told, Vec::new()));
        };
        let out = self.out.iter().filter(|out| out.stage == index).copied().collect();
        let known = Known { job: self.job.job, stage: index, out, end: self.job.end.is_some() };
        let mut gaps = gaps.of_stage(&stage.name, known, store);
        let spec = self.parts.stage(index);
        let folding = async {
            let input = self.input(index).await?;
            let results = store.settled_results(self.job.job, index);
            let merger = SlotMerger::new(&self.sandbox, &self.blobs, spec);
            let places = Places { read: &self.blobs, write: apart };
            reduce_partial(spec, items, input, results, places, merger, &mut gaps).await
        };
        let PartialOutput { files, items_settled } = match folding.await {
            Ok(output) => output,
            // Its reducer will say so in the end; the other stages have previews none the less.
            Err(error) if error.is_of_job() => {
                told.fault = Some(error.to_string());
                return Ok((told, Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        gaps.finish().await?;
        told.items_settled = items_settled;
        let file = |output: gleaner_coordinator_core::StageOutput| PartialFile {
            stage: Some(stage.name.clone()),
            name: partial_name(&output.name),
            bytes: output.blob.bytes,
            hash: output.blob.hash,
        };
        Ok((told, files.into_iter().map(file).collect()))
    }

    async fn input(&self, stage: StageIndex) -> Result<Option<StageInput>, ReduceError> {
        if !wants_input(self.parts.stage(stage)) {
            return Ok(None);
        }
        match self.inputs.stage(self.job.job, stage).await {
            Some(input) => Ok(Some(input?)),
            None => Ok(self.parts.open(stage, &self.blobs).await?),
        }
    }
}

/// Gives what `folding` gives; writes blank lines until then.
async fn meanwhile_blank<T>(
    body: &mut BodyWriter,
    folding: impl Future<Output = Result<T, ReportError>>,
) -> Result<T, ReportError> {
    let mut folding = std::pin::pin!(folding);
    loop {
        tokio::select! {
            folded = &mut folding => return folded,
            () = body.reader_gone() => return Err(ReaderGone.into()),
            () = tokio::time::sleep(BLANK_INTERVAL) => {}
        }
        body.write(b"\n").await?;
        body.flush().await?;
    }
}

async fn line(entry: &impl Serialize, body: &mut BodyWriter) -> Result<(), ReaderGone> {
    let mut line = serde_json::to_vec(entry).expect("our types have text keys");
    line.push(b'\n');
    body.write(&line).await
}

async fn send(file: PartialFile, apart: &Blobs, body: &mut BodyWriter) -> Result<(), ReportError> {
    let hash = file.hash;
    let read_error = |source| crate::blobs::BlobError::Read { hash, source };
    let mut bytes = apart.open_file(hash).await?;
    line(&PartialEntry::File(file), body).await?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match bytes.read(&mut buffer).await.map_err(read_error)? {
            0 => return Ok(()),
            read => body.write(&buffer[..read]).await?,
        }
    }
}
