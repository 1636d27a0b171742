//! The manifest's shape for editors and programs that write one: a JSON Schema.
//!
//! It says which keys there are, their types and the bounds that JSON Schema can say. Names that
//! must differ, sizes and files are the parser's alone. The tests hold it to the parser: the same
//! keys in every table, and one opinion of each manifest there.

/// The schema of a manifest (JSON Schema, draft 2020-12).
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::manifest::{Manifest, ManifestProblem};

    const HEAD: &str = "[job]\nname = \"a\"\n[[stage]]\nname = \"s\"\nmodule = \"m.wasm\"\n";

    /// Each table of a manifest with fixed keys: where the schema has it, and a manifest in which
    /// it holds the key `unknown`.
    fn tables() -> Vec<(&'static str, String)> {
        let stage = |lines: &str| format!("{HEAD}{lines}\n");
        let splitter = |table: &str| stage(&format!("reduce = \"lines\"\n{table}"));
        let range = "range = { field = \"i\", end = 3 }\n";
        vec![
            ("", format!("unknown = 1\n{HEAD}")),
            ("/properties/job", "[job]\nname = \"a\"\nunknown = 1\n".to_owned() + &HEAD[17..]),
            ("/properties/notify", format!("notify.unknown = 1\n{HEAD}")),
            ("/$defs/stage", stage("unknown = 1")),
            ("/$defs/stage/properties/range", splitter("range = { unknown = 1 }")),
            ("/$defs/stage/properties/lines", splitter("lines = { unknown = 1 }")),
            ("/$defs/stage/properties/bytes", splitter("bytes = { unknown = 1 }")),
            ("/$defs/stage/properties/csv", splitter("csv = { unknown = 1 }")),
            ("/$defs/records", splitter("json_lines = { unknown = 1 }")),
            ("/$defs/records", splitter("fasta = { unknown = 1 }")),
            ("/$defs/records", splitter("fastq = { unknown = 1 }")),
            ("/$defs/stage/properties/split/anyOf/1", splitter("split = { unknown = 1 }")),
            ("/$defs/stage/properties/each_file", splitter("each_file = { unknown = 1 }")),
            (
                "/$defs/file/anyOf/1",
                stage(
                    "files = { f = { unknown = 1 } }\nrange = { field = \"i\", end = 3 }\nreduce = \"lines\"",
                ),
            ),
            ("/$defs/axis/anyOf/1", splitter("grid = { a = { unknown = 1 } }")),
            (
                "/$defs/stage/properties/histogram",
                stage(&format!("{range}reduce = \"histogram\"\nhistogram = {{ unknown = 1 }}")),
            ),
            (
                "/$defs/stage/properties/top",
                stage(&format!("{range}reduce = \"top\"\ntop = {{ unknown = 1 }}")),
            ),
            (
                "/$defs/stage/properties/limits",
                splitter(&format!("{range}limits = {{ unknown = 1 }}")),
            ),
        ]
    }

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).expect("the schema is JSON")
    }

    fn fits(validator: &jsonschema::Validator, manifest: &str) -> bool {
        let manifest: toml::Table = manifest.parse().expect("it is TOML");
        validator.is_valid(&serde_json::to_value(manifest).expect("TOML is JSON but for dates"))
    }

    #[test]
    fn every_table_has_the_parsers_keys_and_no_others() {
        let (schema, validator) = (schema(), jsonschema::draft202012::new(&schema()));
        let validator = validator.expect("the schema is sound");
        for (place, manifest) in tables() {
            let table = schema.pointer(place).expect(place);
            assert_eq!(table["additionalProperties"], false, "{place}");
            let said = table["properties"].as_object().expect("it has properties");
            let said: BTreeSet<&str> = said.keys().map(String::as_str).collect();
            let error = Manifest::parse(&manifest).expect_err(&manifest);
            let ManifestProblem::UnknownKey { known, .. } = &*error.problem else {
                panic!("{place}: {error}\n{manifest}");
            };
            assert_eq!(said, known.iter().copied().collect(), "{place}");
            assert!(!fits(&validator, &manifest), "{place}: the schema takes\n{manifest}");
        }
    }

    #[test]
    fn schema_and_parser_take_and_refuse_the_same() {
        let validator = jsonschema::draft202012::new(&schema()).expect("the schema is sound");
        let range = "range = { field = \"i\", end = 3 }\nreduce = \"lines\"\n";
        let lines = |stage: &str| format!("{HEAD}{stage}");
        let with = |more: &str| format!("{HEAD}{range}{more}");
        let after = |splitter: &str| {
            let next = "[[stage]]\nname = \"next\"\nmodule = \"m.wasm\"\nreduce = \"lines\"\n";
            format!("{HEAD}{range}{next}{splitter}").replace("\"s\"", "\"a\"")
        };
        let job = |key: &str| format!("[job]\nname = \"a\"\n{key}\n{}{range}", &HEAD[17..]);
        let zeros = "0".repeat(64);
        let taken = [
            with(""),
            job("seed = 0"),
            job("priority = -1000"),
            job("quorum = 16"),
            job("on_failure = \"continue\""),
            job("keep = \"30 d\""),
            job("max_attempts = 100"),
            job("[notify]\non_done = \"https://a.example/b\"\nstall_after = \"1 s\""),
            job("[notify]\non_stall = [\"notify-send\", \"it stalled\"]"),
            with("function = \"größe-1.x_\""),
            with("unit_items = 4096"),
            with("unit_items = \"auto\""),
            with("floats = \"strict\""),
            with("limits = { memory = \"64 MiB\", host_calls = 1, cpu = \"10 min\" }"),
            with("parameters = { a = 1, b = [0.5, true], c = { d = \"x\" } }"),
            with("files = { star = \"star.csv\" }"),
            with(&format!(
                "files = {{ star = {{ url = \"https://a/b\", hash = \"blake3:{zeros}\" }} }}"
            )),
            with("output = \"a.txt\""),
            lines("lines = { field = \"l\", file = \"w.txt\" }\nreduce = \"sum\""),
            lines(
                "bytes = { field = \"l\", file = \"w\", chunk = \"1 kB\", ends = \"exact\" }\nreduce = \"min\"",
            ),
            lines("csv = { file = \"w\", delimiter = \";\" }\nreduce = \"csv\"\ncolumns = []"),
            lines("json_lines = { file = \"w\" }\nreduce = \"histogram\""),
            after("lines = { field = \"l\", after = \"a\" }"),
            after("bytes = { field = \"l\", after = \"a\", ends = \"exact\" }"),
            after("csv = { after = \"a\", delimiter = \";\" }"),
            after("fastq = { after = \"a\", field = \"r\" }"),
            after("after = \"a\""),
            after("split = { function = \"tiles\", after = \"a\" }"),
            lines("fasta = { file = \"w\", field = \"r\" }\nreduce = \"max\""),
            lines("each_file = { field = \"i\", glob = [\"*.png\"] }\nreduce = \"concat\""),
            lines(
                "grid = { a = [1, \"x\"], b = { linspace = [0, 1, 3] } }\nreplicates = 2\nreduce = \"files\"",
            ),
            lines("zip = { a = [1, 2], b = [3, 4] }\nreduce = \"merge\"\nmerge = \"add\""),
            lines("split = \"tiles\"\nreduce = \"csv\"\ncolumns = [\"x\"]"),
            lines(
                "range = { field = \"i\", end = 3 }\nreduce = \"top\"\ntop = { field = \"p\", records = 3, order = \"least\" }",
            ),
            lines(
                "range = { field = \"i\", end = 3 }\nreduce = \"histogram\"\nhistogram = { bins = 2, low = 0.0, high = 1 }",
            ),
        ];
        for manifest in &taken {
            assert_eq!(Manifest::parse(manifest).map(drop), Ok(()), "\n{manifest}");
            assert!(fits(&validator, manifest), "the schema refuses\n{manifest}");
        }
        let refused = [
            lines("reduce = \"lines\""),
            with("lines = { field = \"l\", file = \"w\" }"),
            after("csv = { after = \"a\", file = \"w\" }"),
            after("lines = { field = \"l\" }"),
            after("bytes = { after = \"a\" }"),
            after("split = { function = \"tiles\" }"),
            after("json_lines = { after = 1 }"),
            job("seed = -1"),
            job("priority = 1001"),
            job("quorum = 0"),
            job("on_failure = \"go\""),
            job("keep = 30"),
            job("keep = \"for ever\""),
            job("quorum = 17"),
            job("max_attempts = 101"),
            job("[notify]\non_done = \"ftp://a.example/b\""),
            job("[notify]\non_done = []"),
            job("[notify]\non_done = [1]"),
            job("[notify]\non_done = true"),
            job("[notify]\nstall_after = 30"),
            job("name = 7").replacen("name = \"a\"\n", "", 1),
            with("function = \"a b\""),
            with("function = \"\""),
            with("unit_items = 0"),
            with("unit_items = 4097"),
            with("unit_items = \"many\""),
            with("floats = \"odd\""),
            with("limits = { memory = \"64\" }"),
            with("limits = { host_calls = 0 }"),
            with("limits = { cpu = \"10 m\" }"),
            with("files = { star = \"\" }"),
            with("files = { star = { url = \"https://a/b\" } }"),
            with("files = { star = { url = \"https://a/b\", hash = \"blake3:0\" } }"),
            with(&format!("files = {{ star = {{ url = \"a/b\", hash = \"blake3:{zeros}\" }} }}")),
            with("merge = \"add\""),
            with("columns = [\"i\"]"),
            with("top = { field = \"p\", records = 3 }"),
            with("histogram = {}"),
            with("replicates = 2"),
            lines("range = { field = \"i\" }\nreduce = \"lines\""),
            lines("range = { field = \"i\", end = 3 }\nreduce = \"merge\""),
            lines("range = { field = \"i\", end = 3 }\nreduce = \"top\""),
            lines("range = { field = \"i\", end = 3 }\nreduce = \"mean\""),
            lines("range = { field = \"i\", end = 3 }\nreduce = \"files\"\noutput = \"a\""),
            lines(
                "range = { field = \"i\", end = 3 }\nreduce = \"histogram\"\nhistogram = { bins = 2 }",
            ),
            lines("split = \"\"\nreduce = \"lines\""),
            lines("split = { function = \"tiles\" }\nreduce = \"lines\""),
            lines("split = \"tiles\"\nreplicates = 2\nreduce = \"lines\""),
            lines("grid = {}\nreduce = \"lines\""),
            lines("grid = { a = [] }\nreduce = \"lines\""),
        ];
        for manifest in &refused {
            assert!(Manifest::parse(manifest).is_err(), "the parser takes\n{manifest}");
            assert!(!fits(&validator, manifest), "the schema takes\n{manifest}");
        }
    }

    #[test]
    fn every_manifest_of_the_documentation_and_the_examples_fits() {
        let validator = jsonschema::draft202012::new(&schema()).expect("the schema is sound");
        let documentation = include_str!("../../../docs/manifest.md");
        let shown = documentation.split("```toml\n").skip(1).filter_map(|rest| {
            let (text, _) = rest.split_once("```")?;
            text.contains("[job]").then_some(text)
        });
        let examples = [
            include_str!("../../../jobs/planets/job.toml"),
            include_str!("../../../jobs/mersenne/job.toml"),
            include_str!("../../../jobs/wordcount/job.toml"),
            include_str!("../../../sdk/templates/rust/job.toml"),
        ];
        let manifests: Vec<String> = shown
            .chain(examples)
            .map(|text| text.replace("{{name}}", "pi").replace("{{module}}", "pi"))
            .collect();
        assert!(manifests.len() > 3, "the documentation shows a whole manifest");
        for manifest in manifests {
            assert_eq!(Manifest::parse(&manifest).map(drop), Ok(()), "\n{manifest}");
            assert!(fits(&validator, &manifest), "the schema refuses\n{manifest}");
        }
    }
}
