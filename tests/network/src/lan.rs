//! The machines and the switch between them.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use end_to_end::Gleaner;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Machine, Transcript};

/// Who sits at which machine.
const NAMES: [&str; 4] = ["ada", "bo", "cy", "di"];

/// Tells the networks of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Machines on one switch: number `n` has the address `10.77.0.n+1`.
pub struct Lan {
    machines: Vec<Machine>,
    transcript: Arc<Transcript>,
    switch: Namespace,
}

/// A network namespace; dropped, it is gone with all that is in it.
pub(crate) struct Namespace {
    name: String,
}

/// Why no network can be made here; `None` when it can.
pub fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    if Command::new("script").arg("--version").output().is_err() {
        return Some("`script` cannot be run; on Debian it is in the package bsdutils".to_owned());
    }
    let probe = add_switch().and_then(|switch| connect(&switch, 0)).err()?;
    Some(format!("no network of namespaces can be made here: {probe:#}"))
}

impl Lan {
    /// A network of `machines` machines, four at most, each with `gleaner` at hand.
    ///
    /// # Errors
    /// When the system refuses; nothing is left behind.
    pub fn new(gleaner: &Gleaner, machines: u8) -> Result<Self> {
        let transcript = Arc::new(Transcript::new());
        let mut lan = Self { machines: Vec::new(), transcript, switch: add_switch()? };
        for (number, name) in (0..machines).zip(NAMES) {
            let namespace = connect(&lan.switch, number)?;
            let address = address(number);
            let machine = Machine::new(name, gleaner, namespace, address, &lan.transcript)?;
            lan.machines.push(machine);
        }
        Ok(lan)
    }

    /// What is done on the machines.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// One of the machines, from 0.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number]
    }

    /// One of the machines, from 0, to be changed.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn machine_mut(&mut self, number: usize) -> &mut Machine {
        &mut self.machines[number]
    }
}

fn add_switch() -> Result<Namespace> {
    let switch = Namespace::add("switch")?;
    switch.ip(&["link", "add", "switch", "type", "bridge"])?;
    switch.ip(&["link", "set", "switch", "up"])?;
    Ok(switch)
}

/// A machine's namespace, with a cable to the switch.
fn connect(switch: &Namespace, number: u8) -> Result<Namespace> {
    let namespace = Namespace::add(&format!("m{number}"))?;
    let port = format!("port{number}");
    let veth = ["type", "veth", "peer", "name", "eth0", "netns", &namespace.name];
    switch.ip(&[&["link", "add", &port][..], &veth].concat())?;
    switch.ip(&["link", "set", &port, "master", "switch", "up"])?;
    namespace.ip(&["link", "set", "lo", "up"])?;
    namespace.ip(&["link", "set", "eth0", "up"])?;
    namespace.ip(&["addr", "add", &format!("{}/24", address(number)), "dev", "eth0"])?;
    Ok(namespace)
}

fn address(number: u8) -> String {
    format!("10.77.0.{}", number + 1)
}

impl Namespace {
    fn add(name: &str) -> Result<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gleaner-{}-{number}-{name}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name][..], arguments].concat())
    }

    /// The command before which a program runs inside: it takes the program's place.
    pub(crate) fn launcher(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // There is nobody left to tell. A process at a terminal is in a session of its own, so
        // that no group holds it.
        let inside = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let inside = inside.map(|output| output.stdout).unwrap_or_default();
        let numbers = String::from_utf8_lossy(&inside);
        for pid in numbers.split_whitespace().filter_map(|number| number.parse().ok()) {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("cannot run `ip`; on Debian it is in the package iproute2")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", arguments.join(" "), words.trim());
    }
    Ok(())
}
