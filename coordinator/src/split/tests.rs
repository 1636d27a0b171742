use std::num::NonZeroU32;

use bytes::Bytes;
use gleaner_protocol::{
    Axis, BlobHash, Floats, RelativeName, StageIndex, StageTask, UnitSize, Value, ValueMap,
};
use proptest::prelude::*;

use super::*;

fn stage(name: &str, splitter: Splitter) -> StageSpec {
    StageSpec {
        name: name.into(),
        task: StageTask {
            module: BlobRef::of(b""),
            function: "run".into(),
            parameters: ValueMap::new(),
            files: Vec::new(),
            limits: Limits::default(),
            seed: 0,
            floats: Floats::Plain,
        },
        splitter,
        unit_size: UnitSize::Auto,
        reducer: Reducer::Files,
    }
}

fn lines_of(source: BlobRef) -> StageSpec {
    stage("words", Splitter::Lines { field: "line".into(), source })
}

fn range(start: u64, end: u64) -> ItemRange {
    ItemRange { start, end }
}

fn decoded(items: &[ByteBuf]) -> Vec<ValueMap> {
    items.iter().map(|item| wire::decode(item).expect("a map")).collect()
}

fn map(fields: &[(&str, Value)]) -> ValueMap {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

struct Folder {
    _folder: tempfile::TempDir,
    blobs: Blobs,
}

fn folder() -> Folder {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).expect("opens");
    Folder { _folder: folder, blobs }
}

#[tokio::test]
async fn a_range_counts_and_may_start_below_zero() {
    let folder = folder();
    let splitter = Splitter::Range { field: "n".into(), start: -2, end: 3 };
    let input = StageInput::open(&stage("s", splitter), None, &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 5);
    let items = input.materialise(range(1, 4)).await.expect("items");
    let expected: Vec<_> = (-1..2).map(|n| map(&[("n", Value::Integer(n))])).collect();
    assert_eq!(decoded(&items), expected);
}

#[tokio::test]
async fn a_range_reaches_the_ends_of_the_integers() {
    let folder = folder();
    let splitter = Splitter::Range { field: "n".into(), start: i64::MIN, end: -1 };
    let input = StageInput::open(&stage("s", splitter), None, &folder.blobs).await.expect("opens");
    let last = input.items() - 1;
    let items = input.materialise(range(last, last + 1)).await.expect("items");
    assert_eq!(decoded(&items), [map(&[("n", Value::Integer(-2))])]);
}

#[tokio::test]
async fn a_grids_last_axis_runs_fastest() {
    let folder = folder();
    let axes = vec![
        Axis { field: "b".into(), values: vec![Value::Text("x".into()), Value::Text("y".into())] },
        Axis { field: "a".into(), values: (1..=3).map(Value::Integer).collect() },
    ];
    let spec = stage("s", Splitter::Grid { axes });
    let input = StageInput::open(&spec, None, &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 6);
    let items = input.materialise(range(2, 4)).await.expect("items");
    let at = |b: &str, a| map(&[("a", Value::Integer(a)), ("b", Value::Text(b.into()))]);
    assert_eq!(decoded(&items), [at("x", 3), at("y", 1)]);
    assert_eq!(&items[0][..], b"\x82\xa1b\xa1x\xa1a\x03", "fields in the order of the axes");
}

#[tokio::test]
async fn lines_end_with_either_line_end_or_none() {
    let folder = folder();
    let cases: [(&str, &[&str]); 5] = [
        ("one\r\ntwo\nthree", &["one", "two", "three"]),
        ("one\n", &["one"]),
        ("\n\nx\n", &["", "", "x"]),
        ("ü\r\n\r\n", &["ü", ""]),
        ("a\rb\n", &["a\rb"]),
    ];
    for (text, expected) in cases {
        let source = folder.blobs.put(Bytes::from_static(text.as_bytes())).await.expect("kept");
        let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
        assert_eq!(input.items(), expected.len() as u64, "{text:?}");
        let items = input.materialise(range(0, input.items())).await.expect("items");
        let expected: Vec<_> =
            expected.iter().map(|line| map(&[("line", Value::Text((*line).into()))])).collect();
        assert_eq!(decoded(&items), expected, "{text:?}");
    }
}

#[tokio::test]
async fn any_range_of_a_long_text_is_found() {
    let folder = folder();
    let text: String = (0..5000).map(|n| format!("line {n} {}\n", "x".repeat(n % 97))).collect();
    let source = folder.blobs.put(text.clone()).await.expect("kept");
    let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 5000);
    for (start, end) in [(0, 1), (1023, 1025), (1024, 1026), (2047, 2049), (4999, 5000), (0, 5000)]
    {
        let items = input.materialise(range(start, end)).await.expect("items");
        let expected: Vec<_> = text
            .lines()
            .skip(start as usize)
            .take((end - start) as usize)
            .map(|line| map(&[("line", Value::Text(line.into()))]))
            .collect();
        assert_eq!(decoded(&items), expected, "{start}..{end}");
    }
}

#[tokio::test]
async fn a_text_that_cannot_be_cut_is_refused_with_the_line() {
    let folder = folder();
    let long = [b"short\n".as_slice(), &vec![b'x'; LINE_BYTES_MAX + 1]].concat();
    let cases: [(Vec<u8>, &str); 3] = [
        (b"good\nb\xffd\n".to_vec(), "line 2 is not UTF-8; convert the text to UTF-8 first"),
        (b"cut \xc3".to_vec(), "line 1 is not UTF-8; convert the text to UTF-8 first"),
        (long, "line 2 is longer than 1048576 bytes; cut the text into shorter lines"),
    ];
    for (text, expected) in cases {
        let source = folder.blobs.put(text).await.expect("kept");
        let error =
            StageInput::open(&lines_of(source), None, &folder.blobs).await.expect_err("refused");
        assert!(error.is_of_job());
        assert_eq!(error.to_string(), format!("stage `words`: {expected}"));
    }
    let empty = folder.blobs.put("").await.expect("kept");
    let error = StageInput::open(&lines_of(empty), None, &folder.blobs).await.expect_err("refused");
    assert!(matches!(error, SplitError::NoLines { .. }), "{error}");
}

#[tokio::test]
async fn a_text_that_shrank_is_noticed() {
    let folder = folder();
    let source = folder.blobs.put("a\nb\nc\n").await.expect("kept");
    let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
    let path = folder.blobs.path(source.hash).expect("held");
    std::fs::write(path, "a\n").expect("written");
    let error = input.materialise(range(0, 3)).await.expect_err("damaged");
    assert!(matches!(error, SplitError::Damaged { item: 1, .. }), "{error}");
    assert!(!error.is_of_job());
}

#[tokio::test]
async fn a_stage_after_another_gets_its_whole_output() {
    let folder = folder();
    let output = folder.blobs.put("a,b\r\n1,2\r\n").await.expect("kept");
    let after = Splitter::After { stage: StageIndex(0), field: "search".into() };
    let input = StageInput::open(&stage("report", after.clone()), Some(output), &folder.blobs)
        .await
        .expect("opens");
    assert_eq!(input.items(), 1);
    let items = input.materialise(range(0, 1)).await.expect("items");
    assert_eq!(&items[0][..], b"\x81\xa6search\xc4\x0aa,b\r\n1,2\r\n");

    let huge = BlobRef { hash: BlobHash::of(b""), bytes: Limits::OUTPUT_BYTES_MAX + 1 };
    let error = StageInput::open(&stage("report", after), Some(huge), &folder.blobs)
        .await
        .expect_err("refused");
    assert!(matches!(error, SplitError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn small_inputs_travel_inline_and_large_ones_as_a_blob() {
    let folder = folder();
    let text = format!("{}\nsmall\n", "x".repeat(100_000));
    let source = folder.blobs.put(text).await.expect("kept");
    let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
    let small = input.payload(range(1, 2)).await.expect("a payload");
    assert!(matches!(&small, Payload::Inline(items) if items.len() == 1));
    let Payload::Blob(blob) = input.payload(range(0, 2)).await.expect("a payload") else {
        panic!("100 kB are no inline payload");
    };
    let bytes = folder.blobs.read(blob.hash).await.expect("held");
    let items = Payload::decode_items(&bytes).expect("items");
    assert_eq!(items, input.materialise(range(0, 2)).await.expect("items"));
}

#[test]
fn only_one_file_can_be_a_later_stages_input() {
    let mut first = stage("search", Splitter::Range { field: "n".into(), start: 0, end: 1 });
    let after = Splitter::After { stage: StageIndex(0), field: "search".into() };
    let second = stage("report", after);
    let job = |first: StageSpec| JobSpec {
        name: "j".into(),
        seed: 0,
        quorum: NonZeroU32::MIN,
        max_attempts: NonZeroU32::MIN,
        answers: gleaner_protocol::Answers::Kept,
        stages: vec![first, second.clone()],
    };
    let error = check_stages(&job(first.clone())).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "stage `report` takes the output of `search`, which is not one file"
    );
    let file = "search.csv".parse::<RelativeName>().expect("a name");
    first.reducer = Reducer::Csv { file, columns: None };
    check_stages(&job(first)).expect("one file");
}

proptest! {
    #[test]
    fn cursors_do_not_care_how_a_text_is_cut_into_pieces(
        lines in proptest::collection::vec("[a-zü]{0,5}\r?", 1..40),
        piece in 1_usize..9,
        start in 0_usize..40,
        length in 1_usize..40,
    ) {
        let text = lines.join("\n") + "\n";
        let expected: Vec<&str> = text.lines().collect();
        let mut scanner = LineScanner::default();
        for piece in text.as_bytes().chunks(piece) {
            scanner.feed(piece).expect("short lines of text");
        }
        let index = scanner.finish().expect("short lines of text");
        prop_assert_eq!(index.lines(), expected.len() as u64);
        let start = start % expected.len();
        let end = (start + length).min(expected.len());
        let (mut cursor, offset) = index.cursor(range(start as u64, end as u64));
        let mut found = Vec::new();
        for piece in text.as_bytes()[offset as usize..].chunks(piece) {
            cursor.feed(piece, |line| found.push(line.to_owned())).expect("text");
        }
        prop_assert!(cursor.is_done());
        prop_assert_eq!(found, &expected[start..end]);
    }
}
