use super::*;

#[tokio::test]
async fn csv_has_a_header_and_quotes_where_it_must() {
    let peaks = vec![
        Peak { period: 1187.0, star: "HD 164922", error: Some(0.1) },
        Peak { period: f64::NAN, star: "a,\"b\"\nc", error: None },
    ];
    check(csv(), &[encode(&peaks), encode(&Vec::<Peak>::new()), encode(&peaks[0])], expect![[r#"
        out: "period,star,error\r\n1187.0,HD 164922,0.10000000149011612\r\nNaN,\"a,\"\"b\"\"\nc\",\r\n1187.0,HD 164922,0.10000000149011612\r\n"
    "#]])
    .await;
    let nested = BTreeMap::from([("a", vec!["x", "y"])]);
    check(
        csv(),
        &[encode(&nested)],
        expect![[r#"
        out: "a\r\n\"[\"\"x\"\",\"\"y\"\"]\"\r\n"
    "#]],
    )
    .await;
    check(
        csv(),
        &[encode(&BTreeMap::from([("a", ())]))],
        expect![[r#"
        out: "a\r\n\"\"\r\n"
    "#]],
    )
    .await;
    check(
        csv(),
        &[encode(&None::<Peak>)],
        expect![[r#"
        out: ""
    "#]],
    )
    .await;
}

#[tokio::test]
async fn csv_rows_have_the_first_ones_fields_in_any_order() {
    let record = |fields: &[(&str, i32)]| {
        let map: Vec<u8> = [vec![0x80 | fields.len() as u8]]
            .into_iter()
            .chain(
                fields
                    .iter()
                    .map(|(name, value)| [wire::encode(name), wire::encode(value)].concat()),
            )
            .flatten()
            .collect();
        ByteBuf::from(map)
    };
    let first = || record(&[("b", 1), ("a", 2)]);
    check(
        csv(),
        &[first(), record(&[("a", 4), ("b", 3)])],
        expect![[r#"
        out: "b,a\r\n1,2\r\n3,4\r\n"
    "#]],
    )
    .await;
    check(csv(), &[first(), record(&[("b", 1)])], expect![[r#"
        error: item 1: its record lacks the field "a", which the first record has; give every record the same fields (`None` where there is nothing)
    "#]])
    .await;
    check(csv(), &[first(), record(&[("b", 1), ("a", 2), ("c", 3)])], expect![[r#"
        error: item 1: its record has the field "c", which the first record has not; give every record the same fields (`None` where there is nothing)
    "#]])
    .await;
    check(
        csv(),
        &[record(&[("b", 1), ("b", 2)])],
        expect![[r#"
        error: item 0: its record has the field "b" twice
    "#]],
    )
    .await;
    check(
        csv(),
        &[first(), record(&[("b", 1), ("a", 2), ("a", 3)])],
        expect![[r#"
        error: item 1: its record has the field "a" twice
    "#]],
    )
    .await;
    let wide: BTreeMap<String, u8> = (0..4097).map(|n| (n.to_string(), 0)).collect();
    check(csv(), &[encode(&wide)], expect![[r#"
        error: item 0: its record has 4097 fields, and at most 4096 make a table; use `reduce = "lines"`
    "#]])
    .await;
    check(csv(), &[encode(&vec![1.5])], expect![[r#"
        error: item 0: its output is or holds a floating-point number, and `csv` takes a record or a list of records; return a struct with named fields, or use `reduce = "lines"`
    "#]])
    .await;
}

#[tokio::test]
async fn tables_begin_with_the_items_own_fields() {
    let table = |columns: Option<&[&str]>| {
        let columns = columns.map(|names| names.iter().map(ToString::to_string).collect());
        Reducer::Csv { file: name(), columns }
    };
    let row = |n: i32| encode(&BTreeMap::from([("square", n * n)]));
    let rows = [row(0), row(1), encode(&()), encode(&[BTreeMap::from([("square", 9)])])];
    check(
        table(None),
        &rows,
        expect![[r#"
        out: "n,square\r\n0,0\r\n1,1\r\n3,9\r\n"
    "#]],
    )
    .await;
    check(
        table(Some(&["n"])),
        &rows,
        expect![[r#"
        out: "n,square\r\n0,0\r\n1,1\r\n3,9\r\n"
    "#]],
    )
    .await;
    check(
        table(Some(&[])),
        &rows,
        expect![[r#"
        out: "square\r\n0\r\n1\r\n9\r\n"
    "#]],
    )
    .await;
    let own = [encode(&BTreeMap::from([("m", 7), ("n", 8)]))];
    check(
        table(None),
        &own,
        expect![[r#"
        out: "m,n\r\n7,8\r\n"
    "#]],
    )
    .await;
    check(
        table(Some(&["x"])),
        &rows,
        expect![[r#"
        error: item 0: the item has no field "x", which `columns` names; name another one
    "#]],
    )
    .await;
    let order = TopOrder::Greatest;
    let records = std::num::NonZeroU32::new(2).expect("not zero");
    let top = Reducer::Top { file: name(), field: "square".into(), records, order, columns: None };
    check(
        top,
        &rows,
        expect![[r#"
        out: "item,n,square\r\n3,3,9\r\n1,1,1\r\n"
    "#]],
    )
    .await;
}
