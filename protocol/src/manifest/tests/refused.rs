//! What is wrong in a manifest, said with its place and what to do.

use super::*;

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
        line 15, column 10: `stage.search.output` is "../search.csv", which is a path; it must be the name of a file
        use a plain name such as "result.csv""#]],
    );
    check(
        &WHOLE.replace("\"search.csv\"", "\"A/failed.csv\""),
        expect![[r#"
        line 15, column 10: `stage.search.output` is "A/failed.csv", which is a path; it must be the name of a file
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
