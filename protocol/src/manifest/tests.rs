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
fn a_grid_keeps_the_order_of_the_text() {
    let job = job(&stage("grid = { z = [1, 2.5], a = [\"x\", true, [1, 2], { k = 1 }] }"));
    let axis = |field: &str, values| Axis { field: field.into(), values: AxisValues::List(values) };
    let table = ValueMap::from([("k".to_owned(), Value::Integer(1))]);
    let list = Value::List(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(
        job.stages[0].splitter,
        Splitter::Grid {
            axes: vec![
                axis("z", vec![Value::Integer(1), Value::Float(2.5)]),
                axis(
                    "a",
                    vec![Value::Text("x".into()), Value::Bool(true), list, Value::Table(table)]
                ),
            ],
            pairing: Pairing::Product,
            replicates: None,
        }
    );
}

#[test]
fn axes_of_a_zip_go_side_by_side_and_may_be_computed() {
    let job = job(&stage(
        "zip = { a = { range = [0, 6, 2] }, b = { linspace = [0, 0.5, 3] }, \
         c = { logspace = [-1, 1, 3] } }\nreplicates = 4",
    ));
    let Splitter::Grid { axes, pairing, replicates } = &job.stages[0].splitter else {
        panic!("a grid");
    };
    assert_eq!((*pairing, replicates.map(NonZeroU64::get)), (Pairing::Zip, Some(4)));
    assert_eq!(job.stages[0].splitter.fields(), ["a", "b", "c", "replicate"]);
    assert_eq!(job.stages[0].item_count(), Some(12));
    let seconds: Vec<_> = axes.iter().map(|axis| axis.values.value(1)).collect();
    assert_eq!(seconds, [Value::Integer(2), Value::Float(0.25), Value::Float(1.0)]);
}

#[test]
fn records_of_files_become_splitters() {
    let check = |line: &str, format: RecordFormat, field: Option<&str>| {
        let job = job(&stage(line));
        let expected = Splitter::Records {
            format,
            field: field.map(Into::into),
            source: BlobRef::of(b"f"),
            file: "f".into(),
        };
        assert_eq!(job.stages[0].splitter, expected, "{line}");
    };
    let pieces = |chunk_bytes, ends| RecordFormat::Pieces { chunk_bytes, ends };
    check("bytes = { field = \"b\", file = \"f\" }", pieces(1 << 20, PieceEnd::Line), Some("b"));
    check(
        "bytes = { field = \"b\", file = \"f\", chunk = \"4 kB\", ends = \"exact\" }",
        pieces(4000, PieceEnd::Exact),
        Some("b"),
    );
    check("csv = { file = \"f\" }", RecordFormat::Csv { delimiter: ',' }, None);
    check(
        "csv = { file = \"f\", delimiter = \"\\t\", field = \"row\" }",
        RecordFormat::Csv { delimiter: '\t' },
        Some("row"),
    );
    check("json_lines = { file = \"f\" }", RecordFormat::JsonLines, None);
    check("fasta = { file = \"f\" }", RecordFormat::Fasta, None);
    check("fastq = { file = \"f\", field = \"read\" }", RecordFormat::Fastq, Some("read"));
}

#[test]
fn files_that_match_patterns_are_items_in_the_order_of_their_names() {
    let job = job(&stage("each_file = { field = \"image\", glob = [\"*.png\", \"a*\"] }"));
    let file = |name: &str| FileRef { name: name.into(), blob: BlobRef::of(name.as_bytes()) };
    let files = vec![file("a.png"), file("b.png")];
    assert_eq!(job.stages[0].splitter, Splitter::EachFile { field: "image".into(), files });
    assert_eq!(job.stages[0].item_count(), Some(2));
}

#[test]
fn patterns_without_files_or_with_too_large_ones_are_refused() {
    let text = stage("each_file = { field = \"image\", glob = \"data/*.png\" }");
    let refused = |found: &FoundFiles| {
        let manifest = Manifest::parse(&text).expect("the manifest is sound");
        let mut found = FoundFiles { files: self::found(&manifest).files, ..found.clone() };
        found.matches.entry("data/*.png".into()).or_default();
        let error = manifest.into_job_spec(&found).expect_err("refused");
        format!("{error}\n{}", error.hint())
    };
    expect![[r#"
        line 7, column 39: `stage.s.each_file.glob` is "data/*.png", which matches no file
        patterns are relative to the manifest's folder; `*` stops at `/`, `**` does not"#]]
    .assert_eq(&refused(&FoundFiles::default()));
    let blob = BlobRef { hash: BlobHash([0; 32]), bytes: (1 << 30) + 1 };
    let huge = vec![FileRef { name: "data/huge.png".into(), blob }];
    let matches = BTreeMap::from([("data/*.png".into(), huge)]);
    expect![[r#"
        line 7, column 39: `stage.s.each_file.glob` matches "data/huge.png", a file of 1073741825 bytes; the most for an item is 1073741824
        cut it into smaller files, or into pieces by `bytes`"#]].assert_eq(&refused(&FoundFiles { matches, ..FoundFiles::default() }));
    let many = (0..10_001).map(|n| FileRef { name: n.to_string(), blob: BlobRef::of(b"") });
    let matches = BTreeMap::from([("data/*.png".into(), many.collect())]);
    expect![[r#"
        line 7, column 39: `stage.s.each_file.glob` has 10001 files; it must have 1 to 10000
        put less into one job, or split it into several jobs"#]]
    .assert_eq(&refused(&FoundFiles { matches, ..FoundFiles::default() }));
}

#[test]
fn splitters_that_say_too_little_or_too_much_are_refused() {
    check(
        &stage("bytes = { field = \"b\", file = \"f\", chunk = \"1 GiB\" }"),
        expect![[r#"
        line 7, column 44: `stage.s.bytes.chunk` is 1 GiB; it must be 1 B to 64 MiB
        choose a value from 1 B to 64 MiB"#]],
    );
    check(
        &stage("bytes = { field = \"b\", file = \"f\", ends = \"word\" }"),
        expect![[r#"
        line 7, column 43: `stage.s.bytes.ends` is "word"; it must be `line` or `exact`
        choose one of `line` or `exact`"#]],
    );
    check(
        &stage("bytes = { file = \"f\" }"),
        expect![[r#"
        line 7, column 9: `stage.s.bytes.field` is missing
        add `field = "text"`"#]],
    );
    check(
        &stage("csv = { file = \"f\", delimiter = \"::\" }"),
        expect![[r#"
        line 7, column 33: `stage.s.csv.delimiter` is a text; it must be one ASCII character in quotes, such as "," or "\t"
        write one ASCII character in quotes, such as "," or "\t""#]],
    );
    check(
        &stage("csv = { file = \"f\", header = true }"),
        expect![[r#"
        line 7, column 21: `stage.s.csv.header` is no key of a manifest
        the keys here are `file`, `delimiter` and `field`"#]],
    );
    check(
        &stage("fasta = {}"),
        expect![[r#"
        line 7, column 9: `stage.s.fasta.file` is missing
        add `file = "records.txt"`"#]],
    );
    check(
        &stage("fasta = { file = \"f\" }\n[stage.parameters]\nid = 1"),
        expect![[r#"
        line 9, column 1: `stage.s.parameters.id`: the splitter gives each item the field `id` too
        rename the parameter `id`, or the splitter's field"#]],
    );
    check(
        &stage("each_file = { field = \"name\", glob = \"*\" }"),
        expect![[r#"
        line 7, column 23: `stage.s.each_file.field` is "name", which is the field of each file's name
        give the bytes another field, such as `bytes`"#]],
    );
    check(
        &stage("each_file = { field = \"image\", glob = [] }"),
        expect![[r#"
        line 7, column 39: `stage.s.each_file.glob` has 0 patterns; it must have 1 to 256
        give it 1 or more patterns"#]],
    );
    check(
        &stage("each_file = { field = \"image\", glob = \"\" }"),
        expect![[r#"
        line 7, column 39: `stage.s.each_file.glob` is empty; it must be the path of a file
        paths are relative to the manifest's folder"#]],
    );
    check(
        &stage("lines = { field = \"l\", file = \"f\" }\nreplicates = 2"),
        expect![[r#"
        line 8, column 1: `stage.s.replicates` says nothing with `lines`
        repeat the points of `grid` or `zip`: `grid = { i = { range = [0, 10, 1] } }` is a range"#]],
    );
}

#[test]
fn axes_without_values_are_refused() {
    check(
        &stage("zip = { a = [1, 2], b = [1] }"),
        expect![[r#"
        line 7, column 1: `stage.s.zip.b` has 1 values and `a` 2; zip needs as many of each
        give the axes of `zip` one length, or combine each with each by `grid`"#]],
    );
    check(
        &stage("zip = {}"),
        expect![[r#"
        line 7, column 1: `stage.s.zip` has 0 combinations; it must have 1 to 9223372036854775807
        give it 1 or more combinations"#]],
    );
    check(
        &stage("grid = { a = { step = [1, 2] } }"),
        expect![[r#"
        line 7, column 16: `stage.s.grid.a.step` is no key of a manifest
        the keys here are `range`, `linspace` and `logspace`"#]],
    );
    check(
        &stage("grid = { a = {} }"),
        expect![[r#"
        line 7, column 14: `stage.s.grid.a` is a table; it must be one of `range`, `linspace` and `logspace`
        write one of `range`, `linspace` and `logspace`"#]],
    );
    check(
        &stage("grid = { a = { linspace = [1, 2] } }"),
        expect![[r#"
        line 7, column 27: `stage.s.grid.a.linspace` is a list; it must be a list of start, end and count: [0, 1, 11]
        write a list of start, end and count: [0, 1, 11]"#]],
    );
    check(
        &stage("grid = { a = { linspace = [1, 2, 0] } }"),
        expect![[r#"
        line 7, column 34: `stage.s.grid.a.linspace` is 0; it must be 1 to 9223372036854775807
        choose a value from 1 to 9223372036854775807"#]],
    );
    check(
        &stage("grid = { a = { linspace = [1e-300, 1e300, 3] } }"),
        expect![[r#"
        line 7, column 27: `stage.s.grid.a.linspace` has numbers that differ in size by more than 10000000000000000000; its values would not be exact
        use numbers of fewer digits, or list the values"#]],
    );
    check(
        &stage("grid = { a = { logspace = [0, 400, 3] } }"),
        expect![[r#"
        line 7, column 27: `stage.s.grid.a.logspace` has an exponent that is not from -300 to 300
        logspace takes powers of ten: [-3, 3, 7] is 0.001 to 1000"#]],
    );
    check(
        &stage("grid = { a = { range = [0, 1, 0] } }"),
        expect![[r#"
        line 7, column 24: `stage.s.grid.a.range` has the step 0; it must lead from the start to the end
        choose another step, such as 1"#]],
    );
    check(
        &stage("grid = { a = { range = [0, 1, -1] } }"),
        expect![[r#"
        line 7, column 24: `stage.s.grid.a.range` has 0 values; it must have 1 to 9223372036854775807
        let the step lead from the start to the end"#]],
    );
    check(
        &stage("grid = { a = { range = [0, 1, \"x\"] } }"),
        expect![[r#"
        line 7, column 31: `stage.s.grid.a.range` is a text; it must be a number
        write a number"#]],
    );
    check(
        &stage("grid = { replicate = [1] }\nreplicates = 2"),
        expect![[r#"
        line 7, column 1: `stage.s.grid.replicate` has the name of the field that tells the replicates of a point apart
        rename the axis, or drop `replicates`"#]],
    );
    check(
        &stage("grid = { a = { range = [0, 4000000000, 1] } }\nreplicates = 4000000000"),
        expect![[r#"
            line 7, column 1: `stage.s.grid` has 16000000000000000000 combinations; it must have 1 to 9223372036854775807
            put less into one job, or split it into several jobs"#]],
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
fn a_function_that_a_module_lacks_is_named_with_the_nearest() {
    let manifest = Manifest::parse(WHOLE).expect("the manifest is sound");
    let first = manifest.functions().next().expect("a stage has a function");
    let near = first.not_found(&["serach".into(), "report".into()]);
    expect![[r#"
        line 11, column 12: `stage.search.function` is "search", but "planets.wasm" has no task of that name
        did you mean "serach"?"#]]
    .assert_eq(&format!("{near}\n{}", near.hint()));
    expect!["its task functions are `a` and `b`"]
        .assert_eq(&first.not_found(&["a".into(), "b".into()]).hint());
    expect!["mark a function of the task crate with `#[task]`, and build it"]
        .assert_eq(&first.not_found(&[]).hint());
}

#[test]
fn a_file_that_is_too_large_is_refused_where_it_is_named() {
    let manifest = Manifest::parse(WHOLE).expect("the manifest is sound");
    let mut found = found(&manifest);
    let huge = BlobRef { hash: BlobHash([0; 32]), bytes: 65 << 20 };
    found.files.insert(FileSource::Local("planets.wasm".into()), huge);
    let error = manifest.into_job_spec(&found).expect_err("the module is too large");
    expect!["line 10, column 10: `stage.search.module` is a file of 68157440 bytes; the most is 67108864"]
        .assert_eq(&error.to_string());
}

#[test]
fn what_is_not_toml_is_refused_at_its_place() {
    check(
        "[job\nname = 1",
        expect![[r#"
        line 1, column 5: this is not TOML: unclosed table, expected `]`
        see https://toml.io for how TOML is written"#]],
    );
    check(
        "[job]\nname = \"a\"\nname = \"b\"",
        expect![[r#"
        line 3, column 1: this is not TOML: duplicate key
        see https://toml.io for how TOML is written"#]],
    );
    check(
        &"x".repeat(MANIFEST_BYTES_MAX + 1),
        expect![[r#"
        line 1, column 1: the manifest has 1048577 bytes; the most is 1048576
        put long lists into a file and use `lines`"#]],
    );
    check(
        &format!("[job]\nx = {}", "[".repeat(5000)),
        expect![[r#"
        line 2, column 85: this is not TOML: cannot recurse further; max recursion depth met
        see https://toml.io for how TOML is written"#]],
    );
}

#[test]
fn unknown_and_missing_keys_are_refused() {
    check(
        "",
        expect![[r#"
        line 1, column 1: `job` is missing
        add `[job]`"#]],
    );
    check(
        "[job]\n",
        expect![[r#"
        line 1, column 1: `job.name` is missing
        add `name = "planets"`"#]],
    );
    check(
        "[job]\nname = \"a\"\nquorm = 2\n",
        expect![[r#"
        line 3, column 1: `job.quorm` is no key of a manifest
        did you mean `quorum`?"#]],
    );
    check(
        "[job]\nname = \"a\"\ncolour = 2\n",
        expect![[r#"
        line 3, column 1: `job.colour` is no key of a manifest
        the keys here are `name`, `seed`, `priority`, `quorum`, `max_attempts`, `on_failure` and `keep`"#]],
    );
    check(
        "[job]\nname = \"a\"\n",
        expect![[r#"
        line 1, column 1: `stage` is missing
        add `[[stage]]`"#]],
    );
    check(
        "[jobs]\nname = \"a\"\n",
        expect![[r#"
        line 1, column 2: `jobs` is no key of a manifest
        did you mean `job`?"#]],
    );
    check(
        "[job]\nname = \"a\"\n[stage]\nname = \"x\"\n",
        expect![[r#"
            line 3, column 1: `stage` is a table; it must be [[stage]], in two pairs of brackets
            write [[stage]], in two pairs of brackets"#]],
    );
    check(
        "stage = []\n[job]\nname = \"a\"\n",
        expect![[r#"
            line 1, column 1: `stage` has 0 stages; it must have 1 to 64
            give it 1 or more stages"#]],
    );
    check(
        "[job]\nname = \"a\"\n[[stage]]\nmodul = \"m\"\n",
        expect![[r#"
        line 4, column 1: `stage#1.modul` is no key of a manifest
        did you mean `module`?"#]],
    );
    check(
        "[job]\nname = \"a\"\n[[stage]]\nname = \"s\"\n",
        expect![[r#"
        line 3, column 1: `stage.s.reduce` is missing
        add `reduce = "csv"`"#]],
    );
    check(
        &stage("range = { field = \"i\", end = 3, step = 2 }"),
        expect![[r#"
        line 7, column 33: `stage.s.range.step` is no key of a manifest
        the keys here are `field`, `start` and `end`"#]],
    );
    check(
        &stage("range = { field = \"i\" }"),
        expect![[r#"
        line 7, column 9: `stage.s.range.end` is missing
        add `end = 100`"#]],
    );
    check(
        &stage("grid = { a = [1] }\n[stage.limits]\nmem = \"1 GiB\""),
        expect![[r#"
        line 9, column 1: `stage.s.limits.mem` is no key of a manifest
        the keys here are `memory`, `output`, `log`, `host_calls`, `cpu` and `wall`"#]],
    );
}

#[test]
fn values_of_another_type_or_out_of_bounds_are_refused() {
    check(
        "[job]\nname = 7\n",
        expect![[r#"
        line 2, column 8: `job.name` is a whole number; it must be a text in quotes
        write a text in quotes"#]],
    );
    check(
        "[job]\nname = \"a b\"\n",
        expect![[r#"
        line 2, column 8: `job.name` is "a b", which cannot be a name
        use 1 to 128 letters, digits, `-`, `_` or `.`"#]],
    );
    check(
        "[job]\nname = \"a\"\nquorum = 17\n",
        expect![[r#"
        line 3, column 10: `job.quorum` is 17; it must be 1 to 16
        choose a value from 1 to 16"#]],
    );
    check(
        "[job]\nname = \"a\"\nseed = -1\n",
        expect![[r#"
        line 3, column 8: `job.seed` is -1; it must be 0 to 18446744073709551615
        choose a value from 0 to 18446744073709551615"#]],
    );
    check(
        "[job]\nname = \"a\"\nmax_attempts = 1.5\n",
        expect![[r#"
        line 3, column 16: `job.max_attempts` is a number with a fraction; it must be a whole number
        write a whole number"#]],
    );
    check(
        &stage("range = { field = \"i\", start = 5, end = 5 }"),
        expect![[r#"
        line 7, column 41: `stage.s.range.end` is 5; it must be 6 to 9223372036854775807
        choose a value from 6 to 9223372036854775807"#]],
    );
    check(
        &stage("range = { field = \"i\", start = -2, end = 9223372036854775807 }"),
        expect![[r#"
        line 7, column 42: `stage.s.range.end` is 9223372036854775807; it must be -1 to 9223372036854775805
        choose a value from -1 to 9223372036854775805"#]],
    );
    check(
        &stage("grid = { a = [1] }\nunit_items = 0"),
        expect![[r#"
        line 8, column 14: `stage.s.unit_items` is 0; it must be 1 to 4096
        choose a value from 1 to 4096"#]],
    );
    check(
        &stage("grid = { a = [1] }\nunit_items = \"some\""),
        expect![[r#"
            line 8, column 14: `stage.s.unit_items` is a text; it must be "auto" or a whole number
            write "auto" or a whole number"#]],
    );
    check(
        &stage("grid = { a = [1] }\nunit_items = true"),
        expect![[r#"
        line 8, column 14: `stage.s.unit_items` is a truth value; it must be "auto" or a whole number
        write "auto" or a whole number"#]],
    );
    check(
        &stage("grid = {}"),
        expect![[r#"
            line 7, column 1: `stage.s.grid` has 0 combinations; it must have 1 to 9223372036854775807
            give it 1 or more combinations"#]],
    );
    check(
        &stage("grid = { a = [] }"),
        expect![[r#"
            line 7, column 1: `stage.s.grid` has 0 combinations; it must have 1 to 9223372036854775807
            give it 1 or more combinations"#]],
    );
    check(
        &stage("grid = { a = 1 }"),
        expect![[r#"
            line 7, column 14: `stage.s.grid.a` is a whole number; it must be a list of values, or one of `range`, `linspace`, `logspace`
            write a list of values, or one of `range`, `linspace`, `logspace`"#]],
    );
    check(
        &stage("grid = { a = [1] }\n[stage.files]\nx = \"\""),
        expect![[r#"
        line 9, column 5: `stage.s.files.x` is empty; it must be the path of a file
        paths are relative to the manifest's folder"#]],
    );
    check(
        &stage("grid = { a = [1] }\n[stage.files]\n\"x y\" = \"f\""),
        expect![[r#"
        line 9, column 1: `stage.s.files.x y` is "x y", which cannot be a name
        use 1 to 128 letters, digits, `-`, `_` or `.`"#]],
    );
}

#[test]
fn sizes_and_durations_are_refused_with_their_bounds() {
    let limit = |line: &str| stage(&format!("grid = {{ a = [1] }}\n[stage.limits]\n{line}"));
    check(
        &limit("memory = \"8 GiB\""),
        expect![[r#"
        line 9, column 10: `stage.s.limits.memory` is 8 GiB; it must be 64 KiB to 4 GiB
        choose a value from 64 KiB to 4 GiB"#]],
    );
    check(
        &limit("memory = \"256 Mb\""),
        expect![[r#"
        line 9, column 10: `stage.s.limits.memory` is "256 Mb", which is no size
        write a whole number and one of B, kB, MB, GB, KiB, MiB, GiB, such as "256 MiB""#]],
    );
    check(
        &limit("memory = 256"),
        expect![[r#"
        line 9, column 10: `stage.s.limits.memory` is a whole number; it must be a size in quotes, such as "256 MiB"
        write a size in quotes, such as "256 MiB""#]],
    );
    check(
        &limit("log = \"1 MiB\""),
        expect![[r#"
        line 9, column 7: `stage.s.limits.log` is 1 MiB; it must be 0 B to 64 KiB
        choose a value from 0 B to 64 KiB"#]],
    );
    check(
        &limit("host_calls = 0"),
        expect![[r#"
        line 9, column 14: `stage.s.limits.host_calls` is 0; it must be 1 to 18446744073709551615
        choose a value from 1 to 18446744073709551615"#]],
    );
    check(
        &limit("cpu = \"10m\""),
        expect![[r#"
        line 9, column 7: `stage.s.limits.cpu` is "10m", which is no duration
        write a whole number and one of s, min, h, d, such as "10 min""#]],
    );
    check(
        &limit("wall = \"31 d\""),
        expect![[r#"
        line 9, column 8: `stage.s.limits.wall` is 31 d; it must be 1 s to 30 d
        choose a value from 1 s to 30 d"#]],
    );
}

#[test]
fn stages_that_do_not_fit_together_are_refused() {
    check(
        &stage(""),
        expect![[r#"
            line 3, column 1: `stage.s` has no splitter; it must have one
            give each stage one of `range`, `lines`, `bytes`, `csv`, `json_lines`, `fasta`, `fastq`, `each_file`, `grid`, `zip`, `split` or `after`"#]],
    );
    check(
        &stage("range = { field = \"i\", end = 3 }\nlines = { field = \"l\", file = \"f\" }"),
        expect![[r#"
            line 3, column 1: `stage.s` has the splitters `range` and `lines`; it must have one
            give each stage one of `range`, `lines`, `bytes`, `csv`, `json_lines`, `fasta`, `fastq`, `each_file`, `grid`, `zip`, `split` or `after`"#]],
    );
    check(
        &stage("after = \"earlier\""),
        expect![[r#"
            line 7, column 9: `stage.s.after` is "earlier", which is no earlier stage
            the first stage needs another splitter, such as `range`, `lines` or `grid`"#]],
    );
    check(
        &WHOLE.replace("after = \"search\"", "after = \"report\""),
        expect![[r#"
        line 28, column 9: `stage.report.after` is "report", which is no earlier stage
        name a stage that stands above this one: `search`"#]],
    );
    check(
        &WHOLE.replace("reduce = \"csv\"\noutput = \"search.csv\"", "reduce = \"files\""),
        expect![[r#"
            line 27, column 9: `stage.report.after` is "search", whose output is any number of files
            give the earlier stage another reducer, such as "concat""#]],
    );
    check(
        &WHOLE.replace("name = \"report\"", "name = \"search\""),
        expect![[r#"
        line 25, column 8: `stage.search.name` is "search", as is that of an earlier stage
        give each stage a name of its own"#]],
    );
    check(
        &WHOLE.replace("name = \"report\"", "name = \"nul\""),
        expect![[r#"
        line 25, column 8: `stage.nul.name`: the file name "nul" has a part that cannot be used: "nul"
        use a plain name such as "result.csv""#]],
    );
    check(
        &WHOLE.replace("period_min_days", "resampling"),
        expect![[r#"
        line 17, column 1: `stage.search.parameters.resampling`: the splitter gives each item the field `resampling` too
        rename the parameter `resampling`, or the splitter's field"#]],
    );
    check(
        &WHOLE.replace("reduce = \"csv\"", "reduce = \"cvs\""),
        expect![[r#"
        line 14, column 10: `stage.search.reduce` is "cvs"; it must be `concat`, `lines`, `csv`, `files`, `merge`, `sum`, `min`, `max`, `histogram` or `top`
        did you mean "csv"?"#]],
    );
    check(
        &WHOLE.replace("reduce = \"csv\"", "reduce = \"average\""),
        expect![[r#"
        line 14, column 10: `stage.search.reduce` is "average"; it must be `concat`, `lines`, `csv`, `files`, `merge`, `sum`, `min`, `max`, `histogram` or `top`
        choose one of `concat`, `lines`, `csv`, `files`, `merge`, `sum`, `min`, `max`, `histogram` or `top`"#]],
    );
    check(
        &WHOLE.replace("reduce = \"files\"", "reduce = \"files\"\noutput = \"x\""),
        expect![[r#"
        line 30, column 1: `stage.report.output` says nothing with `reduce = "files"`
        remove it: the task names its files itself"#]],
    );
    check(
        &WHOLE.replace("reduce = \"files\"", "reduce = \"files\"\nmerge = \"x\""),
        expect![[r#"
        line 30, column 1: `stage.report.merge` says nothing with `reduce = "files"`
        remove it, or write `reduce = "merge"`"#]],
    );
    check(
        &WHOLE.replace("reduce = \"files\"", "reduce = \"merge\""),
        expect![[r#"
        line 24, column 1: `stage.report.merge` is missing
        add `merge = "combine"`"#]],
    );
    check(
        &WHOLE.replace("\"search.csv\"", "\"../search.csv\""),
        expect![[r#"
        line 15, column 10: `stage.search.output`: the file name "../search.csv" has a part that cannot be used: ".."
        use a plain name such as "result.csv""#]],
    );
}

#[test]
fn names_that_would_collide_among_the_results_are_refused() {
    check(
        &WHOLE.replace("name = \"report\"", "name = \"SEARCH\""),
        expect![[r#"
        line 25, column 8: `stage.SEARCH.name` is "SEARCH": its outputs would go into one folder with those of the stage "search" where names that differ by case alone are one
        give each stage a name of its own"#]],
    );
    check(
        &WHOLE.replace("name = \"report\"", "name = \"failed.csv\""),
        expect![[r#"
        line 25, column 8: `stage.failed.csv.name` is "failed.csv", which is the name of a file that stands beside the outputs
        choose another: failed.csv, provenance.json and gaps.csv tell of the job"#]],
    );
    check(
        &WHOLE.replace("\"search.csv\"", "\"Gaps.csv\""),
        expect![[r#"
        line 15, column 10: `stage.search.output` is "Gaps.csv", which is the name of a file that stands beside the outputs
        choose another: failed.csv, provenance.json and gaps.csv tell of the job"#]],
    );
}

#[test]
fn a_job_whose_results_would_collide_is_refused_however_it_came_about() {
    let check = |change: &dyn Fn(&mut JobSpec), words: &str| {
        let manifest = Manifest::parse(WHOLE).expect("a manifest");
        let found = found(&manifest);
        let mut job = manifest.into_job_spec(&found).expect("a job");
        assert_eq!(job.check(), Ok(()));
        change(&mut job);
        let error = job.check().expect_err("it collides").to_string();
        assert!(error.contains(words), "{error}");
    };
    let rename = |stage: usize, name: &'static str| {
        move |job: &mut JobSpec| job.stages[stage].name = name.to_owned()
    };
    check(&rename(1, "Search"), "the outputs of the stages `search` and `Search`");
    check(&rename(0, ".."), "cannot go into a folder of its name");
    check(&rename(0, "provenance.json"), "stage `provenance.json`: the name \"provenance.json\"");
    let file = "failed.csv".parse::<RelativeName>().expect("a name");
    let output = |job: &mut JobSpec| job.stages[0].reducer = Reducer::Sum { file: file.clone() };
    check(&output, "stage `search`: the name \"failed.csv\"");
}

#[test]
fn parameters_that_no_task_can_be_given_are_refused() {
    let parameter =
        |line: &str| stage(&format!("grid = {{ a = [1] }}\n[stage.parameters]\n{line}"));
    check(
        &parameter("x = nan"),
        expect![[r#"
        line 9, column 5: `stage.s.parameters.x` is no finite number; a task cannot be given one
        use a text, a finite number, a truth value, a list or a table"#]],
    );
    check(
        &parameter("x = 1e999"),
        expect![[r#"
        line 9, column 5: `stage.s.parameters.x` is no finite number; a task cannot be given one
        use a text, a finite number, a truth value, a list or a table"#]],
    );
    check(
        &parameter("x = 1979-05-27"),
        expect![[r#"
        line 9, column 5: `stage.s.parameters.x` is a date or time; a task cannot be given one
        use a text, a finite number, a truth value, a list or a table"#]],
    );
    check(
        &parameter("x = 9223372036854775808"),
        expect![[r#"
        line 9, column 5: `stage.s.parameters.x` is 9223372036854775808; it must be -9223372036854775808 to 9223372036854775807
        choose a value from -9223372036854775808 to 9223372036854775807"#]],
    );
    check(
        &parameter(&format!("x = {}{}", "[".repeat(20), "]".repeat(20))),
        expect![[r#"
        line 9, column 21: `stage.s.parameters.x` has 17 levels of lists and tables; it must have 1 to 16
        put less into one job, or split it into several jobs"#]],
    );
    check(
        &parameter("\"é è\" = 1"),
        expect![[r#"
        line 9, column 1: `stage.s.parameters.é è` is "é è", which cannot be a name
        use 1 to 128 letters, digits, `-`, `_` or `.`"#]],
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

fn with(text: &str, settings: &[&str]) -> Result<Manifest, ManifestError> {
    let settings: Vec<Setting> =
        settings.iter().map(|setting| setting.parse().expect("a setting")).collect();
    Manifest::parse_with(text, &settings)
}

fn check_with(text: &str, settings: &[&str], expected: Expect) {
    let error = with(text, settings).expect_err("the manifest is unsound");
    expected.assert_eq(&format!("{error}\n{}", error.hint()));
}

#[test]
fn settings_take_the_place_of_what_the_manifest_says() {
    let settings = [
        "job.seed=7",
        "job.name = \"other\"",
        "stage.search.parameters.period_min_days=2.5",
        "stage.search.range.end=10",
        "stage.search.range.end=20",
        "stage.search.limits={ memory = \"1 MiB\" }",
        "stage.report.function='draw'",
        "stage.report.limits.cpu=\"3 s\"",
    ];
    let manifest = with(WHOLE, &settings).expect("sound");
    let found = found(&manifest);
    let job = manifest.into_job_spec(&found).expect("the files are small");
    assert_eq!((job.name.as_str(), job.seed), ("other", 7));
    let [search, report] = job.stages.as_slice() else { panic!("two stages") };
    assert_eq!(search.task.parameters["period_min_days"], Value::Float(2.5));
    assert_eq!(search.item_count(), Some(20), "the last one counts");
    assert_eq!(search.task.limits.memory_bytes, 1 << 20);
    assert_eq!(search.task.limits.cpu, Limits::default().cpu, "a whole table is replaced");
    assert_eq!(report.task.function, "draw");
    assert_eq!(report.task.limits.cpu, Duration::from_secs(3), "a table is made");
}

#[test]
fn a_setting_needs_no_stage_when_there_is_one_and_keeps_the_order_of_axes() {
    let text = stage("range = { field = \"i\", end = 1 }\nparameters = { x = 1 }");
    let manifest = with(&text, &["parameters.x=3", "unit_items=2"]).expect("sound");
    let job = manifest.clone().into_job_spec(&found(&manifest)).expect("small");
    assert_eq!(job.stages[0].task.parameters["x"], Value::Integer(3));
    let text = stage("grid = { a = [1] }");
    let manifest = with(&text, &["stage.s.grid={ z = [1, 2], a = [3] }"]).expect("sound");
    let job = manifest.clone().into_job_spec(&found(&manifest)).expect("small");
    let Splitter::Grid { axes, .. } = &job.stages[0].splitter else { panic!("a grid") };
    assert_eq!(axes.iter().map(|axis| axis.field.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

#[test]
fn a_wrong_setting_is_named_in_its_error() {
    check_with(
        WHOLE,
        &["job.seed=1", "job.quorum=0"],
        expect![[r#"
            --set job.quorum=0: `job.quorum` is 0; it must be 1 to 16
            choose a value from 1 to 16"#]],
    );
    check_with(
        WHOLE,
        &["job.sed=1"],
        expect![[r#"
            --set job.sed=1: `job.sed` is no key of a manifest
            did you mean `seed`?"#]],
    );
    check_with(
        WHOLE,
        &["stage.serch.unit_items=1"],
        expect![[r#"
            --set stage.serch.unit_items=1: the manifest has no stage "serch"
            did you mean "search"?"#]],
    );
    check_with(
        WHOLE,
        &["parameters.period_min_days=2.0"],
        expect![[r#"
            --set parameters.period_min_days=2.0: `parameters.period_min_days` does not say of which stage
            write stage.NAME.parameters.period_min_days, where NAME is `search` or `report`"#]],
    );
    check_with(
        WHOLE,
        &["stage.search.parameters.period_min_day=2.0"],
        expect![[r#"
            --set stage.search.parameters.period_min_day=2.0: `stage.search.parameters.period_min_day` is not in the manifest
            did you mean "period_min_days"?"#]],
    );
    check_with(
        WHOLE,
        &["stage.report.files.star=\"x\""],
        expect![[r#"
            --set stage.report.files.star="x": `stage.report.files.star` is not in the manifest
            a setting changes what the manifest names: write it there first"#]],
    );
    check_with(
        WHOLE,
        &["stage.search=1"],
        expect![[r#"
            --set stage.search=1: `stage.search` is a whole stage, or all of them
            name one key of it, such as stage.search.unit_items=16"#]],
    );
    check_with(
        WHOLE,
        &["job.name.x=1"],
        expect![[r#"
            --set job.name.x=1: `name` is a text; it must be a table
            write a table"#]],
    );
    let name = Manifest::parse_with(WHOLE, &[Setting::of_name("a \"b\"")]).expect_err("no name");
    assert_eq!(
        name.to_string(),
        "--name a \"b\": `job.name` is \"a \\\"b\\\"\", which cannot be a name"
    );
}

#[test]
fn what_is_no_setting_is_refused() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&text.parse::<Setting>().expect_err("refused").to_string());
    };
    check("job.seed", expect!["write KEY=VALUE, such as job.seed=7"]);
    check(
        "=1",
        expect!["`` is no key of TOML: write parts of letters, digits, - and _ joined by dots"],
    );
    check(
        "a b=1",
        expect!["`a b` is no key of TOML: write parts of letters, digits, - and _ joined by dots"],
    );
    check(
        "job.name=planets",
        expect![[
            r#"`planets` is no value of TOML: write a number, true or false, a list, or a text in quotes that the shell leaves alone: 'job.name="text"'"#
        ]],
    );
    assert!("a=1\nb=2".parse::<Setting>().is_err());
    assert!("\"a=b\".c=1".parse::<Setting>().is_ok());
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

#[test]
fn reducers_of_numbers_have_keys_of_their_own() {
    let reducer = |reduce: &str| {
        let text = stage("range = { field = \"i\", end = 3 }");
        job(&text.replace("reduce = \"csv\"", reduce)).stages.remove(0).reducer
    };
    let (json, csv) = ("s.json".parse().expect("a name"), "s.csv".parse().expect("a name"));
    assert_eq!(reducer("reduce = \"sum\""), Reducer::Sum { file: json });
    let bins = Bins { low: 0.0, high: 1.5, count: 20.try_into().expect("not zero") };
    assert_eq!(
        reducer(
            "reduce = \"histogram\"\noutput = \"h\"\n\
             histogram = { field = \"a.b\", bins = 20, low = 0, high = 1.5 }"
        ),
        Reducer::Histogram {
            file: "h".parse().expect("a name"),
            field: Some("a.b".into()),
            bins: Some(bins)
        }
    );
    assert_eq!(
        reducer(
            "reduce = \"top\"\ntop = { field = \"power\", records = 9, order = \"least\" }\n\
             columns = [\"i\"]"
        ),
        Reducer::Top {
            file: csv,
            field: "power".into(),
            records: 9.try_into().expect("not zero"),
            order: TopOrder::Least,
            columns: Some(vec!["i".into()]),
        }
    );
}

#[test]
fn keys_of_reducers_are_checked() {
    let manifest = |reduce: &str| {
        let text = stage("range = { field = \"i\", end = 3 }");
        text.replace("reduce = \"csv\"", &format!("reduce = {reduce}"))
    };
    check(
        &manifest("\"top\""),
        expect![[r#"
        line 3, column 1: `stage.s.top` is missing
        add `top = { field = "power", records = 10 }`"#]],
    );
    check(
        &manifest("\"top\"\ntop = { field = \"a\", records = 0 }"),
        expect![[r#"
        line 7, column 32: `stage.s.top.records` is 0; it must be 1 to 10000
        choose a value from 1 to 10000"#]],
    );
    check(
        &manifest("\"top\"\ntop = { field = \"a\", records = 1, order = \"smallest\" }"),
        expect![[r#"
        line 7, column 43: `stage.s.top.order` is "smallest"; it must be `greatest` or `least`
        choose one of `greatest` or `least`"#]],
    );
    check(
        &manifest("\"sum\"\ntop = { field = \"a\", records = 1 }"),
        expect![[r#"
        line 7, column 1: `stage.s.top` says nothing with `reduce = "sum"`
        remove it, or write `reduce = "top"`"#]],
    );
    check(
        &manifest("\"histogram\"\nhistogram = { bins = 3 }"),
        expect![[r#"
        line 7, column 13: `stage.s.histogram.low` is missing
        add `low = 0.0`"#]],
    );
    check(
        &manifest("\"histogram\"\nhistogram = { bins = 3, low = 1, high = 1.0 }"),
        expect![[r#"
        line 7, column 13: `stage.s.histogram` makes 3 bins from 1 to 1, whose edges do not all differ
        let `low` be less than `high`, both finite, or make fewer bins"#]],
    );
    check(
        &manifest("\"csv\"\ncolumns = [\"j\"]"),
        expect![[r#"
        line 7, column 12: `stage.s.columns` names "j", which the splitter gives no item
        choose among `i`"#]],
    );
    check(
        &manifest("\"csv\"\ncolumns = [\"i\", \"i\"]"),
        expect![[r#"
        line 7, column 17: `stage.s.columns` names "i" twice
        name each column once"#]],
    );
    check(
        &manifest("\"sum\"\ncolumns = []"),
        expect![[r#"
        line 7, column 1: `stage.s.columns` says nothing with `reduce = "sum"`
        remove it: only `csv` and `top` make tables"#]],
    );
}
