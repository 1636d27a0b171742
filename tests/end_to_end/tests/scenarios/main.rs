//! Gleaner as its users meet it: real processes, real files, one machine.

mod admission;
mod answers;
mod authoring;
mod control_api;
mod crashes;
mod dry_run;
mod equivalence;
mod failures;
mod folders;
mod full_disk;
mod going_on;
mod hostile_modules;
mod inputs;
mod interrupts;
mod kills;
mod lifecycle;
mod mersenne;
mod openapi;
mod orders;
mod proxy;
mod results;
mod shapes;
mod submission;
mod submitters;
mod units;
mod wordcount;
