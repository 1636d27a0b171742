//! Files that match a pattern of a manifest.
//!
//! Patterns are a shell's: `*` and `?` stop at `/`, `**` goes through folders but not through links
//! to folders, and a name that begins with a dot is matched by a part that does. A link to a file
//! is the file, under the link's name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gleaner_protocol::limits::EACH_FILES_MAX;
use gleaner_protocol::manifest::{FilePattern, ManifestError};
use glob::Pattern;

/// A file that matches.
#[derive(Debug)]
pub(crate) struct Match {
    /// Its path from the manifest's folder, with `/` between its parts.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Why the files that match cannot be told.
pub(crate) enum MatchError {
    /// The pattern is at fault.
    Pattern(ManifestError),
    /// A folder or a name is.
    Unreadable { path: PathBuf, source: io::Error },
}

/// One part of a pattern, between slashes.
enum Part {
    /// Any number of folders.
    Folders,
    /// One name, as it is written.
    Literal(String),
    /// Any name that fits.
    Names(Pattern),
}

struct Walk<'a> {
    pattern: &'a FilePattern,
    matches: Vec<Match>,
}

/// The files that match, relative to `folder`, in the order of their names in each folder.
pub(crate) fn find(pattern: &FilePattern, folder: &Path) -> Result<Vec<Match>, MatchError> {
    let parts = pattern.text().split('/').filter(|part| !["", "."].contains(part));
    let parts = parts.map(Part::read).collect::<Result<Vec<_>, _>>();
    let parts = parts.map_err(|e| MatchError::Pattern(pattern.unreadable(e.msg)))?;
    let mut walk = Walk { pattern, matches: Vec::new() };
    match pattern.text().starts_with('/') {
        true => walk.enter(Path::new("/"), "/", &parts)?,
        false => walk.enter(folder, "", &parts)?,
    }
    Ok(walk.matches)
}

impl Part {
    fn read(part: &str) -> Result<Self, glob::PatternError> {
        if part == "**" {
            return Ok(Self::Folders);
        }
        let pattern = Pattern::new(part)?;
        match part.contains(['*', '?', '[']) {
            true => Ok(Self::Names(pattern)),
            false => Ok(Self::Literal(part.to_owned())),
        }
    }
}

impl Walk<'_> {
    /// Takes what matches `parts` in the folder at `path`, whose name ends in `/` unless it is the
    /// manifest's own.
    fn enter(&mut self, path: &Path, name: &str, parts: &[Part]) -> Result<(), MatchError> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        match part {
            Part::Literal(literal) => {
                let (path, name) = (path.join(literal), format!("{name}{literal}"));
                self.meet(path, name, rest)
            }
            Part::Names(pattern) => {
                for entry in entries(path)? {
                    let lossy = entry.to_string_lossy();
                    let is_hidden = lossy.starts_with('.') && !pattern.as_str().starts_with('.');
                    if is_hidden || !pattern.matches(&lossy) {
                        continue;
                    }
                    let path = path.join(&entry);
                    let Some(text) = entry.to_str() else { return Err(not_text(path)) };
                    self.meet(path, format!("{name}{text}"), rest)?;
                }
                Ok(())
            }
            Part::Folders => {
                self.enter(path, name, rest)?;
                for entry in entries(path)? {
                    let path = path.join(&entry);
                    let is_folder = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
                    if !is_folder || entry.to_string_lossy().starts_with('.') {
                        continue;
                    }
                    let Some(text) = entry.to_str() else { return Err(not_text(path)) };
                    self.enter(&path, &format!("{name}{text}/"), parts)?;
                }
                Ok(())
            }
        }
    }

    /// Something that matches so far, and must match `rest` too.
    fn meet(&mut self, path: PathBuf, name: String, rest: &[Part]) -> Result<(), MatchError> {
        if path.is_dir() {
            return self.enter(&path, &format!("{name}/"), rest);
        }
        // A link that leads nowhere is told of when it is read.
        if !rest.is_empty() || fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        if self.matches.len() == EACH_FILES_MAX {
            return Err(MatchError::Pattern(self.pattern.too_many()));
        }
        self.matches.push(Match { name, path });
        Ok(())
    }
}

fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>, MatchError> {
    // The manifest may lie in the current folder, whose path is empty.
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let read = || {
        let names = fs::read_dir(here)?.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect::<io::Result<Vec<_>>>()
    };
    match read() {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(MatchError::Unreadable { path: folder.to_owned(), source }),
    }
}

fn not_text(path: PathBuf) -> MatchError {
    let source = io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8");
    MatchError::Unreadable { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gleaner_protocol::manifest::Manifest;

    use super::*;

    /// The names that match in a folder `job` beside `other`.
    fn check(pattern: &str, expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let job = folder.path().join("job[1]");
        for name in ["a.png", "b.png", "c.txt", ".hidden.png", "deep/d.png", "deep/er/e.png"] {
            let path = job.join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(path, name).expect("written");
        }
        fs::create_dir(folder.path().join("other")).expect("made");
        fs::write(folder.path().join("other/f.png"), "f").expect("written");
        #[cfg(unix)]
        {
            use std::ffi::OsStr;
            use std::os::unix::ffi::OsStrExt;
            use std::os::unix::fs::symlink;
            symlink(folder.path().join("other/f.png"), job.join("link.png")).expect("linked");
            symlink(folder.path().join("other"), job.join("deep/linked")).expect("linked");
            symlink(&job, job.join("deep/er/loop")).expect("linked");
            let no_text = job.join("other");
            fs::create_dir(&no_text).expect("made");
            fs::write(no_text.join(OsStr::from_bytes(b"\xff.bin")), "no text").expect("written");
        }
        let manifest = format!(
            "[job]\nname = \"j\"\n[[stage]]\nname = \"s\"\nmodule = \"m\"\nreduce = \"csv\"\n\
             each_file = {{ field = \"f\", glob = \"{pattern}\" }}"
        );
        let manifest = Manifest::parse(&manifest).expect("sound");
        let found = find(manifest.patterns().next().expect("a pattern"), &job);
        let found = found.map(|matches| {
            let mut names: Vec<_> = matches.into_iter().map(|found| found.name).collect();
            names.sort_unstable();
            names
        });
        let found = found.map_err(|error| match error {
            MatchError::Pattern(error) => error.to_string(),
            MatchError::Unreadable { source, .. } => source.to_string(),
        });
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expected.map_err(str::to_owned), "{pattern}");
    }

    #[cfg(unix)]
    #[test]
    fn patterns_match_as_a_shell_would() {
        check("*.png", Ok(&["a.png", "b.png", "link.png"]));
        check("./[ab].png", Ok(&["a.png", "b.png"]));
        check("**/*.png", Ok(&["a.png", "b.png", "deep/d.png", "deep/er/e.png", "link.png"]));
        check("deep/*", Ok(&["deep/d.png"]));
        check("deep/linked/*.png", Ok(&["deep/linked/f.png"]));
        check(".*.png", Ok(&[".hidden.png"]));
        check("../other/*.png", Ok(&["../other/f.png"]));
        check("c.txt", Ok(&["c.txt"]));
        check("deep", Ok(&[]));
        check("none/*", Ok(&[]));
        check("other/*.bin", Err("its name is not UTF-8"));
        check("other/*.txt", Ok(&[]));
        check(
            "a***",
            Err("line 7, column 35: `stage.s.each_file.glob` is \"a***\", which is no pattern of \
                 file names: wildcards are either regular `*` or recursive `**`"),
        );
    }
}
