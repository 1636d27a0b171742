//! The stage `report`: what the search found, in a table, in words and in two pictures.

mod findings;
mod fit;
mod folded;
mod periodogram_plot;
mod searched;
mod significance;
mod summary;
#[cfg(test)]
mod tests;

use gleaner_sdk::prelude::*;
use serde::Deserialize;

use crate::plot;
use crate::search::read_star;
use findings::Findings;
use searched::Searched;

/// The item: the output of the stage `search`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// `search.csv`.
    pub search: Bytes,
    /// What the pictures are of: the star's name.
    pub title: String,
}

/// Gives `peaks.csv`, `summary.txt`, and `periodogram` and `folded` as `.svg` and `.png`.
///
/// # Errors
/// When the shared file `star` or the search's output cannot be used, or they do not belong
/// together.
#[task]
pub fn report(input: Report, context: &Context) -> Result<Files, Error> {
    let star = read_star(context)?;
    let searched = Searched::read(&input.search)?;
    let findings = Findings::new(&star, searched)?;
    let mut files = Files::new();
    files.add("peaks.csv", summary::peaks_csv(&findings));
    files.add("summary.txt", summary::text(&input.title, &star, &findings));
    context.progress(0.1);
    let pictures = [
        ("periodogram", periodogram_plot::draw(&input.title, &star, &findings), 0.5),
        ("folded", folded::draw(&input.title, &star, &findings), 1.0),
    ];
    for (name, svg, done) in pictures {
        files.add(format!("{name}.png"), plot::png(&svg)?);
        files.add(format!("{name}.svg"), svg);
        context.progress(done);
    }
    Ok(files)
}
