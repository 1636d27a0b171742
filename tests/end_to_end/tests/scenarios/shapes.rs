//! Every splitter and every reducer, with outputs known to the last byte.

use anyhow::{Result, ensure};
use end_to_end::{Gleaner, JobFolder, Output, Swarm};

/// A stage called `s` on the tests' tasks, and what it must give.
struct Shape {
    what: &'static str,
    stage: &'static str,
    expected: &'static [(&'static str, &'static [u8])],
}

const WORDS: &str = "first\n\nzwölf \"quoted\"\r\nlast without an end";

const SHAPES: [Shape; 21] = [
    Shape {
        what: "a range, as csv",
        stage: r#"function = "square"
            range = { field = "number", start = -2, end = 2 }
            unit_items = 3
            reduce = "csv""#,
        expected: &[("s/s.csv", b"number,square\r\n-2,4\r\n-1,1\r\n0,0\r\n1,1\r\n")],
    },
    Shape {
        what: "the lines of a text, as lines",
        stage: r#"function = "shout"
            lines = { field = "line", file = "words.txt" }
            unit_items = 1
            reduce = "lines"
            output = "loud.txt""#,
        expected: &[("s/loud.txt", "FIRST\n\nZWÖLF \"QUOTED\"\nLAST WITHOUT AN END\n".as_bytes())],
    },
    Shape {
        what: "a grid, whose last axis runs fastest",
        stage: r#"function = "pair"
            grid = { letter = ["x", "y"], number = [0.5, 2.0] }
            reduce = "csv""#,
        expected: &[(
            "s/s.csv",
            b"letter,number,both\r\nx,0.5,\"x,0.5\"\r\nx,2.0,\"x,2\"\r\n\
              y,0.5,\"y,0.5\"\r\ny,2.0,\"y,2\"\r\n",
        )],
    },
    Shape {
        what: "bytes, one after the other",
        stage: r#"function = "wordy"
            range = { field = "number", start = 1, end = 4 }
            unit_items = 2
            reduce = "concat"
            parameters = { bytes = 2 }"#,
        expected: &[("s/s.bin", &[1, 1, 2, 2, 3, 3])],
    },
    Shape {
        what: "text, one after the other",
        stage: r#"function = "trace"
            range = { field = "number", end = 5 }
            unit_items = 2
            reduce = "concat"
            output = "all.txt""#,
        expected: &[("s/all.txt", b"[0][1][2][3][4]")],
    },
    Shape {
        what: "numbers as lines",
        stage: r#"function = "sum"
            range = { field = "number", end = 3 }
            reduce = "lines""#,
        expected: &[("s/s.txt", b"0\n1\n2\n")],
    },
    Shape {
        what: "files in folders",
        stage: r#"function = "letters"
            range = { field = "number", end = 2 }
            unit_items = 1
            reduce = "files""#,
        expected: &[
            ("s/item-0/bytes.bin", &[0, 255, b'a']),
            ("s/item-0/letter.txt", b"a\n"),
            ("s/item-1/bytes.bin", &[0, 255, b'b']),
            ("s/item-1/letter.txt", b"b\n"),
        ],
    },
    Shape {
        what: "a sum",
        stage: r#"function = "sum"
            range = { field = "number", end = 1001 }
            unit_items = 7
            reduce = "merge"
            merge = "add""#,
        expected: &[("s/s.json", b"500500\n")],
    },
    Shape {
        what: "a merge that shows its order",
        stage: r#"function = "trace"
            range = { field = "number", end = 11 }
            unit_items = 2
            reduce = "merge"
            merge = "join""#,
        expected: &[("s/s.json", b"\"[0][1][2][3][4][5][6][7][8][9][10]\"\n")],
    },
    Shape {
        what: "a merge of one value",
        stage: r#"function = "trace"
            range = { field = "number", end = 1 }
            reduce = "merge"
            merge = "join""#,
        expected: &[("s/s.json", b"\"[0]\"\n")],
    },
    Shape {
        what: "a file that all items share",
        stage: r#"function = "shared"
            range = { field = "number", end = 2 }
            reduce = "csv"
            parameters = { file = "text" }
            files = { text = "foobar" }"#,
        expected: &[(
            "s/s.csv",
            b"number,bytes,hash\r\n0,6,85944171f73967e8\r\n1,6,85944171f73967e8\r\n",
        )],
    },
    Shape {
        what: "an exact sum",
        stage: r#"function = "sum"
            range = { field = "number", start = -1, end = 1001 }
            unit_items = 7
            reduce = "sum""#,
        expected: &[("s/s.json", b"{\"count\":1002,\"sum\":500499}\n")],
    },
    Shape {
        what: "the least of each field",
        stage: r#"function = "square"
            range = { field = "number", start = -3, end = 3 }
            reduce = "min""#,
        expected: &[(
            "s/s.json",
            b"{\"number\":{\"count\":6,\"nan\":0,\"min\":-3,\"item\":0},\
              \"square\":{\"count\":6,\"nan\":0,\"min\":0,\"item\":3}}\n",
        )],
    },
    Shape {
        what: "the greatest of each field",
        stage: r#"function = "square"
            range = { field = "number", start = -3, end = 4 }
            unit_items = 2
            reduce = "max"
            output = "max.json""#,
        expected: &[(
            "s/max.json",
            b"{\"number\":{\"count\":7,\"nan\":0,\"max\":3,\"item\":6},\
              \"square\":{\"count\":7,\"nan\":0,\"max\":9,\"item\":0}}\n",
        )],
    },
    Shape {
        what: "a histogram by bins",
        stage: r#"function = "square"
            range = { field = "number", end = 10 }
            reduce = "histogram"
            histogram = { field = "square", bins = 2, low = 1, high = 50 }"#,
        expected: &[(
            "s/s.json",
            b"{\"count\":10,\"nan\":0,\"under\":1,\"over\":2,\"bins\":[\
              {\"low\":1.0,\"high\":25.5,\"count\":5},{\"low\":25.5,\"high\":50.0,\"count\":2}]}\n",
        )],
    },
    Shape {
        what: "a histogram of words",
        stage: r#"function = "shout"
            lines = { field = "line", file = "words.txt" }
            reduce = "histogram""#,
        expected: &[(
            "s/s.json",
            "{\"count\":4,\"categories\":[{\"value\":\"\",\"count\":1},\
             {\"value\":\"FIRST\",\"count\":1},{\"value\":\"LAST WITHOUT AN END\",\"count\":1},\
             {\"value\":\"ZWÖLF \\\"QUOTED\\\"\",\"count\":1}]}\n"
                .as_bytes(),
        )],
    },
    Shape {
        what: "the best records",
        stage: r#"function = "square"
            range = { field = "number", start = -3, end = 4 }
            unit_items = 3
            reduce = "top"
            top = { field = "square", records = 3 }"#,
        expected: &[("s/s.csv", b"item,number,square\r\n0,-3,9\r\n6,3,9\r\n1,-2,4\r\n")],
    },
    // 9221120237041090560 is 0x7ff8000000000000; an x86 gives 0xfff8000000000000.
    Shape {
        what: "the bits of a NaN with strict floats",
        stage: r#"function = "nan_bits"
            range = { field = "number", end = 2 }
            floats = "strict"
            reduce = "lines""#,
        expected: &[("s/s.txt", b"9221120237041090560\n9221120237041090560\n")],
    },
    Shape {
        what: "the bits of NaNs made in a merge with strict floats",
        stage: r#"function = "nan_bits"
            range = { field = "number", end = 3 }
            floats = "strict"
            reduce = "merge"
            merge = "nan_bits_too""#,
        expected: &[("s/s.json", b"9221120237041090560\n")],
    },
    Shape {
        what: "a stage after a stage",
        stage: r#"function = "shout"
            lines = { field = "line", file = "words.txt" }
            reduce = "lines"
            [[stage]]
            name = "rows"
            module = "tasks.wasm"
            function = "trace"
            range = { field = "number", end = 2 }
            reduce = "lines"
            [[stage]]
            name = "total"
            module = "tasks.wasm"
            function = "count_lines"
            after = "rows"
            reduce = "concat"
            output = "total.txt""#,
        expected: &[
            ("s/s.txt", "FIRST\n\nZWÖLF \"QUOTED\"\nLAST WITHOUT AN END\n".as_bytes()),
            ("rows/rows.txt", b"[0]\n[1]\n"),
            ("total/total.txt", b"2 lines\n"),
        ],
    },
    Shape {
        what: "stages that cut what stages gave",
        stage: r#"function = "star"
            csv = { file = "stars.csv" }
            reduce = "csv"
            [[stage]]
            name = "objects"
            module = "tasks.wasm"
            function = "star"
            csv = { after = "s" }
            reduce = "lines"
            [[stage]]
            name = "rows"
            module = "tasks.wasm"
            function = "star"
            json_lines = { after = "objects" }
            unit_items = 1
            reduce = "csv"
            [[stage]]
            name = "loud"
            module = "tasks.wasm"
            function = "shout"
            lines = { field = "line", after = "rows" }
            reduce = "lines"
            [[stage]]
            name = "pieces"
            module = "tasks.wasm"
            function = "quote"
            bytes = { field = "piece", after = "loud", chunk = "12 B" }
            reduce = "lines""#,
        expected: &[
            ("s/s.csv", b"name,mass\r\nSun,1\r\nVega,2.1\r\n"),
            (
                "objects/objects.txt",
                b"{\"name\":\"Sun\",\"mass\":\"1\"}\n{\"name\":\"Vega\",\"mass\":\"2.1\"}\n",
            ),
            ("rows/rows.csv", b"name,mass\r\nSun,1\r\nVega,2.1\r\n"),
            ("loud/loud.txt", b"NAME,MASS\nSUN,1\nVEGA,2.1\n"),
            ("pieces/pieces.txt", b"NAME,MASS\\nSUN,1\\n\nVEGA,2.1\\n\n"),
        ],
    },
];

impl Shape {
    fn folder(&self) -> Result<JobFolder> {
        let stage = format!("[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\n{}", self.stage);
        let folder = JobFolder::of_test_tasks("", &stage)?;
        folder.add("words.txt", WORDS.as_bytes())?;
        folder.add("foobar", b"foobar")?;
        folder.add("stars.csv", b"name,mass\nSun,1\nVega,2.1\n")?;
        Ok(folder)
    }

    fn check(&self, output: &Output) -> Result<()> {
        let expected = self.expected.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec()));
        let expected: Output = expected.collect();
        ensure!(
            *output == expected,
            "{}: the output is {}, expected {}",
            self.what,
            words(output),
            words(&expected)
        );
        Ok(())
    }
}

/// An output as a person can compare it.
fn words(output: &Output) -> String {
    let file = |(name, bytes): (&String, &Vec<u8>)| format!("{name} \"{}\"", bytes.escape_ascii());
    output.iter().map(file).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_splitter_and_reducer_gives_exactly_what_it_should() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    // All at once: jobs must not get into each other's way.
    let folders: Vec<_> = SHAPES.iter().map(Shape::folder).collect::<Result<_>>()?;
    let submit = |folder: &JobFolder| swarm.submit(&folder.manifest());
    let jobs: Vec<_> = folders.iter().map(submit).collect::<Result<_>>()?;
    for (shape, job) in SHAPES.iter().zip(&jobs) {
        let end = swarm.wait_for_end(job)?;
        ensure!(end["state"] == "done", "{}: {end}", shape.what);
        shape.check(&swarm.output(job)?)?;
    }
    swarm.stop()
}

/// Stages whose output would show it if cuts or order mattered: draws are floats of all sizes.
const OF_DRAWS: [&str; 6] = [
    "reduce = \"sum\"",
    "reduce = \"min\"",
    "reduce = \"max\"",
    "reduce = \"histogram\"\nhistogram = { field = \"fraction\", bins = 9, low = 0, high = 1 }",
    "reduce = \"top\"\ntop = { field = \"fraction\", records = 7, order = \"least\" }",
    "reduce = \"csv\"",
];

#[test]
fn reducers_of_numbers_do_not_show_how_units_were_cut_nor_by_whom() -> Result<()> {
    let outputs = |swarm: &Swarm, unit_items: &str| -> Result<Vec<Output>> {
        let folder = |reduce: &&str| {
            let range = "range = { field = \"number\", end = 101 }\nfunction = \"random\"";
            let stage = format!(
                "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\n{range}\n{reduce}\n\
                 unit_items = {unit_items}"
            );
            JobFolder::of_test_tasks("seed = 5", &stage)
        };
        let folders: Vec<_> = OF_DRAWS.iter().map(folder).collect::<Result<_>>()?;
        folders.iter().map(|folder| swarm.compute(&folder.manifest())).collect()
    };
    let alone = Swarm::with_workers(&[1])?;
    let expected = outputs(&alone, "101")?;
    alone.stop()?;
    let several = Swarm::with_workers(&[1, 2, 1])?;
    for unit_items in ["1", "7", "\"auto\""] {
        let found = outputs(&several, unit_items)?;
        for ((found, expected), reduce) in found.iter().zip(&expected).zip(OF_DRAWS) {
            ensure!(
                found == expected,
                "{reduce}\nin units of {unit_items}: {}, not {}",
                words(found),
                words(expected)
            );
        }
    }
    several.stop()
}

#[test]
fn a_run_without_a_server_gives_the_same() -> Result<()> {
    let gleaner = Gleaner::find()?;
    for shape in SHAPES {
        shape.check(&gleaner.run(&shape.folder()?.manifest())?)?;
    }
    Ok(())
}
