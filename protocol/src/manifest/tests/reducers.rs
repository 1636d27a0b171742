use super::*;

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
