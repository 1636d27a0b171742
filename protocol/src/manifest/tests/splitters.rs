//! How a stage's items are told.

use super::*;
use crate::{EarlierOutput, RecordSource};

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
            source: RecordSource::File(BlobRef::of(b"f")),
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
fn the_output_of_an_earlier_stage_is_cut_like_a_file() {
    let two = |splitter: &str| {
        let first = stage("range = { field = \"i\", end = 3 }\noutput = \"rows.txt\"");
        format!(
            "{first}\n[[stage]]\nname = \"next\"\nmodule = \"m.wasm\"\nreduce = \"lines\"\n{splitter}"
        )
    };
    let check = |line: &str, format: RecordFormat, field: Option<&str>| {
        let manifest = Manifest::parse(&two(line)).expect("the manifest is sound");
        assert!(manifest.files().all(|file| file.key().ends_with(".module")), "{line}");
        let job = job(&two(line));
        let expected = Splitter::Records {
            format,
            field: field.map(Into::into),
            source: RecordSource::Stage(StageIndex(0)),
            file: "s/rows.txt".into(),
        };
        assert_eq!(job.stages[1].splitter, expected, "{line}");
        assert_eq!(job.stages[1].splitter.earlier_stage(), Some(StageIndex(0)));
        assert_eq!(job.stages[1].item_count(), None);
        job.check().expect("it is sound");
    };
    let pieces = RecordFormat::Pieces { chunk_bytes: 1 << 20, ends: PieceEnd::Line };
    check("bytes = { field = \"b\", after = \"s\" }", pieces, Some("b"));
    check("csv = { after = \"s\" }", RecordFormat::Csv { delimiter: ',' }, None);
    check("json_lines = { after = \"s\", field = \"x\" }", RecordFormat::JsonLines, Some("x"));
    check("fasta = { after = \"s\" }", RecordFormat::Fasta, None);
    check("fastq = { after = \"s\" }", RecordFormat::Fastq, None);
    let job = job(&two("lines = { field = \"l\", after = \"s\" }"));
    let (source, file) = (RecordSource::Stage(StageIndex(0)), "s/rows.txt".into());
    assert_eq!(job.stages[1].splitter, Splitter::Lines { field: "l".into(), source, file });

    super::check(
        &two("csv = { after = \"s\", file = \"f\" }"),
        expect![[r#"
            line 13, column 9: `stage.next.csv` has both `file` and `after`; it cuts one of them
            remove `file` to cut the earlier stage's output, or `after` to cut the file"#]],
    );
    super::check(
        &two("csv = { after = \"search\" }"),
        expect![[r#"
            line 13, column 17: `stage.next.csv.after` is "search", which is no earlier stage
            name a stage that stands above this one: `s`"#]],
    );
    super::check(
        &two("lines = { field = \"l\" }"),
        expect![[r#"
            line 13, column 9: `stage.next.lines.file` is missing
            add `file = "words.txt"`"#]],
    );
    super::check(
        &two("lines = { field = \"l\", after = \"s\" }")
            .replacen("reduce = \"csv\"", "reduce = \"files\"", 1)
            .replace("\noutput = \"rows.txt\"", ""),
        expect![[r#"
            line 12, column 32: `stage.next.lines.after` is "s", whose output is any number of files
            give the earlier stage another reducer, such as "concat""#]],
    );
}

#[test]
fn a_split_function_may_read_the_output_of_an_earlier_stage() {
    let first = stage("range = { field = \"i\", end = 3 }");
    let two = |lines: &str| {
        format!(
            "{first}\n[[stage]]\nname = \"next\"\nmodule = \"m.wasm\"\nreduce = \"lines\"\n{lines}"
        )
    };
    let splitter = "split = { function = \"tiles\", after = \"s\" }";
    let job = job(&two(splitter));
    let after = Some(EarlierOutput { stage: StageIndex(0), name: "s".into() });
    let expected = Splitter::Split { function: "tiles".into(), items: None, after };
    assert_eq!(job.stages[1].splitter, expected);
    assert_eq!(job.stages[1].splitter.earlier_stage(), Some(StageIndex(0)));
    check(
        &two(&format!("{splitter}\nfiles = {{ s = \"a\" }}")),
        expect![[r#"
            line 13, column 11: `stage.next.files.s`: the split function opens the output of `s` by that name
            give the file another name"#]],
    );
    check(
        &two("split = { function = \"tiles\" }"),
        expect![[r#"
            line 12, column 9: `stage.next.split.after` is missing
            add `after = "search"`"#]],
    );
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
    let folders = stage("each_file = { field = \"image\", glob = \"data/**\" }");
    let manifest = Manifest::parse(&folders).expect("the manifest is sound");
    let nothing = FoundFiles {
        files: self::found(&manifest).files,
        matches: BTreeMap::from([("data/**".into(), Vec::new())]),
    };
    let error = manifest.into_job_spec(&nothing).expect_err("refused");
    assert!(error.hint().contains("\"data/**/*\""), "{}", error.hint());
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
        the keys here are `file`, `after`, `delimiter` and `field`"#]],
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
