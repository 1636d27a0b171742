//! The example job that counts words, against the tools of coreutils.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder};

const COREUTILS: &str = "tr -cs 'A-Za-z0-9' '\\n' | tr 'A-Z' 'a-z' | grep . | sort | uniq -c | \
                         sort -k1,1nr -k2 | awk '{ print $2 \",\" $1 }'";

/// The words of `text` as the job's table has them.
fn counted_by_coreutils(text: &[u8]) -> Result<String> {
    let mut shell = Command::new("sh")
        .args(["-c", COREUTILS])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a shell")?;
    shell.stdin.take().context("it has an input")?.write_all(text)?;
    let rows = String::from_utf8(shell.wait_with_output()?.stdout)?;
    Ok(format!("word,count\r\n{}", rows.replace('\n', "\r\n")))
}

#[test]
fn words_are_counted_as_coreutils_do() -> Result<()> {
    let folder = JobFolder::wordcount()?;
    let text = fs::read(folder.path().join("data/alice.txt"))?;
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(&text)?;

    let expected = counted_by_coreutils(&text)?;
    ensure!(expected.lines().count() > 2000, "coreutils found {expected}");
    let plain = table(&folder, "data/alice.txt", &text)?;
    ensure!(plain == expected, "the plain text: {}", first_difference(&plain, &expected));
    // A text is told by its first bytes, whatever it is called.
    let zipped = table(&folder, "data/alice.txt", &zipped.finish()?)?;
    ensure!(zipped == expected, "the gzipped text: {}", first_difference(&zipped, &expected));
    Ok(())
}

fn table(folder: &JobFolder, name: &str, text: &[u8]) -> Result<String> {
    folder.add(name, text)?;
    let output: BTreeMap<_, _> = Gleaner::find()?.run(Path::new(&folder.manifest()))?;
    let words = output.get("table/words.csv").context("the table is there")?;
    Ok(String::from_utf8(words.clone())?)
}

fn first_difference(found: &str, expected: &str) -> String {
    let mut pairs =
        found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected);
    match pairs.next() {
        Some((found, expected)) => format!("{found:?} instead of {expected:?}"),
        None => "one is longer".into(),
    }
}
