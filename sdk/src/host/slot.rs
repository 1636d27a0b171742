//! The imports from `gleaner_1`, and nothing else in this crate that is unsafe.
//!
//! The host checks every number and range it is given and ends the item when one is wrong; what
//! has to hold here is only that pointers passed to it are valid for as long as the call lasts.
#![allow(unsafe_code, reason = "imports are foreign functions")]

use crate::log::Level;

#[link(wasm_import_module = "gleaner_1")]
unsafe extern "C" {
    fn input_find(name: *const u8, name_len: usize) -> i32;
    safe fn input_len(input: i32) -> i64;
    fn input_read(input: i32, offset: i64, destination: *mut u8, length: usize);
    #[link_name = "item"]
    safe fn item_number() -> i64;
    #[link_name = "seed"]
    safe fn item_seed() -> i64;
    fn output_write(source: *const u8, length: usize);
    #[link_name = "progress"]
    safe fn say_progress(fraction: f64);
    #[link_name = "log"]
    fn write_log(level: i32, source: *const u8, length: usize);
    #[link_name = "fail"]
    fn end_failed(source: *const u8, length: usize) -> !;
    fn panic(source: *const u8, length: usize);
}

/// The whole of an input by its number.
pub(crate) fn input(input: i32) -> Vec<u8> {
    let length = usize::try_from(input_len(input)).expect("an input has a length that fits memory");
    let mut bytes = vec![0; length];
    // SAFETY: `bytes` is exclusively ours and has exactly `length` bytes, all initialised.
    unsafe { input_read(input, 0, bytes.as_mut_ptr(), length) };
    bytes
}

/// The whole of a shared file by its name.
pub(crate) fn shared_file(name: &str) -> Option<Vec<u8>> {
    // SAFETY: the pointer and the length are those of `name`, which outlives the call.
    let number = unsafe { input_find(name.as_ptr(), name.len()) };
    (number >= 0).then(|| input(number))
}

pub(crate) fn item() -> u64 {
    item_number().cast_unsigned()
}

pub(crate) fn seed() -> u64 {
    item_seed().cast_unsigned()
}

/// Appends to the item's output.
pub(crate) fn write_output(bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of `bytes`, which outlives the call.
    unsafe { output_write(bytes.as_ptr(), bytes.len()) };
}

pub(crate) fn progress(fraction: f64) {
    say_progress(fraction);
}

pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the pointer and the length are those of `message`, which outlives the call.
    unsafe { write_log(level as i32, message.as_ptr(), message.len()) };
}

/// Ends the item as failed, with these words.
pub(crate) fn fail(message: &str) -> ! {
    // SAFETY: the pointer and the length are those of `message`; the call does not return.
    unsafe { end_failed(message.as_ptr(), message.len()) }
}

/// Gives the host the words of a panic before it ends the item by a trap.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let words = info.payload_as_str().unwrap_or("a panic without words");
        let message = match info.location() {
            Some(at) => format!("{words} ({}:{}:{})", at.file(), at.line(), at.column()),
            None => words.to_owned(),
        };
        // SAFETY: the pointer and the length are those of `message`, which outlives the call.
        unsafe { panic(message.as_ptr(), message.len()) };
    }));
}
