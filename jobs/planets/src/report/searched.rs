//! Reads `search.csv` back.

use gleaner_sdk::Error;

use crate::peaks::Peak;

/// The search's output.
pub(super) struct Searched {
    /// The star's periodogram, by rising period.
    pub(super) envelope: Vec<Peak>,
    /// The highest power of each resampling, the highest first.
    pub(super) maxima: Vec<f64>,
}

impl Searched {
    /// Reads the CSV file with the columns `resampling`, `period_days` and `power`.
    pub(super) fn read(csv: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(csv)
            .map_err(|error| Error::from(error).context("the search's output"))?;
        let mut lines = text.lines().enumerate();
        let header: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').collect();
        let columns = ["resampling", "period_days", "power"].map(|name| {
            header.iter().position(|column| *column == name).ok_or_else(|| {
                Error::new(format_args!("the search's output has no column `{name}`"))
            })
        });
        let [resampling, period, power] = columns;
        let columns = [resampling?, period?, power?];
        let mut searched = Self { envelope: Vec::new(), maxima: Vec::new() };
        for (index, line) in lines {
            let [resampling, period_days, power] = row(index + 1, line, columns)?;
            if resampling == 0.0 {
                searched.envelope.push(Peak { frequency: 1.0 / period_days, power });
            } else {
                searched.maxima.push(power);
            }
        }
        if searched.envelope.len() < 3 {
            return Err(Error::new("the search's output lacks resampling 0, the star as observed"));
        }
        searched.maxima.sort_by(|a, b| b.total_cmp(a));
        Ok(searched)
    }
}

fn row(line_number: usize, line: &str, columns: [usize; 3]) -> Result<[f64; 3], Error> {
    let values: Vec<&str> = line.split(',').collect();
    let mut numbers = [0.0; 3];
    for (number, column) in numbers.iter_mut().zip(columns) {
        *number = values.get(column).and_then(|value| value.parse().ok()).ok_or_else(|| {
            Error::new(format_args!("the search's output, line {line_number}: {line:?} is no row"))
        })?;
    }
    Ok(numbers)
}
