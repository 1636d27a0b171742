use std::num::NonZeroU32;
use std::pin::pin;

use bytes::Bytes;
use gleaner_protocol::{
    Axis, AxisValues, BlobHash, FileRef, Floats, Number, Pairing, RelativeName, Sequence,
    StageIndex, StageTask, UnitSize, Value, ValueMap, wire,
};

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
            on_failure: gleaner_protocol::OnFailure::Stop,
        },
        splitter,
        unit_size: UnitSize::Auto,
        unit_items_max: None,
        reducer: Reducer::Files,
    }
}

fn lines_of(source: BlobRef) -> StageSpec {
    stage(
        "words",
        Splitter::Lines {
            field: "line".into(),
            source: RecordSource::File(source),
            file: "words.txt".into(),
        },
    )
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

fn text(text: &str) -> Value {
    Value::Text(text.into())
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
        Axis { field: "b".into(), values: AxisValues::List(["x", "y"].map(text).to_vec()) },
        Axis { field: "a".into(), values: AxisValues::List((1..=3).map(Value::Integer).collect()) },
    ];
    let pairing = Pairing::Product;
    let spec = stage("s", Splitter::Grid { axes, pairing, replicates: None });
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
    let cases: [(&[u8], &str); 2] = [
        (b"good\nb\xffd\n", "line 2: it is not UTF-8; convert the file to UTF-8 first"),
        (b"cut \xc3", "line 1: it is not UTF-8; convert the file to UTF-8 first"),
    ];
    for (text, expected) in cases {
        let source = folder.blobs.put(text).await.expect("kept");
        let error =
            StageInput::open(&lines_of(source), None, &folder.blobs).await.expect_err("refused");
        assert!(error.is_of_job());
        assert_eq!(error.to_string(), format!("stage `words`: \"words.txt\", {expected}"));
    }
    let empty = folder.blobs.put("").await.expect("kept");
    let error = StageInput::open(&lines_of(empty), None, &folder.blobs).await.expect_err("refused");
    assert!(matches!(error, SplitError::NoRecords { .. }), "{error}");
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
async fn an_earlier_output_is_cut_like_a_file() {
    let folder = folder();
    let output = folder.blobs.put("a,b\r\n1,2\r\n3,4\r\n").await.expect("kept");
    let splitter = Splitter::Records {
        format: RecordFormat::Csv { delimiter: ',' },
        field: None,
        source: RecordSource::Stage(StageIndex(0)),
        file: "search/search.csv".into(),
    };
    let spec = stage("report", splitter);
    let input = StageInput::open(&spec, Some(output), &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 2);
    let items = input.materialise(range(1, 2)).await.expect("items");
    assert_eq!(decoded(&items), [map(&[("a", text("3")), ("b", text("4"))])]);

    let output = folder.blobs.put("a,b\r\n1,2,3\r\n").await.expect("kept");
    let error = StageInput::open(&spec, Some(output), &folder.blobs).await.expect_err("refused");
    assert!(error.is_of_job());
    assert_eq!(
        error.to_string(),
        "stage `report`: \"search/search.csv\", line 2: the row has 3 values, the header names 2; \
         give each row as many"
    );
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
        priority: 0,
        quorum: NonZeroU32::MIN,
        max_attempts: NonZeroU32::MIN,
        answers: gleaner_protocol::Answers::Kept,
        keep: None,
        notify: gleaner_protocol::Notify::default(),
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

#[tokio::test]
async fn a_zip_pairs_its_axes_and_replicates_repeat_each_point() {
    let folder = folder();
    let axes = vec![
        Axis { field: "a".into(), values: AxisValues::List(["x", "y"].map(text).to_vec()) },
        Axis {
            field: "b".into(),
            values: AxisValues::Sequence(Sequence::Linspace {
                start: Number::Integer(0),
                end: Number::Float(0.3),
                count: 2,
            }),
        },
    ];
    let replicates = std::num::NonZeroU64::new(3);
    let spec = stage("s", Splitter::Grid { axes, pairing: Pairing::Zip, replicates });
    let input = StageInput::open(&spec, None, &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 6);
    let items = input.materialise(range(2, 4)).await.expect("items");
    let at = |a: &str, b, replicate| {
        map(&[("a", text(a)), ("b", Value::Float(b)), ("replicate", Value::Integer(replicate))])
    };
    assert_eq!(decoded(&items), [at("x", 0.0, 2), at("y", 0.3, 0)]);
}

#[tokio::test]
async fn a_point_far_into_a_huge_grid_is_computed_alone() {
    let folder = folder();
    let axis = |field: &str| Axis {
        field: field.into(),
        values: AxisValues::Sequence(Sequence::Range {
            start: Number::Integer(0),
            end: Number::Integer(2_000_000_000),
            step: Number::Integer(1),
        }),
    };
    let axes = vec![axis("a"), axis("b")];
    let grid = Splitter::Grid { axes, pairing: Pairing::Product, replicates: None };
    let input = StageInput::open(&stage("s", grid), None, &folder.blobs).await.expect("opens");
    let last = input.items() - 1;
    let items = input.materialise(range(last, last + 1)).await.expect("items");
    let end = Value::Integer(1_999_999_999);
    assert_eq!(decoded(&items), [map(&[("a", end.clone()), ("b", end)])]);
}

fn pieces(chunk_bytes: u64, ends: PieceEnd, source: BlobRef) -> StageSpec {
    let format = RecordFormat::Pieces { chunk_bytes, ends };
    let (field, file) = (Some("piece".into()), "words.txt".into());
    stage("words", Splitter::Records { format, field, source: RecordSource::File(source), file })
}

async fn pieces_of(folder: &Folder, chunk_bytes: u64, ends: PieceEnd, text: &str) -> Vec<String> {
    let source = folder.blobs.put(text.to_owned()).await.expect("kept");
    let spec = pieces(chunk_bytes, ends, source);
    let input = StageInput::open(&spec, None, &folder.blobs).await.expect("opens");
    let all = input.materialise(range(0, input.items())).await.expect("items");
    for (item, expected) in all.iter().enumerate() {
        let alone = range(item as u64, item as u64 + 1);
        assert_eq!(
            input.materialise(alone).await.expect("an item"),
            std::slice::from_ref(expected)
        );
    }
    let piece = |item: &ByteBuf| {
        let map: std::collections::BTreeMap<String, ByteBuf> = wire::decode(item).expect("a map");
        String::from_utf8(map["piece"].to_vec()).expect("text")
    };
    all.iter().map(piece).collect()
}

#[tokio::test]
async fn pieces_end_at_line_ends_or_at_their_length() {
    let folder = folder();
    let check = async |chunk, ends, text, expected: &[&str]| {
        assert_eq!(pieces_of(&folder, chunk, ends, text).await, expected, "{text:?} by {chunk}");
    };
    check(4, PieceEnd::Exact, "123456789", &["1234", "5678", "9"]).await;
    check(3, PieceEnd::Exact, "123456", &["123", "456"]).await;
    check(9, PieceEnd::Exact, "1", &["1"]).await;
    check(1, PieceEnd::Line, "a\nbc\n\nd", &["a\n", "bc\n", "\n", "d"]).await;
    check(2, PieceEnd::Line, "a\nbc\n\nd", &["a\n", "bc\n", "\nd"]).await;
    check(3, PieceEnd::Line, "a\nbc\n\nd", &["a\nbc\n", "\nd"]).await;
    check(5, PieceEnd::Line, "a\nbc\n\nd\n", &["a\nbc\n", "\nd\n"]).await;
    check(99, PieceEnd::Line, "a\r\nb", &["a\r\nb"]).await;
}

fn gzip(members: &[&str]) -> Vec<u8> {
    use std::io::Write as _;
    let member = |text: &&str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("a vector takes it");
        encoder.finish().expect("a vector takes it")
    };
    members.iter().flat_map(member).collect()
}

fn zstd(frames: &[&str]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let frame = |text: &&str| ruzstd::encoding::compress_to_vec(text.as_bytes(), level);
    frames.iter().flat_map(frame).collect()
}

/// A frame that zstd skips, with some bytes in it.
const SKIPPED: &[u8] = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";

#[tokio::test]
async fn compressed_files_are_read_as_what_they_hold() {
    let folder = folder();
    let texts = ["one\ntw", "o\nthree\n"];
    let cases = [
        gzip(&texts),
        zstd(&texts),
        [SKIPPED, &zstd(&texts[..1]), SKIPPED, &zstd(&texts[1..]), SKIPPED].concat(),
    ];
    for bytes in cases {
        let source = folder.blobs.put(bytes).await.expect("kept");
        let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
        let expected: Vec<_> =
            ["one", "two", "three"].iter().map(|line| map(&[("line", text(line))])).collect();
        let items = input.materialise(range(0, 3)).await.expect("items");
        assert_eq!(decoded(&items), expected);
        folder.blobs.remove_derived(source.hash);
        let items = input.materialise(range(2, 3)).await.expect("it is made again");
        assert_eq!(decoded(&items), &expected[2..]);

        let spec = pieces(4, PieceEnd::Exact, source);
        let input = StageInput::open(&spec, None, &folder.blobs).await.expect("opens");
        assert_eq!(input.items(), 4, "14 bytes by 4");
    }
}

#[test]
fn whoever_gives_a_file_up_while_it_is_decompressed_leaves_nothing_behind() {
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let line = format!("{}\n", "word ".repeat(200));
    let source = runtime.block_on(folder.blobs.put(gzip(&[&line.repeat(32 * 1024)])));
    let source = source.expect("kept");
    let scratch = folder.blobs.scratch_path();
    let is_begun = || {
        let entries = std::fs::read_dir(scratch.parent().expect("it is in a folder"));
        entries.expect("a folder").next().is_some()
    };
    let stage = lines_of(source);
    let given_up_midway = async || {
        let mut opening = pin!(StageInput::open(&stage, None, &folder.blobs));
        while !is_begun() {
            if futures::poll!(opening.as_mut()).is_ready() {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    };
    // It may be through before it is seen to have begun: once more, then.
    while !runtime.block_on(given_up_midway()) {
        folder.blobs.remove_derived(source.hash);
    }
    // The thread that decompresses it is waited for.
    drop(runtime);
    assert!(!folder.blobs.derived_path(source.hash).exists());
    assert!(!is_begun());
}

#[tokio::test]
async fn a_stream_that_is_cut_off_or_damaged_is_refused_with_its_place() {
    let folder = folder();
    let text: String = (0..50_000).map(|n| format!("line {n} {}\n", n * 7919 % 104_729)).collect();
    for (name, whole) in [("gzip", gzip(&[&text])), ("zstd", zstd(&[&text]))] {
        let cut = whole[..whole.len() - 5].to_vec();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        for bytes in [cut, damaged, whole[..8].to_vec()] {
            let source = folder.blobs.put(bytes).await.expect("kept");
            let opened = StageInput::open(&lines_of(source), None, &folder.blobs).await;
            let error = opened.expect_err("refused");
            let message = error.to_string();
            let begin = format!(
                "stage `words`: \"words.txt\": its {name} stream is damaged or cut off after "
            );
            assert!(message.starts_with(&begin) && message.contains("compress it"), "{message}");
            assert!(error.is_of_job());
            assert!(!folder.blobs.derived_path(source.hash).exists());
        }
    }
}

#[tokio::test]
async fn each_file_is_an_item_and_a_large_one_is_never_held_whole() {
    let folder = folder();
    let large = vec![7; READ_BYTES * 2 + 5];
    let file = async |name: &str, bytes: Vec<u8>| FileRef {
        name: name.into(),
        blob: folder.blobs.put(bytes).await.expect("kept"),
    };
    let files = vec![file("data/a.bin", vec![1, 2]).await, file("data/b.bin", large.clone()).await];
    let spec = stage("s", Splitter::EachFile { field: "bytes".into(), files });
    let input = StageInput::open(&spec, None, &folder.blobs).await.expect("opens");
    assert_eq!(input.items(), 2);
    assert_eq!(input.unit_items_max(), NonZeroU32::new(127), "64 MiB by 512 KiB");
    let small = input.payload(range(0, 1)).await.expect("a payload");
    let first = b"\x82\xa4name\xaadata/a.bin\xa5bytes\xc4\x02\x01\x02".to_vec();
    assert_eq!(small, Payload::Inline(vec![ByteBuf::from(first)]));
    let Payload::Blob(blob) = input.payload(range(1, 2)).await.expect("a payload") else {
        panic!("half a megabyte is no inline payload");
    };
    let held = input.materialise(range(1, 2)).await.expect("an item");
    let streamed = folder.blobs.read(blob.hash).await.expect("held");
    assert_eq!(&streamed[..], Payload::encode_items(&held));
    assert_eq!(held[0][held[0].len() - large.len()..], large);
}

#[tokio::test]
async fn units_of_long_items_have_few_of_them() {
    let folder = folder();
    let items_max = async |longest: usize| {
        let text = format!("short\n{}\n", "x".repeat(longest));
        let source = folder.blobs.put(text).await.expect("kept");
        let input = StageInput::open(&lines_of(source), None, &folder.blobs).await.expect("opens");
        input.unit_items_max().map(NonZeroU32::get)
    };
    assert_eq!(items_max(100).await, None);
    assert_eq!(items_max((1 << 20) - 1).await, Some(64));
    assert_eq!(items_max((33 << 20) - 1).await, Some(1));
}

#[tokio::test]
async fn fields_of_records_may_not_be_those_of_parameters() {
    let folder = folder();
    let refused = async |format, field: Option<&str>, text: &str| {
        let source = folder.blobs.put(text.to_owned()).await.expect("kept");
        let (field, file) = (field.map(Into::into), "rows".into());
        let mut spec = stage(
            "s",
            Splitter::Records { format, field, source: RecordSource::File(source), file },
        );
        spec.task.parameters.insert("mass".into(), Value::Integer(1));
        StageInput::open(&spec, None, &folder.blobs).await.err().map(|error| error.to_string())
    };
    let csv = RecordFormat::Csv { delimiter: ',' };
    assert_eq!(refused(csv, Some("row"), "name,mass\na,1\n").await, None);
    let expected = "the field \"mass\" is a parameter of the stage too; rename the parameter, or \
                    put the record into a field of its own with `field = \"record\"`";
    let error = refused(csv, None, "name,mass\na,1\n").await;
    assert_eq!(error, Some(format!("stage `s`: \"rows\", line 1: {expected}")));
    let error = refused(RecordFormat::JsonLines, None, "{\"a\":1}\n{\"mass\":2}\n").await;
    assert_eq!(error, Some(format!("stage `s`: \"rows\", line 2: {expected}")));
}

#[tokio::test]
async fn columns_of_the_output_must_be_fields_of_the_records() {
    let folder = folder();
    let refused = async |format, text: &str| {
        let source = folder.blobs.put(text.to_owned()).await.expect("kept");
        let mut spec = stage(
            "s",
            Splitter::Records {
                format,
                field: None,
                source: RecordSource::File(source),
                file: "rows".into(),
            },
        );
        let (file, columns) = ("s.csv".parse().expect("a name"), Some(vec!["mass".to_owned()]));
        spec.reducer = Reducer::Csv { file, columns };
        StageInput::open(&spec, None, &folder.blobs).await.err().map(|error| error.to_string())
    };
    let csv = RecordFormat::Csv { delimiter: ',' };
    assert_eq!(refused(csv, "name,mass\na,1\n").await, None);
    let expected = "the record has no field \"mass\", which is one of the stage's `columns`; add it \
                    here, or remove it there";
    let error = refused(csv, "name\na\n").await;
    assert_eq!(error, Some(format!("stage `s`: \"rows\", line 1: {expected}")));
    let error = refused(RecordFormat::JsonLines, "{\"mass\":1}\n{\"a\":2}\n").await;
    assert_eq!(error, Some(format!("stage `s`: \"rows\", line 2: {expected}")));
}
