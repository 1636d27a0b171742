//! Bytes on their way to a slot's process.

use std::collections::VecDeque;
use std::sync::Arc;

use gleaner_protocol::wire;

use super::SlotUnit;
use super::pipe::UnitHead;

/// Items up to this size are copied together, so that many are written at once.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// What is not written yet. Small items are copied together, large ones are not copied.
#[derive(Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written.
    written: usize,
}

enum Piece {
    Bytes(Vec<u8>),
    Item(Arc<SlotUnit>, usize),
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.written = 0;
    }

    pub(super) fn push_bytes(&mut self, bytes: Vec<u8>) {
        match self.pieces.back_mut() {
            // An empty piece could never be written, nor be got rid of.
            _ if bytes.is_empty() => {}
            Some(Piece::Bytes(last)) if last.len() < COPIED_BYTES_MAX => last.extend(bytes),
            _ => self.pieces.push_back(Piece::Bytes(bytes)),
        }
    }

    pub(super) fn push_unit(&mut self, unit: &Arc<SlotUnit>) {
        let lengths = unit.items.iter().map(|item| item.len() as u64).collect();
        let head = UnitHead { first_item: unit.first_item, seeds: unit.seeds.clone(), lengths };
        let mut bytes = wire::encode_frame(&head);
        for (index, item) in unit.items.iter().enumerate() {
            if item.len() <= COPIED_BYTES_MAX {
                bytes.extend_from_slice(item);
            } else {
                self.push_bytes(std::mem::take(&mut bytes));
                self.pieces.push_back(Piece::Item(unit.clone(), index));
            }
        }
        self.push_bytes(bytes);
    }

    pub(super) fn front(&self) -> Option<&[u8]> {
        self.pieces.front().map(|piece| &piece.bytes()[self.written..])
    }

    pub(super) fn advance(&mut self, written: usize) {
        self.written += written;
        if self.pieces.front().is_some_and(|piece| piece.bytes().len() == self.written) {
            self.pieces.pop_front();
            self.written = 0;
        }
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Item(unit, index) => &unit.items[*index],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;

    #[test]
    fn what_is_written_is_what_was_pushed_however_little_is_taken_at_once() {
        let large = vec![7; COPIED_BYTES_MAX + 1];
        let items = vec![ByteBuf::from(b"ab"), ByteBuf::from(large.clone()), ByteBuf::from(b"c")];
        let unit = Arc::new(SlotUnit { first_item: 1, items, seeds: vec![1, 2, 3] });
        let mut outgoing = Outgoing::default();
        outgoing.push_bytes(b"setup".to_vec());
        outgoing.push_unit(&unit);
        let mut written = Vec::new();
        while let Some(bytes) = outgoing.front() {
            let taken = bytes.len().min(1000);
            written.extend_from_slice(&bytes[..taken]);
            outgoing.advance(taken);
        }
        assert!(outgoing.is_empty());
        let lengths = vec![2, large.len() as u64, 1];
        let head = UnitHead { first_item: 1, seeds: vec![1, 2, 3], lengths };
        let head = wire::encode_frame(&head);
        assert_eq!(written, [b"setup", &head[..], b"ab", &large, b"c"].concat());
    }
}
