//! Blobs between nodes on loopback, and from servers that lie.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::encode_ranges_validated;
use bao_tree::{ChunkNum, ChunkRanges};
use libp2p::Stream;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_util::compat::Compat;

use super::*;
use crate::frame::{FrameReader, FrameWriter};
use crate::limits::BLOB_FRAME_BYTES_MAX;
use crate::node::Node;
use crate::testing::{node, over, raw_peer, soon};

/// A folder of blobs, for everyone but those refused.
#[derive(Default)]
struct Shelf {
    files: HashMap<BlobHash, PathBuf>,
    refused: Vec<WorkerId>,
}

impl BlobSource for Shelf {
    fn open(&self, peer: WorkerId, hash: BlobHash) -> Option<PathBuf> {
        (!self.refused.contains(&peer)).then(|| self.files.get(&hash).cloned()).flatten()
    }
}

impl Shelf {
    fn put(&mut self, folder: &Path, bytes: &[u8]) -> BlobRef {
        let blob = BlobRef::of(bytes);
        let path = folder.join(blob.hash.to_string());
        fs::write(&path, bytes).unwrap();
        self.files.insert(blob.hash, path);
        blob
    }
}

/// Bytes without a pattern, the same for the same length.
fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&length.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A fetcher that is connected to `server` over one transport.
async fn connected(server: WorkerId, addresses: &[String]) -> Node {
    let (fetcher, _incoming) = node().await;
    soon(fetcher.open_work_stream(server, addresses)).await.unwrap();
    fetcher
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn blobs_of_all_sizes_arrive_over_quic_and_tcp() {
    let (served, fetched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut shelf = Shelf::default();
    let sizes =
        [0, 1, 1023, 1024, 1025, 16 << 10, (16 << 10) + 1, 32 << 10, 100_000, (1 << 20) + 3];
    let blobs = sizes.map(|size| shelf.put(served.path(), &bytes(size)));
    let (server, _incoming) = node().await;
    server.serve_blobs(Arc::new(shelf));
    for transport in ["quic-v1", "tcp"] {
        let fetcher = connected(server.id(), &over(&server, transport)).await;
        for (size, blob) in sizes.into_iter().zip(blobs) {
            let destination = fetched.path().join("blob");
            soon(fetcher.fetch_blob(server.id(), blob, &destination)).await.unwrap();
            assert!(fs::read(&destination).unwrap() == bytes(size), "{size} over {transport}");
        }
    }
    assert_eq!(names(&fetched), ["blob"], "no temporary file stays");
}

#[tokio::test]
async fn a_large_blob_arrives_and_many_at_once() {
    let (served, fetched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut shelf = Shelf::default();
    let large = shelf.put(served.path(), &bytes(64 << 20));
    let many: Vec<_> =
        (0..40).map(|size| shelf.put(served.path(), &bytes(50_000 + size))).collect();
    let (server, _incoming) = node().await;
    server.serve_blobs(Arc::new(shelf));
    let fetcher = connected(server.id(), &server.addresses()).await;
    let fetch = |blob: BlobRef| {
        let destination = fetched.path().join(blob.hash.to_string());
        let (fetcher, server) = (&fetcher, server.id());
        async move { fetcher.fetch_blob(server, blob, &destination).await.unwrap() }
    };
    soon(futures::future::join_all(many.iter().chain([&large]).copied().map(fetch))).await;
    for blob in many.iter().chain([&large]) {
        let bytes = fs::read(fetched.path().join(blob.hash.to_string())).unwrap();
        assert_eq!(BlobRef::of(&bytes), *blob);
    }
}

#[tokio::test]
async fn only_who_may_have_a_blob_gets_it() {
    let (served, fetched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, _incoming) = node().await;
    let refused = connected(server.id(), &server.addresses()).await;
    let allowed = connected(server.id(), &server.addresses()).await;
    let mut shelf = Shelf { refused: vec![refused.id()], ..Shelf::default() };
    let blob = shelf.put(served.path(), b"not for everyone");
    let destination = fetched.path().join("blob");
    fs::write(&destination, b"what was here").unwrap();
    let unavailable = async |fetcher: &Node, blob| {
        let error = soon(fetcher.fetch_blob(server.id(), blob, &destination)).await.unwrap_err();
        assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
        assert_eq!(fs::read(&destination).unwrap(), b"what was here");
    };
    unavailable(&allowed, blob).await;
    server.serve_blobs(Arc::new(shelf));
    unavailable(&refused, blob).await;
    unavailable(&allowed, BlobRef::of(b"unknown")).await;
    unavailable(&allowed, BlobRef { bytes: 3, ..blob }).await;
    soon(allowed.fetch_blob(server.id(), blob, &destination)).await.unwrap();
    assert_eq!(fs::read(&destination).unwrap(), b"not for everyone");
    assert_eq!(names(&fetched), ["blob"]);
}

#[tokio::test]
async fn a_file_gone_bad_at_the_server_is_not_served() {
    let (served, fetched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut shelf = Shelf::default();
    let blob = shelf.put(served.path(), &bytes(100_000));
    fs::write(&shelf.files[&blob.hash], vec![0; 100_000]).unwrap();
    let (server, _incoming) = node().await;
    server.serve_blobs(Arc::new(shelf));
    let fetcher = connected(server.id(), &server.addresses()).await;
    let destination = fetched.path().join("blob");
    let error = soon(fetcher.fetch_blob(server.id(), blob, &destination)).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
    assert_eq!(names(&fetched), [""; 0]);
}

/// Hashes and bytes of `blob` from `offset` on, as an honest server sends them.
fn encoded(blob: &[u8], offset: u64) -> Vec<u8> {
    let outboard = PreOrderMemOutboard::create(blob, GROUP);
    let ranges = ChunkRanges::from(ChunkNum(offset / 1024)..);
    let mut encoded = Vec::new();
    encode_ranges_validated(blob, &outboard, &ranges, &mut encoded).unwrap();
    encoded
}

/// The request on a stream.
async fn request(stream: &mut Compat<Stream>) -> BlobRequest {
    let mut reader = FrameReader::new(stream, BLOB_FRAME_BYTES_MAX);
    reader.read().await.unwrap().unwrap()
}

async fn send(stream: &mut Compat<Stream>, answer: BlobAnswer, rest: &[u8]) {
    let mut writer = FrameWriter::new(&mut *stream, BLOB_FRAME_BYTES_MAX);
    writer.feed(&answer).await.unwrap();
    writer.flush().await.unwrap();
    // A fetcher that has seen enough may have left.
    let _ = stream.write_all(rest).await;
    let _ = stream.shutdown().await;
}

/// What becomes of a fetch of `blob` from a server that answers with `bytes_said` and then `rest`.
async fn fetch_from_liar(blob: BlobRef, bytes_said: u64, rest: Vec<u8>) -> FetchError {
    let (liar, addresses) = raw_peer(move |protocol, mut stream| {
        let rest = rest.clone();
        async move {
            if protocol == BLOB {
                request(&mut stream).await;
                send(&mut stream, BlobAnswer::Serving { bytes: bytes_said }, &rest).await;
            }
        }
    });
    let fetcher = connected(liar, &addresses).await;
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("blob");
    let error = soon(fetcher.fetch_blob(liar, blob, &destination)).await.unwrap_err();
    assert!(error.to_string().contains(&liar.to_string()), "the peer is named: {error}");
    assert_eq!(names(&folder), [""; 0], "nothing stays behind");
    error
}

#[tokio::test]
async fn wrong_bytes_are_found_where_they_are_and_laid_to_the_peer() {
    let whole = bytes(100_000);
    let blob = BlobRef::of(&whole);
    let honest = encoded(&whole, 0);
    let mut flipped = honest.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut other = whole.clone();
    other[50_000] ^= 1;
    for (rest, wrong_at) in [(flipped, 98_304), (encoded(&other, 0), 0)] {
        let error = fetch_from_liar(blob, blob.bytes, rest).await;
        assert!(
            matches!(error, FetchError::Corrupted { offset, .. } if offset == wrong_at),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_wrong_length_and_a_stream_cut_again_and_again_are_told_apart() {
    let whole = bytes(100_000);
    let blob = BlobRef::of(&whole);
    let error = fetch_from_liar(blob, 100_001, encoded(&whole, 0)).await;
    assert!(matches!(error, FetchError::WrongLength { found: 100_001, .. }), "{error}");
    let error = fetch_from_liar(blob, blob.bytes, Vec::new()).await;
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error}");
    let (empty, one) = (BlobRef::of(&[]), BlobRef::of(&[1]));
    let error = fetch_from_liar(one, 1, vec![2]).await;
    assert!(matches!(error, FetchError::Corrupted { offset: 0, .. }), "{error}");
    let error = fetch_from_liar(BlobRef { bytes: 0, ..one }, 0, encoded(&[], 0)).await;
    assert!(matches!(error, FetchError::Corrupted { .. }), "{error}");
    assert_eq!(empty.bytes, 0);
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_violation() {
    let (liar, addresses) = raw_peer(|protocol, mut stream| async move {
        if protocol == BLOB {
            request(&mut stream).await;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = stream.shutdown().await;
    });
    let fetcher = connected(liar, &addresses).await;
    let folder = tempfile::tempdir().unwrap();
    let blob = BlobRef::of(b"a blob");
    let destination = folder.path().join("blob");
    let error = soon(fetcher.fetch_blob(liar, blob, &destination)).await.unwrap_err();
    assert!(matches!(error, FetchError::Violation { .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_where_it_broke() {
    let whole = Arc::new(bytes(200_000));
    let blob = BlobRef::of(&whole);
    let (content, asked) = (Arc::clone(&whole), Arc::new(Mutex::new(Vec::new())));
    let (offsets, breaks) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(2)));
    let (server, addresses) = raw_peer(move |protocol, mut stream| {
        let (content, offsets, breaks) = (content.clone(), offsets.clone(), breaks.clone());
        async move {
            if protocol != BLOB {
                return;
            }
            let offset = request(&mut stream).await.offset;
            offsets.lock().unwrap().push(offset);
            let mut rest = encoded(&content, offset);
            let left = breaks.load(Ordering::SeqCst);
            if left > 0 {
                breaks.store(left - 1, Ordering::SeqCst);
                rest.truncate(70_000);
            }
            let bytes = content.len() as u64;
            send(&mut stream, BlobAnswer::Serving { bytes }, &rest).await;
        }
    });
    let fetcher = connected(server, &addresses).await;
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("blob");
    soon(fetcher.fetch_blob(server, blob, &destination)).await.unwrap();
    assert!(fs::read(&destination).unwrap() == *whole);
    assert_eq!(*asked.lock().unwrap(), [0, 65_536, 131_072]);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_gets_no_answer() {
    let served = tempfile::tempdir().unwrap();
    let mut shelf = Shelf::default();
    let blob = shelf.put(served.path(), &bytes(100_000));
    let (server, _incoming) = node().await;
    server.serve_blobs(Arc::new(shelf));
    let fetcher = connected(server.id(), &server.addresses()).await;
    for offset in [1, 1024, 114_688, u64::MAX] {
        let stream = soon(fetcher.open(server.id(), BLOB, &[])).await.unwrap();
        let mut stream = tokio_util::compat::FuturesAsyncReadCompatExt::compat(stream);
        let mut writer = FrameWriter::new(&mut stream, BLOB_FRAME_BYTES_MAX);
        writer.feed(&BlobRequest { blob, offset }).await.unwrap();
        writer.flush().await.unwrap();
        let mut reader = FrameReader::new(&mut stream, BLOB_FRAME_BYTES_MAX);
        let error = soon(reader.read::<BlobAnswer>()).await.unwrap_err();
        assert!(matches!(error, crate::ReceiveError::Lost(_)), "{offset}: {error}");
    }
}

#[tokio::test]
async fn a_blob_over_the_limit_is_not_asked_for() {
    let (fetcher, _incoming) = node().await;
    let blob = BlobRef { bytes: u64::MAX, ..BlobRef::of(b"") };
    let error = fetcher.fetch_blob(fetcher.id(), blob, Path::new("nowhere")).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { .. }), "{error}");
}
