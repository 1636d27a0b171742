//! Outputs that are files by name.
//!
//! The names of a stage are distinct as any file system sees them: not even by case alone do two
//! differ, and none is both a file and a folder.

use std::collections::BTreeMap;

use gleaner_coordinator_core::StageOutput;
use gleaner_protocol::{RelativeName, results};

use super::messagepack::{Reader, Token};
use super::{OutputFault, ReduceError};
use crate::blobs::Blobs;

/// The most files of one stage: their names are held in memory and listed in one answer.
pub const FILES_MAX: usize = 65_536;

/// The files so far.
#[derive(Debug)]
pub(super) struct Files {
    blobs: Blobs,
    names: Names,
    outputs: Vec<StageOutput>,
}

impl Files {
    pub(super) fn new(blobs: &Blobs) -> Self {
        Self { blobs: blobs.clone(), names: Names::default(), outputs: Vec::new() }
    }

    /// Keeps the files of one item.
    pub(super) async fn push(&mut self, item: u64, output: &[u8]) -> Result<(), ReduceError> {
        let fault = |fault| ReduceError::Output { item, fault };
        let mut reader = Reader::new(output);
        for _ in 0..count(&mut reader).map_err(fault)? {
            let (name, content) = read_file(&mut reader).map_err(fault)?;
            self.names.insert(item, &name).map_err(fault)?;
            let blob = self.blobs.put(content.to_vec()).await?;
            self.outputs.push(StageOutput { name, blob });
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<StageOutput> {
        self.outputs
    }
}

fn count(reader: &mut Reader<'_>) -> Result<u32, OutputFault> {
    match reader.next()? {
        Token::Map(files) => Ok(files),
        other => Err(OutputFault::NoFiles { kind: other.kind() }),
    }
}

fn read_file<'a>(reader: &mut Reader<'a>) -> Result<(RelativeName, &'a [u8]), OutputFault> {
    let name = match reader.next()? {
        Token::Text(name) => name.parse::<RelativeName>().map_err(OutputFault::FileName)?,
        other => return Err(OutputFault::Key { kind: other.kind() }),
    };
    match reader.next()? {
        Token::Bytes(content) => Ok((name, content)),
        Token::Text(content) => Ok((name, content.as_bytes())),
        other => Err(OutputFault::FileContent { name, kind: other.kind() }),
    }
}

/// Names in lower case, and the item each came from.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, u64>);

impl Names {
    fn insert(&mut self, item: u64, name: &RelativeName) -> Result<(), OutputFault> {
        if self.0.len() == FILES_MAX {
            return Err(OutputFault::TooManyFiles { max: FILES_MAX });
        }
        if results::is_reserved(name.as_str()) {
            return Err(OutputFault::ReservedFile { name: name.clone() });
        }
        let key = name.as_str().to_lowercase();
        if let Some(earlier) = self.0.get(&key) {
            return Err(OutputFault::RepeatedFile { name: name.clone(), earlier: *earlier });
        }
        if let Some(earlier) = self.clash(&key) {
            return Err(OutputFault::FileIsFolder { name: name.clone(), earlier });
        }
        self.0.insert(key, item);
        Ok(())
    }

    /// The item whose file is a folder above this one, or has this one as a folder above it.
    fn clash(&self, key: &str) -> Option<u64> {
        let above = key.match_indices('/').find_map(|(end, _)| self.0.get(&key[..end]));
        let folder = format!("{key}/");
        let below = self.0.range(folder.clone()..).next();
        let below = below.filter(|(name, _)| name.starts_with(&folder)).map(|(_, item)| item);
        above.or(below).copied()
    }
}
