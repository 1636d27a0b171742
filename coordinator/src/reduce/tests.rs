mod tables;

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use gleaner_coordinator_core::{Block, Opinion, Owner, Record, Sequence};
use gleaner_protocol::{
    AttemptId, FailureKind, ItemFailure, ItemRange, JobId, JobSpec, Payload, StageIndex,
    SubmissionId, Timestamp, TopOrder, TrapKind, UnitId, WorkerId, wire,
};
use serde::Serialize;
use serde_bytes::Bytes;

use super::*;
use crate::function::CallError;
use crate::store::Store;

/// Writes the tree it is asked for: `(left right)`.
struct Bracketing;

impl Merger for Bracketing {
    async fn merge(&mut self, left: ByteBuf, right: ByteBuf) -> Result<ByteBuf, CallError> {
        let decode = |value: &[u8]| wire::decode::<String>(value).expect("text");
        let (left, right) = (decode(&left), decode(&right));
        if right == "3" {
            let kind = TrapKind::Arithmetic;
            let outcome = Outcome::Trapped { item: 0, kind, message: String::new() };
            return Err(CallError::NoValue(outcome));
        }
        Ok(encode(&format!("({left} {right})")))
    }
}

struct Folder {
    folder: tempfile::TempDir,
    blobs: Blobs,
}

fn folder() -> Folder {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(&folder.path().join("blobs")).expect("opens");
    Folder { folder, blobs }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> ByteBuf {
    ByteBuf::from(wire::encode(value))
}

fn name() -> RelativeName {
    "out".parse().expect("a name")
}

/// A stage of ten items with the field `n`.
fn stage_of(reducer: &Reducer) -> StageSpec {
    let stage = crate::tests::job_spec().stages.remove(0);
    StageSpec { reducer: reducer.clone(), ..stage }
}

async fn input(stage: &StageSpec, blobs: &Blobs) -> StageInput {
    StageInput::open(stage, None, blobs).await.expect("a range opens")
}

/// A table without columns of the items themselves.
fn csv() -> Reducer {
    Reducer::Csv { file: name(), columns: Some(Vec::new()) }
}

/// The files that `reducer` makes of `outputs`, or why it does not.
async fn reduced(reducer: &Reducer, outputs: &[ByteBuf]) -> Result<String, ReduceError> {
    let Folder { folder: _folder, blobs } = folder();
    let stage = stage_of(reducer);
    let mut fields = ItemFields::new(Some(input(&stage, &blobs).await), 10);
    let mut reduction = Reduction::start(&stage, &blobs, Bracketing).await?;
    for (item, output) in (0..).zip(outputs) {
        reduction.push(item, fields.of(item).await?, output.clone()).await?;
    }
    let mut text = String::new();
    for StageOutput { name, blob } in reduction.finish().await? {
        let bytes = blobs.read(blob.hash).await.expect("held");
        assert_eq!(BlobRef::of(&bytes), blob);
        text += &format!("{name}: {:?}\n", String::from_utf8_lossy(&bytes));
    }
    Ok(text)
}

async fn check(reducer: Reducer, outputs: &[ByteBuf], expected: Expect) {
    let found = match reduced(&reducer, outputs).await {
        Ok(text) => text,
        Err(error) => {
            assert!(error.is_of_job(), "{error}");
            format!("error: {error}\n")
        }
    };
    expected.assert_eq(&found);
}

#[derive(Serialize)]
struct Peak {
    period: f64,
    star: &'static str,
    error: Option<f32>,
}

#[tokio::test]
async fn concat_joins_bytes_and_text() {
    let concat = || Reducer::Concat { file: name() };
    let outputs = [encode(Bytes::new(b"\x01a")), encode("b\n"), encode("")];
    check(
        concat(),
        &outputs,
        expect![[r#"
        out: "\u{1}ab\n"
    "#]],
    )
    .await;
    check(
        concat(),
        &[],
        expect![[r#"
        out: ""
    "#]],
    )
    .await;
    check(concat(), &[encode("x"), encode(&7)], expect![[r#"
        error: item 1: its output is a whole number, and `concat` takes bytes or text; return one of these, or use `reduce = "lines"` for one line of JSON each
    "#]])
    .await;
}

#[tokio::test]
async fn lines_are_text_or_json() {
    let lines = || Reducer::Lines { file: name() };
    let peak = Peak { period: 1.0, star: "HD \"1\"", error: None };
    let outputs =
        [encode("as it is"), encode(&peak), encode(&vec![1, -2]), encode(&()), encode(&true)];
    check(lines(), &outputs, expect![[r#"
        out: "as it is\n{\"period\":1.0,\"star\":\"HD \\\"1\\\"\",\"error\":null}\n[1,-2]\nnull\ntrue\n"
    "#]])
    .await;
}

#[tokio::test]
async fn json_says_what_it_has_no_word_for() {
    let lines = || Reducer::Lines { file: name() };
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, 0.1];
    let keys = BTreeMap::from([(-1, Bytes::new(b"\xff\x00"))]);
    check(lines(), &[encode(&floats), encode(&keys), encode(&u64::MAX)], expect![[r#"
        out: "[\"NaN\",\"Infinity\",\"-Infinity\",-0.0,1e+300,0.1]\n{\"-1\":\"/wA=\"}\n18446744073709551615\n"
    "#]])
    .await;
    check(
        lines(),
        &[ByteBuf::from(vec![0xd4, 5, 0])],
        expect![[r#"
        error: item 0: its output has a MessagePack extension (type 5), which has no text form
    "#]],
    )
    .await;
    let deep = [vec![0x91; 64], vec![0xc0]].concat();
    check(
        lines(),
        &[ByteBuf::from(deep)],
        expect![[r#"
        error: item 0: its output nests more than 64 values in each other
    "#]],
    )
    .await;
}

#[tokio::test]
async fn files_have_names_of_their_own() {
    let files = |names: &[&str]| {
        encode(&names.iter().map(|name| (*name, format!("in {name}"))).collect::<BTreeMap<_, _>>())
    };
    let binary = encode(&BTreeMap::from([("x.png", Bytes::new(b"\x89"))]));
    check(
        Reducer::Files,
        &[files(&["b.svg", "a/c"]), files(&[]), binary],
        expect![[r#"
        a/c: "in a/c"
        b.svg: "in b.svg"
        x.png: "�"
    "#]],
    )
    .await;
    check(
        Reducer::Files,
        &[files(&["a"]), files(&["b"]), files(&["A"])],
        expect![[r#"
        error: item 2: its file `A` was already written by item 0; put the item into the name
    "#]],
    )
    .await;
    check(
        Reducer::Files,
        &[files(&["a"]), files(&["Failed.csv"])],
        expect![[r#"
        error: item 1: its file `Failed.csv` has the name of a file beside the outputs; choose another
    "#]],
    )
    .await;
    for pair in [["a/b", "a"], ["a", "a/b"]] {
        let error = reduced(&Reducer::Files, &pair.map(|name| files(&[name]))).await;
        let error = error.expect_err("a file is no folder");
        assert!(
            matches!(
                error,
                ReduceError::Output {
                    item: 1,
                    fault: OutputFault::FileIsFolder { earlier: 0, .. }
                }
            ),
            "{error}"
        );
    }
    check(Reducer::Files, &[files(&["../x"])], expect![[r#"
        error: item 0: the file name "../x" has a part that cannot be used: ".."; choose another name
    "#]])
    .await;
    check(
        Reducer::Files,
        &[encode(&BTreeMap::from([("n", 1)]))],
        expect![[r#"
        error: item 0: the content of its file `n` is a whole number; make it bytes or text
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_merge_is_a_balanced_tree_in_the_order_of_items() {
    let merge = || Reducer::Merge { file: name(), function: "combine".into() };
    let items = |names: &[&str]| names.iter().map(|name| encode(*name)).collect::<Vec<_>>();
    check(
        merge(),
        &items(&["a"]),
        expect![[r#"
        out: "\"a\"\n"
    "#]],
    )
    .await;
    check(
        merge(),
        &items(&["a", "b", "c", "d", "e", "f", "g"]),
        expect![[r#"
        out: "\"(((a b) (c d)) ((e f) g))\"\n"
    "#]],
    )
    .await;
    check(merge(), &items(&["0", "1", "2", "3"]), expect![[r#"
        error: merging the outputs of items 2..3 and 3..4: item 0 trapped: it divided by zero or converted a float that fits no integer
    "#]])
    .await;
    check(
        merge(),
        &[],
        expect![[r#"
        error: there is no output to merge; a merge needs one item that gives one at least
    "#]],
    )
    .await;
}

/// What a merge makes of items, those that are empty without output.
async fn merged_but_for(items: &[&str]) -> String {
    let Folder { folder: _folder, blobs } = folder();
    let merge = stage_of(&Reducer::Merge { file: name(), function: "combine".into() });
    let mut reduction = Reduction::start(&merge, &blobs, Bracketing).await.expect("starts");
    for (item, value) in (0..).zip(items) {
        match *value {
            "" => {
                let item = ItemRange { start: item, end: item + 1 };
                reduction.leave_out(item).await.expect("left out");
            }
            value => reduction.push(item, &[], encode(value)).await.expect("merged"),
        }
    }
    match reduction.finish().await {
        Ok(outputs) => {
            let bytes = blobs.read(outputs[0].blob.hash).await.expect("held");
            String::from_utf8(bytes.to_vec()).expect("text").trim_end().to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_merge_keeps_its_shape_where_items_gave_no_output() {
    assert_eq!(merged_but_for(&["a", "", "c", "d", "e"]).await, "\"((a (c d)) e)\"");
    assert_eq!(merged_but_for(&["", "", "c", "d", "", "f"]).await, "\"((c d) f)\"");
    assert_eq!(merged_but_for(&["a", "b", "", ""]).await, "\"(a b)\"");
    let nothing = "there is no output to merge; a merge needs one item that gives one at least";
    assert_eq!(merged_but_for(&["", "", ""]).await, nothing);
}

#[tokio::test]
async fn items_that_failed_are_left_out_of_every_output() {
    let folder = folder();
    let (all, mut outputs) = numbers(0, 5);
    let kind = FailureKind::Failed;
    let failure = |item| ItemFailure { item, kind, message: "no star".into() };
    let mut results = Vec::new();
    for item in [1, 4] {
        outputs[item as usize] = ByteBuf::new();
        results.push(failure(item));
    }
    let outcome = Outcome::Completed { outputs: Payload::Inline(outputs), failures: results };
    let results = settled_by(&folder, &[(all, outcome)]).await;
    let lines = stage_of(&Reducer::Lines { file: name() });
    let outputs = reduce(&lines, 5, None, results, &folder.blobs, Bracketing).await;
    let outputs = outputs.expect("reduced");
    let bytes = folder.blobs.read(outputs[0].blob.hash).await.expect("held");
    assert_eq!(String::from_utf8_lossy(&bytes), "0\n2\n3\n");
}

#[tokio::test]
async fn bytes_that_are_no_value_are_the_items_fault() {
    for bytes in
        [&[][..], &[0xc1], &[0xc6, 0xff, 0xff, 0xff, 0xff], &[0xdd, 0xff, 0xff, 0xff, 0xff]]
    {
        let error = reduced(&Reducer::Lines { file: name() }, &[ByteBuf::from(bytes)]).await;
        let expected = "item 0: its output is not MessagePack; write it with the SDK";
        assert_eq!(error.expect_err("refused").to_string(), expected);
    }
    let error = reduced(&Reducer::Lines { file: name() }, &[ByteBuf::from([1, 2])]).await;
    let expected = "item 0: its output is not exactly one MessagePack value; write it once";
    assert_eq!(error.expect_err("refused").to_string(), expected);
}

/// A unit's items and their outputs.
type Unit = (ItemRange, Payload);

/// A store in which stage 0 of job 1 has these units settled, each with so many items' outputs.
async fn settled(folder: &Folder, units: &[Unit]) -> SettledResults {
    let outcome = |(items, outputs): &Unit| {
        (*items, Outcome::Completed { outputs: outputs.clone(), failures: Vec::new() })
    };
    settled_by(folder, &units.iter().map(outcome).collect::<Vec<_>>()).await
}

/// The same with the units' outcomes.
async fn settled_by(folder: &Folder, units: &[(ItemRange, Outcome)]) -> SettledResults {
    let job = JobId(1);
    let stage = StageIndex(0);
    let spec: JobSpec = wire::decode(&wire::encode(&crate::tests::job_spec())).expect("a job");
    let at = Timestamp::ZERO;
    let (submission, owner) = (SubmissionId(1), Owner::Operator);
    let mut records =
        vec![Record::JobAccepted { job, submission, owner, spec, retry_of: None, at }];
    for (number, (items, outcome)) in (0..).zip(units) {
        let attempt = AttemptId { unit: UnitId { job, number }, number: 1 };
        let outcome = outcome.clone();
        let block = Block {
            stage,
            first_unit: number,
            units: 1,
            items: *items,
            unit_items: items.len() as u32,
        };
        let opinion = Opinion {
            attempt,
            worker: WorkerId([1; 32]),
            answer: outcome.answer(),
            class: outcome.class(),
            cpu: std::time::Duration::ZERO,
        };
        records.push(Record::BlockCut { job, block });
        records.push(Record::ResultAccepted { opinion, outcome, log: String::new() });
        records.push(Record::UnitSettled { stage, items: *items, attempt });
    }
    let (store, mut commits) = Store::open(folder.folder.path()).expect("opens");
    store.commit(Sequence(1), records).await.expect("queued");
    commits.next().await.expect("durable");
    store.settled_results(job, stage)
}

fn numbers(start: u64, end: u64) -> (ItemRange, Vec<ByteBuf>) {
    (ItemRange { start, end }, (start..end).map(|item| encode(&item)).collect())
}

#[tokio::test]
async fn settled_units_become_one_output_wherever_their_bytes_are() {
    let folder = folder();
    let (small, inline) = numbers(0, 2);
    let (large, outputs) = numbers(2, 300);
    let encoded = Payload::encode_items(&outputs);
    let blob = folder.blobs.put(encoded).await.expect("kept");
    let units = [(small, Payload::Inline(inline)), (large, Payload::Blob(blob))];
    let results = settled(&folder, &units).await;
    let lines = stage_of(&Reducer::Lines { file: name() });
    let outputs =
        reduce(&lines, 300, None, results, &folder.blobs, Bracketing).await.expect("reduced");
    let expected: String = (0..300).map(|n| format!("{n}\n")).collect();
    let bytes = folder.blobs.read(outputs[0].blob.hash).await.expect("held");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

/// Remembers the gaps that it is told of.
#[derive(Default)]
struct Told(Vec<ItemRange>);

impl Gaps for Told {
    async fn gap(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        self.0.push(items);
        Ok(())
    }
}

/// What a preview of `items` items makes of the items that are there, and the gaps.
async fn previewed(
    reducer: Reducer,
    items: u64,
    units: &[(ItemRange, Outcome)],
) -> (Option<String>, u64, Vec<ItemRange>) {
    let folder = folder();
    let apart = folder.blobs.apart().expect("a folder");
    let results = settled_by(&folder, units).await;
    let mut gaps = Told::default();
    let places = Places { read: &folder.blobs, write: &apart };
    let stage = stage_of(&reducer);
    let partial = reduce_partial(&stage, items, None, results, places, Bracketing, &mut gaps).await;
    let PartialOutput { files, items_settled } = partial.expect("a preview");
    let mut text = None;
    if let Some(file) = files.first() {
        let held = folder.blobs.find(file.blob.hash).await.expect("looked up");
        assert_eq!(held, None, "a preview is kept nowhere but apart");
        let bytes = apart.read(file.blob.hash).await.expect("held");
        text = Some(String::from_utf8(bytes.to_vec()).expect("text"));
    }
    (text, items_settled, gaps.0)
}

#[tokio::test]
async fn a_preview_is_what_there_is_and_tells_its_gaps() {
    let completed = |start, outputs: &[&str]| {
        let items = ItemRange { start, end: start + outputs.len() as u64 };
        let outputs = Payload::Inline(outputs.iter().map(|output| encode(*output)).collect());
        (items, Outcome::Completed { outputs, failures: Vec::new() })
    };
    let range = |start, end| ItemRange { start, end };
    let failed = (range(4, 5), Outcome::Failed { item: 4, message: "no star".into() });
    let units = [completed(1, &["b", "c"]), failed, completed(5, &["f"])];
    let lines = Reducer::Lines { file: name() };
    let gaps = vec![range(0, 1), range(3, 5), range(6, 8)];
    let expected = (Some("b\nc\nf\n".to_owned()), 3, gaps);
    assert_eq!(previewed(lines.clone(), 8, &units).await, expected);
    assert_eq!(previewed(lines, 2, &[]).await, (None, 0, vec![range(0, 2)]));

    // More items than could be passed one by one.
    let merge = Reducer::Merge { file: name(), function: "combine".into() };
    let end = i64::MAX as u64;
    let (text, ..) = previewed(merge.clone(), end, &[completed(2, &["c", "d", "e"])]).await;
    assert_eq!(text.as_deref(), Some("\"((c d) e)\"\n"));
    assert_eq!(previewed(merge, end, &[]).await, (None, 0, vec![range(0, end)]));
}

#[tokio::test]
async fn missing_results_and_damaged_blobs_are_the_coordinators_fault() {
    let lines = stage_of(&Reducer::Lines { file: name() });
    let (first, outputs) = numbers(0, 2);
    let (third, more) = numbers(3, 4);
    let inline = (first, Payload::Inline(outputs.clone()));
    let short = (first, Payload::Inline(outputs[..1].to_vec()));
    let torn = folder().blobs.put("\u{2}").await.expect("kept");
    let cases: [(Vec<Unit>, u64, &str); 4] = [
        (vec![inline.clone()], 3, "item 2 has no settled result; the store is damaged"),
        (
            vec![inline, (third, Payload::Inline(more))],
            4,
            "item 2 has no settled result; the store is damaged",
        ),
        (
            vec![short],
            2,
            "the settled result of unit-1.0 cannot be read back; the store is damaged",
        ),
        (vec![(first, Payload::Blob(torn))], 2, "is not held here"),
    ];
    for (units, items, expected) in cases {
        let folder = folder();
        let results = settled(&folder, &units).await;
        let error = reduce(&lines, items, None, results, &folder.blobs, Bracketing).await;
        let error = error.expect_err("damaged");
        assert!(!error.is_of_job() && error.to_string().ends_with(expected), "{error}");
    }
}

#[test]
fn floats_in_text_read_back_to_the_same_bits() {
    proptest::proptest!(|(value in proptest::num::f64::ANY)| {
        let value: f64 = value;
        let mut text = Vec::new();
        let encoded = encode(&value);
        json::write(&mut Reader::new(&encoded), &mut text).expect("a number");
        let text = String::from_utf8(text).expect("text");
        let read: f64 = text.trim_matches('"').parse().expect("a number");
        proptest::prop_assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()));
    });
}

#[test]
fn no_bytes_make_a_reader_panic() {
    proptest::proptest!(|(bytes: Vec<u8>)| {
        let mut text = Vec::new();
        let _ = check_value(&bytes);
        let _ = text::line(&bytes, &mut text);
        let _ = Csv::default().render(&[], &bytes, &mut text);
    });
}
