mod reducers;
mod refused;
mod settings;
mod splitters;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{
    Axis, AxisValues, Bins, BlobHash, Floats, Limits, NotifyTarget, Pairing, PieceEnd,
    RecordFormat, Reducer, RelativeName, Splitter, StageIndex, TopOrder, UnitSize, Value, ValueMap,
};

const WHOLE: &str = r#"
[job]
name = "planets"
seed = 164922
quorum = 2
max_attempts = 7

[[stage]]
name = "search"
module = "planets.wasm"
function = "search"
range = { field = "resampling", start = 0, end = 2001 }
unit_items = 16
reduce = "csv"
output = "search.csv"
[stage.parameters]
period_min_days = 1.1
[stage.files]
star = "data/hd164922.csv"
[stage.limits]
memory = "256 MiB"
cpu = "10 min"

[[stage]]
name = "report"
module = "planets.wasm"
function = "report"
after = "search"
reduce = "files"
"#;

/// The least manifest, with `lines` in its only stage.
fn stage(lines: &str) -> String {
    format!(
        "[job]\nname = \"j\"\n[[stage]]\nname = \"s\"\nmodule = \"m.wasm\"\nreduce = \"csv\"\n{lines}"
    )
}

/// Files whose bytes are their own paths; two match each pattern.
fn found(manifest: &Manifest) -> FoundFiles {
    let blob = |path: &str| BlobRef::of(path.as_bytes());
    let files = manifest.files().map(|file| file.source());
    let files = files.map(|source| (source.clone(), blob(&source.to_string())));
    let matched = |name: &str| FileRef { name: name.into(), blob: blob(name) };
    let matches = manifest
        .patterns()
        .map(|pattern| (pattern.text().to_owned(), vec![matched("b.png"), matched("a.png")]));
    FoundFiles { files: files.collect(), matches: matches.collect() }
}

fn job(text: &str) -> JobSpec {
    let manifest = Manifest::parse(text).expect("the manifest is sound");
    let found = found(&manifest);
    let job = manifest.into_job_spec(&found).expect("the files are small");
    assert_eq!(job.check(), Ok(()));
    job
}

fn check(text: &str, expected: Expect) {
    let error = Manifest::parse(text).expect_err("the manifest is unsound");
    expected.assert_eq(&format!("{error}\n{}", error.hint()));
}

#[test]
fn a_whole_manifest_becomes_a_job() {
    let job = job(WHOLE);
    assert_eq!((job.name.as_str(), job.seed), ("planets", 164_922));
    assert_eq!((job.quorum.get(), job.max_attempts.get()), (2, 7));
    let [search, report] = job.stages.as_slice() else { panic!("two stages") };
    assert_eq!(search.task.function, "search");
    assert_eq!(search.task.seed, 164_922);
    assert_eq!(search.task.module, BlobRef::of(b"planets.wasm"));
    assert_eq!(search.task.files[0].name, "star");
    assert_eq!(search.task.parameters["period_min_days"], Value::Float(1.1));
    assert_eq!(search.unit_size, UnitSize::Fixed(16.try_into().expect("not zero")));
    assert_eq!(search.task.limits.memory_bytes, 256 << 20);
    assert_eq!(search.task.limits.cpu, Duration::from_secs(600));
    assert_eq!(search.task.limits.wall, Limits::default().wall);
    assert_eq!(report.splitter, Splitter::After { stage: StageIndex(0), field: "search".into() });
    assert_eq!(report.reducer, Reducer::Files);
}

#[test]
fn floats_are_plain_unless_a_stage_says_otherwise() {
    let range = "range = { field = \"i\", end = 3 }";
    let floats = |lines: &str| job(&stage(&format!("{range}\n{lines}"))).stages[0].task.floats;
    assert_eq!(floats(""), Floats::Plain);
    assert_eq!(floats("floats = \"plain\""), Floats::Plain);
    assert_eq!(floats("floats = \"strict\""), Floats::Strict);
    check(
        &stage(&format!("{range}\nfloats = \"strickt\"")),
        expect![[r#"
            line 8, column 10: `stage.s.floats` is "strickt"; it must be `plain` or `strict`
            did you mean "strict"?"#]],
    );
    check(
        &stage(&format!("{range}\nfloats = true")),
        expect![[r#"
            line 8, column 10: `stage.s.floats` is a truth value; it must be a text in quotes
            write a text in quotes"#]],
    );
}

#[test]
fn what_is_not_said_has_its_default() {
    let job = job(&stage("range = { field = \"i\", end = 3 }"));
    assert_eq!((job.seed, job.quorum.get(), job.max_attempts.get()), (0, 1, 5));
    assert_eq!(job.priority, 0);
    let [stage] = job.stages.as_slice() else { panic!("one stage") };
    assert_eq!(stage.task.function, "run");
    assert_eq!(stage.unit_size, UnitSize::Auto);
    assert_eq!(stage.task.limits, Limits::default());
    assert_eq!(
        stage.reducer,
        Reducer::Csv { file: "s.csv".parse().expect("a name"), columns: None }
    );
    assert_eq!(stage.splitter, Splitter::Range { field: "i".into(), start: 0, end: 3 });
}

#[test]
fn a_priority_is_within_its_bounds() {
    let with = |priority: &str| {
        let text = stage("range = { field = \"i\", end = 3 }");
        text.replacen("[[stage]]", &format!("priority = {priority}\n[[stage]]"), 1)
    };
    assert_eq!([job(&with("-1000")), job(&with("1000"))].map(|job| job.priority), [-1000, 1000]);
    check(
        &with("1001"),
        expect![[r#"
        line 3, column 12: `job.priority` is 1001; it must be -1000 to 1000
        choose a value from -1000 to 1000"#]],
    );
}

#[test]
fn its_files_and_functions_are_listed_for_the_caller() {
    let text = WHOLE.replace("after = \"search\"", "lines = { field = \"l\", file = \"w.txt\" }");
    let text = text.replace("reduce = \"files\"", "reduce = \"merge\"\nmerge = \"add\"");
    let manifest = Manifest::parse(&text).expect("the manifest is sound");
    let files = manifest.files().map(|file| (file.key(), file.source().to_string()));
    let files: Vec<_> = files.collect();
    assert_eq!(
        files,
        [
            ("stage.search.module", "planets.wasm".to_owned()),
            ("stage.search.files.star", "data/hd164922.csv".to_owned()),
            ("stage.report.module", "planets.wasm".to_owned()),
            ("stage.report.lines.file", "w.txt".to_owned()),
        ]
    );
    let functions: Vec<_> = manifest.functions().map(|used| (used.function, used.kind)).collect();
    let (task, merge) = (FunctionKind::Task, FunctionKind::Merge);
    assert_eq!(functions, [("search", task), ("report", task), ("add", merge)]);
}

#[test]
fn a_file_may_be_elsewhere_when_its_hash_is_told() {
    let hash = format!("sha256:{}", "0f".repeat(32));
    let remote = format!("{{ url = \"https://a.org/w.txt\", hash = \"{hash}\" }}");
    let splitter =
        format!("lines = {{ field = \"l\", file = {remote} }}\nfiles = {{ f = {remote} }}");
    let manifest = Manifest::parse(&stage(&splitter)).expect("the manifest is sound");
    let remotes = manifest.files().filter(|file| matches!(file.source(), FileSource::Remote(_)));
    assert_eq!(remotes.count(), 2);
    let Splitter::Lines { file, .. } = &job(&stage(&splitter)).stages[0].splitter else {
        panic!("lines were asked for");
    };
    assert_eq!(file, "https://a.org/w.txt");
    let file = |table: &str| stage(&format!("lines = {{ field = \"l\", file = {table} }}"));
    check(
        &file("{ url = \"https://a.org/w.txt\" }"),
        expect![[r#"
            line 7, column 31: `stage.s.lines.file` has a `url` and no `hash`, which would say which file it is
            add hash = "sha256:…", as `sha256sum` tells it; with 64 zeros, `gleaner check` tells the hash of what is there"#]],
    );
    check(
        &file("{ url = \"ftp://a.org/w.txt\", hash = \"\" }"),
        expect![[r#"
            line 7, column 39: `stage.s.lines.file.url` is "ftp://a.org/w.txt", which is no URL that can be fetched
            write one that begins with https:// or http://, without a user's name in it"#]],
    );
    check(
        &file("{ url = \"https://a.org/w.txt\", hash = \"sha256:0\" }"),
        expect![[r#"
            line 7, column 69: `stage.s.lines.file.hash` is "sha256:0", which is no hash
            write `sha256:` or `blake3:` and 64 hexadecimal digits"#]],
    );
}

#[test]
fn a_job_survives_json_to_the_last_bit() {
    let text = stage("grid = { a = [0.1, 1e-320, 123456789.123456789, 5e-324, 1.0] }");
    let job = job(&text);
    let json = serde_json::to_string(&job).expect("serializes");
    assert_eq!(serde_json::from_str::<JobSpec>(&json).expect("parses"), job);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_at_a_place_that_exists(text in "[a-z\\[\\]{}=\"',.#0-9é\n ]{0,200}") {
        if let Err(error) = Manifest::parse(&text) {
            let Position::Text { line, column } = error.position else { panic!("no setting") };
            prop_assert!(line >= 1 && line <= text.matches('\n').count() + 1);
            prop_assert!(column >= 1 && !error.hint().is_empty());
        }
    }

    #[test]
    fn whatever_is_accepted_passes_the_check_of_jobs(
        start in prop_oneof![any::<i64>(), -3_i64..3],
        end in prop_oneof![any::<i64>(), 0_i64..9],
        amount in prop_oneof![any::<u64>(), 0_u64..5000],
        unit in prop_oneof!["B", "KiB", "MiB", "GiB", "s", "min", "h", "d"],
        key in prop_oneof!["memory", "output", "log", "cpu", "wall"],
        name in "[a-zA-Zé._ -]{0,12}",
    ) {
        let text = stage(&format!(
            "range = {{ field = \"{name}\", start = {start}, end = {end} }}\n\
             [stage.limits]\n{key} = \"{amount} {unit}\"",
        ));
        if let Ok(manifest) = Manifest::parse(&text) {
            let found = found(&manifest);
            let job = manifest.into_job_spec(&found).expect("the files are small");
            prop_assert_eq!(job.check(), Ok(()));
        }
    }
}

#[test]
fn a_job_says_what_becomes_of_it_when_an_item_fails_and_in_the_end() {
    let text = stage("range = { field = \"i\", end = 3 }");
    let of_job = |line: &str| text.replace("name = \"j\"", &format!("name = \"j\"\n{line}"));
    let on_failure = |text: &str| job(text).stages.remove(0).task.on_failure;
    assert_eq!(on_failure(&text), OnFailure::Stop);
    assert_eq!(on_failure(&of_job("on_failure = \"stop\"")), OnFailure::Stop);
    assert_eq!(on_failure(&of_job("on_failure = \"continue\"")), OnFailure::Continue);
    assert_eq!(job(&of_job("keep = \"30 d\"")).keep, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(job(&text).keep, None, "what nobody limits is kept for ever");
    check(
        &of_job("keep = \"3651 d\""),
        expect![[r#"
        line 3, column 8: `job.keep` is 3651 d; it must be 1 s to 3650 d
        choose a value from 1 s to 3650 d"#]],
    );
    check(
        &of_job("on_failure = \"ignore\""),
        expect![[r#"
        line 3, column 14: `job.on_failure` is "ignore"; it must be `stop` or `continue`
        choose one of `stop` or `continue`"#]],
    );
}

#[test]
fn a_job_tells_an_address_or_a_command() {
    let text = stage("range = { field = \"i\", end = 3 }");
    let telling = |lines: &str| format!("[notify]\n{lines}\n{text}");
    assert_eq!(job(&text).notify, Notify::default());
    let notify = job(&telling(
        "on_done = \"https://a.example\"\non_stall = [\"say\", \"it stalled\"]\n\
         stall_after = \"2 h\"",
    ));
    assert_eq!(
        notify.notify,
        Notify {
            on_done: Some(NotifyTarget::Url("https://a.example".into())),
            on_stall: Some(NotifyTarget::Command(vec!["say".into(), "it stalled".into()])),
            stall_after: Duration::from_secs(7200),
        }
    );
    let settings = ["notify.on_done=[\"true\"]".parse().expect("it is a setting")];
    let set = Manifest::parse_with(&text, &settings).expect("the manifest is sound");
    assert_eq!(set.notify.on_done, Some(NotifyTarget::Command(vec!["true".into()])));
    check(
        &telling("on_done = \"notify-send done\""),
        expect![[r#"
        line 2, column 11: `notify.on_done`: "notify-send done" is no address of http or https
        write an address, such as "https://example.org/hook", or a program and its arguments, such as ["notify-send", "job done"]"#]],
    );
    check(
        &telling("on_stall = []"),
        expect![[r#"
        line 2, column 12: `notify.on_stall`: the command names no program
        write an address, such as "https://example.org/hook", or a program and its arguments, such as ["notify-send", "job done"]"#]],
    );
    check(
        &telling("on_stall = 1"),
        expect![[r#"
        line 2, column 12: `notify.on_stall` is a whole number; it must be an address in quotes or a list of words
        write an address in quotes or a list of words"#]],
    );
    check(
        &telling("stall_after = \"31 d\""),
        expect![[r#"
        line 2, column 15: `notify.stall_after` is 31 d; it must be 1 s to 30 d
        choose a value from 1 s to 30 d"#]],
    );
}
