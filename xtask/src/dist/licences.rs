//! The licences of everything that is compiled into the program, as each asks to be passed on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step;
use crate::workspace::Workspace;

/// Files that hold terms begin with one of these.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

/// A text that lists each package with its licence, and the texts of all licences, each once.
///
/// # Errors
/// When Cargo does not tell, or a file cannot be read.
pub fn gather(workspace: &Workspace) -> Result<String> {
    let packages = packages(workspace)?;
    let mut list = String::from(
        "Gleaner contains these packages of others, under the licences named. The texts follow.\n\n",
    );
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    for Package { name, licence, folder } in &packages {
        writeln!(list, "{name}: {licence}")?;
        for file in terms_in(folder)? {
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            texts.entry(text.trim().to_owned()).or_default().push(name.clone());
        }
    }
    for (text, mut owners) in texts {
        owners.dedup();
        writeln!(list, "\n{}\n{}\n\n{text}", "-".repeat(72), owners.join(", "))?;
    }
    Ok(list)
}

struct Package {
    name: String,
    licence: String,
    folder: PathBuf,
}

/// Every package that is compiled into the program, but our own.
fn packages(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut tree = workspace.cargo();
    tree.args(["tree", "--package", "gleaner-cli", "--edges", "normal", "--prefix", "none"]);
    let told = step::output(tree.args(["--target", super::TARGET, "--format", "{p}"]));
    let told = told.context("`cargo tree` failed")?;
    let linked: Vec<_> = told.lines().filter_map(name_and_version).collect();
    let mut metadata = workspace.cargo();
    let metadata = step::output(metadata.args(["metadata", "--format-version", "1", "--locked"]));
    let metadata = metadata.context("`cargo metadata` failed")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let all = metadata["packages"].as_array().context("Cargo tells of packages")?;
    let mut packages = Vec::new();
    for package in all.iter().filter(|package| !package["source"].is_null()) {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", text("name"), text("version"));
        if linked.contains(&name) {
            let manifest = PathBuf::from(text("manifest_path"));
            let folder = manifest.parent().context("a manifest lies in a folder")?.to_owned();
            packages.push(Package { name, licence: text("license"), folder });
        }
    }
    Ok(packages)
}

/// `serde 1.0.1` from `serde v1.0.1 (*)`.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
}

fn terms_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut terms = Vec::new();
    let entries = fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
        if entry.file_type()?.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            terms.push(entry.path());
        }
    }
    terms.sort();
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_names_a_package() {
        assert_eq!(name_and_version("serde v1.0.1").as_deref(), Some("serde 1.0.1"));
        assert_eq!(name_and_version("serde v1.0.1 (*)").as_deref(), Some("serde 1.0.1"));
        assert_eq!(name_and_version(""), None);
    }
}
