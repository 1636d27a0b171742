//! Is there a planet? A star that a planet tugs at comes and goes with the planet's period.
//!
//! Two tasks. [`search()`] computes the generalised Lomb-Scargle periodogram of a star's radial
//! velocities (item 0) and of thousands of resamplings in which nothing can repeat (all other
//! items). [`report()`] says which peaks no resampling reaches, and draws them.
//!
//! The way in is [`star`] (the file), [`grid`] (which frequencies, and why no peak is missed) and
//! [`periodogram`] (the powers). Nothing here reads a clock or the platform's mathematics: the
//! same bits come out natively and in every slot.

pub mod grid;
mod lanes;
pub mod peaks;
pub mod periodogram;
mod plot;
mod report;
mod search;
pub mod star;

pub use report::{Report, report};
pub use search::{Row, Search, search};
