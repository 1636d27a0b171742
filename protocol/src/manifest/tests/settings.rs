//! What is set beside the manifest.

use super::*;

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
        &["stage.search.parameters={ period_min_days = 2.0, typo = 1 }"],
        expect![[r#"
            --set stage.search.parameters={ period_min_days = 2.0, typo = 1 }: `stage.search.parameters.typo` is not in the manifest
            it has `period_min_days`"#]],
    );
    check_with(
        WHOLE,
        &["stage.report.parameters={ typo = 1 }"],
        expect![[r#"
            --set stage.report.parameters={ typo = 1 }: `stage.report.parameters.typo` is not in the manifest
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
