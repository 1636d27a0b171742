//! A star's radial velocities, as read from a file.
//!
//! What holds of a [`Star`]: at least [`POINTS_MIN`] points, all numbers finite, all errors
//! positive, times not all the same, velocities not all the same, and the weighted mean of each
//! instrument's velocities is zero.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

/// The fewest points: a sinusoid with a mean has four parameters, and one more point says how well
/// it fits.
pub const POINTS_MIN: usize = 5;

/// The most points: the tables of a periodogram take half a kilobyte for each.
pub const POINTS_MAX: usize = 100_000;

const COLUMNS: [&str; 4] = ["time", "rv", "err", "instrument"];

/// A star's radial velocities, each instrument's weighted mean subtracted.
#[derive(Clone, Debug, PartialEq)]
pub struct Star {
    /// When each was measured, in days.
    pub times: Vec<f64>,
    /// The velocities, in the file's unit (m/s).
    pub velocities: Vec<f64>,
    /// Their standard errors, in the same unit.
    pub errors: Vec<f64>,
    /// Which of `instruments` measured each.
    pub instrument_of: Vec<usize>,
    /// The instruments by name, in the order of their first point.
    pub instruments: Vec<Instrument>,
}

/// An instrument and its own zero point.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Its name in the file.
    pub name: String,
    /// How many points it measured.
    pub points: usize,
    /// The weighted mean of its velocities, which was subtracted.
    pub zero_point: f64,
}

/// Why a file of velocities cannot be used. Lines count from 1.
#[allow(missing_docs, reason = "line, column and value are what they say")]
#[derive(Clone, Debug, PartialEq)]
pub enum StarError {
    /// The file is not UTF-8.
    Encoding { line: usize },
    /// There is no header.
    Empty,
    /// The header lacks a column.
    MissingColumn { line: usize, column: &'static str },
    /// The header has a column twice.
    RepeatedColumn { line: usize, column: &'static str },
    /// A row ends before a column.
    MissingValue { line: usize, column: &'static str },
    /// A value is not a number.
    NotANumber { line: usize, column: &'static str, value: String },
    /// A value is infinite or NaN.
    NotFinite { line: usize, column: &'static str, value: String },
    /// An error is zero or negative.
    ErrorNotPositive { line: usize, value: String },
    /// An instrument has no name.
    NoInstrument { line: usize },
    /// Too few points.
    TooFew { points: usize },
    /// Too many points.
    TooMany { points: usize },
    /// All points were measured at one time.
    OneTime { time: f64 },
    /// The velocities of each instrument are all the same.
    Constant,
}

impl fmt::Display for StarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding { line } => write!(f, "line {line}: not UTF-8 text"),
            Self::Empty => {
                write!(f, "no header: the first line names the columns {}", COLUMNS.join(","))
            }
            Self::MissingColumn { line, column } => {
                write!(f, "line {line}: the header has no column `{column}`")
            }
            Self::RepeatedColumn { line, column } => {
                write!(f, "line {line}: the header has the column `{column}` twice")
            }
            Self::MissingValue { line, column } => {
                write!(f, "line {line}: no value in column `{column}`")
            }
            Self::NotANumber { line, column, value } => {
                write!(f, "line {line}, column `{column}`: {value:?} is not a number")
            }
            Self::NotFinite { line, column, value } => {
                write!(f, "line {line}, column `{column}`: {value:?} is not finite")
            }
            Self::ErrorNotPositive { line, value } => {
                write!(f, "line {line}, column `err`: {value:?} is not over 0")
            }
            Self::NoInstrument { line } => {
                write!(f, "line {line}, column `instrument`: no name")
            }
            Self::TooFew { points } => {
                write!(f, "{points} points; at least {POINTS_MIN} are needed")
            }
            Self::TooMany { points } => {
                write!(f, "{points} points; at most {POINTS_MAX} are taken")
            }
            Self::OneTime { time } => write!(f, "all points have the time {time}"),
            Self::Constant => write!(f, "the velocities of each instrument are all the same"),
        }
    }
}

impl std::error::Error for StarError {}

impl Star {
    /// Reads a CSV file with a header that names the columns `time`, `rv`, `err` and `instrument`,
    /// in any order, among others or not. Lines that are blank or start with `#` are passed over;
    /// lines may end in CR LF.
    ///
    /// # Errors
    /// [`StarError`], for the first thing wrong.
    pub fn read(file: &[u8]) -> Result<Self, StarError> {
        let mut lines = Lines { rest: file, line: 0 };
        let (line, header) = lines.next().unwrap_or(Err(StarError::Empty))?;
        let columns = Columns::of(line, header)?;
        let mut star = Self::empty();
        for entry in lines {
            let (line, row) = entry?;
            star.push(line, &columns, row)?;
        }
        star.check()?;
        star.subtract_zero_points();
        if star.is_constant() {
            return Err(StarError::Constant);
        }
        Ok(star)
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no points; never so for one that was read.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The first and the last time.
    pub fn time_range(&self) -> (f64, f64) {
        let first = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        let last = self.times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (first, last)
    }

    /// The time from the first point to the last, in days.
    pub fn baseline_days(&self) -> f64 {
        let (first, last) = self.time_range();
        last - first
    }

    /// The weight of each point: the inverse square of its error, all together 1.
    pub fn weights(&self) -> Vec<f64> {
        let inverse: Vec<f64> = self.errors.iter().map(|error| 1.0 / (error * error)).collect();
        let sum: f64 = inverse.iter().sum();
        inverse.iter().map(|weight| weight / sum).collect()
    }

    fn empty() -> Self {
        Self {
            times: Vec::new(),
            velocities: Vec::new(),
            errors: Vec::new(),
            instrument_of: Vec::new(),
            instruments: Vec::new(),
        }
    }

    fn push(&mut self, line: usize, columns: &Columns, row: &str) -> Result<(), StarError> {
        let values: Vec<&str> = row.split(',').map(str::trim).collect();
        let value = |column: usize| match values.get(columns.position[column]) {
            Some(&"") if column < 3 => {
                Err(StarError::MissingValue { line, column: COLUMNS[column] })
            }
            Some(&value) => Ok(value),
            None => Err(StarError::MissingValue { line, column: COLUMNS[column] }),
        };
        let number = |column: usize| parse(line, COLUMNS[column], value(column)?);
        let (time, velocity, error) = (number(0)?, number(1)?, number(2)?);
        if error <= 0.0 {
            return Err(StarError::ErrorNotPositive { line, value: value(2)?.to_owned() });
        }
        let name = value(3)?;
        if name.is_empty() {
            return Err(StarError::NoInstrument { line });
        }
        let instrument = self.instrument(name);
        self.instruments[instrument].points += 1;
        self.times.push(time);
        self.velocities.push(velocity);
        self.errors.push(error);
        self.instrument_of.push(instrument);
        Ok(())
    }

    fn instrument(&mut self, name: &str) -> usize {
        let known = self.instruments.iter().position(|instrument| instrument.name == name);
        known.unwrap_or_else(|| {
            self.instruments.push(Instrument { name: name.to_owned(), points: 0, zero_point: 0.0 });
            self.instruments.len() - 1
        })
    }

    fn check(&self) -> Result<(), StarError> {
        let points = self.len();
        if points < POINTS_MIN {
            return Err(StarError::TooFew { points });
        }
        if points > POINTS_MAX {
            return Err(StarError::TooMany { points });
        }
        if self.baseline_days() == 0.0 {
            return Err(StarError::OneTime { time: self.times[0] });
        }
        Ok(())
    }

    /// Whether nothing but rounding is left of the velocities without their zero points.
    fn is_constant(&self) -> bool {
        const ROUNDING: f64 = 1e-12;
        self.velocities.iter().zip(&self.instrument_of).all(|(velocity, &of)| {
            velocity.abs() <= ROUNDING * self.instruments[of].zero_point.abs()
        })
    }

    fn subtract_zero_points(&mut self) {
        let weights = self.weights();
        let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for ((&of, &weight), &velocity) in
            self.instrument_of.iter().zip(&weights).zip(&self.velocities)
        {
            let (weight_sum, velocity_sum) = sums.entry(of).or_default();
            *weight_sum += weight;
            *velocity_sum += weight * velocity;
        }
        for (of, (weight_sum, velocity_sum)) in sums {
            self.instruments[of].zero_point = velocity_sum / weight_sum;
        }
        for (velocity, &of) in self.velocities.iter_mut().zip(&self.instrument_of) {
            *velocity -= self.instruments[of].zero_point;
        }
    }
}

/// Where each of [`COLUMNS`] stands in a row.
struct Columns {
    position: [usize; 4],
}

impl Columns {
    fn of(line: usize, header: &str) -> Result<Self, StarError> {
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut position = [0; 4];
        for (place, column) in position.iter_mut().zip(COLUMNS) {
            let mut found = names.iter().enumerate().filter(|(_, name)| **name == column);
            *place = found.next().ok_or(StarError::MissingColumn { line, column })?.0;
            if found.next().is_some() {
                return Err(StarError::RepeatedColumn { line, column });
            }
        }
        Ok(Self { position })
    }
}

/// The lines that say something, with their numbers.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<(usize, &'a str), StarError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|&byte| byte == b'\n');
            let (bytes, rest) = match end {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            self.line += 1;
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Some(Err(StarError::Encoding { line: self.line }));
            };
            // A byte order mark is what some spreadsheets put first.
            let text = text.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() && !text.starts_with('#') {
                return Some(Ok((self.line, text)));
            }
        }
        None
    }
}

fn parse(line: usize, column: &'static str, text: &str) -> Result<f64, StarError> {
    let value = || text.to_owned();
    let number: f64 =
        text.parse().map_err(|_| StarError::NotANumber { line, column, value: value() })?;
    if !number.is_finite() {
        return Err(StarError::NotFinite { line, column, value: value() });
    }
    Ok(number)
}
