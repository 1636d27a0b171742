//! The SDK's sources, carried in this program.
//!
//! Its manifests inherit from the workspace's, which a task crate has not; what they inherit is
//! written out.

use toml::{Table, Value};

/// The SDK's files: where each goes, and its text.
macro_rules! sdk {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../sdk/", $path)))),*]
    };
}

const SOURCES: &[(&str, &str)] = sdk![
    "README.md"
    "src/canonical.rs"
    "src/context.rs"
    "src/entry.rs"
    "src/error.rs"
    "src/files.rs"
    "src/host/mod.rs"
    "src/host/native.rs"
    "src/host/slot.rs"
    "src/input.rs"
    "src/lib.rs"
    "src/log.rs"
    "src/native.rs"
    "macros/src/export.rs"
    "macros/src/lib.rs"
    "macros/src/signature.rs"
    "macros/src/tests.rs"
];

const MANIFESTS: &[(&str, &str)] = sdk!["Cargo.toml" "macros/Cargo.toml"];

const LICENCES: [(&str, &str); 3] = [
    ("LICENSE", include_str!("../../../../LICENSE")),
    ("LICENSE-APACHE", include_str!("../../../../LICENSE-APACHE")),
    ("LICENSE-MIT", include_str!("../../../../LICENSE-MIT")),
];

const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// Every file of the SDK: its path in the folder that crates are vendored in, and its text.
pub(super) fn files() -> Vec<(String, String)> {
    let plain = SOURCES.iter().chain(&LICENCES).map(|(path, text)| (*path, (*text).to_owned()));
    let manifests = MANIFESTS.iter().map(|(path, text)| (*path, written_out(text)));
    plain.chain(manifests).map(|(path, text)| (format!("gleaner-sdk/{path}"), text)).collect()
}

/// A manifest of this workspace's without anything that it inherits.
fn written_out(manifest: &str) -> String {
    let sound = "this workspace's manifests are sound";
    let mut manifest: Table = manifest.parse().expect(sound);
    let workspace: Table = WORKSPACE.parse().expect(sound);
    let workspace = workspace["workspace"].as_table().expect(sound);
    // Lints are for those who work on the SDK, and so are its tests' crates.
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    for section in ["package", "dependencies"] {
        let given = workspace[section].as_table().expect(sound);
        let Some(Value::Table(entries)) = manifest.get_mut(section) else { continue };
        for (name, entry) in entries {
            inherit(entry, given.get(name));
        }
    }
    toml::to_string(&manifest).expect("what was read can be written")
}

/// Puts what the workspace gives in the place of `workspace = true`, and what stands beside it on
/// top.
fn inherit(entry: &mut Value, given: Option<&Value>) {
    let Value::Table(own) = entry else { return };
    if own.remove("workspace").is_none() {
        return;
    }
    let given = given.expect("what is inherited is there").clone();
    let own = std::mem::take(own);
    *entry = match given {
        Value::String(version) if !own.is_empty() => {
            Value::Table(Table::from_iter([("version".to_owned(), Value::String(version))]))
        }
        given => given,
    };
    if let Value::Table(entry) = entry {
        // Paths of the workspace's become the SDK's own.
        if let Some(Value::String(path)) = entry.get_mut("path") {
            *path = path.trim_start_matches("sdk/").to_owned();
        }
        entry.extend(own);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use expect_test::expect;

    use super::*;

    /// The files below `folder`, by their paths from `root`.
    fn walk(root: &Path, folder: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(root.join(folder)).expect("the folder is there") {
            let entry = entry.expect("it can be read");
            let path = format!("{folder}/{}", entry.file_name().to_str().expect("a name is text"));
            match entry.file_type().expect("it has a type").is_dir() {
                true => walk(root, &path, found),
                false => drop(found.insert(path)),
            }
        }
    }

    #[test]
    fn every_source_of_the_sdk_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        let mut found = BTreeSet::from(["README.md".to_owned()]);
        walk(&root, "src", &mut found);
        walk(&root, "macros/src", &mut found);
        let carried: BTreeSet<_> = SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, found, "name each file of sdk/ once in the table above");
    }

    #[test]
    fn manifests_inherit_nothing() {
        let files = files();
        let manifest = |path: &str| {
            let (_, text) = files.iter().find(|(name, _)| name == path).expect(path);
            text.as_str()
        };
        expect![[r#"
            [dependencies]
            proc-macro2 = "1"
            quote = "1"

            [dependencies.syn]
            features = ["full"]
            version = "3"

            [features]
            native = []

            [lib]
            proc-macro = true

            [package]
            description = "The attributes #[task] and #[merge] of gleaner-sdk."
            edition = "2024"
            license = "Apache-2.0 OR MIT"
            name = "gleaner-sdk-macros"
            publish = false
            rust-version = "1.95"
            version = "0.1.0"
        "#]]
        .assert_eq(manifest("gleaner-sdk/macros/Cargo.toml"));
        let sdk: Table = manifest("gleaner-sdk/Cargo.toml").parse().expect("it is TOML");
        let path = &sdk["dependencies"]["gleaner-sdk-macros"]["path"];
        assert_eq!(path.as_str(), Some("macros"));
        assert!(!manifest("gleaner-sdk/Cargo.toml").contains("workspace"));
    }
}
