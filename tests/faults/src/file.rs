//! A file's bytes: as its readers see them, and as they would be after a power cut.

use end_to_end::Draw;

/// The bytes of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What makes `now` of `durable`, in order, as long as no sync has failed.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Contents {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        write_at(&mut self.now, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(crate) fn resize(&mut self, length: usize) {
        self.now.resize(length, 0);
        self.pending.push(Change::Resize(length));
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => write_at(&mut self.durable, offset, &bytes),
                Change::Resize(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// What a failed sync leaves on Linux: the pages count as written, and are not. Readers see
    /// them until the machine starts again, and no later sync writes them.
    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// What is on the disk after a power cut. Of what was not synced each sector of `sector` bytes
    /// of each write is there or not, by the draw; none is without one.
    pub(crate) fn after_power_cut(self, survivors: Option<(&mut Draw, usize)>) -> Self {
        let Self { mut durable, pending, .. } = self;
        if let Some((draw, sector)) = survivors {
            for change in pending {
                match change {
                    Change::Resize(length) if draw.below(2) == 0 => durable.resize(length, 0),
                    Change::Resize(_) => {}
                    Change::Write { offset, bytes } => {
                        for (at, part) in sectors(offset, &bytes, sector) {
                            if draw.below(2) == 0 {
                                write_at(&mut durable, at, part);
                            }
                        }
                    }
                }
            }
        }
        Self { now: durable.clone(), durable, pending: Vec::new() }
    }
}

fn write_at(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

/// A write cut at the borders of sectors.
fn sectors(offset: usize, bytes: &[u8], sector: usize) -> Vec<(usize, &[u8])> {
    let (mut at, mut rest, mut parts) = (offset, bytes, Vec::new());
    while !rest.is_empty() {
        let length = (sector - at % sector).min(rest.len());
        let (part, behind) = rest.split_at(length);
        parts.push((at, part));
        (at, rest) = (at + length, behind);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Contents {
        let mut contents = Contents::default();
        contents.write(0, bytes);
        contents.sync();
        contents
    }

    #[test]
    fn what_was_not_synced_is_gone_after_a_power_cut() {
        let mut contents = of(b"durable");
        contents.write(2, b"XY");
        contents.resize(4);
        assert_eq!(contents.bytes(), b"duXY");
        let mut after = contents.after_power_cut(None);
        assert_eq!(after.bytes(), b"durable");
        after.write(7, b"!");
        after.sync();
        assert_eq!(after.after_power_cut(None).bytes(), b"durable!");
    }

    #[test]
    fn what_a_failed_sync_was_to_write_no_later_one_writes() {
        let mut contents = of(b"ab");
        contents.write(0, b"A");
        contents.forget_pending();
        contents.write(1, b"B");
        contents.sync();
        assert_eq!(contents.bytes(), b"AB");
        assert_eq!(contents.after_power_cut(None).bytes(), b"aB");
    }

    #[test]
    fn a_write_is_torn_between_sectors_alone() {
        assert_eq!(sectors(3, b"abcdef", 4), [(3, &b"a"[..]), (4, &b"bcde"[..]), (8, &b"f"[..])]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut contents = of(b"....");
            contents.write(1, b"XYZ");
            let after = contents.after_power_cut(Some((&mut Draw::of_seed(seed), 2)));
            seen.insert(after.bytes().to_vec());
        }
        let possible = [&b"...."[..], b"..YZ", b".X..", b".XYZ"].map(<[u8]>::to_vec);
        assert_eq!(seen, possible.into());
    }
}
