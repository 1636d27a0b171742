use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use gleaner_protocol::limits::RECORD_BYTES_MAX;
use gleaner_protocol::{BlobRef, ItemRange, PieceEnd, RecordFormat, RecordSource, Splitter, wire};
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;

const CSV: RecordFormat = RecordFormat::Csv { delimiter: ',' };

fn reader(format: RecordFormat) -> RecordReader {
    let pieces = matches!(format, RecordFormat::Pieces { .. });
    let field = pieces.then(|| "piece".to_owned());
    let source = BlobRef::of(b"");
    let splitter =
        Splitter::Records { format, field, source: RecordSource::File(source), file: "f".into() };
    RecordReader::new(&splitter, FieldNames::default()).expect("records have a reader")
}

fn scan(format: RecordFormat, bytes: &[u8], piece: usize) -> Result<RecordIndex, RecordError> {
    let mut scanner = RecordScanner::new(reader(format));
    for piece in bytes.chunks(piece) {
        scanner.feed(piece)?;
    }
    scanner.finish()
}

/// The maps of a range of records, the file fed in pieces.
fn items(index: &RecordIndex, bytes: &[u8], piece: usize, range: ItemRange) -> Vec<ByteBuf> {
    let (mut cursor, offset) = index.cursor(range);
    let mut found = Vec::new();
    for piece in bytes[offset as usize..].chunks(piece).chain([&[][..]]) {
        cursor.feed(piece, |item| found.push(item)).expect("the file scanned");
    }
    assert!(cursor.is_done());
    found
}

/// An item as JSON, its keys in their order.
fn said_of(item: &[u8]) -> String {
    let json: super::json::Json = wire::decode(item).expect("a map");
    serde_json::to_string(&json).expect("a value of JSON")
}

/// The records of a file as JSON, a line each; or the error.
fn check(format: RecordFormat, file: &str, expected: Expect) {
    let said = |piece| match scan(format, file.as_bytes(), piece) {
        Err(error) => format!("error: {error}"),
        Ok(index) if index.records() == 0 => "none".to_owned(),
        Ok(index) => {
            let range = ItemRange { start: 0, end: index.records() };
            let items = items(&index, file.as_bytes(), piece, range);
            items.iter().map(|item| said_of(item)).collect::<Vec<_>>().join("\n")
        }
    };
    let whole = said(usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(said(piece), whole, "{file:?} in pieces of {piece}");
    }
    expected.assert_eq(&whole);
}

#[test]
fn rows_of_csv_are_records_of_text() {
    check(
        CSV,
        "name,mass\nSun,1\nJupiter,0.001\n",
        expect![[r#"
        {"name":"Sun","mass":"1"}
        {"name":"Jupiter","mass":"0.001"}"#]],
    );
    check(
        CSV,
        "\u{feff}\"name\",mass\r\nSun, 1 \r\n\r\nMoon,",
        expect![[r#"
        {"name":"Sun","mass":" 1 "}
        {"name":"Moon","mass":""}"#]],
    );
    check(
        CSV,
        "a\n\"x, \"\"y\"\"\r\nz\"\n\"\"\n",
        expect![[r#"
        {"a":"x, \"y\"\r\nz"}
        {"a":""}"#]],
    );
    check(CSV, "b,a\n1,2\n", expect![[r#"{"b":"1","a":"2"}"#]]);
    check(
        RecordFormat::Csv { delimiter: '\t' },
        "a\tb\n1,5\t2\n",
        expect![[r#"{"a":"1,5","b":"2"}"#]],
    );
    check(CSV, "a,b\n", expect!["none"]);
    check(CSV, "", expect!["none"]);
}

#[test]
fn csv_that_does_not_fit_its_header_is_refused() {
    check(CSV, "a,,c\n", expect!["error: line 1: column 2 of the header has no name; give it one"]);
    check(
        CSV,
        "a,b,a\n",
        expect![[r#"error: line 1: the header has the column "a" twice; rename one"#]],
    );
    check(
        CSV,
        "a,b\n1,2\n\"x\ny\",4,5\n",
        expect!["error: line 3: the row has 3 values, the header names 2; give each row as many"],
    );
    check(
        CSV,
        "a,b\n1\n",
        expect!["error: line 2: the row has 1 values, the header names 2; give each row as many"],
    );
    check(
        CSV,
        "a\n5\" disk\n",
        expect![
            "error: line 2: a quote stands inside a value that does not begin with one; quote the value and double the quote"
        ],
    );
    check(
        CSV,
        "a,b\n\"1\n\"x,2\n",
        expect![
            "error: line 3: a closing quote is followed by more of the value; double the quotes inside a value"
        ],
    );
    check(CSV, "a\n\"1\n", expect!["error: line 2: a quoted value has no closing quote; add it"]);
}

#[test]
fn each_line_of_json_is_an_object() {
    let check = |file, expected| check(RecordFormat::JsonLines, file, expected);
    check(
        "{\"b\": 1, \"a\": [true, null, -2.50]}\r\n{}\n",
        expect![[r#"
        {"b":1,"a":[true,null,-2.5]}
        {}"#]],
    );
    check(
        "\u{feff}{\"n\": 18446744073709551615, \"x\": 1e2}",
        expect![[r#"{"n":18446744073709551615,"x":100.0}"#]],
    );
    check("{\"a\": {\"b\": \"\\u00fc\"}}\n", expect![[r#"{"a":{"b":"ü"}}"#]]);
    check(
        "{}\n[1]\n",
        expect![[r#"error: line 2: it is a list, no JSON object; write {"field": value, ...}"#]],
    );
    check(
        "{}\n\n",
        expect![
            "error: line 2: it is no JSON (EOF while parsing a value at column 0); write one object on each line"
        ],
    );
    check(
        "{\"a\": 1e999}\n",
        expect![
            "error: line 1: it is no JSON (number out of range at column 11); write one object on each line"
        ],
    );
    check(
        "{\"a\": 1} x\n",
        expect![
            "error: line 1: it is no JSON (trailing characters at column 10); write one object on each line"
        ],
    );
    check(
        "{\"a\": 1}\n{\"a\": {\"b\": 1, \"b\": 2}}\n",
        expect![[r#"error: line 2: an object has the key "b" twice; keep one"#]],
    );
    let deep = format!("{{\"a\": {}{}}}\n", "[".repeat(40), "]".repeat(40));
    check(&deep, expect!["error: line 1: it nests lists and objects deeper than 32; flatten it"]);
}

#[test]
fn whole_numbers_of_more_than_64_bits_are_refused() {
    let check = |file, expected| check(RecordFormat::JsonLines, file, expected);
    check(
        "{\"most\": 18446744073709551615, \"least\": -9223372036854775808}\n",
        expect![[r#"{"most":18446744073709551615,"least":-9223372036854775808}"#]],
    );
    check(
        "{\"id\": 1}\n{\"x\": \"\\\"1\", \"i\\u0064\": 18446744073709551616}\n",
        expect![[
            r#"error: line 2: the field "id" has a whole number of more than 64 bits at column 25; put it in quotes, which keeps every digit, or end it with `.0` if a float will do"#
        ]],
    );
    check(
        "{\"a\": {\"b\": [1e30, -9223372036854775809]}}\n",
        expect![[
            r#"error: line 1: the field "a" has a whole number of more than 64 bits at column 20; put it in quotes, which keeps every digit, or end it with `.0` if a float will do"#
        ]],
    );
    check(
        "{\"id\": \"18446744073709551616\", \"x\": 18446744073709551616.0, \"y\": 2E19}\n",
        expect![[r#"{"id":"18446744073709551616","x":1.8446744073709552e+19,"y":2e+19}"#]],
    );
}

#[test]
fn a_line_of_json_has_a_bounded_number_of_values() {
    let of_values = |values: usize| format!("{{\"a\": [{}0]}}\n", "0,".repeat(values - 3));
    let scan = |line: &str| {
        let scanned = scan(RecordFormat::JsonLines, line.as_bytes(), usize::MAX);
        scanned.map(|index| index.records()).map_err(|error| error.to_string())
    };
    // The object, the list, and as many numbers as are left.
    assert_eq!(scan(&of_values(1_000_000)), Ok(1));
    expect!["line 1: it holds more than 1000000 values; cut it into shorter records"]
        .assert_eq(&scan(&of_values(1_000_001)).expect_err("too many"));
    let text = format!("{{\"a\": \"{}\"}}\n", r#",[{\""#.repeat(1_000_000));
    assert_eq!(scan(&text), Ok(1), "what stands in a text is no value");
}

#[test]
fn sequences_of_fasta_may_be_wrapped() {
    let check = |file, expected| check(RecordFormat::Fasta, file, expected);
    check(
        ">a first one\nACGT\nacgtN\n\n>b\r\nMKV*\r\n",
        expect![[r#"
        {"id":"a","description":"first one","sequence":"ACGTacgtN"}
        {"id":"b","description":"","sequence":"MKV*"}"#]],
    );
    check(
        "\n>a\n>b\tx  y \nA-C.",
        expect![[r#"
        {"id":"a","description":"","sequence":""}
        {"id":"b","description":"x  y","sequence":"A-C."}"#]],
    );
    check("ACGT\n", expect!["error: line 1: a record begins with `>`; is this FASTA?"]);
    check(
        ">a\nAC\n> b\nAC\n",
        expect!["error: line 3: the record has no id; write one right after the `>`"],
    );
    check(
        ">a\nAC\nA1C\n",
        expect!["error: line 3: '1' is no letter of a sequence; use letters, `-`, `*` and `.`"],
    );
    check(
        ">a\nAC GT\n",
        expect!["error: line 2: ' ' is no letter of a sequence; use letters, `-`, `*` and `.`"],
    );
    check("\n\n", expect!["none"]);
}

#[test]
fn records_of_fastq_carry_as_many_qualities_as_letters() {
    let check = |file, expected| check(RecordFormat::Fastq, file, expected);
    check(
        "@r1 lane 1\nACGT\n+\nII@I\n@r2\nAC\nG\n+r2\n!!\n~\n",
        expect![[r#"
        {"id":"r1","description":"lane 1","sequence":"ACGT","quality":"II@I"}
        {"id":"r2","description":"","sequence":"ACG","quality":"!!~"}"#]],
    );
    check(
        "@r1\r\nAC\r\n+\r\n@+\r\n\r\n@e\n\n+\n\n",
        expect![[r#"
        {"id":"r1","description":"","sequence":"AC","quality":"@+"}
        {"id":"e","description":"","sequence":"","quality":""}"#]],
    );
    check(
        "@r1\nAC\n+\n@+",
        expect![[r#"{"id":"r1","description":"","sequence":"AC","quality":"@+"}"#]],
    );
    check(">r1\nAC\n", expect!["error: line 1: a record begins with `@`; is this FASTQ?"]);
    check(
        "@r1\nACG\n+\nII\n@r2\nA\n+\nI\n",
        expect![
            "error: line 1: the record has 3 letters and 5 qualities; it needs as many of each"
        ],
    );
    check(
        "@r1\nACG\n@r2\nA\n+\nI\n",
        expect![
            "error: line 3: the record has no line that begins with `+`; its quality is missing"
        ],
    );
    check(
        "@r1\nACG\n",
        expect![
            "error: line 1: the record has no line that begins with `+`; its quality is missing"
        ],
    );
    check(
        "@r1\nA\n+r3\nI\n",
        expect![
            "error: line 3: after `+` stands another name than after `@`; repeat it, or write nothing"
        ],
    );
    check(
        "@r1\nA\n+\n\u{e9}\n",
        expect!["error: line 4: 'é' is no quality; use the characters from `!` to `~`"],
    );
    check(
        "@\nA\n+\nI\n",
        expect!["error: line 1: the record has no id; write one right after the `@`"],
    );
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let refused = |format, bytes: &[u8]| {
        let errors: BTreeSet<_> = [1, 5, 999]
            .map(|piece| scan(format, bytes, piece).expect_err("refused").to_string())
            .into();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.into_iter().next()
    };
    let expected = Some("line 3: it is not UTF-8; convert the file to UTF-8 first".to_owned());
    assert_eq!(refused(CSV, b"a\n\"1\n\xff\"\n"), expected);
    assert_eq!(refused(RecordFormat::JsonLines, b"{}\n{}\n\"\xff\"\n"), expected);
    assert_eq!(refused(RecordFormat::Fasta, b">a\nAC\n\xff\n"), expected);
}

#[test]
fn a_record_that_is_too_long_is_refused_before_its_end() {
    let head = b"a\nshort\n\"";
    let mut scanner = RecordScanner::new(reader(CSV));
    scanner.feed(head).expect("a quoted value begins");
    let mut fed = 1;
    let error = loop {
        let filler = vec![b'\n'; 1 << 20];
        fed += filler.len();
        assert!(fed <= RECORD_BYTES_MAX + filler.len(), "the limit was passed");
        if let Err(error) = scanner.feed(&filler) {
            break error;
        }
    };
    expect!["line 3: the record that begins here is longer than 67108864 bytes; cut the file into shorter ones"]
        .assert_eq(&error.to_string());
}

/// Files that are sound, and how they are cut.
fn sound_files() -> impl Strategy<Value = (RecordFormat, String)> {
    let lines = |line: &'static str| {
        proptest::collection::vec(line, 1..60).prop_map(|lines| lines.join("\n") + "\n")
    };
    let pieces = |chunk_bytes| RecordFormat::Pieces { chunk_bytes, ends: PieceEnd::Line };
    prop_oneof![
        (1_u64..20, lines("[a-z]{0,9}\r?")).prop_map(move |(chunk, text)| (pieces(chunk), text)),
        lines("([a-z]{0,3}|\"([a-z\n,]|\"\"){0,4}\"),[a-z ]{0,3}\r?")
            .prop_map(|rows| (CSV, format!("x,y\n{rows}"))),
        lines("\\{\"k\": [1-9][0-9]{0,2}\\}").prop_map(|text| (RecordFormat::JsonLines, text)),
        lines(">[a-z]{1,4}( [a-z>]{1,4})?\r?(\n[ACGT]{0,5}){0,3}")
            .prop_map(|text| (RecordFormat::Fasta, text)),
        lines("@[a-z]{1,4}\nACG\nT\n\\+\r?\n[!-~]{4}|@[a-z]\nAC\n\\+\n[!-~]{1}\n[!-~]{1}|")
            .prop_map(|text| (RecordFormat::Fastq, text)),
    ]
}

proptest! {
    #[test]
    fn cursors_do_not_care_how_a_file_is_cut_into_pieces(
        (format, file) in sound_files(),
        piece in 1_usize..9,
        start in 0_u64..60,
        length in 1_u64..60,
    ) {
        let whole = scan(format, file.as_bytes(), usize::MAX).expect("the file is sound");
        let index = scan(format, file.as_bytes(), piece).expect("the file is sound");
        prop_assert_eq!(index.records(), whole.records());
        prop_assume!(index.records() > 0);
        let all = ItemRange { start: 0, end: index.records() };
        let expected = items(&whole, file.as_bytes(), usize::MAX, all);
        let start = start % index.records();
        let range = ItemRange { start, end: (start + length).min(index.records()) };
        let found = items(&index, file.as_bytes(), piece, range);
        prop_assert_eq!(&found[..], &expected[range.start as usize..range.end as usize]);
    }

    #[test]
    fn any_bytes_are_cut_or_refused_alike_in_any_pieces(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'"'), Just(b'>'), Just(b'@'), Just(b'+'), Just(b','), any::<u8>()],
            0..80,
        ),
        piece in 1_usize..9,
    ) {
        let pieces = RecordFormat::Pieces { chunk_bytes: 3, ends: PieceEnd::Line };
        let formats = [pieces, CSV, RecordFormat::JsonLines, RecordFormat::Fasta, RecordFormat::Fastq];
        for format in formats {
            let said = |piece| {
                scan(format, &bytes, piece).map(|index| (index.records(), index.longest_bytes()))
            };
            prop_assert_eq!(said(piece), said(usize::MAX));
        }
    }
}

#[test]
fn any_range_of_a_long_file_is_found_with_little_reading() {
    let rows: String = (0..5000).map(|n| format!("{n},{}\n", "x".repeat(n % 700))).collect();
    let file = format!("n,x\n{rows}");
    let index = scan(CSV, file.as_bytes(), 1000).expect("the file is sound");
    assert_eq!(index.records(), 5000);
    for start in [0, 1, 1023, 1024, 2047, 3000, 4999] {
        let range = ItemRange { start, end: (start + 2).min(5000) };
        let (_, offset) = index.cursor(range);
        let row = file.find(&format!("\n{start},")).expect("the row is there") + 1;
        assert!((row - offset as usize) < (1 << 20) + 1000, "row {start} is sought from {offset}");
        let found = items(&index, file.as_bytes(), 64, range);
        let columns: BTreeMap<String, String> = wire::decode(&found[0]).expect("a map of text");
        assert_eq!(columns["n"], start.to_string());
    }
}
