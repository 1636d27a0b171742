//! Every way to cut an input into items, compressed or not, to the last byte of the output.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};

/// A stage's splitter and function, and the lines that come out.
struct Cut {
    what: &'static str,
    stage: &'static str,
    expected: &'static str,
}

const CUTS: [Cut; 11] = [
    Cut {
        what: "pieces of a gzipped text that end with a line",
        stage: r#"function = "quote"
            bytes = { field = "piece", file = "words.gz", chunk = "5 B", ends = "line" }
            reduce = "lines""#,
        expected: "one\\ntwo\\n\nthree\\n\nfour\n",
    },
    Cut {
        what: "exact pieces of the same text as zstd",
        stage: r#"function = "quote"
            bytes = { field = "piece", file = "words.zst", chunk = "10 B", ends = "exact" }
            reduce = "lines""#,
        expected: "one\\ntwo\\nth\nree\\nfour\n",
    },
    Cut {
        what: "lines of a gzipped text",
        stage: r#"function = "shout"
            lines = { field = "line", file = "words.gz" }
            reduce = "lines""#,
        expected: "ONE\nTWO\nTHREE\nFOUR\n",
    },
    Cut {
        what: "rows of CSV",
        stage: r#"function = "star"
            csv = { file = "stars.csv", delimiter = ";" }
            reduce = "csv""#,
        expected: "name,mass\r\nSun,1\r\n\"Al\npha\",\"1,1\"\r\n",
    },
    Cut {
        what: "rows of CSV beside a parameter of a column's name",
        stage: r#"function = "nested_star"
            csv = { file = "stars.csv", delimiter = ";", field = "row" }
            reduce = "lines"
            parameters = { mass = 0.5 }"#,
        expected: "Sun 1 0.5\nAl\npha 1,1 0.5\n",
    },
    Cut {
        what: "lines of JSON",
        stage: r#"function = "star"
            json_lines = { file = "stars.jsonl" }
            unit_items = 1
            reduce = "csv""#,
        expected: "name,mass\r\nSun,1\r\nVega,2.1\r\n",
    },
    Cut {
        what: "sequences of FASTA",
        stage: r#"function = "sequence"
            fasta = { file = "genes.fa" }
            reduce = "csv""#,
        expected: "id,description,sequence,quality\r\ng1,first,ACGT,\r\ng2,,TT,\r\n",
    },
    Cut {
        what: "reads of FASTQ",
        stage: r#"function = "sequence"
            fastq = { file = "reads.fq.gz" }
            reduce = "csv""#,
        expected: "id,description,sequence,quality\r\nr1,,ACG,II@\r\nr2,x,T,+\r\n",
    },
    Cut {
        what: "files that match patterns",
        stage: r#"function = "measure"
            each_file = { field = "content", glob = ["data/*.bin", "data/**/*.raw"] }
            reduce = "csv""#,
        expected: "name,bytes,sum\r\ndata/a.bin,3,6\r\ndata/deep/large.raw,1000000,2000000\r\n",
    },
    Cut {
        what: "axes side by side",
        stage: r#"function = "pair"
            zip = { letter = ["x", "y", "z"], number = { range = [0.0, 0.3, 0.1] } }
            reduce = "csv""#,
        expected: "letter,number,both\r\nx,0.0,\"x,0\"\r\ny,0.1,\"y,0.1\"\r\nz,0.2,\"z,0.2\"\r\n",
    },
    Cut {
        what: "points that are repeated, each with a seed of its own",
        stage: r#"function = "replicated"
            grid = { x = { logspace = [-1, 0, 2] } }
            replicates = 2
            reduce = "csv""#,
        expected: "x,replicate,seed\r\n0.1,0,5088838660028277895\r\n0.1,1,5342236428655411019\r\n\
                   1.0,0,13774848766422094337\r\n1.0,1,2218295014472624103\r\n",
    },
];

fn gzip(members: &[&str]) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    for member in members {
        let level = flate2::Compression::default();
        let mut encoder = flate2::write::GzEncoder::new(&mut file, level);
        encoder.write_all(member.as_bytes())?;
        encoder.finish()?;
    }
    Ok(file)
}

impl Cut {
    fn folder(&self) -> Result<JobFolder> {
        let stage = format!(
            "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\noutput = \"out\"\n{}",
            self.stage
        );
        let folder = JobFolder::of_test_tasks("", &stage)?;
        folder.add("words.gz", &gzip(&["one\ntwo\nth", "ree\nfour"])?)?;
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let words = "one\ntwo\nthree\nfour";
        folder.add("words.zst", &ruzstd::encoding::compress_to_vec(words.as_bytes(), level))?;
        folder.add("stars.csv", b"name;mass\nSun;1\n\"Al\npha\";1,1\n")?;
        let stars = r#"{"name": "Sun", "mass": "1"}
{"mass": "2.1", "name": "Vega"}
"#;
        folder.add("stars.jsonl", stars.as_bytes())?;
        folder.add("genes.fa", b">g1 first\nAC\nGT\n>g2\nTT\n")?;
        folder.add("reads.fq.gz", &gzip(&["@r1\nAC\nG\n+\nII@\n@r2 x\nT\n+r2 x\n+\n"])?)?;
        folder.add("data/a.bin", &[1, 2, 3])?;
        folder.add("data/deep/large.raw", &[2; 1_000_000])?;
        Ok(folder)
    }

    fn check(&self, output: &end_to_end::Output) -> Result<()> {
        let found = output.get("s/out").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let found = found.unwrap_or_default();
        let (what, expected) = (self.what, self.expected);
        ensure!(found == expected, "{what}: the output is {found:?}, expected {expected:?}");
        Ok(())
    }
}

#[test]
fn every_input_is_cut_as_its_splitter_says() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    let folders: Vec<_> = CUTS.iter().map(Cut::folder).collect::<Result<_>>()?;
    let submit = |folder: &JobFolder| swarm.submit(&folder.manifest());
    let jobs: Vec<_> = folders.iter().map(submit).collect::<Result<_>>()?;
    for (cut, job) in CUTS.iter().zip(&jobs) {
        let end = swarm.wait_for_end(job)?;
        ensure!(end["state"] == "done", "{}: {end}", cut.what);
        cut.check(&swarm.output(job)?)?;
    }
    swarm.stop()
}

#[test]
fn nothing_that_was_decompressed_stays_behind_a_job_that_is_refused() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let stage = |name: &str, splitter: &str| {
        format!(
            "[[stage]]\nname = \"{name}\"\nmodule = \"tasks.wasm\"\nfunction = \"shout\"\n\
             reduce = \"lines\"\n{splitter}\n"
        )
    };
    let lines = r#"lines = { field = "line", file = "words.gz" }"#;
    let torn = r#"csv = { file = "torn.csv" }"#;
    let folder =
        JobFolder::of_test_tasks("", &[stage("good", lines), stage("bad", torn)].concat())?;
    folder.add("words.gz", &gzip(&["one\ntwo\n"])?)?;
    folder.add("torn.csv", b"name,mass\nSun\n")?;
    let manifest = folder.manifest();
    let refused = swarm.ask(&["submit", manifest.to_str().context("a path is text")?])?;
    ensure!(refused.code != 0 && refused.stderr.contains("torn.csv"), "{refused:?}");
    let derived = swarm.coordinator_folder().join("blobs/derived");
    let left = fs::read_dir(&derived)?.count();
    ensure!(left == 0, "{left} files stay in {}", derived.display());
    swarm.stop()
}

/// Blocks that the C library keeps once they are freed would add up: each of these inputs is held
/// by the coordinator and by the worker for a moment.
#[test]
fn inputs_of_some_mib_leave_no_memory_taken_behind() -> Result<()> {
    const FILES: usize = 40;
    const FILE_BYTES: usize = 8 * 1024 * 1024;
    const PEAK_MAX: u64 = 200 * 1024 * 1024;
    let stage = "[[stage]]\nname = \"sums\"\nmodule = \"tasks.wasm\"\nfunction = \"measure\"\n\
                 each_file = { field = \"content\", glob = [\"*.bin\"] }\n\
                 unit_items = 1\nreduce = \"csv\"\n";
    let folder = JobFolder::of_test_tasks("", stage)?;
    for number in 0..FILES {
        folder.add(&format!("{number:02}.bin"), &vec![number as u8; FILE_BYTES])?;
    }
    let swarm = Swarm::with_workers(&[2])?;
    let output = swarm.compute(&folder.manifest())?;
    let table = output.get("sums/sums.csv").context("the table is there")?;
    ensure!(table.iter().filter(|byte| **byte == b'\n').count() == FILES + 1, "rows are missing");
    for (who, process) in [("worker", swarm.worker(0)), ("coordinator", swarm.coordinator())] {
        let peak = process.memory_bytes_peak().context("Linux tells")?;
        ensure!(peak < PEAK_MAX, "the {who} held {peak} bytes");
    }
    swarm.stop()
}
