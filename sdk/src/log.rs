//! Words for the author, which travel with the result of the unit that said them.
//!
//! A log is for reading, never part of a result. What an item may log is capped by the manifest's
//! `limits.log`; going over it ends the item. Of what a unit's items log, the first 64 KiB travel.
//! The coordinator keeps them; `gleaner logs UNIT` prints them. Natively the words go to standard
//! error.
//!
//! ```
//! use gleaner_sdk::prelude::*;
//!
//! log::info!("{} points, the longest gap {:.1} d", 401, 96.25);
//! ```

use crate::host;

#[doc(inline)]
pub use crate::{
    log_debug as debug, log_error as error, log_info as info, log_trace as trace, log_warn as warn,
};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The result is in doubt.
    Error = 1,
    /// Something is odd.
    Warn = 2,
    /// What the author wants to know of every item.
    Info = 3,
    /// What helps to find a mistake.
    Debug = 4,
    /// Every step.
    Trace = 5,
}

/// Logs `message`, one line or more.
pub fn write(level: Level, message: &str) {
    host::log(level, message);
}

/// Logs that the result is in doubt, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! log_error {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($arguments)+))
    };
}

/// Logs something odd, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! log_warn {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($arguments)+))
    };
}

/// Logs what the author wants to know of every item, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! log_info {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($arguments)+))
    };
}

/// Logs what helps to find a mistake, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! log_debug {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($arguments)+))
    };
}

/// Logs a step, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! log_trace {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, &::std::format!($($arguments)+))
    };
}
