use super::*;

fn parts(parts: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    futures::stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part))).collect::<Vec<_>>())
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        _ => 1,
    };
    entries.map(|entry| count(entry.expect("an entry"))).sum()
}

#[tokio::test]
async fn a_stream_is_kept_under_its_hash_and_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    let hash = BlobHash::of(b"hello world");
    assert_eq!(blobs.find(hash).await.expect("looks"), None);
    assert_eq!(blobs.path(hash), None);
    for _ in 0..2 {
        let blob = blobs.put_stream(hash, parts(&[b"hello", b" world"])).await.expect("kept");
        assert_eq!(blob, BlobRef { hash, bytes: 11 });
    }
    assert_eq!(&blobs.read(hash).await.expect("held")[..], b"hello world");
    let path = blobs.path(hash).expect("held");
    assert_eq!(std::fs::read(path).expect("a file"), b"hello world");
    assert_eq!(blobs.put("hello world").await.expect("kept"), BlobRef { hash, bytes: 11 });
    assert_eq!(files_below(folder.path()), 1);
}

#[tokio::test]
async fn a_stream_of_many_parts_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    let bytes: Vec<u8> = (0..3 * PART_BYTES + 17).map(|i| (i * 31 % 251) as u8).collect();
    let chunks: Vec<_> =
        bytes.chunks(70_001).map(|c| Ok::<_, io::Error>(Bytes::copy_from_slice(c))).collect();
    let blob =
        blobs.put_stream(BlobHash::of(&bytes), futures::stream::iter(chunks)).await.expect("kept");
    assert_eq!(blob, BlobRef::of(&bytes));
    assert_eq!(blobs.read(blob.hash).await.expect("held"), bytes);
}

#[tokio::test]
async fn wrong_and_broken_streams_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    let expected = BlobHash::of(b"right");
    let error = blobs.put_stream(expected, parts(&[b"wrong"])).await.expect_err("refused");
    let found = BlobHash::of(b"wrong");
    assert_eq!(error.to_string(), format!("the bytes have the hash {found}, not {expected}"));
    let broken = futures::stream::iter([
        Ok(Bytes::from_static(b"ri")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let error = blobs.put_stream(expected, broken).await.expect_err("refused");
    assert!(matches!(error, BlobError::BrokenOff { .. }), "{error}");
    assert!(matches!(blobs.read(expected).await, Err(BlobError::Missing { .. })));
    assert_eq!(files_below(folder.path()), 0);
}

#[tokio::test]
async fn a_scratch_file_becomes_a_blob_or_vanishes() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    let mut scratch = blobs.scratch().await.expect("a file");
    scratch.write(b"never ").await.expect("written");
    drop(scratch);
    assert_eq!(files_below(folder.path()), 0);

    let mut scratch = blobs.scratch().await.expect("a file");
    scratch.write(b"hello ").await.expect("written");
    scratch.write(b"world").await.expect("written");
    let blob = scratch.keep().await.expect("kept");
    assert_eq!(blob, BlobRef::of(b"hello world"));
    assert_eq!(files_below(folder.path()), 1);
    assert_eq!(&blobs.read(blob.hash).await.expect("held")[..], b"hello world");
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_blobs_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    let blob = blobs.put("kept").await.expect("kept");
    let path = blobs.path(blob.hash).expect("held");
    std::fs::write(path.with_file_name("abc#1"), "half").expect("written");
    std::fs::write(blobs.scratch_path(), "half").expect("written");
    let blobs = Blobs::open(folder.path()).expect("opens again");
    assert_eq!(files_below(folder.path()), 1);
    assert_eq!(blobs.find(blob.hash).await.expect("looks"), Some(blob));
}
