//! Which versions of the C library's symbols a program asks for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

/// The newest version of glibc of which `program` needs a symbol, as `readelf` (binutils) tells.
///
/// # Errors
/// When `readelf` is missing or the program asks for none, which would be a static one.
pub fn newest_glibc(program: &Path) -> Result<(u32, u32)> {
    let told =
        step::output(Command::new("readelf").args(["--version-info", "--wide"]).arg(program));
    let told = told.context("`readelf` failed; on Debian it is in the package binutils")?;
    newest_in(&told).context("the program needs no symbol of glibc")
}

fn newest_in(told: &str) -> Option<(u32, u32)> {
    let versions = told.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let mut numbers = rest[..end].split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_found_by_number() {
        let told = "  0x0010:   Name: GLIBC_2.2.5  Flags: none  Version: 4\n\
                    0x0020:   Name: GLIBC_2.28  Flags: none  Version: 3\n\
                    0x0030:   Name: GLIBC_2.9  Flags: none  Version: 2\n\
                    0x0040:   Name: GLIBC_PRIVATE  Flags: none  Version: 5\n";
        assert_eq!(newest_in(told), Some((2, 28)));
        assert_eq!(newest_in("No version information found in this file."), None);
    }
}
