//! Whether the links of documents lead somewhere: to a file beside them, and a heading in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Follows the links of these documents of `folder`, but for those that leave for the web.
///
/// # Errors
/// When a document cannot be read, or links lead nowhere: all of them are named.
pub fn check<'a>(folder: &Path, documents: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut dead = Vec::new();
    for document in documents {
        let path = folder.join(document);
        let links = links(&read(&path)?);
        for link in links {
            if !leads_somewhere(&path, &link)? {
                dead.push(format!("{document}: {link}"));
            }
        }
    }
    ensure!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
    Ok(())
}

/// Where the links of a text in Markdown lead, without those to the web. Code has none.
fn links(text: &str) -> Vec<String> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1).collect::<Vec<_>>());
    let targets = targets.filter_map(|rest| rest.split(')').next());
    let is_here = |target: &&str| !target.starts_with("https://") && !target.starts_with("http://");
    targets.filter(is_here).map(str::to_owned).collect()
}

/// The lines that stand outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn leads_somewhere(document: &Path, link: &str) -> Result<bool> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let path = match file {
        "" => document.to_owned(),
        file => document.parent().context("a document lies in a folder")?.join(file),
    };
    match heading {
        "" => Ok(path.exists()),
        heading => Ok(path.is_file() && anchors(&read(&path)?).contains(heading)),
    }
}

/// What the headings of a text are called in links, as GitHub does it.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_files_and_headings() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name, text| fs::write(folder.path().join(name), text).expect("written");
        write(
            "a.md",
            "# A\n[b](b.md#the-b-of-all), [web](https://x.org/y)\n```\n[no](z.md)\n```\n",
        );
        write("b.md", "## The `b`, of all\n[up](#the-b-of-all) and [a](a.md)");
        check(folder.path(), ["a.md", "b.md"]).expect("all lead somewhere");
        write("c.md", "[gone](gone.md), [b](b.md#c)\n[here](#here)");
        let error = check(folder.path(), ["a.md", "c.md"]).expect_err("some do not");
        let expected = "links that lead nowhere:\nc.md: gone.md\nc.md: b.md#c\nc.md: #here";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn no_link_of_the_repository_is_dead() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let documents = [
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "README.md",
            "docs/first-job.md",
            "docs/manifest.md",
            "docs/operating.md",
            "docs/results.md",
            "jobs/mersenne/README.md",
            "jobs/planets/README.md",
            "jobs/wordcount/README.md",
            "sdk/README.md",
        ];
        check(root, documents).expect("all lead somewhere");
    }
}
